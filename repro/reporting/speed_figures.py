"""Figures of speed at paper scale."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from repro.reporting.figures import panels

OURS, PAPER, FASTER = "#0072B2", "#D55E00", "#009E73"


def waterfall(ladder: pd.DataFrame, device: str) -> Figure:
    """Seconds a video, rung by rung: what is left, and what the rung took away."""
    figure, axes = panels(1, 1, (10, 5))
    axis, rows = axes[0, 0], np.arange(len(ladder))
    left = ladder["total_s"].to_numpy(float)
    before = np.concatenate([left[:1], left[:-1]])
    axis.barh(rows, left, color=OURS, label="measured")
    axis.barh(rows, np.maximum(before - left, 0), left=left, color=FASTER, alpha=0.4, label="saved by this rung")
    axis.plot(ladder["predicted_s"], rows, "k|", markersize=14, label="predicted before")
    for row, (_, r) in zip(rows, ladder.iterrows(), strict=True):
        axis.text(
            max(before[row], r["total_s"]),
            row,
            f"  {r['total_s']:.2f} s · {r['throughput_fps']:.0f} frame/s",
            va="center",
        )
    axis.set_yticks(rows, [name.replace("_", " ") for name in ladder["rung"]])
    axis.invert_yaxis()
    axis.set(xlabel="Seconds for 81 frames of 832×480, tiny or full decoder included", xlim=(0, 1.25 * left.max()))
    axis.set_title(f"{device}, batch 1, random weights, n = {int(ladder['n'].min())} rounds a rung")
    axis.legend(loc="lower right")
    return figure


def windows(table: pd.DataFrame, device: str) -> Figure:
    """Table 4: in-flight latency and memory over the window, ours and the paper's."""
    figure, axes = panels(1, 2, (10, 4))
    for axis, metric, label in (
        (axes[0, 0], "in_flight_latency_s", "In-flight latency, s"),
        (axes[0, 1], "memory_gb", "Peak memory, GB"),
    ):
        axis.plot(table["window_frames"], table[metric], "o-", color=OURS, label="ours")
        axis.plot(table["window_frames"], table[f"{metric}_paper"], "X--", color=PAPER, label="paper")
        axis.set(xlabel="Window, latent frames", ylabel=label, ylim=(0, None), xticks=table["window_frames"])
        axis.legend()
    figure.suptitle(f"Table 4 on {device}, random weights")
    return figure
