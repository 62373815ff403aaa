"""Tables 1, 2, 3, 6, 7 and 9: the method against other systems, other schedules, and variants of itself."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from repro.config import CONFIG_DIR, REAL, Profile, Run, load_runs, load_students, runs_of
from repro.errors import ReproError
from repro.evaluation.speed_rows import load_speed, rows_of
from repro.evaluation.statistics import holm, verdict
from repro.reporting import claims, comparisons, paper, records, render
from repro.reporting.gather import one_value, read_scores
from repro.reporting.notes import NAMES, reading, trained_at
from repro.reporting.render import Document, Section, signed, significant, with_range
from repro.reporting.verdicts import ONE_SEED

MOTION = "motion_amplitude"
SCORES = ("temporal", "frame", "text", "total")
ASPECTS = (*SCORES, MOTION)

SPEEDS = ("throughput_fps", "first_frame_latency_s")

NO_CLAIM = "no claim"
"""In the place of a verdict on what the paper does not claim."""


@dataclass(frozen=True)
class Spec:
    """What one table or figure says: its rows are those that the paper prints, then others that runs.csv gives it."""

    name: str
    """As in runs.csv."""
    title: str
    reference: str
    """The row that the paper claims to be better than every other."""
    measures: tuple[str, ...] = ASPECTS
    base: str = ""
    """The row whose speed is 1, in a table that tells of speed."""
    needs: str = "scores.csv"
    """The file of a run without which its row counts as not measured."""

    @property
    def label(self) -> str:
        """`Table 2`, `Figure 5a`."""
        kind, which = re.fullmatch(r"([a-z]+)(\d.*)", self.name).groups()
        return f"{kind.capitalize()} {which}"


SPECS = {
    1: Spec("table1", "Systems", "diagdistill", ("quality", "semantic", "total", MOTION), base="wan2_1"),
    2: Spec("table2", "Components of Diagonal Distillation", "full_method"),
    3: Spec("table3", "Schedules of Diagonal Denoising", "diagonal_4322222", SCORES),
    6: Spec("table6", "Steps elsewhere than in the first chunks", "diagonal_4322222", SCORES),
    7: Spec(
        "table7", "Frames in a chunk", "chunk_size_3", ("quality", "semantic", "total", MOTION), base="chunk_size_3"
    ),
    9: Spec("table9", "The motion feature of flow distribution matching", "conv_diff"),
}


@dataclass(frozen=True)
class Measured:
    """Runs and scores by the name of the row; motion as a share of the real clips' mean."""

    planned: tuple[str, ...]
    """Rows that runs.csv gives the table, measured or not."""
    runs: dict[str, Run]
    scores: dict[str, pd.DataFrame]
    intervals: pd.DataFrame
    """One row a (row, metric): value, low, high, n; in percent."""
    devices: tuple[str, ...]
    prompts: int

    def seeds(self, row: str) -> int:
        return self.scores[row]["seed"].nunique()

    def trainings(self, row: str) -> str:
        """How often a reader is told that a row was trained: rendered clips never."""
        return render.DASH if self.runs[row].sampler == "renderer" else str(self.seeds(row))


def load(spec: Spec, profile: Profile, runs_dir: Path, config_dir: Path = CONFIG_DIR) -> Measured:
    """Rows whose runs were evaluated. Raises ReproError where the reference or the real clips are not among them,
    or where runs do not belong together."""
    known = {r.rows[spec.name]: r for r in runs_of(spec.name, load_runs(config_dir).values())}
    folders = {row: r for row, r in known.items() if (Path(runs_dir) / r.run_id / spec.needs).is_file()}
    real = Path(runs_dir) / REAL / "scores.csv"
    if spec.reference not in folders or not real.is_file():
        raise ReproError(f"{runs_dir} lacks the run of {spec.reference} or {REAL}: the rule `evaluate` makes them")
    scale = read_scores(real, [MOTION])[MOTION].mean() if MOTION in spec.measures else math.nan
    scores, rows, quality = {}, [], []
    for row, run in folders.items():
        folder = Path(runs_dir) / run.run_id
        table = read_scores(folder / "scores.csv", spec.measures)
        scores[row] = table.assign(**{m: table[m] / scale for m in spec.measures if m == MOTION})
        quality_path = folder / "quality.json"
        found = records.Keyed(
            {r.metric: r for r in records.read(quality_path, f"snakemake --cores all {spec.name}")}, quality_path
        )
        quality += found.values()
        for metric in spec.measures:
            record, unit = found[metric], comparisons.PERCENT / (scale if metric == MOTION else 1)
            values = {k: getattr(record, k) * unit for k in ("value", "low", "high")}
            rows.append({"row": row, "metric": metric} | values | {"n": record.n})
    one_value("profile", {(r.run_id, r.profile) for r in quality} | {("asked for", profile.name)})
    one_value("judge", {(r.run_id, r.weights.get("judge", "none"), r.metric_version) for r in quality})
    prompts = one_value("prompts", {(r, tuple(sorted(map(int, s["prompt"].unique())))) for r, s in scores.items()})[0]
    devices = tuple(sorted({r.device for r in quality}))
    return Measured(tuple(known), folders, scores, pd.DataFrame(rows), devices, len(prompts))


Timings = dict[str, dict[str, records.Record]]
"""By row and metric."""


def load_timings(spec: Spec, path: Path, profile: Profile) -> Timings:
    """What the verb `speed` wrote of a table's rows. Raises ReproError where it is of another profile or of several
    devices, or a row is missing."""
    maker = f"python -m repro speed --tables {spec.name} --profile {profile.name}"
    found = records.read(path, maker)
    missing = [r.row for r in rows_of([spec.name]) if (r.row, "total_s") not in {(t.run_id, t.metric) for t in found}]
    if missing:
        raise ReproError(f"{path} lacks {', '.join(missing)}: time them all, {maker}")
    one_value("profile", {(r.run_id, r.profile) for r in found} | {("asked for", profile.name)})
    one_value("device", {(r.run_id, r.device) for r in found})
    return {
        row: records.Keyed({r.metric: r for r in found if r.run_id == row}, f"{path}, row {row},")
        for row in dict.fromkeys(r.run_id for r in found)
    }


TURNED = {"better": "worse", "no worse": "no better"}
"""What a claim of the other row says of the reference."""


def compare(
    spec: Spec, measured: Measured, printed: dict, profile: Profile, config_dir: Path = CONFIG_DIR
) -> pd.DataFrame:
    """Reference minus every other row that is a model's, over the training seeds that both have.

    Tested, and adjusted together by Holm, is what the paper claims, where both rows were trained more than once:
    the interval of a single training leaves out how much trainings differ. Raises ReproError without another row.
    """
    others = [r for r, run in measured.runs.items() if r != spec.reference and run.sampler != "renderer"]
    if not others:
        raise ReproError(f"no row of {spec.label} was evaluated beside {spec.reference}: nothing to compare")
    pairs = [(other, spec.reference, other) for other in others]
    settings = profile.evaluation
    claimed = claims.expected(claims.load(config_dir))

    def claim(first: str, second: str, metric: str) -> claims.Claim | None:
        return claimed.get((measured.runs[first].run_id, measured.runs[second].run_id, metric))

    cells = [(other, metric) for other in others for metric in spec.measures]
    mine = [claim(spec.reference, *cell) for cell in cells]
    theirs = [claim(other, spec.reference, metric) for other, metric in cells]
    margins = {(spec.reference, *cell): c.margin for cell, c in zip(cells, mine, strict=True) if c}
    found = comparisons.quality_pairs(
        measured.scores, pairs, spec.measures, printed, settings.bootstrap, settings.seed, margins
    ).rename(columns={"schedule": "row"})
    found["claim"] = [
        a.expectation if a else TURNED[b.expectation] if b else NO_CLAIM for a, b in zip(mine, theirs, strict=True)
    ]
    found["seeds"] = [min(measured.seeds(spec.reference), measured.seeds(r)) for r in found["row"]]
    found["verdict"] = found["claim"].where(found["claim"] == NO_CLAIM, ONE_SEED)
    tested = (found["claim"] != NO_CLAIM) & (found["seeds"] > 1)
    found["p_holm"] = math.nan
    if tested.any():
        found.loc[tested, "p_holm"] = holm(found.loc[tested, "p"])
        shifted = found["difference"] + [margins.get((spec.reference, *cell), 0.0) for cell in cells]
        asked = shifted.where(~found["claim"].isin(TURNED.values()), -found["difference"])
        judged = zip(asked[tested], found.loc[tested, "p_holm"], strict=True)
        found.loc[tested, "verdict"] = [verdict(d, p) for d, p in judged]
    return found


def build(
    number: int,
    profile: Profile,
    runs_dir: Path,
    out_dir: Path,
    speed: Path | None = None,
    config_dir: Path = CONFIG_DIR,
) -> None:
    """Write `tables/table<N>{.csv,.md,.html,.tex,_pairs.csv}` in `out_dir` from `<runs_dir>/<run_id>`.

    A row that was not evaluated yet stands there with the paper's numbers alone. `speed` holds records of the verb
    `speed`. Raises ReproError where a table that tells of no speed is given some.
    """
    spec, printed = SPECS[number], paper.table(number, config_dir)
    if speed is not None and not spec.base:
        raise ReproError(f"{spec.label} tells of no speed, and has no use for {speed}: leave it out")
    measured = load(spec, profile, runs_dir, config_dir)
    pairs = compare(spec, measured, printed, profile, config_dir)
    sections, said = [main_section(spec, measured, printed, profile)], notes(spec, measured, printed, pairs, profile)
    if speed is not None:
        timings = load_timings(spec, speed, profile)
        sections.append(speed_section(spec, timings, printed))
        said = (*said, speed_note(spec, timings, measured, printed))
    document = Document((*sections, pair_section(spec, pairs)), said)
    write(spec, document, with_seeds(measured), pairs, measured, profile, out_dir)


def with_seeds(measured: Measured) -> pd.DataFrame:
    return measured.intervals.assign(seeds=[measured.seeds(r) for r in measured.intervals["row"]])


def write(
    spec: Spec,
    document: Document,
    values: pd.DataFrame,
    pairs: pd.DataFrame,
    measured: Measured,
    profile: Profile,
    out_dir: Path,
    **more: pd.DataFrame,
) -> None:
    """`tables/<name>{.csv,.md,.html,.tex,_pairs.csv}`, and `<name>_<key>.csv` of what else there is."""
    stem = Path(out_dir) / "tables" / spec.name
    stamp = {"profile": profile.name, "prompts": measured.prompts, "reading": reading(profile.name)}
    render.write(document, stem)
    render.write_csv(values.assign(**stamp), stem)
    for key, frame in ({"pairs": pairs} | more).items():
        render.write_csv(frame.assign(**stamp), stem.with_name(f"{spec.name}_{key}"))


def named(row: str) -> str:
    """A row as a reader sees it."""
    return row.replace("_", " ")


def main_section(spec: Spec, measured: Measured, printed: dict, profile: Profile) -> Section:
    in_paper = [m for m in spec.measures if any(key[1] == m for key in printed)]
    columns = [("", "Row"), ("", "Training seeds")]
    for metric in spec.measures:
        columns += [(NAMES[metric], "paper")] * (metric in in_paper) + [(NAMES[metric], "ours")]
    values = measured.intervals.set_index(["row", "metric"])
    rows = []
    for row in dict.fromkeys([*(r for r, _ in printed), *measured.runs]):
        known = row in measured.runs
        cells = [named(row), measured.trainings(row) if known else render.DASH]
        for metric in spec.measures:
            if metric in in_paper:
                cell = printed.get((row, metric))
                cells.append(cell.printed if cell else render.DASH)
            found = values.loc[row, metric] if known else None
            cells.append(
                with_range(found["value"], found["low"], found["high"], "{:.1f}".format) if known else render.DASH
            )
        rows.append(tuple(cells))
    caption = f"{spec.label}. {spec.title}: profile {profile.name}, {measured.prompts} prompts"
    return Section(spec.name, caption, tuple(columns), tuple(rows))


def speed_section(spec: Spec, timings: Timings, printed: dict) -> Section:
    """Speed beside the paper's, and how many times that of the base: by the first frame, as the paper has it, and by
    throughput."""

    def ratio(row: str, metric: str) -> str:
        both = [timings.get(r, {}).get(metric) for r in (row, spec.base)]
        if None in both:
            return render.DASH
        mine, base = (r.value for r in both)
        return significant(mine / base if metric == "throughput_fps" else base / mine, 3) + "×"

    def said(row: str, metric: str) -> str:
        return printed[row, metric].printed if (row, metric) in printed else render.DASH

    def said_ratio(row: str) -> str:
        cell, base = (printed.get((r, "speedup")) for r in (row, spec.base))
        if cell is None or base.value == 1:
            return said(row, "speedup")
        return significant(float(cell.value / base.value), 3) + "×"

    columns, rows = [("", "Row")], []
    for metric in SPEEDS:
        columns += [(NAMES[metric], "paper"), (NAMES[metric], "ours")]
    columns += [("Speed-up by the first frame", "paper"), ("Speed-up by the first frame", "ours")]
    columns += [("Speed-up by throughput", "ours")]
    for row in dict.fromkeys([*(r for r, _ in printed), *timings]):
        cells = [named(row)]
        for metric in SPEEDS:
            found = timings.get(row, {}).get(metric)
            ours = with_range(found.value, found.low, found.high, significant) if found else render.DASH
            cells += [said(row, metric), ours]
        cells += [said_ratio(row), ratio(row, "first_frame_latency_s"), ratio(row, "throughput_fps")]
        rows.append(tuple(cells))
    device = timings[spec.base]["total_s"].device
    return Section(f"{spec.name}-speed", f"{spec.label}: speed at batch 1, on {device}", tuple(columns), tuple(rows))


def speed_note(spec: Spec, timings: Timings, measured: Measured, printed: dict) -> str:
    totals = [found["total_s"] for found in timings.values()]
    rounds, engines = {r.n for r in totals}, {r.versions["engine"] for r in totals}
    rescaled = printed[spec.base, "speedup"].value != 1
    windows = [
        f" The speed of {named(row)} is with a window of {timed.window_frames} latent frames, its quality with one of "
        f"{measured.runs[row].window_frames}."
        for row, timed in load_speed().items()
        if row in timings and row in measured.runs and timed.window_frames != measured.runs[row].window_frames
    ]
    return (
        f"Speed: median [quartiles] of {', '.join(map(str, sorted(rounds)))} interleaved rounds, decoding included, "
        f"engine {', '.join(sorted(engines))}; with random weights, for speed does not depend on their values. "
        f"Speed-ups are over {named(spec.base)}"
        + (", the paper's, printed over Wan2.1, divided by that of this row" if rescaled else ", the paper's too")
        + ": the ratio of times to the first frames, which for systems that make a whole video at once is the time of "
        "that video; beside it the ratio of throughputs." + "".join(windows)
    )


def pair_section(spec: Spec, pairs: pd.DataFrame) -> Section:
    printed = pairs["paper_difference"].notna().any()
    rows = tuple(
        (
            named(r.row),
            NAMES[r.metric],
            str(r.seeds),
            *([signed(r.paper_difference, 1)] if printed else []),
            with_range(r.difference, r.low, r.high, signed),
            render.p_value(r.p),
            render.p_value(r.p_holm),
            r.claim,
            r.verdict,
        )
        for r in pairs.itertuples()
    )
    claim = f"Claim: {named(spec.reference)} is"
    columns = ("Against", "Measure", "Training seeds", *(["Paper"] if printed else []))
    columns += ("Ours", "p", "p (Holm)", claim, "Verdict")
    caption = f"{spec.label}: {named(spec.reference)} minus the other row, percentage points"
    return Section(f"{spec.name}-pairs", caption, tuple(("", c) for c in columns), rows)


MOTION_NOTE = (
    "Motion: mean speed of the optical flow, in percent of that of the real clips of the same prompts. The "
    "paper prints no such number; its claim is that the flow loss makes clips move more (Figure 6)."
)


def _regressed(measured: Measured) -> str:
    """Rows with a weight of their own."""
    students = load_students()
    weights = {row: students[r.student].reg_weight for row, r in measured.runs.items() if r.student in students}
    told = ", ".join(f"{named(row)} has {w:g}" for row, w in weights.items() if w is not None)
    return f" ({told})" if told else ""


def common_notes(measured: Measured, pairs: pd.DataFrame, profile: Profile) -> list[str]:
    """What any table of these needs beside it."""
    how, counts = reading(profile.name), pairs["verdict"].value_counts()
    told = ", ".join(f"{counts.get(v, 0)} {v}" for v in ("reproduced", "contradicted", "unresolved"))
    weight = profile.dmd_fit.reg_weight
    return [
        f"{how[0].upper()}{how[1:]}.",
        f"{measured.prompts} held-out prompts, the same prompts and noise in every row; evaluated on "
        f"{' and '.join(measured.devices)}.",
        "Ours: mean [95% bootstrap interval over prompts and training seeds; with one training seed over prompts "
        "alone, the training itself is then not repeated], in percent.",
        f"Paired differences over the same prompts and seeds. Tested is what the paper claims "
        "(config/claims.csv; no worse has no margin here, for none was fixed before the scores were seen: only a "
        "resolved difference decides), where both rows have several training seeds; p values Holm-adjusted over these "
        f"{int(pairs['p_holm'].notna().sum())} comparisons: {told}. Other p values decide nothing. "
        "Where claims.md judges the same over more comparisons, its verdict counts.",
        f"The weight of the regression loss is {weight:g} in the training of every student whose row in students.csv "
        f"names none{_regressed(measured)}; the paper's (eq. 12) is 1.",
        *trained_at(measured.runs.values()),
    ]


def absent_notes(measured: Measured, printed: Iterable[str] = ()) -> list[str]:
    """Which rows that the paper prints or runs.csv plans have no numbers."""
    absent = [named(r) for r in dict.fromkeys((*printed, *measured.planned)) if r not in measured.runs]
    return [f"Not measured yet, and so without our numbers: {', '.join(absent)}."] if absent else []


def notes(spec: Spec, measured: Measured, printed: dict, pairs: pd.DataFrame, profile: Profile) -> tuple[str, ...]:
    lines = common_notes(measured, pairs, profile)
    lines.append(f"Paper: {', '.join(dict.fromkeys(cell.source for cell in printed.values()))}.")
    if MOTION in spec.measures:
        lines.append(MOTION_NOTE)
    return (*lines, *absent_notes(measured, (r for r, _ in printed)))
