"""Curves of Figure 5, a measure against a setting, and of Figure 10, a measure against the chunk."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from repro.reporting.ablations import MOTION, REAL, named
from repro.reporting.figures import panels
from repro.reporting.notes import NAMES
from repro.reporting.sweeps import CACHED, TRAINED

CURVES = {TRAINED: ("#0072B2", "o", "-"), CACHED: ("#D55E00", "s", "--")}
STRATEGIES = {
    "diagonal": ("#0072B2", "o", "-"),
    "diagonal_anchored": ("#56B4E9", "D", "--"),
    "self": ("#D55E00", "s", "-."),
    "diffusion": ("#009E73", "^", ":"),
    "teacher": ("#CC79A7", "v", (0, (5, 1))),
    REAL: ("black", "", (0, (4, 3))),
}


def against_setting(table: pd.DataFrame, setting: str) -> Figure:
    """A panel a measure; settings evenly spaced, the paper's best marked; bars are 95% intervals.

    `table` is tables/figure5a.csv or figure5b.csv. Hollow markers were trained once.
    """
    best = table.loc[table["best_in_paper"], "setting"].iloc[0]
    settings, metrics = sorted(table["setting"].unique()), list(table["metric"].unique())
    figure, axes = panels(1, len(metrics), (3.4 * len(metrics), 3.8))
    for axis, metric in zip(axes.flat, metrics, strict=True):
        axis.axvline(settings.index(best), color="#999999", linewidth=4, alpha=0.4, label="best in the paper")
        for curve, rows in table[table["metric"] == metric].groupby("curve", sort=False):
            colour, marker, style = CURVES[curve]
            x = rows["setting"].map(settings.index)
            axis.plot(x, rows["value"], linestyle=style, color=colour, linewidth=1)
            for once, mine in rows.groupby(rows["seeds"] == 1):
                label = f"{curve}, {mine['seeds'].max()} training seed{'s' * (not once)}"
                fill = "white" if once else colour
                axis.errorbar(
                    x[mine.index], mine["value"], yerr=_bars(mine), fmt=marker, color=colour, mfc=fill, label=label
                )
        axis.set_xticks(range(len(settings)), [f"{s:g}" for s in settings], rotation=45)
        axis.set(xlabel=setting, ylabel=NAMES[metric])
    _finish(figure, axes, table)
    return figure


def against_chunk(chunks: pd.DataFrame) -> Figure:
    """A panel a measure, a line a strategy, bands of 95% intervals. `chunks` is tables/figure10_chunks.csv."""
    metrics = list(chunks["metric"].unique())
    figure, axes = panels(1, len(metrics), (3.4 * len(metrics), 3.8))
    for axis, metric in zip(axes.flat, metrics, strict=True):
        for row, mine in chunks[chunks["metric"] == metric].groupby("row", sort=False):
            colour, marker, style = STRATEGIES[row]
            n, x = int(mine["seeds"].iloc[0]), mine["chunk"] + 1
            label = "real clips" if row == REAL else f"{named(row)}, {n} training seed{'s' * (n > 1)}"
            axis.plot(x, mine["value"], marker=marker, linestyle=style, color=colour, ms=4, label=label)
            # Real motion is the unit, with no band of its own.
            if (row, metric) != (REAL, MOTION):
                axis.fill_between(x, mine["low"], mine["high"], color=colour, alpha=0.12)
        axis.set(xlabel="chunk", ylabel=NAMES[metric])
    _finish(figure, axes, chunks)
    return figure


def _bars(rows: pd.DataFrame) -> np.ndarray:
    return np.stack([rows["value"] - rows["low"], rows["high"] - rows["value"]]).clip(min=0)


def _finish(figure: Figure, axes: np.ndarray, table: pd.DataFrame) -> None:
    first = table.iloc[0]
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8)
    figure.suptitle(f"Profile {first['profile']}, {first['prompts']} prompts, {first['device']}", fontsize=11)
