"""The planned videos of one system: batch by batch, in shards, each video whole or not there at all."""

import json
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress

from repro.config import Scale
from repro.engine.options import EngineOptions
from repro.errors import ReproError
from repro.evaluation.vbench.check import made_by, probe
from repro.evaluation.vbench.loader import Loader, encode
from repro.evaluation.vbench.plan import Entry, PlanSettings
from repro.evaluation.vbench.systems import VBenchSystem
from repro.files import write_atomic
from repro.generation.film import Writer
from repro.generation.noise import prompt_noise
from repro.geometry import Geometry
from repro.reporting import records

TEXT_BATCH = 8


def write_video(path: Path, frames_F3HW: np.ndarray, geometry: Geometry, comment: dict) -> Path:
    """One .mp4 that says by itself how it was made."""

    def write(temporary: Path) -> None:
        writer = Writer(temporary, geometry, 1)
        writer.container.metadata["comment"] = json.dumps(comment, sort_keys=True)
        writer.write(frames_F3HW)
        writer.close()

    return write_atomic(path, write)


def remaining(entries: list[Entry], out: Path, maker: dict) -> list[Entry]:
    """Those that are not there yet. Raises ReproError for a video that is there and was made otherwise."""
    left = []
    for entry in entries:
        path = Path(out) / entry.file
        if not path.exists():
            left.append(entry)
            continue
        made = made_by(probe(path).comment)
        if made != maker | {"digest": entry.digest}:
            raise ReproError(
                f"{path} was made by {made or 'something else'}, and not as asked for now ({maker}): one set is made "
                "in one way. Choose another folder, or delete the old videos"
            )
    return left


def generate(
    scale: Scale,
    system: VBenchSystem,
    settings: PlanSettings,
    entries: list[Entry],
    weights: Path,
    out: Path,
    *,
    batch: int,
    engine: EngineOptions,
    device: str,
    negative: str = "",
) -> int:
    """Write what is missing of `entries` to `out`; returns how many.

    The same plan gives the same videos in any batch, order or shard, up to the rounding of the device's kernels.
    Raises ReproError for weights that are missing or do not fit, and for videos that were made otherwise.
    """
    geometry = scale.geometry
    planned = (settings.frames, settings.fps, settings.width, settings.height)
    if planned != (geometry.frames, geometry.fps, geometry.width, geometry.height):
        raise ReproError(
            f"the plan is for frames, FPS, width, height {planned}, not for profile {scale.name}: plan again"
        )
    loader = Loader(scale, system, weights, device)
    maker = {
        "system": system.system,
        "weights": loader.hashes(),
        "engine": engine.engine,
        "negative": negative,
        "code": records.code_hash()[:16],
        "device": records.device_name(device),
        "torch": torch.__version__,
    }
    left = remaining(entries, out, maker)
    if not left:
        return 0
    encoder = loader.text_encoder()
    words = list(dict.fromkeys([negative, *(e.generate for e in left)]))
    text = encode(encoder, words, TEXT_BATCH)
    # The encoder is the largest of the models, and done.
    del encoder
    sample = loader.sampler(engine, text[negative])
    with Progress() as progress:
        task = progress.add_task(system.system, total=len(left))
        for start in range(0, len(left), batch):
            part = left[start : start + batch]
            noise = prompt_noise(0, [e.seed for e in part], geometry, device)
            clips = sample(torch.stack([text[e.generate] for e in part]).to(device), noise)
            for entry, clip in zip(part, clips, strict=True):
                write_video(Path(out) / entry.file, clip, geometry, maker | {"digest": entry.digest})
                progress.advance(task)
    return len(left)
