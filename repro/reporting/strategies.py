"""Figure 10 with numbers: quality and motion of the forcing strategies, chunk by chunk.

Legend: C clips, K chunks, R bootstrap resamples.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from repro.config import CONFIG_DIR, Profile
from repro.errors import ReproError
from repro.evaluation.statistics import cluster_counts, interval_of, slope
from repro.reporting import ablations, render
from repro.reporting.ablations import MOTION, REAL, Measured, Spec, named
from repro.reporting.comparisons import PERCENT
from repro.reporting.gather import one_value, read_scores
from repro.reporting.notes import NAMES
from repro.reporting.render import Document, Section, signed, with_range

SPEC = Spec("figure10", "Forcing strategies, chunk by chunk", "diagonal", needs="chunks.csv")
PARTS = ("first", "last", "slope")
"""What is told of a measure's curve; `slope` is by least squares, per chunk."""
COMPARED = ("total", "total_last", "total_slope", MOTION, f"{MOTION}_last", f"{MOTION}_slope")

Curves = dict[str, pd.DataFrame]
"""By row: indexed by (seed, prompt), columns (metric, chunk), the clips of every chunk."""


def curves(measured: Measured, runs_dir: Path) -> Curves:
    """Scores of every chunk, 0 to 1; motion as a share of the real clips' mean in the same chunk.

    Raises ReproError where a clip lacks a chunk, or runs have other chunks.
    """

    def read(run_id: str) -> pd.DataFrame:
        path = Path(runs_dir) / run_id / SPEC.needs
        table = read_scores(path, SPEC.measures, ("seed", "prompt", "chunk"))
        wide = table.pivot(index=["seed", "prompt"], columns="chunk", values=list(SPEC.measures))
        if wide.isna().any(axis=None):
            raise ReproError(f"{path} lacks chunks of some clips: delete it and run the rule `evaluate` again")
        return wide

    real, found = read(REAL), {row: read(run.run_id) for row, run in measured.runs.items()}
    one_value("chunks", {(row, tuple(wide[MOTION].columns)) for row, wide in ({REAL: real} | found).items()})
    for row, wide in found.items():
        if len(wide) != len(measured.scores[row]):
            raise ReproError(f"run {row} has {len(wide)} clips in {SPEC.needs}, {len(measured.scores[row])} in all")
        wide[MOTION] = (wide[MOTION] / real[MOTION].mean()).to_numpy()
    return found


def clip_parts(wide: pd.DataFrame) -> pd.DataFrame:
    """One row a clip, a column `<metric>_<part>` each: first and last chunk, and slope per chunk."""
    parts = {}
    for metric in SPEC.measures:
        values_CK = wide[metric].to_numpy()
        chunks_K = wide[metric].columns.to_numpy(float)
        told = (values_CK[:, 0], values_CK[:, -1], slope(chunks_K, values_CK))
        parts |= {f"{metric}_{part}": value for part, value in zip(PARTS, told, strict=True)}
    return pd.DataFrame(parts, index=wide.index)


def summary(tables: dict[str, pd.DataFrame], profile: Profile) -> pd.DataFrame:
    """One row a (row, metric), or a (row, metric, chunk): mean over the clips and its 95% interval, in percent, and n.

    Cluster bootstrap over seeds and prompts; the same resamples for every column.
    """
    settings, found = profile.evaluation, {}
    for row, table in tables.items():
        values = table.to_numpy()
        counts_RC = cluster_counts(table.index.to_frame(), settings.bootstrap, np.random.default_rng(settings.seed))
        draws = counts_RC @ values / counts_RC.sum(1, keepdims=True)
        columns = [values.mean(0), *np.transpose([interval_of(column) for column in draws.T])]
        told = dict(zip(("value", "low", "high"), columns, strict=True))
        found[row] = pd.DataFrame(told, index=table.columns).mul(PERCENT).assign(n=len(table))
    stacked = pd.concat(found)
    return stacked.rename_axis(["row", "metric", *stacked.index.names[2:]]).reset_index()


def build(profile: Profile, runs_dir: Path, out_dir: Path, config_dir: Path = CONFIG_DIR) -> None:
    """Write `tables/figure10{.csv,.md,.html,.tex,_pairs.csv,_chunks.csv}` in `out_dir` from `<runs_dir>/<run_id>`.

    A strategy without scores of its chunks stands there without numbers.
    """
    measured = ablations.load(SPEC, profile, runs_dir, config_dir)
    by_row = curves(measured, runs_dir)
    parts = {row: clip_parts(wide) for row, wide in by_row.items()}
    measured = replace(
        measured,
        scores={r: s.join(parts[r], on=["seed", "prompt"]) for r, s in measured.scores.items()},
        intervals=pd.concat([measured.intervals, summary(parts, profile)], ignore_index=True),
    )
    spec = replace(SPEC, measures=COMPARED)
    pairs = ablations.compare(spec, measured, {}, profile, config_dir)
    document = Document(
        (main_section(measured, profile), ablations.pair_section(spec, pairs)),
        notes(measured, pairs, profile),
    )
    by_chunk = summary(by_row, profile)
    by_chunk["seeds"] = [measured.seeds(r) for r in by_chunk["row"]]
    by_chunk["device"] = " and ".join(measured.devices)
    ablations.write(spec, document, ablations.with_seeds(measured), pairs, measured, profile, out_dir, chunks=by_chunk)


def main_section(measured: Measured, profile: Profile) -> Section:
    values, rows = measured.intervals.set_index(["row", "metric"]), []

    def cell(row: str, metric: str, form) -> str:
        found = values.loc[(row, metric)]
        return with_range(found["value"], found["low"], found["high"], form)

    for row in measured.planned:
        for metric in SPEC.measures if row in measured.runs else ():
            cells = [cell(row, name, "{:.1f}".format) for name in (metric, f"{metric}_first", f"{metric}_last")]
            cells.append(cell(row, f"{metric}_slope", signed))
            rows.append((named(row), measured.trainings(row), NAMES[metric], *cells))
        if row not in measured.runs:
            rows.append((named(row), *[render.DASH] * 6))
    columns = (
        "Forcing",
        "Training seeds",
        "Measure",
        "Whole video",
        "First chunk",
        "Last chunk",
        "Slope, points a chunk",
    )
    caption = f"{SPEC.label}. {SPEC.title}: profile {profile.name}, {measured.prompts} prompts"
    return Section(SPEC.name, caption, tuple(("", c) for c in columns), tuple(rows))


def notes(measured: Measured, pairs: pd.DataFrame, profile: Profile) -> tuple[str, ...]:
    return (
        *ablations.common_notes(measured, pairs, profile),
        "Each chunk is scored alone, as if it were the video: over so few frames a measure is not the whole video's. "
        "The first chunk is shorter than the others. What the index itself does, the real clips show.",
        "Slope: of a least-squares line through a clip's chunks, mean over the clips.",
        "Motion: mean speed of the optical flow, in percent of that of the real clips of the same prompts, each "
        "chunk against theirs of the same index.",
        "Diagonal anchored: frames far back are ground truth in training, as appendix C words it. Paper: Figure 10 "
        "shows what each strategy trains on and prints no numbers.",
        *ablations.absent_notes(measured),
    )
