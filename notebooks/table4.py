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
# # How wide must the attention window be?
# Windows of 3 to 27 latent frames, with and without a sink, in videos long enough to fill them (Table 4 of the paper).
# This notebook reads what `python -m repro windows` and `windows-table` wrote and draws it; it measures nothing.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting import figures, windows
from repro.reporting import window_figures as draw

# %% tags=["parameters"]
results = "results/published/mini"
profile = "mini"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
folder = ROOT / results
found = windows.load(folder / "windows", profile)
drawn = folder / "figures"

# %% [markdown]
# ## Where does the plateau start?

# %%
display(Image(figures.save(draw.total(found), drawn / "table4_total.png")))
print(windows.where_it_starts(found))

# %% [markdown]
# ## Does a sink help?

# %%
print(windows.with_sink(found))

# %% [markdown]
# ## Do latency and memory grow linearly with the window?

# %%
display(Image(figures.save(draw.cost(found), drawn / "table4_cost.png")))
print("\n".join(windows.lines(found)))

# %% [markdown]
# ## What was measured, and on which device?

# %%
display(Markdown((folder / "tables" / "table4.md").read_text()))
