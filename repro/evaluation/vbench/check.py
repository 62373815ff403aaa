"""Is a set of videos whole? Every fault is named; a set with faults is never scored."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from repro.errors import ReproError
from repro.evaluation.vbench.plan import Entry, PlanSettings
from repro.files import sha256

SHOWN = 10
"""Faults of a kind that the message lists; the table counts them all."""
LONG_SECONDS = 5.0
"""From here on VBench's own advice is VBench-Long."""


@dataclass(frozen=True)
class Probe:
    """What a video file is: its packets are counted, so that a cut file is not taken at its word."""

    frames: int
    fps: float
    width: int
    height: int
    comment: str


@dataclass(frozen=True)
class Fault:
    kind: str
    file: str
    what: str


def probe(path: Path) -> Probe:
    """Raises ReproError where the file is no video or ends early."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frames = sum(1 for packet in container.demux(stream) if packet.size)
            return Probe(
                frames,
                float(stream.average_rate or 0),
                stream.width,
                stream.height,
                container.metadata.get("comment", ""),
            )
    except (av.FFmpegError, IndexError, OSError) as error:
        raise ReproError(f"{path} is no whole video ({error}): make it again") from error


def read_clip(path: Path) -> np.ndarray:
    """Frames as OpenCV decodes them, and VBench with it: uint8 [frames, 3, height, width], RGB."""
    import cv2

    video, frames = cv2.VideoCapture(str(path)), []
    while True:
        more, frame = video.read()
        if not more:
            break
        frames.append(frame[..., ::-1])
    video.release()
    if not frames:
        raise ReproError(f"{path} holds no frame that OpenCV can read: make it again")
    return np.stack(frames).transpose(0, 3, 1, 2)


def made_by(comment: str) -> dict:
    """How a video says it was made (`generate` writes it); empty for videos from elsewhere."""
    try:
        value = json.loads(comment)
    except ValueError:
        return {}
    return value if isinstance(value, dict) and "digest" in value else {}


def faults(settings: PlanSettings, entries: list[Entry], videos: Path) -> tuple[list[Fault], dict]:
    """Everything that keeps these videos from being scored, and how the set says it was made."""
    videos = Path(videos)
    present = sorted(p.name for p in videos.iterdir()) if videos.is_dir() else []
    planned = {e.file: e for e in entries}
    found = [
        Fault("missing", e.file, f"prompt {e.prompt!r}, sample {e.sample}") for e in entries if e.file not in present
    ]
    found += [
        Fault("unexpected", name, "the plan has no such video")
        for name in present
        if name not in planned and not name.startswith(".")
    ]
    contents, makers = defaultdict(list), defaultdict(list)
    there = [name for name in present if name in planned]
    for name in track(there, "checking videos", disable=len(there) < 100):
        try:
            seen = probe(videos / name)
        except ReproError as error:
            found.append(Fault("broken", name, str(error)))
            continue
        found += _wrong(settings, name, seen)
        contents[sha256(videos / name)].append(name)
        made = made_by(seen.comment)
        if made and made["digest"] != planned[name].digest:
            found.append(Fault("other plan", name, "it was made for another prompt, sample or seed"))
        makers[json.dumps({k: v for k, v in made.items() if k != "digest"}, sort_keys=True)].append(name)
    found += [
        Fault("duplicate", name, f"the same bytes as {names[0]}") for names in contents.values() for name in names[1:]
    ]
    common = max(makers, key=lambda k: len(makers[k]), default="{}")
    for maker, names in makers.items():
        if maker != common:
            found += [Fault("mixed", name, f"made by {maker}, most others by {common}") for name in names]
    return found, json.loads(common)


def _wrong(settings: PlanSettings, name: str, seen: Probe) -> list[Fault]:
    found = []
    if seen.frames != settings.frames:
        found.append(Fault("wrong length", name, f"{seen.frames} frames, not {settings.frames}"))
    if abs(seen.fps - settings.fps) > 1e-3:
        found.append(Fault("wrong frame rate", name, f"{seen.fps:g} frames a second, not {settings.fps}"))
    if (seen.width, seen.height) != (settings.width, settings.height):
        size = f"{settings.width}×{settings.height}"
        found.append(Fault("wrong size", name, f"{seen.width}×{seen.height}, not {size}"))
    return found


def require_whole(settings: PlanSettings, entries: list[Entry], videos: Path, console: Console | None = None) -> dict:
    """How the set was made. Raises ReproError that counts the faults and names the first of every kind."""
    found, maker = faults(settings, entries, videos)
    if not found:
        return maker
    kinds = defaultdict(list)
    for fault in found:
        kinds[fault.kind].append(fault)
    if console is not None:
        table = Table("fault", "videos", title=f"{videos}: {len(entries)} videos planned")
        for kind, rows in kinds.items():
            table.add_row(kind, str(len(rows)))
        console.print(table)
    lines = [f"{videos} is not what the plan says; nothing is scored until it is:"]
    for kind, rows in kinds.items():
        lines += [f"  {kind}: {fault.file} ({fault.what})" for fault in rows[:SHOWN]]
        if len(rows) > SHOWN:
            lines.append(f"  {kind}: and {len(rows) - SHOWN} more")
    raise ReproError("\n".join(lines))
