"""Figures of the one-dimensional study."""

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from repro.onedim.train import trajectory
from repro.onedim.world import World
from repro.reporting.figures import panels

COLORS = {"data": "#737373", "teacher": "#000000", "self": "#0072B2", "diagonal": "#D55E00"}
LINES = {"initialised, true context": ":", "initialised, own context": "--", "distilled, own context": "-"}


def videos(world: World, count: int = 60) -> Figure:
    """Videos of the world, and the teacher's way from noise to videos."""
    figure, axes = panels(1, 2, (11, 4))
    g = torch.Generator().manual_seed(0)
    axes[0, 0].plot(np.arange(world.frames), world.sample(count, g).T, color=COLORS["self"], alpha=0.4)
    axes[0, 0].set(xlabel="chunk", ylabel="x", title="Videos of one number a chunk")
    levels, states = trajectory(world, torch.randn(count, world.frames, generator=g))
    axes[0, 1].plot(levels, [s[:, -1] for s in states], color=COLORS["diagonal"], alpha=0.4)
    axes[0, 1].set(xlabel="noise level σ", ylabel="x of the last chunk", title="The teacher's ODE, exact scores")
    axes[0, 1].invert_xaxis()
    return figure


def by_chunk(table: pd.DataFrame) -> Figure:
    """Size, distance to the data and motion, chunk by chunk, before and after distillation."""
    figure, axes = panels(1, 3, (15, 4.5))
    labels = {"size": "mean |x|", "distance": "distance to the data (Wasserstein-1)", "motion": "spread of the step"}
    for axis, (metric, label) in zip(axes[0], labels.items(), strict=True):
        for (system, stage), rows in table.groupby(["system", "stage"], sort=False):
            name = system if system == stage else f"{system}, {stage}"
            axis.plot(rows["chunk"], rows[metric], LINES.get(stage, "-"), color=COLORS[system], label=name)
        axis.set(xlabel="chunk", ylabel=label, ylim=(0, None))
    axes[0, 0].legend(fontsize=7)
    return figure


def gaps(table: pd.DataFrame) -> Figure:
    """How far the critic is from the teacher on the student's videos, by iteration."""
    figure, axes = panels(1, 1, (7, 4))
    for system, rows in table.groupby("system"):
        axes[0, 0].plot(rows["iteration"], rows["gap"].rolling(10, 1).mean(), color=COLORS[system], label=system)
    axes[0, 0].set(xlabel="iteration", ylabel="mean |x0 critic − x0 teacher|", ylim=(0, None))
    axes[0, 0].legend()
    return figure
