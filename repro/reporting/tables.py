"""Records joined with the paper's numbers: `tables/tableN.{csv,md,html,tex}` and what they compare."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from repro.config import CONFIG_DIR, Profile, Run, load_profile, load_runs
from repro.errors import ReproError
from repro.files import write_text
from repro.reporting import comparisons, paper, render
from repro.reporting.gather import Gathered, gather, interval_of
from repro.reporting.notes import NAMES, notes, reading
from repro.reporting.records import Record
from repro.reporting.render import Document, Section, signed, significant, with_range


@dataclass(frozen=True)
class Spec:
    """What one table shows; its rows are the runs that runs.csv gives it."""

    number: int
    title: str
    quality: tuple[str, ...]
    """Scores (0 to 1), shown in percent; those that the paper does not print stand alone."""
    timing: tuple[str, ...]
    pair: tuple[str, str] | None
    """Cache modes compared schedule by schedule, the claimed better one first."""


SPECS = {
    5: Spec(
        number=5,
        title="Diagonal Forcing and Self-Forcing under the same number of denoising steps",
        quality=("temporal", "frame", "text", "total"),
        timing=("in_flight_latency_s", "throughput_fps"),
        pair=("diagonal", "self"),
    )
}


def build(number: int, profile: Profile | str, runs_dir: Path, out_dir: Path, config_dir: Path = CONFIG_DIR) -> None:
    """Write `metrics.csv` and `tables/table<N>{.csv,.md,.html,.tex,_pairs.csv,_ratios.csv}` in `out_dir`.

    Raises ReproError for a table of another verb and for records that are missing or do not
    belong together. Nothing is written before everything has been read and compared.
    """
    if number not in SPECS:
        raise ReproError(f"table {number} has a verb of its own: windows-table for 4, codecs-table for 8")
    spec = SPECS[number]
    profile = load_profile(profile, config_dir) if isinstance(profile, str) else profile
    name = f"table{number}"
    runs = [r for r in load_runs(config_dir).values() if name in r.rows]
    if not runs:
        raise ReproError(f"runs.csv gives table {number} no run: write {name} in a row's `tables`")
    gathered = gather(runs, profile, runs_dir, spec.quality)
    printed = paper.table(number, config_dir)
    quality, ratios = compare(spec, gathered, printed, profile)
    document = Document(
        sections=(main_section(spec, gathered, printed), *pair_sections(spec, quality, ratios)),
        notes=notes(gathered, printed, quality),
    )
    out = Path(out_dir)
    texts = {
        out / "metrics.csv": metrics_frame(gathered.records.values()).to_csv(index=False),
        out / "tables" / f"{name}.csv": _csv(main_frame(spec, gathered, printed), gathered),
        out / "tables" / f"{name}.md": render.markdown(document),
        out / "tables" / f"{name}.html": render.html(document),
        out / "tables" / f"{name}.tex": render.latex(document),
    }
    if spec.pair:
        texts[out / "tables" / f"{name}_pairs.csv"] = _csv(quality, gathered)
        texts[out / "tables" / f"{name}_ratios.csv"] = _csv(ratios, gathered)
    for path, text in texts.items():
        write_text(path, text)


def compare(spec: Spec, gathered: Gathered, printed: dict, profile: Profile) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Paired differences of quality and ratios of timing; both empty for a table that compares no pair."""
    if not spec.pair:
        return pd.DataFrame(), pd.DataFrame()
    pairs = find_pairs(list(gathered.runs), spec.pair)
    n, seed = profile.evaluation.bootstrap, profile.evaluation.seed
    return (
        comparisons.quality_pairs(gathered.scores, pairs, spec.quality, printed, n, seed),
        comparisons.timing_ratios(gathered.records, pairs, spec.timing, printed),
    )


def find_pairs(runs: list[Run], modes: tuple[str, str]) -> list[comparisons.Pair]:
    """(schedule, first run, second run), in the order of runs.csv."""
    by_mode = {(r.schedule, r.cache): r.run_id for r in runs}
    pairs = []
    for schedule in dict.fromkeys(r.schedule for r in runs):
        absent = [m for m in modes if (schedule, m) not in by_mode]
        if absent:
            raise ReproError(f"runs.csv: schedule {schedule} has no run with cache {absent[0]}: add it")
        pairs.append((schedule, by_mode[schedule, modes[0]], by_mode[schedule, modes[1]]))
    return pairs


def metrics_frame(found: Iterable[Record]) -> pd.DataFrame:
    """Every record, one row each; lists and mappings as text."""
    rows = []
    for r in found:
        row = r.model_dump()
        row["seeds"] = " ".join(map(str, r.seeds))
        rows.append(row | {k: json.dumps(row[k], sort_keys=True) for k in ("weights", "versions")})
    return pd.DataFrame(rows)


def main_frame(spec: Spec, gathered: Gathered, printed: dict) -> pd.DataFrame:
    """One row a run, numbers only: `<metric>`, its `_low` and `_high`, and the paper's `<metric>_paper`."""
    rows = []
    for run in gathered.runs:
        row = {"run_id": run.run_id, "schedule": run.schedule, "mode": run.cache}
        for metric in (*spec.quality, *spec.timing):
            found = interval_of(gathered.records, run.run_id, metric)
            scale = comparisons.PERCENT if metric in spec.quality else 1.0
            if (run.run_id, metric) in printed:
                cell = printed[run.run_id, metric]
                row[f"{metric}_paper"] = float(cell.value)
                if cell.tolerance is not None:
                    row[f"{metric}_paper_tolerance"] = float(cell.tolerance)
            row |= {
                metric: found.value * scale,
                f"{metric}_low": found.low * scale,
                f"{metric}_high": found.high * scale,
                f"{metric}_n": found.n,
            }
        for metric in ("paper_nfe", "forwards"):
            row[metric] = int(gathered.records[run.run_id, metric].value)
        rows.append(row)
    return pd.DataFrame(rows)


def _csv(frame: pd.DataFrame, gathered: Gathered) -> str:
    """CSV text whose every row says at which scale, on what and how it may be read."""
    stamped = frame.assign(
        profile=gathered.profile,
        prompts=gathered.prompts,
        seeds=" ".join(map(str, gathered.seeds)),
        timing_device=gathered.timing_device,
        reading=reading(gathered.profile),
    )
    return stamped.to_csv(index=False, float_format="%.6g")


def _percent(value: float) -> str:
    return f"{value:.1f}"


def main_section(spec: Spec, gathered: Gathered, printed: dict) -> Section:
    """The table as people read it: the paper's number, then ours with its interval."""
    metrics = (*spec.quality, *spec.timing)
    in_paper = [m for m in metrics if any(key[1] == m for key in printed)]
    columns = [("", "Schedule"), ("", "Mode"), ("", "Paper NFE"), ("", "Forwards")]
    for metric in metrics:
        columns += [(NAMES[metric], "paper")] if metric in in_paper else []
        columns.append((NAMES[metric], "ours"))
    rows = []
    for run in gathered.runs:
        counts = (gathered.records[run.run_id, m].value for m in ("paper_nfe", "forwards"))
        row = [run.schedule, run.cache, *(f"{c:.0f}" for c in counts)]
        for metric in metrics:
            found = interval_of(gathered.records, run.run_id, metric)
            scale, form = (comparisons.PERCENT, _percent) if metric in spec.quality else (1.0, significant)
            if metric in in_paper:
                cell = printed.get((run.run_id, metric))
                row.append(cell.printed if cell else render.DASH)
            row.append(with_range(*(v * scale for v in (found.value, found.low, found.high)), form))
        rows.append(tuple(row))
    caption = (
        f"Table {spec.number}. {spec.title}: profile {gathered.profile}, {gathered.prompts} prompts, "
        f"timed on {gathered.timing_device}"
    )
    return Section(f"table{spec.number}", caption, tuple(columns), tuple(rows))


def pair_sections(spec: Spec, quality: pd.DataFrame, ratios: pd.DataFrame) -> tuple[Section, ...]:
    """Ratios of timing and paired differences of quality, first mode against second."""
    if not spec.pair:
        return ()
    first, second = (mode.capitalize() for mode in spec.pair)
    ratio_rows = tuple(
        (
            r.schedule,
            NAMES[r.metric],
            significant(r.paper_ratio),
            with_range(r.ratio, r.low, r.high, significant),
            r.verdict,
        )
        for r in ratios.itertuples()
    )
    pair_rows = tuple(
        (
            r.schedule,
            NAMES[r.metric],
            signed(r.paper_difference, 1),
            with_range(r.difference, r.low, r.high, signed),
            render.p_value(r.p_holm),
            r.verdict,
        )
        for r in quality.itertuples()
    )
    key = (("", "Schedule"), ("", "Measure"))
    return (
        Section(
            f"table{spec.number}-ratios",
            f"Table {spec.number}, timing: {first} divided by {second}",
            (*key, ("", "Paper ratio"), ("", "Our ratio"), ("", f"Claim: {first} better")),
            ratio_rows,
        ),
        Section(
            f"table{spec.number}-pairs",
            f"Table {spec.number}, quality: {first} minus {second}, percentage points",
            (*key, ("", "Paper"), ("", "Ours"), ("", "p (Holm)"), ("", f"Claim: {first} better")),
            pair_rows,
        ),
    )
