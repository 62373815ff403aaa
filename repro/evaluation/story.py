"""Prompts that change on the way (Figure 9): does each part show what its prompt says, and how smooth is the change?

Three ways to come to a new prompt: `keep` what the cache holds, `recache` the window under the new prompt, or make
the part `fresh`, as a video of its own, which shows what the student can do without a past.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.progress import track

from repro.config import CONFIG_DIR, Profile, Run
from repro.errors import ReproError
from repro.evaluation import metrics
from repro.evaluation.long_video import JUDGED, write_csv
from repro.evaluation.quality import load_judge
from repro.evaluation.sampling import load_decoder, to_uint8
from repro.evaluation.statistics import cluster_bootstrap
from repro.files import write_atomic
from repro.generation.film import Cue, cue_of_chunk, read_cues
from repro.generation.noise import prompt_noise
from repro.generation.student import Generator, load_student
from repro.models import text_encoder, weights
from repro.reporting import records

WAYS = ("keep", "recache", "fresh")
SCORES, JUMPS = ("text", "total"), ("jump", "seam")
NEAR = 8
"""Frames on either side with which a change is compared: half a second."""


def load_story(profile: Profile, config_dir: Path = CONFIG_DIR) -> list[Cue]:
    """`config/story.csv`: a prompt for every segment, each as long as the videos of training.

    Raises ReproError where a time is not that of a segment.
    """
    geometry, path = profile.geometry, Path(config_dir) / "story.csv"
    cues = read_cues(path)
    long = geometry.resized(frames=geometry.video_frames(0, len(cues) * geometry.latent_frames))
    for chunk in range(long.chunks):
        segment, told = chunk // geometry.chunks, cue_of_chunk(cues, long, chunk)
        if told != segment:
            second = cues[max(told, segment)].second
            raise ReproError(
                f"{path.name}: the prompt at {second} s must begin with a segment of {geometry.frames} frames"
            )
    return cues


def jump(video_uint8: np.ndarray, frame: int) -> float:
    """How much `frame` differs from the one before it, as a multiple of what its neighbours do; 1 is no jump.

    `video_uint8` is [frames, 3, height, width].
    """
    x = video_uint8[frame - NEAR - 1 : frame + NEAR + 1].astype(float)
    steps = np.abs(np.diff(x, axis=0)).mean((1, 2, 3))
    around = np.delete(steps, NEAR)
    return float(steps[NEAR] / max(around.mean(), 1e-6))


class Telling:
    """One student tells the story under several noise seeds."""

    def __init__(
        self, profile: Profile, run: Run, seed: int, cues: list[Cue], texts: torch.Tensor, checkpoints, device
    ):
        self.profile, self.cues, self.device, self.texts = profile, cues, device, texts
        model = load_student(profile, run.student, seed, checkpoints, device)
        decoder = load_decoder(profile, run.decoder, checkpoints, device)
        geometry = profile.geometry
        frames = geometry.video_frames(0, len(cues) * geometry.latent_frames)
        self.short = Generator(profile, run, model, decoder, device)
        self.long = Generator(profile, run.model_copy(update={"frames": frames}), model, decoder, device)

    def __call__(self, way: str, ids: range) -> np.ndarray:
        """Videos uint8 [ids, frames, 3, height, width]; `fresh` ones are their parts, one behind the other."""
        seed, model = self.profile.evaluation.seed, self.short.model
        contexts = [model.text_context(text.expand(len(ids), -1, -1)) for text in self.texts[:, None]]
        if way == "fresh":
            noise = prompt_noise(seed, ids, self.short.geometry, self.device)
            texts = [text.expand(len(ids), -1, -1) for text in self.texts[:, None]]
            return np.concatenate([to_uint8(self.short(t, noise, self.short.cache(len(ids)))) for t in texts], axis=1)
        parts: list[np.ndarray] = []
        noise = prompt_noise(seed, ids, self.long.geometry, self.device)
        self.long.stream(
            lambda k: contexts[cue_of_chunk(self.cues, self.long.geometry, k)],
            noise,
            self.long.cache(len(ids)),
            lambda _, video: parts.append(to_uint8(video)),
            recaches=way == "recache",
        )
        return np.concatenate(parts, axis=1)


def bounds(profile: Profile, way: str, segment: int) -> tuple[int, int]:
    """First frame of a segment, and the one behind its last."""
    geometry = profile.geometry
    if way == "fresh":
        return segment * geometry.frames, (segment + 1) * geometry.frames
    latent = geometry.latent_frames
    start, end = (geometry.video_frames(0, (segment + i) * latent) if segment + i else 0 for i in (0, 1))
    return start, end


def seams(profile: Profile, way: str, segment: int) -> list[int]:
    """First frames of a segment's chunks but the first: where chunks meet and no prompt changes."""
    geometry, first = profile.geometry, segment * profile.geometry.chunks * (way != "fresh")
    start = bounds(profile, way, segment)[0]
    shown = [geometry.video_frames(0, (first + k) * geometry.chunk_frames) for k in range(1, geometry.chunks)]
    return [start + at - (geometry.video_frames(0, first * geometry.chunk_frames) if first else 0) for at in shown]


def score(profile: Profile, judge, videos: np.ndarray, way: str, cues: list[Cue], device) -> pd.DataFrame:
    """One row a (story, segment): scores against its prompt, the jump at its beginning, and where chunks meet in it."""
    tables = []
    for segment, cue in enumerate(cues):
        start, end = bounds(profile, way, segment)
        clips = videos[:, end - profile.geometry.frames : end]
        readings = [
            metrics.aggregate(
                metrics.read(judge, torch.from_numpy(clips[i : i + JUDGED].copy()).to(device)).against(
                    [cue.prompt] * len(clips[i : i + JUDGED])
                )
            )
            for i in range(0, len(clips), JUDGED)
        ]
        table = pd.concat(readings, ignore_index=True)[list(SCORES)]
        known = way != "fresh" and segment > 0
        table["jump"] = [jump(v, start) if known else np.nan for v in videos]
        table["seam"] = [np.mean([jump(v, at) for at in seams(profile, way, segment)]) for v in videos]
        tables.append(table.assign(segment=segment, prompt=range(len(videos))))
    return pd.concat(tables, ignore_index=True)


@torch.inference_mode()
def measure(profile: Profile, runs: list[Run], checkpoints: Path, out: Path, device) -> None:
    """Write `<out>/{story.json,scores.csv.gz,frames.npz}`; pictures are of the first run and noise seed."""
    checkpoints, out, cues = Path(checkpoints), Path(out), load_story(profile)
    judge, seeds = load_judge(checkpoints, device), profile.evaluation.student_seeds
    shared = ("judge", "tiny", "text_encoder")
    hashes = {r.run_id: weights.hashes(checkpoints, (*shared, *(f"{r.student}-s{s}" for s in seeds))) for r in runs}
    texts = text_encoder.load(profile, checkpoints, device)([cue.prompt for cue in cues])
    size, tables, films = profile.studies.batch, [], {}
    for run in runs:
        for seed in seeds:
            telling = Telling(profile, run, seed, cues, texts, checkpoints, device)
            for way in WAYS:
                for start in track(range(0, profile.studies.stories, size), f"{run.run_id}, {way}, seed {seed}"):
                    ids = range(start, min(start + size, profile.studies.stories))
                    videos = telling(way, ids)
                    films.setdefault(way, videos[0])
                    table = score(profile, judge, videos, way, cues, device)
                    table["prompt"] += start
                    tables.append(table.assign(run=run.run_id, way=way, seed=seed))
    scores = pd.concat(tables, ignore_index=True)[["run", "way", "seed", "prompt", "segment", *SCORES, *JUMPS]]
    write_atomic(out / "scores.csv.gz", lambda p: write_csv(p, scores))
    write_strip(profile, films, cues, out / "frames.npz")
    records.write(out / "story.json", _records(profile, runs, scores, hashes, device))


def write_strip(profile: Profile, films: dict[str, np.ndarray], cues: list[Cue], path: Path) -> None:
    """`frames` [ways, segments, H, W, 3], from the middle of every segment, and the prompts."""
    middles = {way: [sum(bounds(profile, way, s)) // 2 for s in range(len(cues))] for way in films}
    frames = np.stack([films[way][at].transpose(0, 2, 3, 1) for way, at in middles.items()])
    told = np.array([cue.prompt for cue in cues])
    write_atomic(path, lambda p: np.savez_compressed(p, frames=frames, rows=np.array(list(films)), captions=told))


def _records(
    profile: Profile, runs: list[Run], scores: pd.DataFrame, hashes: dict[str, dict[str, str]], device
) -> list[records.Record]:
    """Means over segments and stories, of every run and way."""
    seeds, rng = profile.evaluation.student_seeds, np.random.default_rng(profile.evaluation.seed)
    common = {
        "profile": profile.name,
        "seeds": list(seeds),
        "metric_version": metrics.METRIC_VERSION,
        **records.provenance(device),
    }
    rows = []
    for run in runs:
        for way in WAYS:
            mine = scores[(scores["run"] == run.run_id) & (scores["way"] == way)]
            for metric in (*SCORES, *JUMPS):
                told = per_story(mine, metric)
                if told.empty:
                    continue
                value, low, high = cluster_bootstrap(told, profile.evaluation.bootstrap, rng)
                rows.append(
                    records.Record(
                        run_id=f"{run.run_id}_{way}", metric=metric, value=value, low=low, high=high, n=len(told),
                        unit="of its neighbours" if metric in JUMPS else "score", weights=hashes[run.run_id], **common,
                    )
                )  # fmt: skip
    return rows


def per_story(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means over the segments of every (seed, prompt), the column `value`; segments without the metric are left out."""
    told = scores.dropna(subset=[metric]).groupby(["seed", "prompt"], as_index=False)[metric].mean()
    return told.rename(columns={metric: "value"})
