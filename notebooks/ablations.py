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
# # The method against other systems, other schedules and variants of itself
# Tables 1, 2, 3, 6, 7 and 9 of the paper. This notebook reads what `python -m repro table NUMBER` wrote and draws it;
# it measures nothing.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting import ablation_answers, ablation_figures, figures

# %% tags=["parameters"]
results = "results/published/mini"
number = 2

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
found = ablation_answers.load(ROOT / results, int(number))
drawn = found.folder / "figures"

# %% [markdown]
# ## What does the table say?

# %%
display(Markdown(found.markdown))

# %% [markdown]
# ## Which differences are there, prompt by prompt?

# %%
display(
    Image(
        figures.save(
            figures.paired_forest(found.pairs, "row", "Method minus the other row"), drawn / f"table{number}_pairs.png"
        )
    )
)
print(ablation_answers.verdicts(found.pairs))

# %% [markdown]
# ## How much does each row move?

# %%
if ablation_answers.tells_of_motion(found):
    display(Image(figures.save(ablation_figures.motion(found.table), drawn / f"table{number}_motion.png")))
print(ablation_answers.motion(found))
