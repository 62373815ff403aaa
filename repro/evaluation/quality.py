"""One run → its clips → quality.json, scores.csv, chunks.csv and frames.npz."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.progress import track

from repro.config import Profile, Run
from repro.evaluation import metrics
from repro.evaluation.dimensions import MEASURES
from repro.evaluation.sampling import read_prompts, sample
from repro.evaluation.statistics import cluster_bootstrap, interval_of
from repro.files import write_atomic
from repro.geometry import Geometry
from repro.models import weights
from repro.reporting import records
from repro.world.judge import Judge

CHUNK_COLUMNS = ("temporal", "frame", "text", "total", *MEASURES)
SHOWN_PROMPTS, SHOWN_FRAMES = 3, 6
UNDEFINED_FOR_ONE_SPRITE = ("multiple_objects", "spatial_relationship")
JUDGE_BATCH = 8


def load_judge(checkpoints: Path, device) -> Judge:
    judge = Judge()
    weights.load_into(judge, Path(checkpoints) / "judge.safetensors")
    return judge.to(device).requires_grad_(False).eval()


def judge_clips(
    judge: Judge, clips: np.ndarray, captions: list[str], label: str, device
) -> tuple[pd.DataFrame, np.ndarray]:
    """Dimensions and measures, one row a clip, and the judge's features [N, D] for the distances, in one look."""
    scores, features = [], []
    for start in track(range(0, len(captions), JUDGE_BATCH), label):
        part = slice(start, start + JUDGE_BATCH)
        reading = metrics.read(judge, torch.from_numpy(clips[part].copy()).to(device))
        scores.append(reading.against(captions[part]))
        features.append(reading.features)
    return pd.concat(scores, ignore_index=True), np.concatenate(features)


def chunk_scores(
    judge: Judge, clips: np.ndarray, captions: list[str], geometry: Geometry, label: str, device
) -> pd.DataFrame:
    """Aggregates and measures of every chunk alone, as if it were the clip: one row a clip, chunk by chunk."""
    parts = []
    for k in range(geometry.chunks):
        first, last = (geometry.video_frames(0, n * geometry.chunk_frames) for n in (k, k + 1))
        scores, _ = judge_clips(judge, clips[:, first if k else 0 : last], captions, f"{label}, chunk {k + 1}", device)
        parts.append(metrics.aggregate(scores)[list(CHUNK_COLUMNS)].assign(chunk=k))
    return pd.concat(parts, ignore_index=True)


def write_frames(path: Path, clips: np.ndarray, captions: list[str]) -> None:
    """A few frames of the first clips, for the notebooks' film strips."""
    shown = np.linspace(0, clips.shape[1] - 1, SHOWN_FRAMES).round().astype(int)
    frames = np.ascontiguousarray(clips[:SHOWN_PROMPTS, shown].transpose(0, 1, 3, 4, 2))
    told = np.array(captions[:SHOWN_PROMPTS])
    write_atomic(path, lambda p: np.savez_compressed(p, frames=frames, captions=told, index=shown))


def interval(scores: pd.DataFrame, column: str, rng: np.random.Generator, resamples: int):
    """Mean and 95% cluster-bootstrap interval of one column; cells that a prompt does not define are left out."""
    values = scores[["seed", "prompt", column]].rename(columns={column: "value"})
    if column in UNDEFINED_FOR_ONE_SPRITE:
        values = values.dropna()
    return (*cluster_bootstrap(values, n=resamples, rng=rng), len(values))


def distance_interval(features_ND: np.ndarray, real_ND: np.ndarray, seeds_N, rng: np.random.Generator, resamples: int):
    """Kernel distance to real clips, averaged over training seeds, and its 95% interval."""
    distance = metrics.SeedMean(metrics.KernelDistance, features_ND, real_ND, seeds_N)
    return (distance(), *interval_of(distance.draws(*distance.resamples(resamples, rng))))


def evaluate(profile: Profile, run: Run, prompts: Path, checkpoints: Path, out: Path, device) -> None:
    """Generate the clips of a run and measure them; the clips themselves are not kept."""
    _, captions = read_prompts(prompts, profile)
    seeds, judge = profile.evaluation.student_seeds, load_judge(checkpoints, device)
    names = ["judge", "real", "text_encoder", *run.checkpoints(seeds)]
    hashes = weights.hashes(checkpoints, names)
    clips, counts = sample(profile, run, prompts, checkpoints, device)
    told = captions * len(seeds)
    scores, features = judge_clips(judge, clips, told, run.run_id, device)
    scores = metrics.aggregate(scores)
    chunks = chunk_scores(judge, clips, told, profile.geometry, run.run_id, device)
    for table in (scores, chunks):
        table.insert(0, "prompt", np.resize(np.arange(len(captions)), len(table)))
        table.insert(0, "seed", np.resize(np.repeat(seeds, len(captions)), len(table)))

    rng = np.random.default_rng(profile.evaluation.seed)
    common = {
        "run_id": run.run_id,
        "profile": profile.name,
        "seeds": list(seeds),
        "metric_version": metrics.METRIC_VERSION,
        "weights": hashes,
        **records.provenance(device),
    }
    rows = []
    for column in scores.columns.drop(["seed", "prompt"]):
        value, low, high, n = interval(scores, column, rng, profile.evaluation.bootstrap)
        rows.append(records.Record(metric=column, value=value, low=low, high=high, n=n, unit="score", **common))
    real, _ = weights.load(Path(checkpoints) / "real.safetensors")
    distance = distance_interval(features, real["features"].numpy(), scores["seed"], rng, profile.evaluation.bootstrap)
    value, low, high = distance
    rows.append(
        records.Record(metric="kernel_distance", value=value, low=low, high=high, n=len(clips), unit="", **common)
    )
    rows += [records.Record(metric=k, value=v, n=1, unit="forwards", **common) for k, v in sorted(counts.items())]

    out = Path(out)
    write_atomic(out / "scores.csv", lambda p: scores.to_csv(p, index=False, float_format="%.6f"))
    write_atomic(out / "chunks.csv", lambda p: chunks.to_csv(p, index=False, float_format="%.4f"))
    write_frames(out / "frames.npz", clips, captions)
    records.write(out / "quality.json", rows)
