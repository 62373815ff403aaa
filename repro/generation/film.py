"""A video file from prompts: frames are written as their chunk is decoded, prompts may change between chunks."""

import csv
import json
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.progress import Progress

from repro.errors import ReproError
from repro.evaluation.sampling import to_uint8
from repro.files import read_text, write_atomic
from repro.generation.noise import prompt_noise
from repro.generation.studio import Studio
from repro.geometry import Geometry
from repro.reporting.records import code_hash

LONGEST = 3600
"""Seconds of a video."""


class Cue(NamedTuple):
    """A prompt, and the second from which it holds."""

    second: float
    prompt: str


def read_cues(path: Path) -> list[Cue]:
    """Lines `second,prompt`; the first begins at 0 and seconds grow. Raises ReproError naming the line."""
    text = read_text(path, "write lines such as 2.5,a small red star").removeprefix("\ufeff")
    try:
        rows = list(csv.reader(text.splitlines()))
    except csv.Error as error:
        raise ReproError(f"{path} holds no lines such as 2.5,a small red star: {error}") from error
    cues: list[Cue] = []
    for number, row in enumerate(rows, start=1):
        if not row:
            continue
        try:
            # A caption may hold commas of its own.
            cue = Cue(float(row[0]), ",".join(row[1:]).strip())
            if not math.isfinite(cue.second):
                raise ValueError
        except ValueError:
            raise ReproError(
                f"{path}, line {number}: {row[0]!r} is no time in seconds; write 2.5,a small red star"
            ) from None
        if not cue.prompt:
            raise ReproError(f"{path}, line {number}: no prompt after {row[0]!r}; write 2.5,a small red star")
        if cue.second < 0 or (cues and cue.second <= cues[-1].second):
            raise ReproError(f"{path}, line {number}: {row[0]} s must come after the line before it")
        cues.append(cue)
    if not cues or cues[0].second != 0:
        raise ReproError(f"{path}: the first line must begin at 0, such as 0,a small red star moves left over stripes")
    return cues


def frames_for(geometry: Geometry, seconds: float) -> int:
    """Video frames of the fewest whole chunks that last at least `seconds`. Raises ReproError where there are none."""
    if not (math.isfinite(seconds) and seconds > 0):
        raise ReproError(f"a video cannot last {seconds:g} seconds; give its length, such as 20")
    if seconds > LONGEST:
        raise ReproError(f"a video of {seconds:g} seconds is too long; give at most {LONGEST}")
    chunk, chunks = geometry.chunk_frames, 1
    while geometry.video_frames(0, chunks * chunk) < seconds * geometry.fps:
        chunks += 1
    return geometry.video_frames(0, chunks * chunk)


def cue_of_chunk(cues: Sequence[Cue], geometry: Geometry, chunk: int) -> int:
    """Index of the prompt that holds when the chunk's first frame is shown."""
    shown = geometry.video_frames(0, chunk * geometry.chunk_frames) if chunk else 0
    return max(i for i, cue in enumerate(cues) if cue.second * geometry.fps <= shown)


def require_all_shown(cues: Sequence[Cue], geometry: Geometry) -> None:
    """Raise ReproError for the first prompt that no chunk shows."""
    held = {cue_of_chunk(cues, geometry, k) for k in range(geometry.chunks)}
    for i, cue in enumerate(cues):
        if i not in held:
            starts = [
                geometry.video_frames(0, k * geometry.chunk_frames) / geometry.fps for k in range(1, geometry.chunks)
            ]
            told = ", ".join(f"{second:.2f}" for second in starts[:8]) + (" …" if len(starts) > 8 else "")
            raise ReproError(
                f"prompt at {cue.second:g} s would not be shown: a chunk takes the last prompt before its first frame, "
                f"and after 0 s chunks start at {told} s. Move the prompt, or make the video longer"
            )


class Writer:
    """H.264 in MP4, frames as they come; `crf` from 18, hardly a loss, to 51.

    The file says that it is synthetic and which code made it, and what `about` adds, as JSON in its comment.
    """

    def __init__(self, path: Path, geometry: Geometry, scale: int, crf: int = 18, about: dict | None = None):
        import av

        self.av, self.scale = av, scale
        self.container = av.open(str(path), "w", format="mp4")
        said = {"synthetic": True, "code": code_hash()} | (about or {})
        self.container.metadata["comment"] = json.dumps(said, ensure_ascii=False)
        self.stream = self.container.add_stream("libx264", rate=Fraction(geometry.fps))
        self.stream.width, self.stream.height = geometry.width * scale, geometry.height * scale
        self.stream.pix_fmt, self.stream.options = "yuv420p", {"crf": str(crf)}

    def write(self, frames_F3HW: np.ndarray) -> None:
        for frame in frames_F3HW.transpose(0, 2, 3, 1).repeat(self.scale, 1).repeat(self.scale, 2):
            picture = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            self.container.mux(self.stream.encode(picture))

    def close(self) -> None:
        self.container.mux(self.stream.encode())
        self.container.close()


@torch.inference_mode()
def film(
    studio: Studio,
    cues: Sequence[Cue],
    out: Path,
    *,
    frames: int,
    seed: int,
    scale: int,
    crf: int = 18,
    recaches: bool = False,
) -> Path:
    """Write `out`; the same arguments give the same video.

    At a chunk where the prompt changes, the cross-attention cache is that of the new prompt; the self-attention
    cache stays, or is computed again under it with `recaches`. Raises ReproError for a prompt that the text encoder
    cannot read, and for one that no chunk would show.
    """
    if Path(out).suffix != ".mp4":
        raise ReproError(f"--out {out}: videos are written as .mp4")
    contexts, generator = studio.contexts([cue.prompt for cue in cues]), studio.generator(frames=frames)
    geometry, cache = generator.geometry, generator.cache(1)
    require_all_shown(cues, geometry)

    about = {"prompts": cues, "seed": seed, "scale": studio.scale.name, "run": studio.run.model_dump(mode="json")}

    def write(temporary: Path) -> None:
        writer = Writer(temporary, geometry, scale, crf, about=about)
        with Progress() as progress:
            task = progress.add_task("chunks", total=geometry.chunks)

            def on_frames(chunk: int, video: torch.Tensor) -> None:
                writer.write(to_uint8(video[0]))
                progress.advance(task)

            noise = prompt_noise(seed, [0], geometry, studio.device)
            generator.stream(
                lambda k: contexts[cue_of_chunk(cues, geometry, k)], noise, cache, on_frames, recaches=recaches
            )
        writer.close()

    return write_atomic(Path(out), write)
