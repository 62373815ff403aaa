"""The records and scores of a table's runs, checked to be comparable before any number is joined."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from repro.config import Profile, Run
from repro.errors import ReproError
from repro.reporting import records, stored
from repro.reporting.records import Record
from repro.schedule import Schedule

MADE_BY = {"quality.json": "evaluate", "scores.csv": "evaluate", "timing.json": "time"}
"""File of a run → the rule, and the verb of the same name, that makes it."""


@dataclass(frozen=True)
class Gathered:
    """`records` by (run_id, metric); `scores` by run_id, one row a clip; what all runs share."""

    runs: tuple[Run, ...]
    records: records.Keyed
    scores: dict[str, pd.DataFrame]
    profile: str
    prompts: int
    seeds: tuple[int, ...]
    quality_device: str
    timing_device: str
    timing_runs: int


def gather(runs: Sequence[Run], profile: Profile, runs_dir: Path, columns: Sequence[str]) -> Gathered:
    """Read `<runs_dir>/<run_id>/{quality.json,timing.json,scores.csv}` of every run.

    scores.csv must have the given `columns`.

    Raises ReproError for a missing or unreadable file, and for runs that cannot be compared: other
    profile, prompts, seeds, judge or device, or another schedule than runs.csv has now.
    """
    runs = tuple(runs)
    _refuse_missing(runs, Path(runs_dir))
    by_key = records.Keyed({}, runs_dir)
    scores: dict[str, pd.DataFrame] = {}
    quality: list[Record] = []
    timing: list[Record] = []
    for run in runs:
        folder = Path(runs_dir) / run.run_id
        for name, found in (("quality.json", quality), ("timing.json", timing)):
            rows = records.read(folder / name)
            _check_owner(folder / name, rows, run, profile)
            found += rows
            by_key |= {(run.run_id, r.metric): r for r in rows}
        scores[run.run_id] = read_scores(folder / "scores.csv", columns)
        _check_schedule(run, profile, by_key)
    one_value("judge", {(r.run_id, r.weights.get("judge", "none"), r.metric_version) for r in quality})
    device = one_value("timing device", {(r.run_id, r.device) for r in timing})[0]
    seeds = one_value(
        "training seeds",
        {(r.run_id, tuple(sorted(r.seeds))) for r in quality}
        | {(run, tuple(sorted(map(int, s["seed"].unique())))) for run, s in scores.items()},
    )[0]
    prompts = one_value("prompts", {(run, tuple(sorted(map(int, s["prompt"].unique())))) for run, s in scores.items()})[
        0
    ]
    return Gathered(
        runs=runs,
        records=by_key,
        scores=scores,
        profile=profile.name,
        prompts=len(prompts),
        seeds=seeds,
        quality_device=", ".join(sorted({r.device for r in quality})),
        timing_device=device,
        timing_runs=min(r.n for r in timing),
    )


def interval_of(by_key: records.Keyed, run_id: str, metric: str) -> Record:
    """A record that must have an interval or quartiles."""
    found = by_key[run_id, metric]
    if found.low is None or found.high is None:
        raise ReproError(f"run {run_id}: the record of {metric!r} has no interval: measure it again")
    return found


def _refuse_missing(runs: tuple[Run, ...], runs_dir: Path) -> None:
    missing = [
        (runs_dir / run.run_id / name, rule)
        for run in runs
        for name, rule in MADE_BY.items()
        if not (runs_dir / run.run_id / name).is_file()
    ]
    if missing:
        path, rule = missing[0]
        more = f" (and {len(missing) - 1} more files are missing)" if len(missing) > 1 else ""
        raise ReproError(f"{path} is missing{more}: the rule `{rule}` makes it, run `snakemake --cores all table5`")


def _check_owner(path: Path, rows: list[Record], run: Run, profile: Profile) -> None:
    for row in rows:
        if row.run_id != run.run_id or row.profile != profile.name:
            raise ReproError(
                f"{path} holds a record of run {row.run_id!r}, profile {row.profile!r}, not of run "
                f"{run.run_id!r}, profile {profile.name!r}: delete it and run the rule "
                f"`{MADE_BY[path.name]}` again"
            )


def _check_schedule(run: Run, profile: Profile, by_key: records.Keyed) -> None:
    geometry = profile.geometry.with_chunk_frames(run.chunk_frames)
    expected = Schedule.parse(run.schedule, geometry.chunks, cycle=run.cycle, steps=run.steps).paper_nfe
    counted = by_key[run.run_id, "paper_nfe"].value
    if counted != expected:
        raise ReproError(
            f"run {run.run_id}: schedule {run.schedule} has a paper NFE of {expected}, its quality.json says "
            f"{counted:g}: runs.csv changed since, evaluate again"
        )


def read_scores(path: Path, values: Sequence[str] = (), keys: Sequence[str] = ("seed", "prompt")) -> pd.DataFrame:
    """What `evaluate` wrote of a run, one row for each of `keys`. Raises ReproError where it is missing or damaged."""
    return stored.table(path, "the rule `evaluate`", (*keys, *values), keys)


def one_value(what: str, found: set[tuple]) -> tuple:
    """What every (run_id, value…) shares after its run_id. Raises ReproError naming two that differ."""
    ordered = sorted(found)
    for item in ordered:
        if item[1:] != ordered[0][1:]:
            raise ReproError(
                f"runs {ordered[0][0]} and {item[0]} differ in {what} ({ordered[0][1:]} and {item[1:]}): "
                "rows of one table are measured together, run them again"
            )
    return ordered[0][1:]
