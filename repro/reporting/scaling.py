"""Records of `scaling iteration` and `scaling generation` → one table each: what more GPUs give.

Every GPU has as much to do on any number of them, so the efficiency is the time of one divided by that of all.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from repro.errors import ReproError
from repro.files import write_text
from repro.reporting import records, render
from repro.reporting.render import DASH, Document, Section, significant, with_range

VBENCH_VIDEOS = 946 * 5
CLUSTER = 64
"""GPUs for which the evaluation is projected."""
NAME = re.compile(r"(?P<what>.+)_gpus_(?P<gpus>\d+)")
PIECES = ("rollout_s", "critic_s", "scores_s", "student_s", "optimizer_s")
RANDOM = "Random weights: nothing here speaks of quality."


@dataclass(frozen=True)
class Scaling:
    """Metrics of every (what, GPUs) as records, of one kind of device."""

    found: dict[tuple[str, int], records.Keyed]
    device: str

    def rows(self, generation: bool) -> list[tuple[str, int]]:
        return sorted(key for key in self.found if (key[0] == "generate") == generation)

    def value(self, key: tuple[str, int], metric: str) -> float:
        return self.found[key][metric].value


def load(folder: Path) -> Scaling:
    """Every `*.json` of a folder. Raises ReproError where there is none, and for devices that differ."""
    read = records.of_one_device(folder, "measure them with torchrun -m repro scaling iteration, on GPUs")
    found: dict[tuple[str, int], records.Keyed] = {}
    for r in read:
        name = NAME.fullmatch(r.run_id)
        if name is None:
            raise ReproError(f"{folder}: run_id {r.run_id!r} is none of the verb `scaling`: move its records elsewhere")
        key = name["what"], int(name["gpus"])
        found.setdefault(key, records.Keyed({}, f"{folder}, {r.run_id},"))[r.metric] = r
    return Scaling(found, read[0].device)


def efficiency(scaling: Scaling, key: tuple[str, int]) -> float | None:
    """Time of one GPU over the time of all, each GPU having as much to do; None without a record of one."""
    what, gpus = key
    one, each = (what, 1), "videos_per_s" if what == "generate" else "videos_per_gpu"
    if one not in scaling.found:
        return None
    if what == "generate":
        return scaling.value(key, each) / (gpus * scaling.value(one, each))
    if scaling.value(one, each) != scaling.value(key, each):
        raise ReproError(
            f"{what}: {scaling.value(one, each):.0f} videos on one GPU and {scaling.value(key, each):.0f} on each of "
            f"{gpus}: measure both with the same --videos"
        )
    return scaling.value(one, "seconds_per_iteration") / scaling.value(key, "seconds_per_iteration")


def frame(scaling: Scaling) -> pd.DataFrame:
    """One row a measurement, all its metrics, and the efficiency."""
    rows = []
    for key in sorted(scaling.found):
        row = {"what": key[0], "gpus": key[1], "efficiency": efficiency(scaling, key)}
        rows.append(row | {m: r.value for m, r in scaling.found[key].items() if m != "gpus"})
    return pd.DataFrame(rows)


def _number(value: float | None, scale: float = 1.0) -> str:
    return DASH if value is None else significant(value * scale)


def iteration_section(scaling: Scaling) -> Section:
    columns = ("Student", "GPUs", "Videos", "Seconds an iteration", "Efficiency, %", "Memory, GB", "Reserved, GB")
    columns += ("Share of bf16 peak, %", "recomputed forwards counted, %", "One rollout, s", "Critic update, s")
    columns += ("Scores, s", "Student update, s", "Optimiser, s")
    rows = []
    for key in scaling.rows(generation=False):
        seconds, value = scaling.found[key]["seconds_per_iteration"], lambda m, key=key: scaling.value(key, m)
        cells = [key[0], str(key[1]), f"{key[1] * value('videos_per_gpu'):.0f}"]
        cells += [with_range(seconds.value, seconds.low, seconds.high, significant)]
        cells += [_number(efficiency(scaling, key), 100), _number(value("memory_gb")), _number(value("reserved_gb"))]
        cells += [_number(value("share_of_peak"), 100), _number(value("share_of_peak_recomputed"), 100)]
        rows.append((*cells, *(_number(value(piece)) for piece in PIECES)))
    caption = f"A distillation iteration at paper scale, on {scaling.device}"
    return Section("scaling-iteration", caption, tuple(("", c) for c in columns), tuple(rows))


def generation_section(scaling: Scaling) -> Section:
    columns = ("GPUs", "Videos", "Seconds", "Videos a second", "Efficiency, %", "Start, s")
    rows = []
    for key in scaling.rows(generation=True):
        value = lambda m, key=key: scaling.value(key, m)  # noqa: E731
        cells = [str(key[1]), f"{value('videos'):.0f}", significant(value("wall_s"))]
        cells += [significant(value("videos_per_s")), _number(efficiency(scaling, key), 100)]
        rows.append((*cells, significant(value("start_s"))))
    caption = f"Videos generated in shards, on {scaling.device}"
    return Section("scaling-generation", caption, tuple(("", c) for c in columns), tuple(rows))


def projection(scaling: Scaling) -> str:
    """Hours that the cluster needs for VBench's videos, with the arithmetic: from the most GPUs measured."""
    key = scaling.rows(generation=True)[-1]
    each, start = key[1] / scaling.value(key, "videos_per_s"), scaling.value(key, "start_s")
    shard = math.ceil(VBENCH_VIDEOS / CLUSTER)
    seconds = start + shard * each
    one = start + VBENCH_VIDEOS * each
    return (
        f"Projected, not measured: 946 prompts × 5 = {VBENCH_VIDEOS} videos on {CLUSTER} GPUs are shards of "
        f"⌈{VBENCH_VIDEOS} / {CLUSTER}⌉ = {shard} videos; {start:.1f} s to start + {shard} × {each:.3f} s = "
        f"{seconds:.0f} s = {seconds / 60:.1f} min, where one GPU needs {one / 3600:.2f} h: {one / seconds:.1f}× as "
        f"fast. Per-video seconds are those of {key[1]} GPUs side by side."
    )


def notes(scaling: Scaling) -> tuple[str, ...]:
    lines = [RANDOM]
    if scaling.rows(generation=False):
        lines.append(
            "An iteration: five rollouts and critic updates, a sixth rollout and the student's update, both optimisers "
            "and the moving average. Median [quartiles]; the pieces are single runs. Efficiency: time on one GPU over "
            "time on all, with as many videos a GPU. Peak: FLOP of forwards and backwards; what checkpointing does "
            "again is counted only where it says so."
        )
    generated = scaling.rows(generation=True)
    if generated:
        written = all(scaling.value(key, "written") for key in generated)
        lines += [
            "Generated, decoded, copied to the host" + (" and written as .mp4." if written else "; not written."),
            projection(scaling),
        ]
    return tuple(lines)


def build(folder: Path, out: Path) -> list[Path]:
    """Write `tables/scaling.{csv,md,html,tex}`."""
    scaling = load(folder)
    sections = []
    if scaling.rows(generation=False):
        sections.append(iteration_section(scaling))
    if scaling.rows(generation=True):
        sections.append(generation_section(scaling))
    document, stem = Document(tuple(sections), notes(scaling)), Path(out) / "tables" / "scaling"
    data = frame(scaling).assign(device=scaling.device, weights="random")
    texts = {
        ".csv": data.to_csv(index=False, float_format="%.6g"),
        ".md": render.markdown(document),
        ".html": render.html(document),
        ".tex": render.latex(document),
    }
    return [write_text(stem.with_suffix(end), text) for end, text in texts.items()]
