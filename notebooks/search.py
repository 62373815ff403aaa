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
# # Which schedule is best?
# The paper compares thirteen schedules by hand and concludes that the steps should fall from chunk to chunk. Here all
# schedules up to a number of steps are searched: what steps are worth in which chunk, measured on random schedules,
# predicts the best; these are scored by successive halving, and the finalists compared on other prompts.
# This notebook reads what `python -m repro search` and `search-table` wrote and draws it; it measures nothing.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting import figures, search
from repro.reporting import search_figures as draw

# %% tags=["parameters"]
results = "results/published/mini"
profile = "mini"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
folder = ROOT / results
found = search.load(folder / "search", profile)
drawn = folder / "figures"

# %% [markdown]
# ## Is 4322222 on the front of quality against cost?

# %%
display(Image(figures.save(draw.front(found), drawn / "search_front.png")))
print(search.answer_front(found))

# %% [markdown]
# ## Is a schedule that never rises the best? Where are steps worth most?

# %%
display(Image(figures.save(draw.shape(found), drawn / "search_shape.png")))
print(search.answer_kinds(found))
print(search.answer_worth(found))

# %% [markdown]
# ## What was measured, and on which device?

# %%
display(Markdown((folder / "tables" / "search.md").read_text()))
