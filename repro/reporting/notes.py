"""Sentences about a table, made from its data: names, how to read it, what speaks against what."""

from collections.abc import Iterable

import pandas as pd

from repro.config import Run, load_students
from repro.reporting.gather import Gathered

NAMES = {
    "temporal": "Temporal, %",
    "frame": "Frame, %",
    "text": "Text, %",
    "quality": "Quality, %",
    "semantic": "Semantic, %",
    "total": "Total, %",
    "motion_amplitude": "Motion, % of real",
    "first_frame_latency_s": "First frames, s",
    "in_flight_latency_s": "In-flight latency, s",
    "throughput_fps": "Throughput, frame/s",
}
"""Metric → the name and unit a reader sees."""
NAMES |= {
    f"{metric}_{part}": form.format(*NAMES[metric].split(", "))
    for metric in ("temporal", "frame", "text", "total", "motion_amplitude")
    for part, form in (
        ("first", "First chunk's {}, {}"),
        ("last", "Last chunk's {}, {}"),
        ("slope", "Slope of {}, points a chunk"),
    )
}

_READING = {
    "mini": "mini numbers are compared with the paper in direction, not in value: another model, another "
    "world, measures of the same names",
    "wan": "wan timings are compared with the paper in value; its quality needs real weights",
    "smoke": "smoke numbers show that the workflow runs; they are compared with nothing",
}


def reading(profile: str) -> str:
    """How numbers of a profile may be compared with the paper's."""
    return _READING.get(profile, f"profile {profile}: compare with the paper in direction, not in value")


def notes(gathered: Gathered, printed: dict, quality: pd.DataFrame) -> tuple[str, ...]:
    """What a reader needs beside the numbers."""
    seeds = gathered.seeds
    plural = "s" if len(seeds) > 1 else ""
    covers = "prompts and training seeds" if plural else "prompts only, the training itself is not repeated"
    how = reading(gathered.profile)
    lines = [
        f"{how[0].upper()}{how[1:]}.",
        f"Profile {gathered.profile}: {gathered.prompts} held-out prompts, {len(seeds)} training "
        f"seed{plural} ({', '.join(map(str, seeds))}), the same prompts and noise in every row.",
        f"Quality, ours: mean [95% bootstrap interval over {covers}], in percent; evaluated on "
        f"{gathered.quality_device}.",
        f"Timing, ours: median [quartiles] of {gathered.timing_runs} interleaved runs at batch 1 on "
        f"{gathered.timing_device}, decoding included; the paper's: one NVIDIA H100 at 832×480.",
        "Paper NFE is 2·Σ(steps), equal within a schedule; forwards are the transformer calls made, cache "
        "passes included.",
        *trained_at(gathered.runs),
        f"Paper: {', '.join(dict.fromkeys(cell.source for cell in printed.values()))}.",
    ]
    if not quality.empty:
        lines += _verdict_notes(quality)
    return tuple(lines)


def trained_at(runs: Iterable[Run]) -> list[str]:
    """Which students some rows run on other steps than those that they were trained on; no line where none is."""
    students = load_students()
    own = {r.student: students[r.student].schedule for r in runs if r.student in students and r.schedule}
    other = dict.fromkeys(r.student for r in runs if own.get(r.student, r.schedule) != r.schedule)
    if not other:
        return []
    told = " and ".join(f"{s} at {own[s]}" for s in other)
    return [f"Trained once for all their schedules: {told}; on other steps than its own a student may stand worse."]


def _verdict_notes(quality: pd.DataFrame) -> list[str]:
    counts = quality["verdict"].value_counts()
    told = ", ".join(f"{counts.get(v, 0)} {v}" for v in ("reproduced", "contradicted", "unresolved"))
    lines = [
        f"Paired differences over the same prompts and seeds, p values Holm-adjusted over {len(quality)} "
        f"comparisons: {told}."
    ]
    against = quality[quality["paper_difference"] < 0]
    if len(against):
        cells = ", ".join(f"{r.schedule} {r.metric}" for r in against.itertuples())
        lines.append(f"The paper's own numbers speak against its claim in: {cells}.")
    return lines
