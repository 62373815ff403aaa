"""Answers of notebooks/cost.py: one sentence each, every number taken from the results."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from repro.errors import ReproError
from repro.reporting.render import significant

REMEDY = "make it with `snakemake cost`"


@dataclass(frozen=True)
class Costs:
    """What `python -m repro cost` wrote: one row a log, one row a stage and device, the curves, the Markdown."""

    folder: Path
    training: pd.DataFrame
    estimates: pd.DataFrame
    losses: pd.DataFrame
    markdown: str


def load(folder: Path, profile: str) -> Costs:
    """Read a results folder. Raises ReproError naming a missing file, or results of another profile."""
    folder = Path(folder)
    paths = [folder / "tables" / name for name in ("cost.csv", "cost_estimates.csv", "cost_losses.csv", "cost.md")]
    for path in paths:
        if not path.is_file():
            raise ReproError(f"{path} is missing: {REMEDY}")
    frames = [pd.read_csv(path) for path in paths[:3]]
    found = ", ".join(sorted({p for f in frames for p in f["profile"].unique()}))
    if found != profile:
        raise ReproError(f"{folder} holds profile {found}, not {profile!r}: choose another folder")
    return Costs(folder, *frames, paths[3].read_text())


def curves(costs: Costs) -> str:
    """Where did each loss start and end?"""
    told = []
    for name, rows in costs.losses[costs.losses["metric"] == "loss"].groupby("log", sort=False):
        values = rows.sort_values("iteration")["value"]
        told.append(f"{name} {significant(values.iloc[0])} to {significant(values.iloc[-1])}")
    return f"Loss at the first and the last logged iteration: {'; '.join(told)}."


def logged(costs: Costs) -> str:
    """How long did training take, and where?"""
    told = [
        f"{device}: {significant(rows['wall_s'].sum() / 60)} min ({', '.join(rows['log'])})"
        for device, rows in costs.training.groupby("device", sort=False)
    ]
    return f"Wall time in the logs, by device. {'; '.join(told)}."


def estimated(costs: Costs) -> str:
    """How long would all stages take on each device?"""
    told = []
    for device, rows in costs.estimates.groupby("device", sort=False):
        hours, slowest = rows["stage_s"].sum() / 3600, rows.loc[rows["stage_s"].idxmax(), "stage"]
        told.append(f"{significant(hours)} h on {device}, most of it for {slowest} ({len(rows)} stages)")
    return f"One seed of every stage would take {'; '.join(told)}."
