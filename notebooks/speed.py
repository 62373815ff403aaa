# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How fast is Diagonal Distillation on one H100?
# Timing of the paper-scale model, 81 frames of 832×480. **Weights are random**: speed and memory do not depend on
# their values, and no number here speaks of quality. This notebook reads records and draws them; it measures nothing.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting import figures, speed, speed_answers, speed_figures, speedups

# %% tags=["parameters"]
records = "results/published/wan-h100/speed"
results = "results/published/wan-h100"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
measured, drawn = speed.load(ROOT / records), ROOT / results / "figures"

# %% [markdown]
# ## What does each optimisation buy?

# %%
ladder = speed.ladder_frame(measured)
display(Image(figures.save(speed_figures.waterfall(ladder, measured.device), drawn / "ladder.png")))
display(Markdown(speed.markdown(speed.ladder_section(measured))))
print(speed_answers.ladder(ladder))

# %% [markdown]
# ## Table 1: how much sooner than the model of many steps?

# %%
if measured.complete("table1"):
    display(Markdown(speed.markdown(speed.section(measured, "table1"))))
    print("\n".join(speedups.SYSTEMS))
    print(speedups.told(speed.frame(measured, "table1"), "table1"))
else:
    print("Not all six systems were measured.")

# %% [markdown]
# ## Tables 3 and 5: schedules, with and without a cache pass

# %%
display(Markdown(speed.markdown(speed.section(measured, "table3"))))
display(Markdown(speed.markdown(speed.section(measured, "table5"))))
print(speed_answers.forcing(speed.frame(measured, "table5")))

# %% [markdown]
# ## Table 4: is latency linear in the window, as the paper says?

# %%
display(
    Image(figures.save(speed_figures.windows(speed.frame(measured, "table4"), measured.device), drawn / "windows.png"))
)
print("\n".join(speed.linearity_notes(measured)))

# %% [markdown]
# ## Do the speed options change the numbers?

# %%
display(Markdown(speed.markdown(speed.numerics_section(measured))))
print(speed_answers.numerics(speed.numerics_frame(measured)))
