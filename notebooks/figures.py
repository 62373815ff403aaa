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
# # Noise level, flow-loss weight, and what a chunk is trained on
# Figures 5a, 5b and 10 of the paper, with numbers. This notebook reads what `python -m repro figure NAME` wrote and
# draws it; it measures nothing.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting import ablation_answers, figure_answers, figures, sweep_figures, sweeps

# %% tags=["parameters"]
results = "results/published/mini"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
folder = ROOT / results
drawn = folder / "figures"
level = figure_answers.load(folder, "5a", "best")
weight = figure_answers.load(folder, "5b", "best")
strategies = figure_answers.load(folder, "10", "chunks")

# %% [markdown]
# ## Figure 5a: is 100 the best noise level of the context?

# %%
curves = sweep_figures.against_setting(level.table, sweeps.SWEEPS["5a"].setting)
display(Image(figures.save(curves, drawn / "figure5a.png")))
print(figure_answers.best(level))
print(ablation_answers.verdicts(level.pairs))

# %%
display(Markdown(level.markdown))

# %% [markdown]
# ## Figure 5b: is 1 the best weight of the flow loss?

# %%
curves = sweep_figures.against_setting(weight.table, sweeps.SWEEPS["5b"].setting)
display(Image(figures.save(curves, drawn / "figure5b.png")))
print(figure_answers.best(weight))
print(ablation_answers.verdicts(weight.pairs))

# %%
display(Markdown(weight.markdown))

# %% [markdown]
# ## Figure 10: which strategy holds its quality from chunk to chunk?

# %%
display(Image(figures.save(sweep_figures.against_chunk(strategies.more), drawn / "figure10.png")))
print(figure_answers.decay(strategies))

# %% [markdown]
# ## How far is Diagonal Forcing ahead at the end, and by the slope?

# %%
forest = figures.paired_forest(strategies.pairs, "row", "Diagonal minus the other strategy")
display(Image(figures.save(forest, drawn / "figure10_pairs.png")))
print(ablation_answers.verdicts(strategies.pairs))

# %%
display(Markdown(strategies.markdown))
