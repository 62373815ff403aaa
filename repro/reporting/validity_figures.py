"""Figures of the validity study. Colours are Okabe and Ito's; every verdict has a word or sign beside its colour."""

import numpy as np
from matplotlib.figure import Figure

from repro.evaluation.dimensions import CORRUPTIONS
from repro.reporting.figures import gap, side_by_side
from repro.reporting.render import signed
from repro.reporting.validity import Study, plain

VERDICTS = {
    "held": ("#009E73", "✓"),
    "violated": ("#D55E00", "✗"),
    "unresolved": ("#737373", "?"),
    "free": ("#0072B2", ""),
}
SIGNS = {"falls": "↓", "rises": "↑", "flat": "→", "same": "=", "free": ""}
ACROSS, UP = 0.8, 0.6
"""Share of a cell that its curve takes."""


def _grid(study: Study, width: float, height: float):
    """One axis whose unit cells are corruption × measure, the first measure on top."""
    measures = list(dict.fromkeys(study.cells["dimension"]))
    figure = Figure(figsize=(width, height), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=(0, len(CORRUPTIONS)), ylim=(len(measures), 0))
    axis.set_xticks(np.arange(len(CORRUPTIONS)) + 0.5, [plain(k) for k in CORRUPTIONS])
    axis.set_yticks(np.arange(len(measures)) + 0.5, [plain(m) for m in measures])
    axis.tick_params(length=0, labeltop=True, labelbottom=False)
    for x in range(len(CORRUPTIONS) + 1):
        axis.axvline(x, color="#CCCCCC", linewidth=0.8)
    for y in range(len(measures) + 1):
        axis.axhline(y, color="#CCCCCC", linewidth=0.8)
    axis.spines[:].set_visible(False)
    return figure, axis, measures


def curve_grid(study: Study) -> Figure:
    """Every measure over the severity of every corruption, with its 95% band; rows have a scale of their own.

    In the corner: what was expected, and whether it held.
    """
    figure, axis, measures = _grid(study, 12, 14)
    by_cell = study.cells.set_index(["dimension", "corruption"])
    for y, name in enumerate(measures):
        rows = study.curves[study.curves["dimension"] == name]
        bottom, top = rows["low"].min(), rows["high"].max()
        span = max(top - bottom, 1e-9)
        for x, kind in enumerate(CORRUPTIONS):
            cell, points = by_cell.loc[(name, kind)], rows[rows["corruption"] == kind]
            colour, mark = VERDICTS[cell["verdict"]]
            at = x + (1 - ACROSS) / 2 + ACROSS * points["severity"] / points["severity"].max()
            value, low, high = (y + 0.9 - UP * (points[k] - bottom) / span for k in ("value", "low", "high"))
            axis.fill_between(at, low, high, color=colour, alpha=0.25, linewidth=0)
            axis.plot(at, value, color=colour, marker=".", markersize=4, linewidth=1.2)
            axis.text(x + 0.97, y + 0.05, f"{SIGNS[cell['expectation']]}{mark}", ha="right", va="top", fontsize=10)
        axis.text(len(CORRUPTIONS) + 0.05, y + 0.3, f"{top:.2f}", va="center", fontsize=7)
        axis.text(len(CORRUPTIONS) + 0.05, y + 0.9, f"{bottom:.2f}", va="center", fontsize=7)
    figure.suptitle(
        "Measures over severity: expected ↓ falls, ↑ rises, → flat, = same; ✓ held, ✗ violated, ? unresolved"
    )
    return figure


def verdict_matrix(study: Study) -> Figure:
    """Trend, expectation and verdict of every cell."""
    figure, axis, measures = _grid(study, 11, 10)
    for cell in study.cells.itertuples():
        x, y = CORRUPTIONS.index(cell.corruption), measures.index(cell.dimension)
        colour, _ = VERDICTS[cell.verdict]
        axis.fill([x, x + 1, x + 1, x], [y, y, y + 1, y + 1], color=colour, alpha=0.25, linewidth=0)
        told = f"{cell.expectation}, {cell.verdict}" if cell.verdict != "free" else "free"
        axis.text(x + 0.5, y + 0.3, signed(cell.trend, 3), ha="center", va="center", fontsize=9)
        axis.text(x + 0.5, y + 0.72, told, ha="center", va="center", fontsize=8)
    figure.suptitle("Trend (fitted change from severity 0 to 1); what was expected; the verdict")
    return figure


def confusion_matrices(study: Study) -> Figure:
    """One panel a head: counts, shaded by their share of the row's truth."""
    heads = list(dict.fromkeys(study.confusion["head"]))
    columns = 4
    figure = Figure(figsize=(16, 4.2 * -(-len(heads) // columns)), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.12)
    axes = figure.subplots(-(-len(heads) // columns), columns, squeeze=False)
    for axis, head in zip(axes.flat, heads, strict=False):
        rows = study.confusion[study.confusion["head"] == head]
        names = list(dict.fromkeys(rows["truth"]))
        counts = rows["count"].to_numpy().reshape(len(names), len(names))
        share = counts / counts.sum(1, keepdims=True).clip(min=1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (i, k), count in np.ndenumerate(counts):
            if count:
                ink = "white" if share[i, k] > 0.5 else "black"
                axis.text(k, i, str(count), ha="center", va="center", fontsize=8, color=ink)
        axis.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set(title=head, xlabel="judged", ylabel="drawn")
    for axis in axes.flat[len(heads) :]:
        axis.set_visible(False)
    return figure


def corruption_strip(study: Study) -> Figure:
    """The same clip, one row a corruption at its worst, time from left to right."""
    frames, index = study.example["frames"], study.example["index"]
    count, shown, height, width, _ = frames.shape
    figure = Figure(figsize=(1.6 + 1.7 * shown, 0.5 + 1.7 * count * height / width), layout="constrained")
    axes = figure.subplots(count, 1, squeeze=False, sharex=True)[:, 0]
    for axis, row, name in zip(axes, frames, study.example["rows"], strict=True):
        axis.imshow(side_by_side(row), interpolation="nearest", aspect="auto")
        axis.set_yticks([height / 2], [plain(str(name))])
        axis.tick_params(labelsize=9, length=0)
        axis.spines[:].set_visible(False)
    step = width + gap(width)
    axes[-1].set_xticks([width / 2 + step * i for i in range(shown)], [f"frame {i}" for i in index])
    return figure
