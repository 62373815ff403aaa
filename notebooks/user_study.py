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
# # What can the paper's user study bear?
# The paper gives five preference rates, "paired t-tests p < 0.01" and κ = 0.78, and no raw data. This notebook reads
# what `python -m repro user-study paper` wrote and draws it. No human data is in it: the simulated studies test
# methods.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting.figures import save
from repro.user_study import answers, figures

# %% tags=["parameters"]
results = "results/published/user_study"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
found = answers.load(ROOT / results)

# %% [markdown]
# ## Are the rates different from one half?

# %%
display(Image(save(figures.rate_intervals(found["intervals"], found["kappa"]), found.figure("intervals"))))
print(answers.independent(found))

# %% [markdown]
# ## Do the percentages match whole counts?

# %%
print(answers.whole(found))

# %% [markdown]
# ## How much may raters and prompts differ before p < 0.01 fails?
# Votes of one person, and votes on one prompt, are alike. A t test over participants knows of the first; that other
# prompts could have been chosen, only a test over prompts as well knows.

# %%
display(Image(save(figures.p_contours(found["grid"]), found.figure("variance"))))
print(answers.variance(found))

# %% [markdown]
# ## What can κ = 0.78 with 93 raters mean?
# κ over the prompts is the share of the votes' variance that lies between prompts. A high κ and a rate near one half
# mean that about half of the prompts are lost by everyone: agreement makes the rate depend on which prompts were taken.

# %%
print(answers.kappa(found))

# %% [markdown]
# ## What would a study of given power need?

# %%
display(Image(save(figures.power_curves(found["power"]), found.figure("power"))))
print(answers.needed(found))

# %% [markdown]
# ## Which analysis can stand behind such a study?
# Studies simulated with planted effects: how often is the planted rate inside the 95% interval, and how often is there
# a difference where none was planted?

# %%
display(Image(save(figures.coverage(found["truth"]), found.figure("coverage"))))
print(answers.covers(found))

# %% [markdown]
# ## All tables

# %%
display(Markdown((found.folder / "tables" / "user_study.md").read_text()))
