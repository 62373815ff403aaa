"""Long videos, looked at as long as they last: quality, saturation and motion segment by segment, and their drift.

A segment is as long as the videos that the students were trained on. Only one is held at a time.
"""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.progress import track

from repro.config import REAL, Profile, Roll, Run
from repro.evaluation import metrics
from repro.evaluation.quality import load_judge
from repro.evaluation.sampling import load_decoder, to_uint8
from repro.evaluation.statistics import cluster_counts, interval_of, slope, two_sided_p
from repro.files import write_atomic
from repro.generation.film import frames_for
from repro.generation.noise import prompt_noise
from repro.generation.student import Generator, load_student
from repro.models import text_encoder, weights
from repro.reporting import records
from repro.training.data import pixel_pool, split_scenes

MEASURES = ("total", "quality", "semantic", "temporal", "frame", "text", "saturation", "motion_amplitude")
DISTANCE, DISTANCE_CLIPS = "kernel_distance", 24
"""A distance between distributions, and the fewest clips that stand for one."""
KEYS = ["roll", "seed", "prompt", "segment"]
SHOWN_SEGMENTS, SHOWN_PROMPTS = 6, 2
JUDGED = 16
"""Clips that the judge looks at together."""


def frames_of(profile: Profile, seconds: float) -> int:
    """Video frames of the fewest whole segments that last so long."""
    geometry = profile.geometry
    return frames_for(geometry.with_chunk_frames(geometry.latent_frames), seconds)


def start_of(profile: Profile, segment: int) -> float:
    """Second at which a segment begins."""
    geometry = profile.geometry
    return geometry.video_frames(0, segment * geometry.latent_frames) / geometry.fps if segment else 0.0


class Watcher:
    """Takes a batch of videos chunk by chunk, and measures each segment when it is whole."""

    def __init__(self, profile: Profile, judge, captions: list[str], device, **stamp):
        self.geometry, self.judge, self.captions, self.device = profile.geometry, judge, captions, device
        self.stamp, self.pending = stamp, []
        self.tables: list[pd.DataFrame] = []
        self.features: list[np.ndarray] = []
        self.stills: list[np.ndarray] = []

    def __call__(self, chunk: int, video: torch.Tensor) -> None:
        """`video` holds the chunk's decoded frames, [B, f, 3, height, width] in [0, 1]."""
        self.pending.append(to_uint8(video))
        if (chunk + 1) % self.geometry.chunks:
            return
        # Only a video's first frame stands alone in its latent frame: later segments are a little longer.
        clips = torch.from_numpy(np.concatenate(self.pending, axis=1)[:, -self.geometry.frames :])
        self.pending = []
        for start in range(0, len(clips), JUDGED):
            part = slice(start, start + JUDGED)
            self._measure(clips[part], self.captions[part], chunk // self.geometry.chunks, start)
        self.stills.append(clips[:SHOWN_PROMPTS, 0].numpy())

    def _measure(self, clips: torch.Tensor, captions: list[str], segment: int, start: int) -> None:
        reading = metrics.read(self.judge, clips.to(self.device))
        table = metrics.aggregate(reading.against(captions))
        prompts = self.stamp["first"] + start + np.arange(len(clips))
        table = table.assign(roll=self.stamp["roll"], seed=self.stamp["seed"], prompt=prompts, segment=segment)
        self.tables.append(table[[*KEYS, *MEASURES]])
        self.features.append(reading.features)


def watch(
    profile: Profile, run: Run, roll: Roll, judge, checkpoints: Path, device
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Scores of every segment, the judge's features of each row, and a still [prompts, segments, 3, H, W] of each."""
    scenes, size = split_scenes("prompts", profile, roll.prompts), profile.studies.batch
    captions = [s.caption for s in scenes]
    watchers = []
    if run.student == REAL:
        watchers.append(Watcher(profile, judge, captions, device, roll=roll.seconds, seed=0, first=0))
        watchers[-1](profile.geometry.chunks - 1, pixel_pool(scenes, profile, device).float() / 255)
    else:
        run = run.model_copy(update={"frames": frames_of(profile, roll.seconds)})
        decoder = load_decoder(profile, run.decoder, checkpoints, device)
        with torch.inference_mode():
            text = text_encoder.load(profile, checkpoints, device)(captions)
        for seed in profile.evaluation.student_seeds:
            model = load_student(profile, run.student, seed, checkpoints, device)
            generator = Generator(profile, run, model, decoder, device)
            for start in track(range(0, len(captions), size), f"{run.run_id}, {roll.seconds:g} s, seed {seed}"):
                ids = range(start, min(start + size, len(captions)))
                watcher = Watcher(
                    profile, judge, captions[ids.start : ids.stop], device, roll=roll.seconds, seed=seed, first=start
                )
                noise = prompt_noise(profile.evaluation.seed, ids, generator.geometry, device)
                with torch.inference_mode():
                    context = model.text_context(text[ids.start : ids.stop])
                generator.stream(context, noise, generator.cache(len(ids)), watcher)
                watchers.append(watcher)
    scores = pd.concat([t for w in watchers for t in w.tables], ignore_index=True)
    features = np.concatenate([f for w in watchers for f in w.features])
    order = scores.sort_values(KEYS).index
    return scores.loc[order].reset_index(drop=True), features[order], np.stack(watchers[0].stills, axis=1)


def describe(
    profile: Profile, scores: pd.DataFrame, features: np.ndarray, real_ND: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every measure against time, and its slope per minute, both with 95% intervals. One roll; rows sorted by KEYS.

    The distance to real clips is that of a training seed's clips of a segment, averaged over the seeds; too few clips
    have none.
    """
    rng, n = np.random.default_rng(profile.evaluation.seed), profile.evaluation.bootstrap
    roll, segments = scores["roll"].iloc[0], int(scores["segment"].max()) + 1
    starts = np.array([start_of(profile, s) for s in range(segments)])
    clips = scores.loc[scores["segment"] == 0, ["seed", "prompt"]].reset_index(drop=True)
    points, slopes = [], []

    def add(measure: str, values: np.ndarray, draws: np.ndarray) -> None:
        """`values` [segments], `draws` [resamples, segments]."""
        for segment, value in enumerate(values):
            low, high = interval_of(draws[:, segment])
            points.append((roll, measure, segment, starts[segment], value, low, high, len(clips)))
        if segments > 2:
            slope, slope_draws = slope_per_minute(starts, values), slope_per_minute(starts, draws)
            slopes.append((roll, measure, slope, *interval_of(slope_draws), two_sided_p(slope_draws), len(clips)))

    counts = cluster_counts(clips, n, rng)
    for measure in MEASURES:
        by_clip = scores[measure].to_numpy().reshape(len(clips), segments)
        add(measure, by_clip.mean(0), counts @ by_clip / counts.sum(1, keepdims=True))
    if len(clips) >= DISTANCE_CLIPS:
        by_segment = features.reshape(len(clips), segments, -1).transpose(1, 0, 2)
        distances = [metrics.SeedMean(metrics.KernelDistance, f, real_ND, clips["seed"]) for f in by_segment]
        drawn = distances[0].resamples(n, rng)
        add(DISTANCE, np.array([d() for d in distances]), np.stack([d.draws(*drawn) for d in distances], axis=1))
    return (
        pd.DataFrame(points, columns=["roll", "measure", "segment", "start_s", "value", "low", "high", "n"]),
        pd.DataFrame(slopes, columns=["roll", "measure", "slope", "low", "high", "p", "n"]),
    )


def slope_per_minute(starts_S: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Least-squares slope of values [..., S] at seconds [S], per minute."""
    return slope(starts_S / 60, values)


def measure(profile: Profile, run: Run, checkpoints: Path, out: Path, device) -> None:
    """Write `<out>/{long.json,scores.csv.gz,curves.csv,drift.csv,frames.npz}` of one row of long.csv."""
    checkpoints, out, seeds = Path(checkpoints), Path(out), profile.evaluation.student_seeds
    judge = load_judge(checkpoints, device)
    real, _ = weights.load(checkpoints / "real.safetensors")
    watched = [watch(profile, run, roll, judge, checkpoints, device) for roll in profile.studies.rolls]
    told = [describe(profile, scores, features, real["features"].numpy()) for scores, features, _ in watched]
    tables = {
        "scores.csv.gz": pd.concat([scores for scores, _, _ in watched]),
        "curves.csv": pd.concat([curves for curves, _ in told]),
        "drift.csv": pd.concat([slopes for _, slopes in told]),
    }
    for name, table in tables.items():
        write_atomic(out / name, lambda p, t=table: write_csv(p, t))
    stills = watched[-1][2]
    shown = np.linspace(0, stills.shape[1] - 1, min(SHOWN_SEGMENTS, stills.shape[1])).round().astype(int)
    frames = np.ascontiguousarray(stills[:, shown].transpose(0, 1, 3, 4, 2))
    captions = np.array([s.caption for s in split_scenes("prompts", profile, len(frames))])
    seconds = np.array([start_of(profile, s) for s in shown])
    write_atomic(
        out / "frames.npz", lambda p: np.savez_compressed(p, frames=frames, captions=captions, seconds=seconds)
    )
    records.write(out / "long.json", _records(profile, run, told, checkpoints, seeds, device))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """The same bytes for the same table, compressed or not: gzip would tell the time and the file's name."""
    text = table.to_csv(index=False, float_format="%.5g").encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


def _records(profile: Profile, run: Run, told: list, checkpoints: Path, seeds, device) -> list[records.Record]:
    """The slope of every measure in every roll; of real clips, which are one segment, the measures themselves."""
    codec = "tiny" if run.decoder == "tiny" else "vae"
    made_by = ["text_encoder", codec, *(f"{run.student}-s{s}" for s in seeds)]
    names = ["judge", "real", *([] if run.student == REAL else made_by)]
    common = {
        "run_id": run.run_id,
        "profile": profile.name,
        "seeds": [0] if run.student == REAL else list(seeds),
        "metric_version": metrics.METRIC_VERSION,
        "weights": weights.hashes(checkpoints, names),
        **records.provenance(device),
    }
    rows = []
    for curves, slopes in told:
        named = slopes if len(slopes) else curves.rename(columns={"value": "slope"})
        for r in named.to_dict("records"):
            kind, unit = ("slope", "per minute") if len(slopes) else ("mean", "")
            name = f"{r['measure']}_{kind}_{r['roll']:g}s"
            rows.append(
                records.Record(
                    metric=name, value=r["slope"], low=r["low"], high=r["high"], n=r["n"], unit=unit, **common
                )
            )
    return rows
