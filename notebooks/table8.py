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
# # What does the tiny decoder save, and what does it cost?
# Table 8 of the paper counts parameters and seconds; here the pictures count too. This notebook reads what
# `python -m repro codecs` and `codecs-table` wrote and draws it; it measures nothing.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting import codecs, figures

# %% tags=["parameters"]
results = "results/published/mini"
profile = "mini"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
folder = ROOT / results
print(codecs.answer(codecs.load(folder / "codecs", profile)))

# %% [markdown]
# ## What do the decoded clips look like?

# %%
display(Image(figures.save(codecs.frames(folder / "codecs"), folder / "figures" / "table8_frames.png")))

# %% [markdown]
# ## What was measured, and on which device?

# %%
display(Markdown((folder / "tables" / "table8.md").read_text()))
