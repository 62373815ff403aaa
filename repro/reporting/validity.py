"""The validity study as tables and sentences, all from what `python -m repro validity` wrote."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from repro.evaluation.dimensions import CORRUPTIONS
from repro.files import write_text
from repro.reporting import records, render, stored
from repro.reporting.render import Document, Section, signed, with_range

NAME = "validity"


def plain(name: str) -> str:
    """A name of the code as readers see it."""
    return name.replace("_", " ")


@dataclass(frozen=True)
class Study:
    """`cells`: one row a (measure, corruption); `curves`: one more index, the severity; then the judge."""

    cells: pd.DataFrame
    curves: pd.DataFrame
    agreement: pd.DataFrame
    confusion: pd.DataFrame
    example: dict[str, np.ndarray]
    records: tuple[records.Record, ...]

    @property
    def clips(self) -> int:
        return int(self.cells["n"].max())

    @property
    def margin(self) -> float:
        return float(self.cells["margin"].iloc[0])

    @property
    def device(self) -> str:
        return self.records[0].device


COLUMNS = {
    "cells": (("dimension", "corruption"), ("expectation", "clean", "worst", "trend", "low", "high", "n", "margin")),
    "curves": (("dimension", "corruption", "severity"), ("value", "low", "high", "change", "n")),
    "agreement": (("head",), ("n", "accuracy", "accuracy_low", "accuracy_high", "kappa", "kappa_low", "kappa_high")),
    "confusion": (("head", "truth", "judged"), ("count",)),
}
"""What the study's files must have: keys, and values."""
TEXT = ("dimension", "corruption", "expectation", "head", "truth", "judged")


def load(folder: Path, profile: str) -> Study:
    """Read a folder of the verb `validity`. Raises ReproError naming a missing file, or another profile."""
    folder, maker = Path(folder), f"snakemake --cores all {NAME}"
    rows = records.read_of(profile, folder / "validity.json", NAME)
    tables = [
        stored.table(folder / f"{name}.csv", maker, (*keys, *values), keys, dtype=dict.fromkeys(TEXT, str))
        for name, (keys, values) in COLUMNS.items()
    ]
    names = ("frames", "rows", "index", "captions")
    example = dict(zip(names, stored.arrays(folder / "frames.npz", maker, names), strict=True))
    return Study(*tables, example, tuple(rows))


def build(folder: Path, profile: str, out: Path) -> None:
    """Write `<out>/tables/validity{.csv,.md,.html,.tex}` and `validity_agreement.csv`."""
    study, tables = load(folder, profile), Path(out) / "tables"
    document = Document((matrix_section(study), *open_sections(study), agreement_section(study)), notes(study, profile))
    stamp = {"profile": profile, "clips": study.clips, "device": study.device}
    for name, text in {
        f"{NAME}.csv": study.cells.assign(**stamp).to_csv(index=False, float_format="%.6g"),
        f"{NAME}_agreement.csv": study.agreement.assign(**stamp).to_csv(index=False, float_format="%.6g"),
        f"{NAME}.md": render.markdown(document),
        f"{NAME}.html": render.html(document),
        f"{NAME}.tex": render.latex(document),
    }.items():
        write_text(tables / name, text)


def matrix_section(study: Study) -> Section:
    """Measures × corruptions: expectation, trend, verdict."""
    rows = []
    for name, group in study.cells.groupby("dimension", sort=False):
        by_kind = group.set_index("corruption")
        told = (by_kind.loc[kind] for kind in CORRUPTIONS)
        rows.append((plain(name), *(_cell(c) for c in told)))
    columns = (("", "Measure"), *(("", plain(k).capitalize()) for k in CORRUPTIONS))
    caption = "Validity of the measures: what should happen, the trend over severity, and the verdict"
    return Section(NAME, caption, columns, tuple(rows))


def _cell(cell: pd.Series) -> str:
    return f"{cell['expectation']}: {signed(cell['trend'], 3)}, {cell['verdict']}".removesuffix(", free")


def open_sections(study: Study) -> tuple[Section, ...]:
    """Every cell that did not do what it should, or left it open; none where all held."""
    rows = study.cells[study.cells["verdict"].isin(["violated", "unresolved"])]
    if rows.empty:
        return ()
    # Violations first, each group in the order of the measures.
    rows = rows.sort_values("verdict", ascending=False, kind="stable")
    form = partial(signed, digits=3)
    told = tuple(
        (
            plain(r["dimension"]),
            plain(r["corruption"]),
            f"{r['expectation']}: {r['reason']}",
            with_range(r["trend"], r["low"], r["high"], form),
            *(f"{r[name]:.3f}" for name in ("expected", "contrary")),
            r["verdict"] if pd.isna(r["finding"]) else f"{r['verdict']}: {r['finding']}",
        )
        for r in rows.to_dict("records")
    )
    labels = ("Measure", "Corruption", "Expected", "Trend", "p as expected (Holm)", "p contrary (Holm)", "Verdict")
    return (Section(f"{NAME}-open", "Validity: what was not held", tuple(("", x) for x in labels), told),)


def agreement_section(study: Study) -> Section:
    rows = tuple(
        (
            r["head"],
            str(r["classes"]),
            str(r["n"]),
            *(
                with_range(r[m], r[f"{m}_low"], r[f"{m}_high"], form)
                for m, form in (("accuracy", "{:.1%}".format), ("kappa", "{:.3f}".format))
            ),
        )
        for r in study.agreement.to_dict("records")
    )
    labels = ("Head", "Classes", "Answers", "Accuracy", "Cohen's kappa")
    return Section(
        f"{NAME}-agreement",
        "The judge against the renderer's truth on held-out clips",
        tuple(("", x) for x in labels),
        rows,
    )


def notes(study: Study, profile: str) -> tuple[str, ...]:
    severities = ", ".join(f"{s:g}" for s in sorted(study.curves["severity"].unique()))
    return (
        f"Profile {profile}: {study.clips} held-out real clips at severities {severities}, measured on "
        f"{study.device}; the expectations of config/validity.csv come from the definitions of the measures.",
        "Trend: least-squares slope, the fitted change from severity 0 to 1 [95% bootstrap interval over clips, "
        "paired]; scores lie in [0, 1], the kernel distance has no upper bound.",
        f"held: does as expected; violated: goes back by more than the margin of {study.margin:g} from a milder "
        "severity, moves by more where it should be flat, or does not answer; else unresolved. flat holds only where "
        "clips that change, but are too rare to be among those scored, could not move the mean by the margin "
        "either; same: equal in every clip. p values are Holm-adjusted "
        "over all cells that expect something.",
        "Accuracy and kappa: point [95% bootstrap interval over clips]. A bootstrap knows only the clips at hand: "
        "where none of them errs or changes, its interval is a point, and says less than it seems to.",
    )


def verdicts(study: Study) -> str:
    """How many cells hold, and which are violated?"""
    counts = study.cells["verdict"].value_counts()
    asked = len(study.cells) - counts.get("free", 0)
    told = ", ".join(f"{counts.get(v, 0)} {v}" for v in ("held", "violated", "unresolved"))
    against = study.cells[study.cells["verdict"] == "violated"]
    listed = "; ".join(f"{plain(r.dimension)} under {plain(r.corruption)} {r.finding}" for r in against.itertuples())
    return f"Of {asked} expectations: {told}. " + (f"Violated: {listed}." if listed else "None is violated.")


def responses(study: Study) -> str:
    """Does every measure answer at least one corruption?"""
    moving = study.cells[study.cells["expectation"].isin(["falls", "rises"])]
    held = moving[moving["verdict"] == "held"].groupby("dimension").size()
    silent = [plain(d) for d in study.cells["dimension"].unique() if d not in held.index]
    flat = study.cells[study.cells["expectation"] == "flat"]["verdict"].value_counts()
    return (
        f"{len(held)} of {study.cells['dimension'].nunique()} measures answer at least one corruption as they should"
        + (f", not {', '.join(silent)}" if silent else "")
        + f"; where they should stay flat, {flat.get('held', 0)} cells do within the margin, {flat.get('violated', 0)} "
        f"do not, and {flat.get('unresolved', 0)} need more clips to tell."
    )


def agrees(study: Study) -> str:
    """How well does the judge read what the renderer drew?"""
    worst = study.agreement.loc[study.agreement["kappa"].idxmin()]
    return (
        f"Cohen's kappa of the weakest of {len(study.agreement)} heads, {worst['head']}, is "
        f"{worst['kappa']:.3f} [{worst['kappa_low']:.3f}, {worst['kappa_high']:.3f}]."
    )


def confuses(study: Study) -> str:
    """What does the judge mistake most often?"""
    wrong = study.confusion[study.confusion["truth"] != study.confusion["judged"]]
    if not wrong["count"].sum():
        return "The judge made no mistake on these clips."
    most = wrong.loc[wrong["count"].idxmax()]
    return (
        f"{wrong['count'].sum()} of {study.confusion['count'].sum()} answers are wrong; the most frequent mistake is "
        f"{most['head']} {most['judged']!r} for {most['truth']!r}, {most['count']} times."
    )


def shows(study: Study) -> str:
    """What the strip shows, and what the wrong caption says."""
    true, wrong = (str(study.example["captions"][i]) for i in (0, -1))
    return f"One clip of {true!r}, clean and at the worst of every corruption; wrongly told: {wrong!r}."
