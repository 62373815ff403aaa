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
# # Do videos hold for minutes?
# Students roll on for 45 seconds and for five minutes, far beyond the five seconds they were trained on (Figure 8 of
# the paper). This notebook reads what `python -m repro long`, `pace` and `long-table` wrote and draws it; it measures
# nothing.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting import figures, long_video
from repro.reporting import long_figures as draw

# %% tags=["parameters"]
results = "results/published/mini"
profile = "mini"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
folder = ROOT / results
long = long_video.load(folder / "long", profile)
drawn = folder / "figures"

# %% [markdown]
# ## Do quality, saturation and motion drift?

# %%
display(Image(figures.save(draw.against_time(long), drawn / "long_time.png")))
print("\n".join(long_video.drifts(long, roll) for roll in long.rolls))

# %% [markdown]
# ## Should a long video repeat its schedule, or the last digit?

# %%
print(long_video.cyclic(long_video.compared(long)))

# %% [markdown]
# ## Are latency and memory of a chunk constant?

# %%
display(Image(figures.save(draw.pace(long), drawn / "long_pace.png")))
print(long_video.steady(long))

# %% [markdown]
# ## What do the videos look like?

# %%
display(Image(figures.save(draw.stills(folder / "long", long.systems), drawn / "long_stills.png")))
print(long_video.shows(long))

# %% [markdown]
# ## What was measured, and on which device?

# %%
display(Markdown((folder / "tables" / "long.md").read_text()))
