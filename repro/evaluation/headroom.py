"""Does the world measure anything? Distances of many clips of one system to real ones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.progress import track

from repro.config import Profile, Run, System
from repro.evaluation import metrics
from repro.evaluation.quality import interval, load_judge, write_frames
from repro.evaluation.sampling import to_uint8
from repro.evaluation.sources import clip_source
from repro.files import write_atomic
from repro.models import weights
from repro.reporting import records
from repro.training.data import split_scenes
from repro.world.judge import FRAME_STEP, Judge

RESAMPLES = 200


@torch.inference_mode()
def _one_source(profile: Profile, source: str, run: Run, steps: int, judge: Judge, checkpoints: Path, device):
    """Judge features [clips, D] of every clip, scores of the first `scored`, and those clips."""
    size = profile.headroom
    scenes = split_scenes("prompts", profile, size.clips)
    make = clip_source(profile, source, run, scenes, checkpoints, steps, device)
    features, scores, kept = [], [], []
    for start in track(range(0, size.clips, size.batch), source):
        ids = range(start, min(start + size.batch, size.clips))
        clips = torch.from_numpy(to_uint8(make(ids)))
        features.append(judge.features(clips[:, ::FRAME_STEP].to(device))[1].float().cpu().numpy())
        scored = [i for i in ids if i < size.scored]
        if scored:
            clips = clips[: len(scored)]
            scores.append(metrics.measure(judge, clips.to(device), [scenes[i].caption for i in scored]))
            kept.append(clips.numpy())
    captions = [s.caption for s in scenes[: size.scored]]
    return np.concatenate(features), pd.concat(scores, ignore_index=True), np.concatenate(kept), captions


def distance_draws(
    features: Sequence[np.ndarray], real_ND: np.ndarray, rng: np.random.Generator, draws: int = RESAMPLES
) -> tuple[dict[str, float], pd.DataFrame]:
    """Distances to `real_ND`, averaged over training seeds, and bootstrap draws of each, of the same resamples."""
    clips, seeds = np.concatenate(features), np.repeat(np.arange(len(features)), len(features[0]))
    found = {name: metrics.SeedMean(make, clips, real_ND, seeds) for name, make in metrics.DISTANCES.items()}
    drawn = next(iter(found.values())).resamples(draws, rng)
    return {n: d() for n, d in found.items()}, pd.DataFrame({n: d.draws(*drawn) for n, d in found.items()})


def measure(profile: Profile, system: System, run: Run, checkpoints: Path, out: Path, device) -> None:
    """Write `<out>/{headroom.json,scores.csv,draws.csv,frames.npz}` of one row of headroom.csv."""
    checkpoints, out = Path(checkpoints), Path(out)
    seeds = profile.evaluation.student_seeds if system.trained_per_seed else (0,)
    names = [f"{system.source}-s{s}" for s in seeds] if system.trained_per_seed else [system.source]
    judge = load_judge(checkpoints, device)
    real, _ = weights.load(checkpoints / "real.safetensors")
    made = [
        _one_source(profile, n, run, system.steps or profile.flow.teacher_steps, judge, checkpoints, device)
        for n in names
    ]
    scores = pd.concat([m[1].assign(seed=s, prompt=range(len(m[1]))) for s, m in zip(seeds, made, strict=True)])
    scores = metrics.aggregate(scores)
    rng = np.random.default_rng(profile.evaluation.seed)
    values, draws = distance_draws([m[0] for m in made], real["features"].numpy(), rng)

    used = {"judge", "real", *system.checkpoints(seeds, run.decoder)}
    common = {
        "run_id": system.system,
        "profile": profile.name,
        "seeds": list(seeds),
        "metric_version": metrics.METRIC_VERSION,
        "weights": weights.hashes(checkpoints, sorted(used)),
        **records.provenance(device),
    }
    rows = []
    for name, value in values.items():
        low, high = draws[name].quantile([0.025, 0.975])
        rows.append(
            records.Record(
                metric=name, value=value, low=low, high=high, n=len(seeds) * len(made[0][0]), unit="", **common
            )
        )
    for column in scores.columns.drop(["seed", "prompt"]):
        value, low, high, n = interval(scores, column, rng, profile.evaluation.bootstrap)
        rows.append(records.Record(metric=column, value=value, low=low, high=high, n=n, unit="score", **common))
    write_atomic(out / "scores.csv", lambda p: scores.to_csv(p, index=False, float_format="%.6f"))
    write_atomic(out / "draws.csv", lambda p: draws.to_csv(p, index=False, float_format="%.6g"))
    write_frames(out / "frames.npz", made[0][2], made[0][3])
    records.write(out / "headroom.json", rows)
