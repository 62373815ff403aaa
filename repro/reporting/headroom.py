"""Does the world measure anything? The systems of headroom.csv side by side, and targets with verdicts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from repro.config import CONFIG_DIR, Target, load_systems, load_targets
from repro.errors import ReproError
from repro.evaluation.metrics import DISTANCES
from repro.evaluation.statistics import cluster_draws
from repro.files import write_text
from repro.reporting import records, render, stored
from repro.reporting.render import Document, Section, significant, with_range

NAME, MAKER = "headroom", "snakemake --cores all headroom"
FLOOR, ANCHOR = "real", "teacher_50"
"""Real clips against other real ones, and the system that few-step ones are held against."""
SCORES = {"text": "Text, %", "frame": "Frame, %", "temporal": "Temporal, %", "total": "Total, %"}
QUANTITIES = {
    "share": "text alignment, share of {reference}'s",
    "floors": "Fréchet distance, multiple of the floor",
    "change": "dynamic degree, relative change from {reference}'s",
    "multiple": "Fréchet distance above the floor, multiple of {reference}'s",
    "recovered": "share of the gap from {reference} to the teacher that is closed",
}


@dataclass(frozen=True)
class Measured:
    """Records and per-clip scores of every system, in the order of headroom.csv; draws of their distances."""

    folder: Path
    records: records.Keyed
    scores: dict[str, pd.DataFrame]
    draws: dict[str, pd.DataFrame]

    @property
    def systems(self) -> list[str]:
        return list(self.scores)

    def value(self, system: str, metric: str) -> float:
        return self.records[system, metric].value


def load(folder: Path, profile: str, config_dir: Path = CONFIG_DIR) -> Measured:
    """Read `<folder>/<system>/` of every system. Raises ReproError naming a missing file, or another profile's."""
    folder, by_key, scores, draws = Path(folder), {}, {}, {}
    for system in load_systems(config_dir):
        rows = records.read(folder / system / f"{NAME}.json", MAKER)
        strange = sorted({r.profile for r in rows} - {profile} | {r.run_id for r in rows} - {system})
        if strange:
            raise ReproError(f"{folder / system} holds records of {strange[0]!r}, not of {system} in {profile!r}")
        by_key |= {(system, r.metric): r for r in rows}
        scores[system], draws[system] = (
            stored.table(folder / system / name, MAKER, (*keys, *values), keys)
            for name, keys, values in (
                ("scores.csv", ("seed", "prompt"), SCORES),
                ("draws.csv", (), ("frechet", "kernel_distance")),
            )
        )
    lengths = sorted({len(d) for d in draws.values()})
    if len(lengths) != 1:
        raise ReproError(f"{folder}: systems have different numbers of draws, {lengths}: measure all of them again")
    return Measured(folder, records.Keyed(by_key, folder), scores, draws)


def above_floor(measured: Measured, system: str) -> tuple[float, np.ndarray]:
    """Fréchet distance less that of real clips: the value, and its draws."""
    return (
        measured.value(system, "frechet") - measured.value(FLOOR, "frechet"),
        (measured.draws[system]["frechet"] - measured.draws[FLOOR]["frechet"]).to_numpy(),
    )


def _mean(measured: Measured, system: str, column: str, seed: int) -> tuple[float, np.ndarray]:
    values = measured.scores[system][["seed", "prompt", column]].rename(columns={column: "value"})
    n = len(measured.draws[system])
    return measured.value(system, column), cluster_draws(values, n, np.random.default_rng(seed))


def quantity(measured: Measured, target: Target) -> tuple[float, np.ndarray]:
    """What a target speaks of: the value, and its bootstrap draws.

    Scores of two systems are resampled alike, prompt by prompt; distances are of different clips and apart.
    """
    system, reference = target.system, target.reference
    match target.quantity:
        case "share" | "change":
            column = "text" if target.quantity == "share" else "dynamic_degree"
            (a, drawn_a), (b, drawn_b) = (_mean(measured, s, column, seed=0) for s in (system, reference))
            ratio, drawn = a / b, drawn_a / drawn_b
            return (ratio, drawn) if target.quantity == "share" else (abs(ratio - 1), np.abs(drawn - 1))
        case "floors":
            floor = measured.value(reference, "frechet")
            drawn = measured.draws[system]["frechet"] / measured.draws[reference]["frechet"]
            return measured.value(system, "frechet") / floor, drawn.to_numpy()
        case "multiple":
            (a, drawn_a), (b, drawn_b) = (above_floor(measured, s) for s in (system, reference))
            return a / b, drawn_a / drawn_b
        case "recovered":
            (s, drawn_s), (r, drawn_r), (t, drawn_t) = (above_floor(measured, x) for x in (system, reference, ANCHOR))
            return (r - s) / (r - t), (drawn_r - drawn_s) / (drawn_r - drawn_t)


def judged(measured: Measured, targets: list[Target]) -> pd.DataFrame:
    """One row a target: value, 95% interval, bound and verdict (met, missed; open where the bound is inside)."""
    rows = []
    for target in targets:
        value, drawn = quantity(measured, target)
        low, high = np.quantile(drawn, [0.025, 0.975])
        bound = target.bound
        inside = low <= bound <= high
        good = value >= bound if target.at_least is not None else value <= bound
        rows.append(
            target.model_dump()
            | {"value": value, "low": low, "high": high}
            | {"verdict": "open" if inside else "met" if good else "missed"}
        )
    return pd.DataFrame(rows)


def build(folder: Path, profile: str, out: Path, config_dir: Path = CONFIG_DIR) -> None:
    """Write `<out>/tables/headroom{.csv,.md,.html,.tex}` and `headroom_targets.csv`."""
    measured = load(folder, profile, config_dir)
    targets = judged(measured, load_targets(config_dir))
    document = Document((system_section(measured), target_section(targets)), notes(measured, profile))
    tables = Path(out) / "tables"
    for name, text in {
        f"{NAME}.csv": frame(measured).assign(profile=profile).to_csv(index=False, float_format="%.6g"),
        f"{NAME}_targets.csv": targets.assign(profile=profile).to_csv(index=False, float_format="%.6g"),
        f"{NAME}.md": render.markdown(document),
        f"{NAME}.html": render.html(document),
        f"{NAME}.tex": render.latex(document),
    }.items():
        write_text(tables / name, text)


def frame(measured: Measured) -> pd.DataFrame:
    """One row a system: distances, the Fréchet distance above the floor, scores; `_low` and `_high` beside each."""
    rows = []
    for system in measured.systems:
        value, drawn = above_floor(measured, system)
        low, high = np.quantile(drawn, [0.025, 0.975])
        row = {"system": system, "above_floor": value, "above_floor_low": low, "above_floor_high": high}
        for metric in (*DISTANCES, *SCORES, "dynamic_degree"):
            r = measured.records[system, metric]
            row |= {metric: r.value, f"{metric}_low": r.low, f"{metric}_high": r.high}
        rows.append(row | {"clips": measured.records[system, "frechet"].n})
    return pd.DataFrame(rows)


def system_section(measured: Measured) -> Section:
    def cell(row: dict, metric: str, scale: float = 1) -> str:
        return with_range(*(scale * row[metric + suffix] for suffix in ("", "_low", "_high")), significant)

    rows = tuple(
        (
            r["system"],
            str(r["clips"]),
            cell(r, "frechet"),
            "floor" if r["system"] == FLOOR else cell(r, "above_floor"),
            cell(r, "kernel_distance", 1000),
            *(cell(r, m, 100) for m in (*SCORES, "dynamic_degree")),
        )
        for r in frame(measured).to_dict("records")
    )
    labels = ("System", "Clips", "Fréchet distance", "above the floor", "Kernel distance, 1/1000")
    columns = (*labels, *SCORES.values(), "Dynamic degree, %")
    caption = "Headroom: real clips, the teacher, few-step models and their distilled students"
    return Section(NAME, caption, tuple(("", c) for c in columns), rows)


def target_section(targets: pd.DataFrame) -> Section:
    rows = tuple(
        (
            r["system"],
            QUANTITIES[r["quantity"]].format(reference=r["reference"]),
            f"≤ {r['at_most']:g}" if pd.isna(r["at_least"]) else f"≥ {r['at_least']:g}",
            with_range(r["value"], r["low"], r["high"], significant),
            r["verdict"],
        )
        for r in targets.to_dict("records")
    )
    labels = ("System", "Quantity", "Target", "Ours", "Verdict")
    return Section(
        f"{NAME}-targets", "Headroom: what the world was built to show", tuple(("", x) for x in labels), rows
    )


def notes(measured: Measured, profile: str) -> tuple[str, ...]:
    first = measured.records[measured.systems[-1], "frechet"]
    prompts = max(len(s.drop_duplicates("prompt")) for s in measured.scores.values())
    return (
        f"Profile {profile}: held-out captions; distances to real clips of other scenes, one for each training seed "
        f"and averaged; scores over {prompts} prompts; students over training seeds "
        f"{', '.join(map(str, first.seeds))}; measured on {first.device}.",
        "The floor is the distance of real clips to other real clips. Values: point [95% bootstrap interval]; of "
        "students over training seeds, then clips.",
        "met, missed: the interval lies on one side of the target (config/headroom_targets.csv); open: it does not.",
    )


def verdicts(targets: pd.DataFrame) -> str:
    """Which targets are met?"""
    counts = targets["verdict"].value_counts()
    told = ", ".join(f"{counts.get(v, 0)} {v}" for v in ("met", "missed", "open"))
    short = [
        f"{r.system}: {QUANTITIES[r.quantity].format(reference=r.reference)}, {significant(r.value)}"
        for r in targets.itertuples()
        if r.verdict != "met"
    ]
    return f"Of {len(targets)} targets: {told}." + (f" Not met: {'; '.join(short)}." if short else "")


def distances(measured: Measured) -> str:
    """How far from real are few-step models before and after distillation?"""
    anchor = above_floor(measured, ANCHOR)[0]
    told = ", ".join(
        f"{s} {above_floor(measured, s)[0] / anchor:.1f}" for s in measured.systems if s not in (FLOOR, ANCHOR)
    )
    return f"Fréchet distance above the floor, as multiples of the teacher's at its full steps: {told}."


def shows(measured: Measured, systems: list[str]) -> str:
    """What the film strip shows."""
    told = ", ".join(f"{s} ({100 * measured.value(s, 'total'):.1f}%)" for s in systems)
    return f"The same captions in every row; Total over all prompts: {told}."
