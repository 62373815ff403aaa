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
# # What does training cost?
# Loss curves and cost of every stage. This notebook reads what `python -m repro cost` wrote and draws it; it
# measures nothing.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting import cost_answers, figures

# %% tags=["parameters"]
results = "results/published/mini"
profile = "mini"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
found = cost_answers.load(ROOT / results, profile)

# %% [markdown]
# ## Did every stage learn?

# %%
display(Image(figures.save(figures.loss_curves(found.losses), found.folder / "figures" / "cost_losses.png")))
print(cost_answers.curves(found))

# %% [markdown]
# ## What did it cost, and what would it cost elsewhere?

# %%
display(Markdown(found.markdown))
print(cost_answers.logged(found))

# %%
print(cost_answers.estimated(found))
