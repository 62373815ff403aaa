"""A published table's CSV → cells of paper | ours | verdict, each with the record that it is."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from repro.config import CONFIG_DIR, load_runs
from repro.reporting import paper, tables
from repro.reporting.notes import NAMES
from repro.reporting.render import signed, significant, with_range
from repro.reporting.site.provenance import Entry, Index
from repro.reporting.speed import METRICS, PRINTED_AS

KEYS = ("run_id", "row", "rung", "system", "engine")
"""Columns that name a row's run, the first that a table has."""
TEXT = {"schedule": str, "seeds": str, "row": str}
LABELS = (
    METRICS
    | NAMES
    | {
        "decoding_s": METRICS["decode_s"],
        "paper_nfe": "Paper NFE",
        "quality": "Quality, %",
        "semantic": "Semantic, %",
    }
)
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Value:
    """Our number as text, as the CSV has it, and its record; `entry` is None where no single record says it."""

    text: str
    value: float
    entry: Entry | None


@dataclass(frozen=True)
class Verdict:
    """A word, and the comparison behind it where there was one."""

    word: str
    detail: str = ""


@dataclass(frozen=True)
class Cell:
    paper: str | None
    ours: Value | None
    verdict: Verdict | None


@dataclass(frozen=True)
class Grid:
    """Rows × measures; `judged` measures have a verdict in some row, `printed` ones a number of the paper."""

    rows: tuple[str, ...]
    metrics: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]

    def printed(self, metric: str) -> bool:
        return any(self.cells[r, metric].paper for r in self.rows)

    def measured(self, metric: str) -> bool:
        return any(self.cells[r, metric].ours for r in self.rows)

    def judged(self, metric: str) -> bool:
        return any(self.cells[r, metric].verdict for r in self.rows)

    def columns(self, metric: str) -> int:
        return self.printed(metric) + self.measured(metric) + self.judged(metric)


def label(metric: str) -> str:
    return LABELS.get(metric, metric.replace("_", " "))


def grid(name: str, index: Index, config_dir: Path = CONFIG_DIR) -> Grid | None:
    """The table `name` of a scale: the paper's rows and measures, then what else was measured.

    None where the table's CSV has no column of `KEYS` or none of its numbers is a record.
    """
    folder = index.folder / "tables"
    values = measured(folder / f"{name}.csv", name, index, config_dir)
    if not values:
        return None
    printed = paper_cells(name, config_dir)
    verdicts = found_verdicts(folder, name, config_dir)
    ratios = found_ratios(folder / f"{name}.csv")
    asked = {metric for _, metric in values}
    # Of the paper's measures those that this scale has, so that a table of timing is not half empty.
    shown = {k: c for k, c in printed.items() if k[1] in asked}
    rows = tuple(dict.fromkeys([*(r for r, _ in shown), *(r for r, _ in values)]))
    metrics = tuple(dict.fromkeys([*(m for _, m in shown), *(m for _, m in values)]))
    cells = {}
    for key in ((r, m) for r in rows for m in metrics):
        said, ours = shown.get(key), values.get(key)
        verdict = verdicts.get(key) or ratios.get(key)
        if said and not ours:
            verdict = Verdict(NOT_MEASURED)
        cells[key] = Cell(said.printed if said else None, ours, verdict)
    return Grid(rows, metrics, cells)


def paper_only(name: str, config_dir: Path = CONFIG_DIR) -> Grid:
    """A table of which nothing is published yet."""
    printed = paper_cells(name, config_dir)
    rows, metrics = (tuple(dict.fromkeys(key[i] for key in printed)) for i in (0, 1))
    cells = {}
    for key in ((r, m) for r in rows for m in metrics):
        said = printed.get(key)
        cells[key] = Cell(said.printed if said else None, None, Verdict(NOT_MEASURED) if said else None)
    return Grid(rows, metrics, cells)


def paper_cells(name: str, config_dir: Path) -> dict[tuple[str, str], paper.Cell]:
    number = name.removeprefix("table")
    if not (name.startswith("table") and number.isdigit()):
        return {}
    ours = {theirs: mine for mine, theirs in PRINTED_AS.items()}
    return {(row, ours.get(metric, metric)): c for (row, metric), c in paper.table(int(number), config_dir).items()}


def measured(path: Path, name: str, index: Index, config_dir: Path = CONFIG_DIR) -> dict[tuple[str, str], Value]:
    """(row, metric) → our number; from one row a cell (`metric`, `value`) or one row a run (a column a metric)."""
    frame = read(path)
    key = next((k for k in KEYS if frame is not None and k in frame), None)
    if key is None:
        return {}
    run_of = {r.rows[name]: r.run_id for r in load_runs(config_dir).values() if name in r.rows}
    found: dict[tuple[str, str], Value] = {}
    for row in frame.to_dict("records"):
        if {"metric", "value"} <= set(row):
            parts = [(row["metric"], row["value"], row.get("low"), row.get("high"))]
        else:
            parts = [(m, v, row.get(f"{m}_low"), row.get(f"{m}_high")) for m, v in row.items()]
        for metric, value, low, high in parts:
            if not isinstance(value, int | float) or pd.isna(value):
                continue
            run = str(row[key])
            if not index.named(run, metric):
                run = run_of.get(run, run)
            if index.named(run, metric):
                found[str(row[key]), metric] = _value(metric, value, low, high, index.find(run, metric, value))
    return found


def _value(metric: str, value: float, low, high, entry: Entry | None) -> Value:
    """Percentages with one decimal as the tables have them, other numbers with three digits; intervals where known."""
    percent = label(metric).endswith("%") or "% of" in label(metric)
    # A table of speed keeps shares as fractions, like the record; the others have made percentages of them.
    scale = 100 if percent and entry and abs(entry.record.value - value) < abs(entry.record.value) * 1e-3 else 1
    form = (
        (lambda x: f"{x * scale:.1f}") if percent else (lambda x: f"{x:g}" if float(x).is_integer() else significant(x))
    )
    known = low is not None and not pd.isna(low) and high is not None and not pd.isna(high)
    return Value(with_range(value, low, high, form) if known else form(value), value, entry)


def read(path: Path) -> pd.DataFrame | None:
    return pd.read_csv(path, dtype=TEXT) if path.is_file() else None


def found_ratios(path: Path) -> dict[tuple[str, str], Verdict]:
    """Ours divided by the paper's, where a table compares values."""
    frame = read(path)
    if frame is None or "row" not in frame:
        return {}
    columns = [c for c in frame.columns if c.endswith("_ratio")]
    return {
        (row["row"], column.removesuffix("_ratio")): Verdict(f"{significant(row[column])} × paper")
        for row in frame.to_dict("records")
        for column in columns
        if not pd.isna(row[column])
    }


def found_verdicts(folder: Path, name: str, config_dir: Path = CONFIG_DIR) -> dict[tuple[str, str], Verdict]:
    """(row, metric) → the verdict of `<name>_pairs.csv` or `<name>_ratios.csv`.

    A comparison of two cache modes is told in the row of the mode that the paper claims to be better.
    """
    found = {}
    spec = tables.SPECS.get(int(name[5:])) if name[:5] == "table" and name[5:].isdigit() else None
    claimed = spec.pair[0] if spec and spec.pair else None
    of_schedule = {
        r.schedule: r.run_id for r in load_runs(config_dir).values() if name in r.rows and r.cache == claimed
    }
    for suffix in ("_pairs", "_ratios"):
        frame = read(folder / f"{name}{suffix}.csv")
        if frame is None or "verdict" not in frame or "metric" not in frame:
            continue
        for row in frame.to_dict("records"):
            key = row["row"] if "row" in row else of_schedule.get(row.get("schedule"))
            if key is not None:
                found[key, row["metric"]] = Verdict(row["verdict"], _detail(row))
    return found


def _detail(row: dict) -> str:
    kind, form = ("difference", signed) if "difference" in row else ("ratio", significant)
    text = f"{kind} {with_range(row[kind], row['low'], row['high'], form)}"
    return text if pd.isna(row.get("p_holm", float("nan"))) else f"{text}, p (Holm) {row['p_holm']:.3f}"
