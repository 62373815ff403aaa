"""Clips, a contact sheet and scores of one model on held-out prompts: samples tell more than losses."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from repro.config import Profile, Run
from repro.evaluation import metrics
from repro.evaluation.quality import clip_features, load_judge, score_clips
from repro.evaluation.sampling import load_decoder, to_uint8
from repro.files import write_json
from repro.generation.noise import prompt_noise, whole_video
from repro.generation.samplers import euler
from repro.generation.student import Generator, load_dit
from repro.models import weights
from repro.reporting.figures import contact_sheet
from repro.training.data import pixel_pool, split_scenes
from repro.training.teacher import autocast, load_teacher

SHEET_ROWS, SHEET_COLUMNS = 12, 9

Make = Callable[[Sequence[int]], torch.Tensor]
"""Prompt numbers → decoded video [B, frames, 3, height, width] in [0, 1]."""


def _reconstruction(profile: Profile, run: Run, scenes: list, checkpoints: Path, device) -> Make:
    codec = load_decoder(profile, "full", checkpoints, device)
    decoder = load_decoder(profile, run.decoder, checkpoints, device)

    def make(ids: Sequence[int]) -> torch.Tensor:
        video = pixel_pool([scenes[i] for i in ids], profile, device).float() / 255
        return decoder.decode(codec.encode(video))

    return make


def _teacher(profile: Profile, run: Run, scenes: list, checkpoints: Path, device, steps: int) -> Make:
    teacher, encoder = load_teacher(profile, checkpoints, device)
    decoder, flow = load_decoder(profile, run.decoder, checkpoints, device), profile.flow

    def make(ids: Sequence[int]) -> torch.Tensor:
        noise = whole_video(prompt_noise(profile.evaluation.seed, ids, profile.geometry, device), profile.geometry)
        with autocast(device):
            texts = (encoder([scenes[i].caption for i in ids]), encoder([""] * len(ids)))
            contexts = [teacher.text_context(t) for t in texts]
            x0, _ = euler(teacher, noise, *contexts, steps=steps, shift=flow.shift, guidance=flow.guidance)
        return decoder.decode(x0)

    return make


def _causal(profile: Profile, run: Run, scenes: list, checkpoints: Path, device, name: str) -> Make:
    _, encoder = load_teacher(profile, checkpoints, device)
    model = load_dit(profile, name, checkpoints, device)
    generator = Generator(profile, run, model, load_decoder(profile, run.decoder, checkpoints, device), device)

    def make(ids: Sequence[int]) -> torch.Tensor:
        noise = prompt_noise(profile.evaluation.seed, ids, generator.geometry, device)
        return generator(encoder([scenes[i].caption for i in ids]), noise, generator.new_cache(len(ids)))

    return make


@torch.inference_mode()
def clips_of(
    profile: Profile, source: str, run: Run, checkpoints: Path, count: int, steps: int, device
) -> tuple[np.ndarray, list[str]]:
    """Clips uint8 [count, frames, 3, height, width] of the held-out prompts, and the prompts.

    `source` is `real`, `reconstruction`, `teacher` (bidirectional, `steps` Euler steps), or the name
    of a causal checkpoint, which generates as `run` says.
    """
    scenes = split_scenes("prompts", profile, count)
    common = (profile, run, scenes, checkpoints, device)
    match source:
        case "real":

            def make(ids):
                return pixel_pool([scenes[i] for i in ids], profile, device).float() / 255
        case "reconstruction":
            make = _reconstruction(*common)
        case "teacher":
            make = _teacher(*common, steps)
        case _:
            make = _causal(*common, source)
    batch = profile.evaluation.batch
    parts = [to_uint8(make(range(start, min(start + batch, count)))) for start in track(range(0, count, batch), source)]
    return np.concatenate(parts), [s.caption for s in scenes]


def preview(
    profile: Profile, source: str, run: Run, checkpoints: Path, count: int, steps: int, out: Path, device
) -> dict[str, float]:
    """Write `<out>.png` and `<out>.json`; returns the scores: means of every measure, distances to real clips.

    The scores are for looking while one trains. They carry no interval and enter no table.
    """
    clips, captions = clips_of(profile, source, run, checkpoints, count, steps, device)
    judge = load_judge(checkpoints, device)
    scores = metrics.aggregate(score_clips(judge, clips, captions, source, device)).mean().to_dict()
    real, _ = weights.load(Path(checkpoints) / "real.safetensors")
    features, reference = clip_features(judge, clips, device), real["features"].numpy()
    scores |= {
        "clips": float(count),
        "kernel_distance": metrics.kernel_distance(features, reference),
        "frechet": metrics.frechet(features, reference),
        "real_frechet": metrics.frechet(reference[::2], reference[1::2]),
    }
    contact_sheet(clips[:SHEET_ROWS], Path(out).with_suffix(".png"), SHEET_COLUMNS)
    write_json(Path(out).with_suffix(".json"), {"source": source, "captions": captions[:SHEET_ROWS]} | scores)
    return scores
