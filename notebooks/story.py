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
# # Can the prompt change while the video goes on?
# Ten prompts, one after the other, in one video (Figure 9 of the paper). This notebook reads what
# `python -m repro story` and `story-table` wrote and draws it; it measures nothing.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting import figures
from repro.reporting import story as report

# %% tags=["parameters"]
results = "results/published/mini"
profile = "mini"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
folder = ROOT / results
story = report.load(folder / "story", profile)
drawn = folder / "figures"

# %% [markdown]
# ## What does the story look like?
# The whole of it, recached at every change, is the video `../story/story.mp4`.

# %%
display(Image(figures.save(report.strip(story), drawn / "story_strip.png")))

# %% [markdown]
# ## Does each part show what its prompt says, and does recaching help?

# %%
display(Image(figures.save(report.text_by_segment(story), drawn / "story_text.png")))
print(report.answer(story))

# %% [markdown]
# ## What was measured, and on which device?

# %%
display(Markdown((folder / "tables" / "story.md").read_text()))
