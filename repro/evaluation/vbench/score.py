"""Scores of a checked set: one job of the real package a dimension, each kept and, if nothing changed, not repeated."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.progress import track

from repro.errors import ReproError
from repro.evaluation.vbench import clips, weights
from repro.evaluation.vbench.dimensions import STATIC_FILTER, load_dimensions, load_vbench_weights
from repro.evaluation.vbench.package import Package
from repro.evaluation.vbench.plan import SAMPLES, Entry, digest
from repro.files import sha256, write_json
from repro.reporting import records

Protocol = Literal["short", "long"]
"""VBench on whole videos, or VBench-Long on clips of them."""
READS_PROMPT = ("temporal_style", "overall_consistency")
"""Dimensions that compare the video with the prompt's words; all others use VBench's own annotations."""
MAY_SKIP = ("color",)
"""VBench leaves out videos in which it finds no object to have a colour."""
HUNDREDFOLD = ("imaging_quality",)
"""Scored from 0 to 100 for each video, and divided by 100 in the mean."""


class VideoScore(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    file: str
    prompt: str
    score: float


class Scored(BaseModel):
    """One dimension under one protocol, with all that it rests on."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    dimension: str
    protocol: Protocol
    score: float
    videos: list[VideoScore]
    skipped: int
    """Videos that the dimension's definition leaves out."""
    static: dict[str, int] | None
    """Static videos found of each prompt, where VBench's filter was applied."""
    fingerprint: str
    vbench: str
    scoring_prompt: str
    weights: dict[str, str]
    device: str
    made_by: dict


@dataclass(frozen=True)
class Job:
    """What all dimensions of one call share."""

    package: Package
    cache: Path
    out: Path
    device: str
    protocol: Protocol
    scoring_prompt: Literal["original", "extended"] = "original"
    static_filter: bool = True
    made_by: dict | None = None

    def path(self, dimension: str) -> Path:
        return Path(self.out) / self.protocol / f"{dimension}.json"

    def filters(self, dimension: str) -> bool:
        return self.static_filter and dimension == "temporal_flickering" and self.protocol == "short"


def planned_info(package: Package, entries: list[Entry], videos: Path, job: Job, dimension: str) -> list[dict]:
    """VBench's rows of a dimension with the videos of the plan."""
    by_row: dict[int, list[Entry]] = {}
    for entry in entries:
        if dimension in entry.dimensions.split():
            for row in entry.rows.split():
                by_row.setdefault(int(row), []).append(entry)
    info = []
    for number, found in sorted(by_row.items()):
        row = package.rows[number]
        if dimension not in row["dimension"]:
            continue
        # Without the filter, VBench reads the first five of the samples.
        used = [e for e in found if job.filters(dimension) or e.sample < SAMPLES]
        extended = job.scoring_prompt == "extended" and dimension in READS_PROMPT
        prompt = found[0].generate if extended else row["prompt_en"]
        info.append(row | {"prompt_en": prompt, "video_list": [str(Path(videos).absolute() / e.file) for e in used]})
    return info


def custom_info(videos: Path, dimension: str) -> list[dict]:
    """Any folder of .mp4 files, their names the prompts, as VBench's `custom_input`."""
    if not load_dimensions()[dimension].custom:
        raise ReproError(f"{dimension} needs VBench's own prompts: score a plan (--plan), or leave it out")
    found = sorted(Path(videos).absolute().glob("*.mp4"))
    if not found:
        raise ReproError(f"{videos} holds no .mp4 video")
    return [{"prompt_en": p.stem, "dimension": [dimension], "video_list": [str(p)]} for p in found]


def score(
    job: Job, dimensions: tuple[str, ...], info_of: Callable[[str], list[dict]], show: Callable[[str], None] = print
) -> list[Scored]:
    """Score dimensions in turn. What an earlier call scored from the same files and settings is read back.

    Raises ReproError for missing weights before the first, and for any video that comes back without a score.
    """
    infos = {name: info_of(name) for name in dimensions}
    keys = {name: fingerprint(job, name, infos[name]) for name in dimensions}
    kept = {name: _kept(job.path(name), keys[name]) for name in dimensions}
    todo = tuple(name for name in dimensions if kept[name] is None)
    weights.require((*todo, *([STATIC_FILTER] if any(map(job.filters, todo)) else [])), job.package, job.cache)
    results = []
    for name in dimensions:
        found = kept[name] or _score(job, name, infos[name], keys[name])
        show(f"{name}: {found.score:.4f} over {len(found.videos)} videos" + (" (kept)" if kept[name] else ""))
        results.append(found)
    return results


def fingerprint(job: Job, dimension: str, info: list[dict]) -> str:
    """Of everything that could change a score: files by name, size and time, weights, settings, package."""
    files = [(p, s.st_size, s.st_mtime_ns) for row in info for p in row["video_list"] for s in [Path(p).stat()]]
    prompts = [row["prompt_en"] for row in info]
    settings = (job.protocol, job.scoring_prompt, job.filters(dimension), job.device, job.package.version)
    return digest(dimension, files, prompts, settings, sorted(weight_hashes(job, dimension).items()))


def weight_hashes(job: Job, dimension: str) -> dict[str, str]:
    """sha256 of the weight files that are there."""
    used = {dimension, *([STATIC_FILTER] if job.filters(dimension) else [])}
    found = [w for w in load_vbench_weights() if used & set(w.dimensions.split())]
    return {w.name: sha256(Path(job.cache) / w.path) for w in found if (Path(job.cache) / w.path).is_file()}


def _kept(path: Path, key: str) -> Scored | None:
    try:
        found = Scored(**json.loads(path.read_text()))
    except (OSError, ValueError, ValidationError):
        return None
    return found if found.fingerprint == key else None


def _score(job: Job, dimension: str, info: list[dict], key: str) -> Scored:
    # Clip → its video; whole videos are their own.
    origin = {p: p for row in info for p in row["video_list"]}
    if job.protocol == "long":
        origin, info = _cut(job, dimension, info)
    order = {"dimension": dimension, "device": job.device, "info": info, "static_filter": job.filters(dimension)}
    log = Path(job.out) / "logs" / f"{job.protocol}_{dimension}.log"
    answer = job.package.score(order, job.cache, log)
    asked = [p for row in info for p in row["video_list"]]
    skipped = _skipped(dimension, asked, answer, job.filters(dimension))
    prompts = {origin[p]: row["prompt_en"] for row in info for p in row["video_list"]}
    scale = 100.0 if dimension in HUNDREDFOLD else 1.0
    parts: dict[str, list[float]] = {}
    for video in answer["videos"]:
        parts.setdefault(origin[video["video_path"]], []).append(video["video_results"] / scale)
    means = {path: sum(p) / len(p) for path, p in parts.items()}
    rows = [VideoScore(file=Path(p).name, prompt=prompts[p], score=v) for p, v in means.items()]
    result = Scored(
        dimension=dimension,
        protocol=job.protocol,
        # VBench-Long averages clips within a video, then videos (its reorganize_clips_results).
        score=answer["score"] if job.protocol == "short" else sum(means.values()) / len(means),
        videos=rows,
        skipped=skipped,
        static=answer["static"],
        fingerprint=key,
        vbench=job.package.version,
        scoring_prompt=job.scoring_prompt,
        weights=weight_hashes(job, dimension),
        device=records.device_name(job.device),
        made_by=job.made_by or {},
    )
    write_json(job.path(dimension), result.model_dump())
    return result


def _cut(job: Job, dimension: str, info: list[dict]) -> tuple[dict[str, str], list[dict]]:
    """Clips in place of videos, and the video of each."""
    seconds, origin, cut = load_dimensions()[dimension].clip_seconds, {}, []
    for row in track(info, f"{seconds} s clips for {dimension}", disable=len(info) < 100):
        parts = []
        for video in row["video_list"]:
            made = [str(p.absolute()) for p in clips.split(Path(video), seconds, Path(job.out) / "clips")]
            origin |= dict.fromkeys(made, video)
            parts += made
        cut.append(row | {"video_list": parts})
    return origin, cut


def _skipped(dimension: str, asked: list[str], answer: dict, filtered: bool) -> int:
    """How many videos have no score. Raises ReproError where the dimension's definition leaves none out."""
    if filtered:
        empty = [prompt for prompt, count in answer["static"].items() if count == 0]
        if empty:
            raise ReproError(
                f"{dimension}: no static video among the samples of {len(empty)} prompts, such as {empty[0]!r}. "
                "VBench's mean would leave them out; score without --static-filter and say so, or generate more"
            )
        return 0
    came = [v["video_path"] for v in answer["videos"]]
    missing = sorted(set(asked) - set(came))
    if missing and dimension not in MAY_SKIP:
        raise ReproError(f"{dimension}: VBench gave no score for {len(missing)} videos, such as {missing[0]}")
    if len(asked) - len(missing) != len(set(came)):
        raise ReproError(f"{dimension}: VBench gave {len(came)} scores for {len(asked)} videos")
    return len(missing)
