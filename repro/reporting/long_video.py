"""Long videos as tables and sentences, from what `python -m repro long` and `pace` wrote."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from repro.config import CONFIG_DIR, REAL, load_long
from repro.errors import ReproError
from repro.evaluation.long_video import DISTANCE, slope_per_minute
from repro.evaluation.statistics import cluster_counts, holm, paired_difference, two_sided_p
from repro.reporting import records, render, stored
from repro.reporting.comparisons import resamples
from repro.reporting.notes import reading
from repro.reporting.render import Document, Section, p_value, signed, significant, with_range
from repro.reporting.verdicts import ONE_SEED

NAME, MAKER = "long", "snakemake --cores all long"
NAMES = {
    "total": "Total, %",
    "text": "Text, %",
    "saturation": "Saturation, %",
    "motion_amplitude": "Speed, heights/s",
    "kernel_distance": "Kernel distance, 1/1000",
}
"""Measures that tables and figures show → name and unit a reader sees."""
FLOW_STEPS_PER_SECOND = 8
"""Speeds are those of an eighth of a second."""
SCALE = {
    "total": 100,
    "text": 100,
    "saturation": 100,
    "motion_amplitude": FLOW_STEPS_PER_SECOND,
    "kernel_distance": 1000,
}
FEWEST = 10
"""Videos below which a bootstrap interval is too narrow to give a verdict."""
COMPARED = (("diagonal", "self"), ("diagonal_cyclic", "diagonal"))
"""Pairs whose difference over the same prompts and noise the table shows."""


@dataclass(frozen=True)
class Long:
    """`curves`, `drift` and `scores` have one more column, the system; `pace` is per chunk.

    `drift` has p of what is tested, Holm-adjusted: slopes by clip of systems that were trained more than once.
    """

    curves: pd.DataFrame
    drift: pd.DataFrame
    scores: pd.DataFrame
    pace: pd.DataFrame
    clocked: records.Keyed
    measured: tuple[records.Record, ...]
    absent: tuple[str, ...]

    @property
    def systems(self) -> list[str]:
        return [s for s in self.curves["system"].unique() if s != REAL]

    @property
    def rolls(self) -> list[float]:
        return sorted(self.drift["roll"].unique())

    def start_and_end(self, system: str, roll: float, measure: str) -> tuple[float, float]:
        """Mean of a measure over the first segment and over the last."""
        rows = self.curves[(self.curves["system"] == system) & (self.curves["roll"] == roll)]
        values = rows[rows["measure"] == measure].sort_values("segment")["value"]
        return float(values.iloc[0]), float(values.iloc[-1])


COLUMNS = {
    "curves.csv": (("roll", "measure", "segment"), ("start_s", "value", "low", "high", "n")),
    "drift.csv": (("roll", "measure"), ("slope", "low", "high", "p", "n")),
    "scores.csv.gz": (("roll", "seed", "prompt", "segment"), ("total",)),
}
"""What a system's files must have, keys and values; real clips are one segment and have no drift."""


def load(folder: Path, profile: str, config_dir: Path = CONFIG_DIR) -> Long:
    """Read `<folder>/<system>/` of every system that has been measured, and `pace.csv` beside them.

    Raises ReproError where none has been, a file is missing, or one is another profile's.
    """
    folder, known = Path(folder), load_long(config_dir)
    found = [s for s in known if (folder / s).is_dir()]
    rows, tables = [], {name: [] for name in COLUMNS}
    for system in found:
        rows += records.read(folder / system / f"{NAME}.json", MAKER)
        for name, parts in tables.items():
            keys, values = COLUMNS[name] if (system, name) != (REAL, "drift.csv") else ((), ())
            table = stored.table(folder / system / name, MAKER, (*keys, *values), keys, dtype={"measure": str})
            parts.append(table.assign(system=system))
    strange = sorted({r.profile for r in rows} - {profile})
    if strange or not [s for s in found if s != REAL]:
        what = f"holds profile {strange[0]!r}, not {profile!r}" if strange else "holds no system of long.csv"
        raise ReproError(f"{folder} {what}: make it with `snakemake long`")
    clocked = records.keyed(records.read(folder / "pace.json", MAKER), folder / "pace.json")
    curves, drift, scores = (pd.concat([p for p in parts if len(p)], ignore_index=True) for parts in tables.values())
    drift["seeds"] = drift["system"].map(scores.groupby("system")["seed"].nunique())
    tested = (drift["seeds"] > 1) & drift["measure"].isin(scores.columns)
    drift["p_holm"] = np.nan
    if tested.any():
        drift.loc[tested, "p"] = _resolved(drift[tested], curves, scores)
        drift.loc[tested, "p_holm"] = holm(drift.loc[tested, "p"])
    absent = tuple(s for s in known if s not in found)
    pace = stored.table(folder / "pace.csv", MAKER, ("chunk", "steps", "until_s", "seconds", "memory_mib"))
    return Long(curves, drift, scores, pace, clocked, tuple(rows), absent)


def _resolved(drift: pd.DataFrame, curves: pd.DataFrame, scores: pd.DataFrame) -> pd.Series:
    """Bootstrap p of every slope, from as many resamples as Holm needs over so many slopes.

    A measurement cannot know how many slopes it will stand beside.
    """
    n, found = resamples(0, len(drift)), {}
    for (system, roll), rows in drift.groupby(["system", "roll"]):
        part = scores[(scores["system"] == system) & (scores["roll"] == roll)]
        clips = part.pivot(index=["seed", "prompt"], columns="segment")
        counts = cluster_counts(clips.index.to_frame(), n, np.random.default_rng(0))
        starts = np.unique(curves[(curves["system"] == system) & (curves["roll"] == roll)]["start_s"])
        for index, measure in rows["measure"].items():
            slopes = slope_per_minute(starts, clips[measure].to_numpy())
            found[index] = two_sided_p(counts @ slopes / counts.sum(1))
    return pd.Series(found, dtype=float).reindex(drift.index)


def told(value: float, p_holm: float, n: int, seeds: int, words: tuple[str, str]) -> str:
    """One of the two words, for more and for less, where so many videos of so many trainings can tell."""
    if n < FEWEST:
        return "too few"
    if seeds < 2:
        return ONE_SEED
    return "unresolved" if p_holm >= 0.05 else words[0] if value > 0 else words[1]


def trend_of(row: pd.Series) -> str:
    """Does a measure drift? Nothing of the distance, which has no slope by clip."""
    if row["measure"] == DISTANCE:
        return ""
    return told(row["slope"], row["p_holm"], row["n"], row["seeds"], ("rises", "falls"))


def compared(long: Long, draws: int = 2000) -> pd.DataFrame:
    """Means over time, paired: one row a (roll, pair, measure)."""
    means = long.scores.groupby(["system", "roll", "seed", "prompt"], as_index=False)[
        [m for m in NAMES if m in long.scores]
    ].mean()
    rows = []
    for roll in long.rolls:
        for a, b in COMPARED:
            if not {a, b} <= set(long.systems):
                continue
            for measure in (m for m in NAMES if m in means):
                pair = [
                    means[(means["system"] == s) & (means["roll"] == roll)][["seed", "prompt", measure]].rename(
                        columns={measure: "value"}
                    )
                    for s in (a, b)
                ]
                value, low, high, p = paired_difference(*pair, draws, np.random.default_rng(0))
                row = {"roll": roll, "system": a, "reference": b, "measure": measure}
                seeds = min(clips["seed"].nunique() for clips in pair)
                rows.append(row | dict(difference=value, low=low, high=high, p=p, n=len(pair[0]), seeds=seeds))
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p"])) if len(table) else table


def build(folder: Path, profile: str, out: Path) -> None:
    """Write `<out>/tables/long{.csv,_pairs.csv,.md,.html,.tex}`."""
    long = load(folder, profile)
    pairs, stem = compared(long), Path(out) / "tables" / NAME
    sections = (drift_section(long), *pair_sections(pairs), pace_section(long))
    render.write(Document(sections, notes(long, profile)), stem)
    stamp = {"profile": profile, "device": student_record(long).device}
    render.write_csv(long.drift.assign(verdict=long.drift.apply(trend_of, axis=1), **stamp), stem)
    render.write_csv(pairs.assign(**stamp), stem.with_name(f"{NAME}_pairs"))


def drift_section(long: Long) -> Section:
    """First and last segment's Total, and the slope per minute of every measure."""
    rows = []
    slopes = long.drift.set_index(["roll", "system", "measure"])
    for roll in long.rolls:
        for system in long.systems:
            first, last = (f"{100 * x:.1f}" for x in long.start_and_end(system, roll, "total"))
            cells = [_slope(slopes, (roll, system, m)) for m in NAMES]
            trained = (str(slopes.loc[(roll, system, "total"), column]) for column in ("seeds", "n"))
            rows.append((f"{roll:g} s", system, *trained, first, last, *cells))
    columns = (
        *(("", c) for c in ("Roll", "System", "Training seeds", "Clips")),
        *(("Total, %", c) for c in ("first", "last")),
        *(("Change per minute", name) for name in NAMES.values()),
    )
    return Section(NAME, "Long videos: what changes as they go on", columns, tuple(rows))


def _slope(slopes: pd.DataFrame, key: tuple) -> str:
    if key not in slopes.index:
        return render.DASH
    row, scale = slopes.loc[key].copy(), SCALE[key[2]]
    row["measure"] = key[2]
    form = partial(signed, digits=3 if key[2] == "motion_amplitude" else 2)
    said = with_range(*(scale * row[c] for c in ("slope", "low", "high")), form)
    return ", ".join(filter(None, (said, trend_of(row))))


def pair_sections(pairs: pd.DataFrame) -> tuple[Section, ...]:
    if pairs.empty:
        return ()
    rows = tuple(
        (
            f"{r['roll']:g} s",
            f"{r['system']} − {r['reference']}",
            NAMES[r["measure"]],
            with_range(*(SCALE[r["measure"]] * r[c] for c in ("difference", "low", "high")), signed),
            p_value(r["p_holm"]),
            told(r["difference"], r["p_holm"], r["n"], r["seeds"], ("higher", "lower")),
        )
        for r in pairs.to_dict("records")
    )
    labels = ("Roll", "Systems", "Measure", "Difference of the means over time", "p (Holm)", "Verdict")
    caption = "Long videos: paired differences; the cyclic schedule against the one that repeats its last digit"
    return (Section(f"{NAME}-pairs", caption, tuple(("", x) for x in labels), rows),)


def pace_section(long: Long) -> Section:
    rows = []
    for system in long.pace["system"].unique():
        latency, seconds, memory, cache = (
            long.clocked[system, m] for m in ("chunk_latency_s", "seconds_change", "memory_mib_change", "cache_bytes")
        )
        rows.append(
            (
                system,
                str(latency.n),
                with_range(*(1000 * x for x in (latency.value, latency.low, latency.high)), significant),
                *(with_range(*(100 * x for x in (r.value, r.low, r.high)), signed) for r in (seconds, memory)),
                f"{cache.value / 2**20:.2f}",
            )
        )
    labels = ("System", "Chunks", "Latency of a chunk, ms", "its change, %", "Change of memory in use, %", "Cache, MiB")
    caption = "Long videos: latency and memory of a chunk, once the window is full"
    return Section(f"{NAME}-pace", caption, tuple(("", x) for x in labels), tuple(rows))


def student_record(long: Long) -> records.Record:
    """One that is of a student: real clips may have been read elsewhere."""
    return next(r for r in long.measured if r.run_id != REAL)


def notes(long: Long, profile: str) -> tuple[str, ...]:
    clock = next(iter(long.clocked.values()))
    text = reading(profile)
    lines = [
        f"{text[0].upper()}{text[1:]}.",
        f"Scored segment by segment, each as long as the videos of training; evaluated on "
        f"{student_record(long).device}.",
        "Change per minute: slope of a least-squares line through the segments, [95% bootstrap interval over prompts "
        "and training seeds; with one training seed over prompts alone, the training itself is then not repeated]; "
        f"rises or falls where p, Holm-adjusted over {long.drift['p_holm'].notna().sum()} slopes of systems with "
        f"several training seeds, is below 0.05; with fewer than {FEWEST} videos an interval is too narrow for a "
        "verdict. "
        "The distance is that of a training seed's clips of a segment, averaged over the seeds; it has no verdict. "
        "– where none was measured.",
        "A caption of the sprite world tells of one motion, which a frame cannot hold for long: Text may fall without "
        "any fault in the pictures.",
        f"Latency: median [quartiles] at batch 1 on {clock.device}, decoding included; changes over the whole video: "
        "Theil–Sen slope [95% interval] relative to the median; memory: what PyTorch has given out on a GPU, of the "
        "whole process elsewhere. One run a system, whose chunks are not independent: these intervals leave out how "
        "much runs differ, and decide nothing.",
        "Where claims.md judges the same, its verdict counts: it has its own number of comparisons, and a margin where "
        "one was fixed before the scores were seen.",
    ]
    if long.absent:
        lines.append(f"Not measured, for want of a checkpoint: {', '.join(long.absent)}.")
    return tuple(lines)


def drifts(long: Long, roll: float) -> str:
    """What drifts?"""
    rows = long.drift[long.drift["roll"] == roll].assign(verdict=lambda d: d.apply(trend_of, axis=1))
    parts = []
    for system in long.systems:
        mine = rows[(rows["system"] == system) & rows["measure"].isin(NAMES)]
        moving = [
            f"{r.measure.replace('_', ' ')} {r.verdict}" for r in mine.itertuples() if r.verdict in ("rises", "falls")
        ]
        once = ONE_SEED in set(mine["verdict"])
        parts.append(f"{system}: {', '.join(moving) or (ONE_SEED if once else 'no drift resolved')}")
    videos = " to ".join(f"{n:.0f}" for n in sorted({rows["n"].min(), rows["n"].max()}))
    return f"Over {roll:g} s (n = {videos} videos a system): " + "; ".join(parts) + "."


def cyclic(pairs: pd.DataFrame) -> str:
    """Is it better to repeat the schedule or its last digit?"""
    rows = pairs[(pairs["system"] == "diagonal_cyclic") & (pairs["measure"] == "total")] if len(pairs) else pairs
    parts = [
        f"{r.roll:g} s {with_range(100 * r.difference, 100 * r.low, 100 * r.high, signed)} points of Total"
        for r in rows.itertuples()
    ]
    return f"Repeating the schedule less repeating its last digit: {'; '.join(parts) or 'not measured'}."


def steady(long: Long) -> str:
    """Are latency and memory constant?"""
    parts = [
        f"{s} latency {signed(100 * long.clocked[s, 'seconds_change'].value, 1)}%, memory "
        f"{signed(100 * long.clocked[s, 'memory_mib_change'].value, 1)}%"
        for s in long.pace["system"].unique()
    ]
    return f"Change over the video, of the median: {'; '.join(parts)}; the cache never grows."


def shows(long: Long) -> str:
    """What the stills show."""
    roll = long.rolls[-1]
    told = ", ".join(
        f"{s} {100 * first:.1f}% to {100 * last:.1f}%"
        for s in long.systems
        for first, last in [long.start_and_end(s, roll, "total")]
    )
    return f"The same prompts and noise in every row; Total from the first segment to the last, all prompts: {told}."
