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
# # Table 5: Diagonal Forcing against Self-Forcing
# Six schedules, two ways to fill the cache, the same number of denoising steps. This notebook reads
# what `python -m repro table 5` wrote and draws it; it measures nothing.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting import answers, figures

# %% tags=["parameters"]
results = "results/published/mini"
profile = "mini"
shown_runs = "diagonal_4322222,self_4322222,diagonal_4444444,self_4444444"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
found = answers.load(ROOT / results, profile)
drawn = found.folder / "figures"
shown = shown_runs.split(",")

# %% [markdown]
# ## What does the table say, and is the comparison fair?

# %%
display(Markdown(found.markdown))
print(answers.forwards(found))

# %% [markdown]
# ## How much sooner does a chunk arrive, and at what quality?

# %%
display(Image(figures.save(figures.quality_latency(found.table), drawn / "table5_quality_latency.png")))
print(answers.speed(found))

# %% [markdown]
# ## Is Diagonal better than Self, prompt by prompt?

# %%
display(Image(figures.save(figures.paired_forest(found.pairs), drawn / "table5_pairs.png")))
print(answers.verdicts(found))

# %% [markdown]
# ## What do the clips look like?

# %%
display(Image(figures.save(figures.film_strip(found.folder / "runs", shown), drawn / "table5_frames.png")))
print(answers.frames(found, shown))

# %% [markdown]
# ## What was measured, and on which device?

# %%
print(answers.measured(found))
