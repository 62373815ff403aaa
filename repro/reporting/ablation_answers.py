"""Answers of the notebook on ablations: every number taken from the table."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from repro.errors import ReproError
from repro.reporting.ablations import MOTION, SPECS


@dataclass(frozen=True)
class Results:
    """What `python -m repro table 2` or `9` wrote."""

    folder: Path
    number: int
    table: pd.DataFrame
    pairs: pd.DataFrame
    markdown: str


def load(folder: Path, number: int) -> Results:
    stem = Path(folder) / "tables" / f"table{number}"
    paths = [stem.with_name(stem.name + suffix) for suffix in (".csv", "_pairs.csv", ".md")]
    for path in paths:
        if not path.is_file():
            raise ReproError(f"{path} is missing: make it with `snakemake --cores all table{number}`")
    return Results(Path(folder), number, pd.read_csv(paths[0]), pd.read_csv(paths[1]), paths[2].read_text())


def verdicts(results: Results) -> str:
    """Which differences from the method are more than chance?"""
    found = results.pairs[results.pairs["verdict"] != "unresolved"]
    told = [f"{r.row.replace('_', ' ')} {r.metric} {r.difference:+.2f} ({r.verdict})" for r in found.itertuples()]
    widest = (results.pairs["high"] - results.pairs["low"]).median()
    return (
        f"{len(found)} of {len(results.pairs)} differences are resolved"
        + (f": {'; '.join(told)}. " if told else ". ")
        + f"Half of the intervals are wider than {widest:.2f} points."
    )


def motion(results: Results) -> str:
    """Does the method move more than its variants?"""
    reference = SPECS[results.number].reference
    value = results.table.set_index(["row", "metric"])["value"]
    own = value[reference, MOTION]
    pairs = results.pairs[results.pairs["metric"] == MOTION].set_index("row")
    told = ", ".join(f"{r.replace('_', ' ')} {value[r, MOTION]:.0f}% ({pairs['verdict'][r]})" for r in pairs.index)
    return f"{reference.replace('_', ' ')} moves {own:.0f}% as much as real clips; {told}."
