"""Answers of a notebook: one sentence each, every number taken from the results."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from repro.errors import ReproError
from repro.reporting.notes import reading


@dataclass(frozen=True)
class Results:
    """What `python -m repro table N` wrote: the numbers, and the table as Markdown."""

    folder: Path
    table: pd.DataFrame
    pairs: pd.DataFrame
    ratios: pd.DataFrame
    metrics: pd.DataFrame
    markdown: str


def load(folder: Path, profile: str, number: int = 5) -> Results:
    """Read a results folder. Raises ReproError naming a missing file, or results of another profile."""
    folder, stem = Path(folder), f"table{number}"
    table, pairs, ratios = (_read(folder / "tables" / f"{stem}{suffix}.csv") for suffix in ("", "_pairs", "_ratios"))
    found = sorted(table["profile"].unique())
    if found != [profile]:
        raise ReproError(f"{folder} holds profile {', '.join(found)}, not {profile!r}: choose another folder")
    markdown = folder / "tables" / f"{stem}.md"
    if not markdown.is_file():
        raise ReproError(f"{markdown} is missing: make it with `python -m repro table {number}`")
    return Results(folder, table, pairs, ratios, _read(folder / "metrics.csv"), markdown.read_text())


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ReproError(f"{path} is missing: make it with `python -m repro table`")
    return pd.read_csv(path, dtype={"schedule": str, "seeds": str})


def forwards(results: Results) -> str:
    """Is the comparison fair: same NFE as the paper counts it, how many forwards?"""
    wide = results.table.pivot(index="schedule", columns="mode", values=["paper_nfe", "forwards"])
    same = (wide["paper_nfe", "diagonal"] == wide["paper_nfe", "self"]).sum()
    saved = wide["forwards", "self"] - wide["forwards", "diagonal"]
    return (
        f"{same} of {len(wide)} schedules have the same paper NFE in both modes; Diagonal makes "
        f"{_span(saved, '{:.0f}')} fewer forwards, the cache passes. {_sentence(reading(_profile(results)))}"
    )


def speed(results: Results) -> str:
    """How much sooner does Diagonal deliver, and at what quality?"""
    latency = results.ratios[results.ratios["metric"] == "in_flight_latency_s"]
    total = results.pairs[results.pairs["metric"] == "total"]["difference"]
    return (
        f"On {results.table['timing_device'].iloc[0]}, Diagonal's in-flight latency is "
        f"{_span(latency['ratio'], '{:.2f}')} of Self's (paper: {_span(latency['paper_ratio'], '{:.2f}')}), "
        f"and its Total differs from Self's by {_span(total, '{:+.2f}')} percentage points."
    )


def verdicts(results: Results) -> str:
    """On which measures is Diagonal better, beyond chance?"""
    told = []
    for metric, rows in results.pairs.groupby("metric", sort=False):
        counts = rows["verdict"].value_counts()
        told.append(f"{metric} " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())))
    return f"Of the claim that Diagonal is better, over {len(results.pairs)} comparisons: {'; '.join(told)}."


def frames(results: Results, run_ids: list[str]) -> str:
    """What the film strip shows."""
    rows = results.table.set_index("run_id")
    unknown = [r for r in run_ids if r not in rows.index]
    if unknown:
        raise ReproError(f"no run {unknown[0]!r} in the results; they have {', '.join(rows.index)}")
    told = ", ".join(f"{r} ({rows.loc[r, 'total']:.1f}%)" for r in run_ids)
    return f"The same prompts and the same noise in every row; Total over all prompts: {told}."


def measured(results: Results) -> str:
    """Which device, seeds and versions are behind the numbers?"""
    metrics, first = results.metrics, results.table.iloc[0]
    devices = ", ".join(sorted(metrics["device"].unique()))
    codes = ", ".join(sorted(str(code)[:12] for code in metrics["code"].unique()))
    return (
        f"{len(metrics)} records of {metrics['run_id'].nunique()} runs: profile {first['profile']}, "
        f"{first['prompts']} prompts, training seeds {first['seeds']}, measured on {devices}; code {codes}."
    )


def _profile(results: Results) -> str:
    return results.table["profile"].iloc[0]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _span(values: pd.Series, form: str) -> str:
    low, high = form.format(values.min()), form.format(values.max())
    return low if low == high else f"{low} to {high}"
