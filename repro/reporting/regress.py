"""Fresh numbers against the published ones, metric by metric, with tolerances as data (`config/tolerances.csv`).

A mean over 24 clips and one over 384 differ by more than a defect makes. So the reference of a score is the published
mean over the very clips that are fresh: same prompt, noise and training seed, whatever the device. Its distance is the
mean absolute difference clip by clip, in which a defect that helps some clips and harms others does not cancel.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeFloat, model_validator
from rich.console import Console
from rich.table import Table

from repro.config import CONFIG_DIR, Section, load_rows
from repro.errors import ReproError
from repro.files import write_atomic
from repro.reporting import stored
from repro.reporting.gather import read_scores
from repro.reporting.render import DASH

KEY = ["seed", "prompt"]
BAD = ("breach", "missing")
REFERENCE = "reference_s"
"""Seconds of the work that never changes (`timing.Reference`)."""


class Tolerance(Section):
    """One row of `tolerances.csv`: how far a metric may be from its reference.

    `clips`: max(share × published half interval, floor), clip by clip over the same clips. `set`: max(share
    × value, floor) where as many clips were measured. `time`: share × value, in the worse direction, on the published
    device, the value being what it would be at the pace at which the reference work went. `exact`: not at all. `free`:
    not compared.
    """

    metric: str = Field(pattern=r"^[a-z0-9_]+$")
    rule: Literal["clips", "set", "time", "exact", "free"]
    share: NonNegativeFloat | None = None
    floor: NonNegativeFloat = 0.0
    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _share(self):
        if (self.share is None) != (self.rule in ("exact", "free")):
            raise ValueError(f"rule {self.rule} {'needs a share' if self.share is None else 'takes no share'}")
        return self


class Line(NamedTuple):
    run_id: str
    metric: str
    value: float
    reference: float
    distance: float
    tolerance: float
    verdict: str


class Results(NamedTuple):
    """`metrics.csv` by (run, metric), and every clip's scores by run."""

    metrics: pd.DataFrame
    scores: dict[str, pd.DataFrame]


def load_tolerances(config_dir: Path = CONFIG_DIR) -> dict[str, Tolerance]:
    return load_rows(Path(config_dir) / "tolerances.csv", Tolerance, "metric")


def read(folder: Path) -> Results:
    """Raises ReproError naming the file that is missing or unreadable."""
    folder = Path(folder)
    maker, keys = "snakemake --cores all table5", ["run_id", "metric"]
    text = dict.fromkeys(keys, str)
    metrics = stored.table(folder / "metrics.csv", maker, [*keys, "value"], keys, dtype=text).set_index(keys)
    runs = metrics.index.unique("run_id")
    scores = {run: read_scores(folder / "runs" / run / "scores.csv").set_index(KEY) for run in runs}
    return Results(metrics, scores)


def compare(fresh: Results, published: Results, runs: list[str], rules: dict[str, Tolerance]) -> list[Line]:
    """A line for every published metric of `runs`. Raises ReproError for a run or metric that nobody knows."""
    lines = []
    for run in runs:
        if run not in published.scores:
            raise ReproError(f"no run {run!r} was published: it has {', '.join(published.scores)}")
        for metric, known in published.metrics.loc[run].iterrows():
            if metric not in rules:
                raise ReproError(f"tolerances.csv says nothing of {metric}: add a row with its rule and a reason")
            lines.append(_line(fresh, published, run, metric, known, rules[metric]))
    return lines


def _line(fresh: Results, published: Results, run: str, metric: str, known: pd.Series, rule: Tolerance) -> Line:
    nan, reference = float("nan"), float(known["value"])

    def told(verdict: str, value: float = nan, reference: float = reference) -> Line:
        return Line(run, metric, value, reference, nan, nan, verdict)

    def judged(value: float, distance: float, tolerance: float, reference: float = reference) -> Line:
        # A distance that is not a number is a breach.
        verdict = "within" if distance <= tolerance else "breach"
        return Line(run, metric, value, reference, distance, tolerance, verdict)

    if (run, metric) not in fresh.metrics.index:
        return told("not measured" if rule.rule in ("time", "free") else "missing")
    found = fresh.metrics.loc[(run, metric)]
    value = float(found["value"])
    match rule.rule:
        case "free":
            return told("not compared", value)
        case "exact":
            return judged(value, abs(value - reference), 0.0)
        case "time":
            if found["device"] != known["device"]:
                return told("other device", value)
            clock = (run, REFERENCE)
            pace = fresh.metrics["value"].get(clock, nan) / published.metrics["value"].get(clock, nan)
            if np.isnan(pace):
                return told("no reference", value)
            reference = reference / pace if found["unit"] == "frame/s" else reference * pace
            worse = reference - value if found["unit"] == "frame/s" else value - reference
            return judged(value, max(0.0, worse), rule.share * reference, reference)
        case "set":
            if found["n"] != known["n"]:
                return told("other clips", value)
            return judged(value, abs(value - reference), max(rule.share * abs(reference), rule.floor))
    ours, theirs = fresh.scores[run][metric], published.scores[run][metric]
    shared = ours.index.intersection(theirs.index)
    if not len(shared):
        return told("missing", value)
    if len(shared) < len(ours):
        value = float(ours.loc[shared].mean())
    ours, theirs = ours.loc[shared], theirs.loc[shared]
    reference = float(theirs.mean())
    tolerance = max(rule.share * (known["high"] - known["low"]) / 2, rule.floor)
    # A score that only one of the two has makes no difference that is a number.
    same = ours.isna().equals(theirs.isna())
    distance = max(float((ours - theirs).abs().mean()), abs(value - reference)) if same else nan
    return judged(value, distance, tolerance, reference)


def excess(line: Line) -> float:
    """How many tolerances away; the worst run of a metric has most."""
    return line.distance / line.tolerance if line.tolerance > 0 else -1.0


def shown(lines: list[Line]) -> list[Line]:
    """Every breach, and of each metric without one the run that comes closest to it."""
    bad = [line for line in lines if line.verdict in BAD]
    worst: dict[str, Line] = {}
    for line in lines:
        if line.metric not in worst or excess(line) > excess(worst[line.metric]):
            worst[line.metric] = line
    return bad + [line for metric, line in worst.items() if metric not in {b.metric for b in bad}]


def check(fresh: Path, published: Path, runs: list[str], console: Console) -> None:
    """Write `<fresh>/regress.csv`, print its worst lines. Raises ReproError where a tolerance is breached."""
    found, known = read(fresh), read(published)
    lines = compare(found, known, runs or list(known.scores), load_tolerances())
    write_atomic(Path(fresh) / "regress.csv", lambda p: pd.DataFrame(lines).to_csv(p, index=False))
    table = Table(title=f"{fresh} against {published}: every breach, or the worst run")
    for name in ("metric", "run", "value", "reference", "distance", "tolerance", "verdict"):
        table.add_column(name, no_wrap=True, justify="right" if name in Line._fields[2:6] else "left")
    for line in shown(lines):
        numbers = (DASH if np.isnan(v) else f"{v:.4g}" for v in line[2:6])
        colour = "red" if line.verdict in BAD else "green" if line.verdict == "within" else "yellow"
        table.add_row(line.metric, line.run_id, *numbers, f"[{colour}]{line.verdict}[/]")
    console.print(table)
    compared = sum(line.verdict in ("within", *BAD) for line in lines)
    console.print(f"{compared} of {len(lines)} values compared; all of them: {Path(fresh) / 'regress.csv'}")
    bad = [line for line in lines if line.verdict in BAD]
    if bad:
        told = ", ".join(dict.fromkeys(f"{line.metric} of {line.run_id}" for line in bad[:5]))
        raise ReproError(
            f"{len(bad)} of {compared} values are out of tolerance (config/tolerances.csv): {told}"
            f"{' and others' if len(bad) > 5 else ''}. A defect, or a change to publish again with its reason"
        )
