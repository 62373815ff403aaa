"""Tables of VBench scores: every dimension with its interval, the totals only where all that they need is there."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from repro.errors import ReproError
from repro.evaluation.dimensions import DIMENSIONS
from repro.evaluation.statistics import cluster_bootstrap
from repro.evaluation.vbench.plan import PlanSettings
from repro.evaluation.vbench.score import Scored
from repro.evaluation.vbench.totals import GROUPS, QUALITY_WEIGHT, SEMANTIC_WEIGHT, aggregate, lacks, normalised
from repro.files import write_atomic, write_text
from repro.reporting import paper
from repro.reporting.render import DASH, Document, Section, html, latex, markdown

PROTOCOLS = {"short": "VBench", "long": "VBench-Long"}
AGGREGATES = (*GROUPS, "total")
TABLE1 = ("total", "quality", "semantic")
BOOTSTRAP = 2000
ROUNDING = 0.0101
"""What rounding Quality, Semantic and Total to two decimals can make of a total."""


def read_scores(folder: Path) -> dict[str, dict[str, Scored]]:
    """Scores by protocol and dimension, as `score` wrote them. Raises ReproError where there are none."""
    found: dict[str, dict[str, Scored]] = {}
    for protocol in PROTOCOLS:
        for name in DIMENSIONS:
            path = Path(folder) / protocol / f"{name}.json"
            if path.is_file():
                try:
                    found.setdefault(protocol, {})[name] = Scored(**json.loads(path.read_text()))
                except (ValueError, ValidationError) as error:
                    raise ReproError(f"{path} cannot be read ({error}): delete it and score again") from error
    if not found:
        raise ReproError(f"{folder} holds no scores: run `python -m repro vbench score --out {folder}`")
    return found


def interval(scored: Scored) -> tuple[float, float]:
    """95% bootstrap interval over prompts, the samples of each averaged."""
    values = pd.DataFrame([{"prompt": v.prompt, "value": v.score} for v in scored.videos])
    means = values.groupby("prompt", as_index=False)["value"].mean().assign(seed=0)
    return cluster_bootstrap(means, BOOTSTRAP, np.random.default_rng(0))[1:]


def frame_of(scores: Mapping[str, Mapping[str, Scored]]) -> pd.DataFrame:
    """One row a protocol and dimension or aggregate; an aggregate that lacks something has no value, and says what."""
    rows = []
    for protocol, found in scores.items():
        raw = {name: s.score for name, s in found.items()}
        unit = normalised(raw)
        for name in DIMENSIONS:
            if name not in found:
                rows.append({"protocol": protocol, "metric": name, "gap": "not scored"})
                continue
            low, high = interval(found[name])
            rows.append(
                {
                    "protocol": protocol,
                    "metric": name,
                    "value": raw[name],
                    "low": low,
                    "high": high,
                    "normalised": unit[name],
                    "videos": len(found[name].videos),
                    "prompts": len({v.prompt for v in found[name].videos}),
                }
            )
        for name in AGGREGATES:
            missing = lacks(name, raw)
            cell = {"gap": f"lacks {', '.join(missing)}"} if missing else {"value": aggregate(raw, name)}
            rows.append({"protocol": protocol, "metric": name, **cell})
    columns = ("protocol", "metric", "value", "low", "high", "normalised", "videos", "prompts", "gap")
    return pd.DataFrame(rows).reindex(columns=columns)


def plain(name: str) -> str:
    return name.replace("_", " ")


def percent(value: float) -> str:
    return DASH if pd.isna(value) else f"{100 * value:.2f}"


def _total(cell: pd.Series) -> str:
    if not pd.isna(cell["value"]):
        return percent(cell["value"])
    return f"lacks {cell['gap'].count(',') + 1} dimensions"


def document(frame: pd.DataFrame, notes: tuple[str, ...], title: str) -> Document:
    protocols = list(dict.fromkeys(frame["protocol"]))
    cells = frame.set_index(["protocol", "metric"])
    rows = []
    for name in DIMENSIONS:
        row = [plain(name)]
        for protocol in protocols:
            cell = cells.loc[(protocol, name)]
            measured = not pd.isna(cell["value"])
            value = f"{cell['value']:.4f} [{cell['low']:.4f}, {cell['high']:.4f}]" if measured else cell["gap"]
            row += [value, percent(cell["normalised"]), str(int(cell["videos"])) if measured else DASH]
        rows.append(tuple(row))
    per = ("score", "normalised, %", "videos")
    columns = (("", "Dimension"), *((PROTOCOLS[p], label) for p in protocols for label in per))
    totals = []
    for name in AGGREGATES:
        found = [cells.loc[(p, name)] for p in protocols]
        totals.append((name.title(), *(_total(c) for c in found)))
    return Document(
        (
            Section("vbench", title, columns, tuple(rows)),
            Section(
                "vbench_totals",
                "VBench's Quality, Semantic and Total, and the paper's Temporal, Frame and Text, %",
                (("", "Aggregate"), *(("", PROTOCOLS[p]) for p in protocols)),
                tuple(totals),
            ),
        ),
        notes,
    )


def notes_of(scores: Mapping[str, Mapping[str, Scored]], settings: PlanSettings | None) -> tuple[str, ...]:
    """What a reader must know to compare these numbers with others."""
    everything = [s for found in scores.values() for s in found.values()]

    def told(values) -> str:
        return ", ".join(sorted(values))

    notes = [
        f"VBench {told({s.vbench for s in everything})}, unchanged; scored on {told({s.device for s in everything})}.",
        "Score: mean [95% bootstrap interval over prompts]. Normalised as VBench's own script does, not clipped.",
    ]
    if settings is None:
        notes.append("Any videos, their names taken as prompts: no VBench score of a model.")
    else:
        whole = "all prompts and samples" if settings.complete else "A TRIAL: a part of the prompts or samples"
        seconds = settings.frames / settings.fps
        size = f"{settings.width}×{settings.height}"
        notes.append(f"Videos: {whole}; {settings.frames} frames at {settings.fps} FPS ({seconds:.2f} s), {size}.")
        mark = settings.extended_sha256[:12]
        given = f"extended prompts (sha256 {mark})" if mark else "VBench's own prompts"
        against = told({s.scoring_prompt for s in everything})
        notes.append(f"Generated from {given}; compared with the {against} ones.")
    if {"short", "long"} <= set(scores):
        notes.append(
            "VBench scores whole videos, VBench-Long clips of 2 s (10 s where the model that scores needs them); "
            "its subject and background consistency are those within clips, its default."
        )
    flicker = scores.get("short", {}).get("temporal_flickering")
    if flicker is not None:
        filtered = "" if flicker.static is not None else "not "
        notes.append(f"Temporal flickering: VBench's static filter was {filtered}applied.")
    for s in everything:
        if s.skipped:
            notes.append(f"{plain(s.dimension)}: VBench's definition leaves out {s.skipped} videos.")
    makers = {json.dumps(s.made_by, sort_keys=True) for s in everything if s.made_by}
    notes += [f"Made by {maker}." for maker in sorted(makers)]
    return tuple(notes)


def build(folder: Path, settings: PlanSettings | None, name: str, out: Path) -> list[Path]:
    """Write `<out>/<name>.{csv,md,html,tex}` of the scores in `folder`."""
    scores = read_scores(folder)
    frame = frame_of(scores)
    page = document(frame, notes_of(scores, settings), f"VBench scores: {plain(name)}")
    return _write(Path(out) / name, frame, page)


def _write(stem: Path, frame: pd.DataFrame, page: Document) -> list[Path]:
    table = write_atomic(stem.with_suffix(".csv"), lambda p: frame.to_csv(p, index=False, float_format="%.6f"))
    forms = {".md": markdown, ".html": html, ".tex": latex}
    return [table, *(write_text(stem.with_suffix(end), form(page)) for end, form in forms.items())]


def table1(rows: Mapping[str, str], folders: Mapping[str, Path], protocol: str, out: Path) -> list[Path]:
    """The quality columns of Table 1: the paper's beside ours.

    `rows` gives each system the paper's row it is held against; a row without scores, or with a part of them, says so.
    """
    cells = paper.table(1)
    held = {row: system for system, row in rows.items()}
    body, notes, data = [], [], []
    for row in dict.fromkeys(r for r, _ in cells):
        system = held.get(row)
        raw = {} if system is None else {n: s.score for n, s in read_scores(folders[system]).get(protocol, {}).items()}
        line = [plain(row), plain(system or "not measured: no published weights")]
        for metric in TABLE1:
            missing = lacks(metric, raw)
            value = float("nan") if missing else 100 * aggregate(raw, metric)
            line += [cells[row, metric].printed, f"lacks {len(missing)}" if system and missing else _number(value)]
            data.append({"row": row, "system": system, "metric": metric, "paper": float(cells[row, metric].value)})
            data[-1] |= {"ours": value, "lacks": " ".join(missing) if system else ""}
        body.append(tuple(line))
    columns = (
        ("", "Paper's row"),
        ("", "Ours"),
        *((m.title() + ", %", who) for m in TABLE1 for who in ("paper", "ours")),
    )
    notes += [
        f"Protocol: {PROTOCOLS[protocol]}. `lacks n`: n of the dimensions were not scored, and a part is no total.",
        "Paper: Table 1, section 4.2. What each number rests on is in the report of each system.",
    ]
    for row in dict.fromkeys(r for r, _ in cells):
        quality, semantic, total = (float(cells[row, m].value) for m in ("quality", "semantic", "total"))
        follows = (QUALITY_WEIGHT * quality + SEMANTIC_WEIGHT * semantic) / (QUALITY_WEIGHT + SEMANTIC_WEIGHT)
        if abs(follows - total) > ROUNDING:
            notes.append(
                f"The paper prints {total:.2f} as the total of {plain(row)}; by VBench's rule its Quality and Semantic "
                f"give {follows:.2f}."
            )
    page = Document((Section("table1", "Table 1. Quality by VBench", columns, tuple(body)),), tuple(notes))
    return _write(Path(out) / "table1", pd.DataFrame(data), page)


def _number(value: float) -> str:
    return DASH if pd.isna(value) else f"{value:.2f}"
