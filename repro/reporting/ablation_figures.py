"""How much the clips of every variant move."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from repro.config import REAL
from repro.reporting.ablations import MOTION
from repro.reporting.figures import panels


def motion(table: pd.DataFrame) -> Figure:
    """Motion of every row with its interval beside that of real clips. `table` is a table's csv."""
    rows = table[table["metric"] == MOTION].reset_index()
    figure, axes = panels(1, 1, (9, 0.5 * len(rows) + 1.5))
    axis = axes[0, 0]
    bars = np.stack([rows["value"] - rows["low"], rows["high"] - rows["value"]]).clip(min=0)
    axis.errorbar(rows["value"], rows.index, xerr=bars, fmt="o", color="#0072B2", capsize=3)
    axis.axvline(100, color="black", linewidth=1)
    counts = [
        "" if r == REAL else f", {n} seed{'s' * (n > 1)}" for r, n in zip(rows["row"], rows["seeds"], strict=True)
    ]
    axis.set_yticks(rows.index, [f"{r.replace('_', ' ')}{n}" for r, n in zip(rows["row"], counts, strict=True)])
    axis.invert_yaxis()
    axis.set(xlabel="mean flow speed, percent of the real clips'")
    figure.suptitle(f"Motion: profile {table['profile'].iloc[0]}, {table['prompts'].iloc[0]} prompts")
    return figure
