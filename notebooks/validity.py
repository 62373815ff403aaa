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
# # Do the measures measure?
# Real clips, six graded corruptions, every measure: it must move where its definition says so and stay
# where it says nothing happened. Then the judge behind it, held against what the renderer drew. This
# notebook reads what `python -m repro validity` and `validity-table` wrote and draws it; it measures nothing.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting import figures, validity
from repro.reporting import validity_figures as draw

# %% tags=["parameters"]
results = "results/published/mini"
profile = "mini"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
folder = ROOT / results
study = validity.load(folder / "validity", profile)
drawn = folder / "figures"

# %% [markdown]
# ## What do the corruptions do to a clip?

# %%
display(Image(figures.save(draw.corruption_strip(study), drawn / "validity_corruptions.png")))
print(validity.shows(study))

# %% [markdown]
# ## Does every measure move where it should, and only there?

# %%
display(Image(figures.save(draw.curve_grid(study), drawn / "validity_curves.png")))
print(validity.responses(study))

# %% [markdown]
# ## Which expectations hold?

# %%
display(Image(figures.save(draw.verdict_matrix(study), drawn / "validity_verdicts.png")))
print(validity.verdicts(study))

# %% [markdown]
# ## What does the judge confuse?

# %%
display(Image(figures.save(draw.confusion_matrices(study), drawn / "validity_confusion.png")))
print(validity.confuses(study))

# %% [markdown]
# ## How far does the judge agree with the renderer's truth, and what was measured?

# %%
display(Markdown((folder / "tables" / "validity.md").read_text()))
print(validity.agrees(study))
