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
# # What was found of the paper's claims?
# Every empirical claim with what the paper says, what was measured here, and a verdict. Quality is measured in a small
# world, time and memory at the paper's scale. This notebook reads what `python -m repro claims` wrote; it measures
# nothing.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting import claim_answers, figures

# %% tags=["parameters"]
results = "results/published/paper"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
found = claim_answers.load(ROOT / results)
print(claim_answers.counted(found))

# %% [markdown]
# ## Claim by claim

# %%
display(Markdown(found.markdown))

# %% [markdown]
# ## Differences of scores, beside their intervals

# %%
drawn = ROOT / results / "figures"
display(Image(figures.save(claim_answers.forest(found.claims), drawn / "claims_scores.png")))
print(claim_answers.resolved(found))

# %% [markdown]
# ## What is missing?

# %%
print(claim_answers.missing(found))
