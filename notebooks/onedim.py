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
# # The method, where it can be seen
# Videos of seven numbers, one a chunk, whose scores are known exactly: the teacher needs no network. A small causal
# student goes through the whole of Diagonal Distillation in a minute on a CPU, driven by the same rollout, schedules
# and cache policies as the large one: initialised on the teacher's trajectories, then distilled on its own rollouts.

# %%
from IPython.display import Image, display

from repro.config import ROOT
from repro.onedim import figures as draw
from repro.onedim import study
from repro.onedim.train import Settings
from repro.onedim.world import World
from repro.reporting import figures

# %% tags=["parameters"]
results = "results/published/mini"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
drawn, world = ROOT / results / "figures", World()

# %% [markdown]
# ## What are the videos, and how does the teacher make them?

# %%
display(Image(figures.save(draw.videos(world), drawn / "onedim_videos.png")))

# %% [markdown]
# ## Exposure bias: what changes when a student continues its own chunks?
# Dotted: every chunk continues true ones. Dashed: it continues the student's own, and the error of the first chunk
# stays in all that follow. Solid: after distillation on its own rollouts. The kept context is clean for Self, and the
# input of the last step, noised, for Diagonal: the next chunk goes on from a noise level, not from a finished chunk.

# %%
table, gaps = study.study(world, Settings())
display(Image(figures.save(draw.by_chunk(table), drawn / "onedim_chunks.png")))
print(study.answer(table))

# %% [markdown]
# ## Does distillation converge?

# %%
display(Image(figures.save(draw.gaps(gaps), drawn / "onedim_gaps.png")))
