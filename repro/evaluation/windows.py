"""Attention windows (Table 4): quality, latency and cache memory of videos long enough to fill the widest one.

A window counts all latent frames that a chunk attends to, its own and the sink's included: with and without a sink
it costs the same.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.progress import track

from repro.config import Profile, Run
from repro.errors import ReproError
from repro.evaluation import metrics
from repro.evaluation.long_video import frames_of, start_of, watch, write_csv
from repro.evaluation.pace import clock
from repro.evaluation.quality import load_judge
from repro.evaluation.sampling import load_decoder
from repro.evaluation.statistics import cluster_counts, interval_of
from repro.files import write_atomic
from repro.generation.student import Generator, load_student
from repro.models import text_encoder, weights
from repro.models.kv_cache import cache_bytes
from repro.reporting import records
from repro.training.data import split_scenes

NAME = "windows"
WINDOWS = tuple(range(3, 28, 3))
"""Latent frames: the rows of the paper's Table 4."""
SINKS = (0, 3)
"""Latent frames of the window that are the video's first, for ever."""
WINDOWS_VERSION = "1"


@dataclass(frozen=True)
class Window:
    """One row: `frames` latent frames, `sink` of them the video's first."""

    frames: int
    sink: int

    @property
    def name(self) -> str:
        return f"window_{self.frames}" + (f"_sink_{self.sink}" if self.sink else "")

    def of(self, run: Run) -> Run:
        """The run with this window; its cache counts the sink on top of the frames that roll."""
        sizes = {"window_frames": self.frames - self.sink, "sink_frames": self.sink}
        return run.model_copy(update={"run_id": self.name} | sizes)


def grid() -> list[Window]:
    """Every window, with every sink that is smaller."""
    return [Window(frames, sink) for sink in SINKS for frames in WINDOWS if frames > sink]


def require_full(profile: Profile) -> None:
    """Raises ReproError where a window is not full when the last segment begins: one that still holds the video's
    first frames has a sink of its own."""
    seconds, widest = profile.studies.windows.seconds, max(WINDOWS)
    needed = start_of(profile, math.ceil(widest / profile.geometry.latent_frames))
    if seconds <= needed:
        raise ReproError(
            f"studies.windows.seconds is {seconds:g}, too short to fill a window of {widest} latent frames before the "
            f"last segment: set more than {needed:.1f}"
        )


def score(profile: Profile, run: Run, checkpoints: Path, device) -> pd.DataFrame:
    """Scores of every (window, sink, seed, prompt, segment): the same prompts and noise in every window."""
    judge, roll, tables = load_judge(checkpoints, device), profile.studies.windows, []
    for window in grid():
        scores, _, _ = watch(profile, window.of(run), roll, judge, checkpoints, device)
        tables.append(scores.drop(columns="roll").assign(window=window.frames, sink=window.sink))
    return pd.concat(tables, ignore_index=True)


@torch.inference_mode()
def time(profile: Profile, run: Run, checkpoints: Path, device) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Seconds of every chunk that comes when all windows are full, at batch 1; and each cache's bytes.

    Warm-ups first, then rounds in which every window has one turn.
    """
    settings, seed = profile.studies.windows, profile.evaluation.student_seeds[0]
    text = text_encoder.load(profile, checkpoints, device)([split_scenes("prompts", profile, 1)[0].caption])
    model = load_student(profile, run.student, seed, checkpoints, device)
    decoder = load_decoder(profile, run.decoder, checkpoints, device)
    long = {"frames": frames_of(profile, settings.seconds)}
    generators = {w: Generator(profile, w.of(run).model_copy(update=long), model, decoder, device) for w in grid()}
    caches = {w: g.cache(1) for w, g in generators.items()}
    settled = max(cache.window + cache.sink for cache in caches.values())
    tables = []
    for turn in track(range(settings.timing.warmups + settings.timing.runs), "timing rounds"):
        for window, generator in generators.items():
            table = clock(generator, text, caches[window], profile.evaluation.seed)
            if turn >= settings.timing.warmups:
                kept = table.loc[table["chunk"] >= settled, ["chunk", "steps", "seconds"]]
                named = {"window": window.frames, "sink": window.sink, "round": turn - settings.timing.warmups}
                tables.append(kept.assign(**named))
    memory = [
        (w.frames, w.sink, c.nbytes, cache_bytes(model.config, profile.geometry, w.frames, c.k_LBTNH.dtype))
        for w, c in caches.items()
    ]
    return (
        pd.concat(tables, ignore_index=True),
        pd.DataFrame(memory, columns=["window", "sink", "cache_bytes", "cache_bytes_model"]),
    )


def measure(profile: Profile, run: Run, checkpoints: Path, out: Path, device) -> None:
    """Write `<out>/{windows.json,scores.csv.gz,latency.csv}`."""
    require_full(profile)
    checkpoints, out = Path(checkpoints), Path(out)
    names = ["judge", "text_encoder", *run.checkpoints(profile.evaluation.student_seeds)]
    hashes = weights.hashes(checkpoints, names)
    scores = score(profile, run, checkpoints, device)
    latency, memory = time(profile, run, checkpoints, device)
    write_atomic(out / "scores.csv.gz", lambda p: write_csv(p, scores))
    write_atomic(out / "latency.csv", lambda p: write_csv(p, latency))
    records.write(out / f"{NAME}.json", _records(profile, run, scores, latency, memory, hashes, device))


def _records(profile: Profile, run: Run, scores, latency, memory, hashes, device) -> list[records.Record]:
    """Total of the first segment and of the last, latency in flight and cache bytes, of every window."""
    seeds = profile.evaluation.student_seeds
    common = {
        "profile": profile.name,
        "metric_version": f"{metrics.METRIC_VERSION}.{WINDOWS_VERSION}",
        "weights": hashes,
        **records.provenance(device),
    }
    keys, rows = ["window", "sink"], []
    by_window = {key: (part, latency[(latency[keys] == key).all(axis=1)]) for key, part in scores.groupby(keys)}
    kept = memory.set_index(keys)
    last, counts = scores["segment"].max(), None
    for window in grid():
        mine, clocked = by_window[window.frames, window.sink]

        def add(metric, value, low, high, n, unit, of=seeds, name=window.name):
            rows.append(
                records.Record(
                    run_id=name,
                    metric=metric,
                    value=value,
                    low=low,
                    high=high,
                    n=n,
                    unit=unit,
                    seeds=list(of),
                    **common,
                )
            )

        for told, segment in (("first", 0), ("last", last)):
            part = mine[mine["segment"] == segment]
            if counts is None:
                rng = np.random.default_rng(profile.evaluation.seed)
                counts = cluster_counts(part, profile.evaluation.bootstrap, rng)
            draws = counts @ part["total"].to_numpy() / counts.sum(1)
            add(f"total_{told}", float(part["total"].mean()), *interval_of(draws), len(part), "score")
        low, middle, high = (float(q) for q in clocked["seconds"].quantile([0.25, 0.5, 0.75]))
        add("in_flight_latency_s", middle, low, high, len(clocked), "s", seeds[:1])
        for column in ("cache_bytes", "cache_bytes_model"):
            add(column, float(kept.loc[(window.frames, window.sink), column]), None, None, 1, "B", seeds[:1])
    return rows
