"""Figures of the headroom. Every verdict has a marker of its own beside its colour (Okabe and Ito's)."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from repro.reporting.figures import panels
from repro.reporting.headroom import ANCHOR, FLOOR, QUANTITIES, SCORES, Measured, frame

VERDICTS = {"met": ("#009E73", "o"), "missed": ("#D55E00", "X"), "open": ("#737373", "s")}
NEAREST = 1.0
"""Left edge of the distance axis, in units of the Fréchet distance."""


def _bars(values: pd.Series, low: pd.Series, high: pd.Series) -> np.ndarray:
    return np.stack([values - low, high - values]).clip(min=0)


def distance_bars(measured: Measured) -> Figure:
    """Fréchet distance above the floor, and text alignment, of every system with 95% intervals."""
    table = frame(measured)
    figure, axes = panels(1, 2, (11, 4.5), sharey=True)
    rows = np.arange(len(table))
    far = table[table["system"] != FLOOR]
    shown = far["above_floor"].clip(lower=NEAREST)
    low, high = (far[f"above_floor_{side}"].clip(lower=NEAREST) for side in ("low", "high"))
    axes[0, 0].errorbar(shown, far.index, xerr=_bars(shown, low, high), fmt="o", color="#0072B2", capsize=3)
    axes[0, 0].axvline(shown[far["system"] == ANCHOR].item(), color="#737373", linestyle=":", label=ANCHOR)
    axes[0, 0].set(xscale="log", xlabel="Fréchet distance above the real-against-real floor")
    axes[0, 0].legend(loc="lower right")
    text = 100 * table["text"]
    bars = _bars(text, 100 * table["text_low"], 100 * table["text_high"])
    axes[0, 1].errorbar(text, rows, xerr=bars, fmt="s", color="#D55E00", capsize=3)
    axes[0, 1].set(xlabel=SCORES["text"])
    axes[0, 0].set_yticks(rows, table["system"])
    axes[0, 0].invert_yaxis()
    return figure


def target_forest(targets: pd.DataFrame) -> Figure:
    """Every target's value over its bound, turned so that right of 1 is good; bars are 95% intervals."""
    figure, axes = panels(1, 1, (11, 0.4 * len(targets) + 1.6))
    axis = axes[0, 0]
    for verdict, (colour, marker) in VERDICTS.items():
        for place, row in enumerate(targets.to_dict("records")):
            if row["verdict"] != verdict:
                continue
            ends = np.maximum([row["low"], row["value"], row["high"]], 1e-3)
            low, value, high = ends / row["at_least"] if pd.isna(row["at_most"]) else (row["at_most"] / ends)[::-1]
            axis.plot([low, high], [place, place], color=colour)
            axis.plot(value, place, marker, color=colour, markersize=8)
        axis.plot([], [], marker, color=colour, label=verdict)
    axis.axvline(1, color="black", linewidth=1)
    labels = [
        f"{r['system']}: {QUANTITIES[r['quantity']].format(reference=r['reference'])}"
        for r in targets.to_dict("records")
    ]
    axis.set_yticks(range(len(targets)), labels, fontsize=8)
    axis.set(xscale="log", xlabel="value over target (target over value where it is an upper bound)", xlim=(0.2, 20))
    axis.invert_yaxis()
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
