"""Answers of the notebook on ablations: every number taken from the table."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from repro.errors import ReproError
from repro.reporting.ablations import MOTION, SPECS


@dataclass(frozen=True)
class Results:
    """What `python -m repro table NUMBER` wrote."""

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


def verdicts(pairs: pd.DataFrame) -> str:
    """Which claims of the paper are decided?"""
    tested = pairs[pairs["p_holm"].notna()]
    if tested.empty:
        return "No claim is tested: a row with one training seed decides nothing."
    found = tested[tested["verdict"] != "unresolved"]
    told = [f"{r.row.replace('_', ' ')} {r.metric} {r.difference:+.2f} ({r.verdict})" for r in found.itertuples()]
    widest = (tested["high"] - tested["low"]).median()
    return (
        f"{len(found)} of {len(tested)} tested claims are decided"
        + (f": {'; '.join(told)}. " if told else ". ")
        + f"Half of their intervals are wider than {widest:.2f} points."
    )


def tells_of_motion(results: Results) -> bool:
    return MOTION in SPECS[results.number].measures


def motion(results: Results) -> str:
    """Does the method move more than its variants?"""
    if not tells_of_motion(results):
        return "This table does not tell of motion."
    reference = SPECS[results.number].reference
    value = results.table.set_index(["row", "metric"])["value"]
    pairs = results.pairs[results.pairs["metric"] == MOTION]
    told = "; ".join(
        f"{r.row.replace('_', ' ')} {value[r.row, MOTION]:.0f}% (difference {r.difference:+.1f} "
        f"[{r.low:+.1f}, {r.high:+.1f}], {r.verdict})"
        for r in pairs.itertuples()
    )
    return f"{reference.replace('_', ' ')} moves {value[reference, MOTION]:.0f}% as much as real clips; {told}."
