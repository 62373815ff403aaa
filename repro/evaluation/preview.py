"""Clips, a contact sheet and scores of one model on held-out prompts: samples tell more than losses."""

from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from repro.config import Profile, Run
from repro.evaluation import metrics
from repro.evaluation.quality import judge_clips, load_judge
from repro.evaluation.sampling import to_uint8
from repro.evaluation.sources import clip_source
from repro.files import write_json
from repro.models import weights
from repro.reporting.figures import contact_sheet
from repro.training.data import split_scenes

SHEET_ROWS, SHEET_COLUMNS = 12, 9


@torch.inference_mode()
def clips_of(
    profile: Profile, source: str, run: Run, checkpoints: Path, count: int, steps: int, device
) -> tuple[np.ndarray, list[str]]:
    """Clips uint8 [count, frames, 3, height, width] of the held-out prompts, and the prompts (see `clip_source`)."""
    scenes = split_scenes("prompts", profile, count)
    make = clip_source(profile, source, run, scenes, checkpoints, steps, device)
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
    scores, features = judge_clips(judge, clips, captions, source, device)
    scores = metrics.aggregate(scores).mean().to_dict()
    real, _ = weights.load(Path(checkpoints) / "real.safetensors")
    reference = real["features"].numpy()
    scores |= {
        "clips": float(count),
        "kernel_distance": metrics.kernel_distance(features, reference),
        "frechet": metrics.frechet(features, reference),
        "real_frechet": metrics.frechet(reference[::2], reference[1::2]),
    }
    contact_sheet(clips[:SHEET_ROWS], Path(out).with_suffix(".png"), SHEET_COLUMNS)
    write_json(Path(out).with_suffix(".json"), {"source": source, "captions": captions[:SHEET_ROWS]} | scores)
    return scores
