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
# # Does the mini world measure anything?
# A world is worth measuring in where real clips, the teacher, few-step models and their distilled students
# are far enough apart. This notebook reads what `python -m repro headroom` and `headroom-table` wrote and
# draws it; it measures nothing.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting import figures, headroom
from repro.reporting import headroom_figures as draw

# %% tags=["parameters"]
results = "results/published/mini"
profile = "mini"
shown_systems = "real,teacher_50,ode_4322222,self_4322222,diagonal_4322222"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
folder = ROOT / results
measured = headroom.load(folder / "headroom", profile)
targets = headroom.judged(measured, headroom.load_targets())
drawn = folder / "figures"

# %% [markdown]
# ## How far from real are the systems?

# %%
display(Image(figures.save(draw.distance_bars(measured), drawn / "headroom_distances.png")))
print(headroom.distances(measured))

# %% [markdown]
# ## Is the world hard enough, and does distillation close the gap?

# %%
display(Image(figures.save(draw.target_forest(targets), drawn / "headroom_targets.png")))
print(headroom.verdicts(targets))

# %% [markdown]
# ## What do the clips look like?

# %%
display(
    Image(
        figures.save(figures.film_strip(folder / "headroom", shown_systems.split(",")), drawn / "headroom_frames.png")
    )
)
print(headroom.shows(measured, shown_systems.split(",")))

# %% [markdown]
# ## What was measured, and on which device?

# %%
display(Markdown((folder / "tables" / "headroom.md").read_text()))
