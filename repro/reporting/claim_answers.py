"""Sentences and the figure of the notebook on claims, every number taken from the tables."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from repro.errors import ReproError
from repro.reporting.claims import NAME
from repro.reporting.verdicts import CONTRADICTED, NOT_MEASURED, ONE_SEED, REPRODUCED, UNRESOLVED, VERDICTS

COLOURS = {REPRODUCED: "tab:green", CONTRADICTED: "tab:red", UNRESOLVED: "tab:gray", ONE_SEED: "tab:blue"}


@dataclass(frozen=True)
class Results:
    """What `python -m repro claims` wrote: a row a claim, a row a comparison, and the tables as Markdown."""

    claims: pd.DataFrame
    parts: pd.DataFrame
    markdown: str


def load(folder: Path) -> Results:
    paths = [Path(folder) / "tables" / f"{NAME}{end}" for end in (".csv", "_parts.csv", ".md")]
    for path in paths:
        if not path.is_file():
            raise ReproError(f"{path} is missing: make it with `snakemake --cores 2 claims`")
    return Results(pd.read_csv(paths[0]), pd.read_csv(paths[1]), paths[2].read_text())


def counted(found: Results) -> str:
    """How many claims came out how?"""
    told = found.claims["verdict"].value_counts()
    return f"{len(found.claims)} claims: {', '.join(f'{told.get(v, 0)} {v}' for v in VERDICTS)}."


def resolved(found: Results) -> str:
    """How fine can the scores tell?"""
    tested = found.parts[found.parts["p_holm"].notna() & (found.parts["unit"] == "points")]
    decided = (tested["verdict"] != UNRESOLVED).sum()
    if tested.empty:
        return "No difference of scores was tested."
    return (
        f"{decided} of {len(tested)} tested differences of scores are decided; half of their intervals are wider than "
        f"{(tested['high'] - tested['low']).median():.2f} points."
    )


def missing(found: Results) -> str:
    """What would have to be measured?"""
    rows = found.claims[found.claims["verdict"] == NOT_MEASURED]
    return "\n".join(f"{r.claim.replace('_', ' ')}: {r.missing}" for r in rows.itertuples()) or "Nothing is missing."


def forest(claims: pd.DataFrame) -> Figure:
    """Every claim of a difference in points: the comparison that decides it, its 95% interval, its verdict."""
    rows = claims[claims["unit"].eq("points") & claims["value"].notna()].iloc[::-1]
    figure = Figure(figsize=(11, 0.8 + 0.26 * len(rows)), layout="constrained")
    axis = figure.subplots()
    for name, colour in COLOURS.items():
        mine = rows["verdict"].eq(name).to_numpy()
        if mine.any():
            reach = [(rows["value"] - rows["low"])[mine], (rows["high"] - rows["value"])[mine]]
            axis.errorbar(rows["value"][mine], mine.nonzero()[0], xerr=reach, fmt="o", ms=3, color=colour, label=name)
    axis.axvline(0, color="black", lw=0.8)
    axis.set_yticks(range(len(rows)), rows["claim"].str.replace("_", " ") + ": " + rows["deciding"], fontsize=7)
    axis.set_xlabel("first − second, percentage points (linear to 1, then logarithmic)")
    axis.set_xscale("symlog", linthresh=1)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.margins(y=0.01)
    axis.legend(loc="upper left", fontsize=8)
    return figure
