"""Answers of the notebook on Figures 5 and 10: every number taken from the tables."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from repro.errors import ReproError
from repro.reporting.ablations import MOTION, REAL, named
from repro.reporting.render import signed, with_range


@dataclass(frozen=True)
class Results:
    """What `python -m repro figure NAME` wrote; `more` is the table's `_best.csv` or `_chunks.csv`."""

    folder: Path
    table: pd.DataFrame
    pairs: pd.DataFrame
    more: pd.DataFrame
    markdown: str


def load(folder: Path, name: str, more: str) -> Results:
    """Of `figure<name>`; `more` is best or chunks. Raises ReproError naming a missing file."""
    stem = Path(folder) / "tables" / f"figure{name}"
    paths = [stem.with_name(f"{stem.name}{end}") for end in (".csv", "_pairs.csv", f"_{more}.csv", ".md")]
    for path in paths:
        if not path.is_file():
            raise ReproError(f"{path} is missing: make it with `snakemake --cores all figures`")
    return Results(Path(folder), *map(pd.read_csv, paths[:3]), paths[3].read_text())


def best(found: Results) -> str:
    """Which setting is best, and is it the paper's?"""
    told = []
    for curve, rows in found.more.groupby("curve", sort=False):
        parts = [
            f"{r.metric} {r.best:g}"
            + ("" if r.best == r.paper_best else f" ({with_range(r.lead, r.low, r.high, signed)} points)")
            for r in rows.itertuples()
        ]
        told.append(f"{curve}, of {rows['settings'].iloc[0]} settings: {', '.join(parts)}")
    if not told:
        return "One setting is measured: nothing to choose from."
    return f"Best, and its lead over the paper's {found.more['paper_best'].iloc[0]:g}; {'; '.join(told)}."


def decay(found: Results) -> str:
    """What changes from chunk to chunk?"""
    values = found.table.set_index(["row", "metric"])
    told = []
    for row in dict.fromkeys(found.table["row"]):
        total, moves = values.loc[(row, "total_slope")], values.loc[(row, f"{MOTION}_last")]
        text = f"{named(row)} {with_range(total['value'], total['low'], total['high'], signed)} points of Total a chunk"
        told.append(text if row == REAL else f"{text}, {moves['value']:.0f}% of real motion in the last")
    return f"{'; '.join(told)}."
