"""Latency and throughput of runs, measured interleaved in one process."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as nnf
from rich.progress import track

from repro.config import Profile, Run
from repro.evaluation.sampling import load_generator, read_prompts
from repro.generation.many_step import ManyStep
from repro.generation.noise import prompt_noise
from repro.generation.spans import Spans
from repro.generation.student import Generator
from repro.models import text_encoder, weights
from repro.reporting import records
from repro.training.loop import generator_for

UNITS = {"throughput_fps": "frame/s"}
TIMING_VERSION = "2"
REFERENCE_TURNS = 4


class Reference:
    """Work that never changes, of the kinds that a run does: how fast the machine is while runs are timed on it.

    A device's name does not say it: machines of one name differ by a factor of two, and so do hours of one machine.
    """

    def __init__(self, device):
        shapes = {
            "x": (2048, 256),
            "up": (256, 768),
            "down": (768, 256),
            "image": (1, 64, 64, 112),
            "kernel": (64, 64, 3, 3),
        }
        self.device = device
        self.given = {name: torch.randn(shape, generator=generator_for(0)).to(device) for name, shape in shapes.items()}

    @torch.inference_mode()
    def seconds(self) -> float:
        """About a tenth of a second on a CPU core: feed-forward layers with their norm, and convolutions."""
        x, up, down, image, kernel = self.given.values()
        spans = Spans(self.device)
        with spans("reference"):
            for _ in range(REFERENCE_TURNS):
                nnf.gelu(nnf.layer_norm(x, x.shape[-1:]) @ up) @ down
                nnf.conv2d(image, kernel, padding=1)
        return spans.seconds()["reference"]


def time_once(generator: Generator | ManyStep, text_1LE: torch.Tensor, cache, seed: int) -> dict[str, float]:
    """One video at batch 1, in seconds.

    `total_s` runs from the embedded prompt to the last decoded frames; `first_frame_latency_s` to the
    first. `in_flight_latency_s` runs from the delivery of the last-but-one chunk to that of the last:
    the cache pass between them, if the policy makes one, the denoising and the decoding.
    """
    geometry, device = generator.geometry, generator.device
    # Drawing noise on the host is no part of the method: it is done before the clock starts.
    drawn: dict[tuple[int, int], torch.Tensor] = {}
    source = prompt_noise(seed, [0], geometry, device)
    for k in range(geometry.chunks):
        for step in range(generator.draws(k)):
            drawn[k, step] = source(k, step)
    spans, delivered = Spans(device), []
    start = spans.now()
    generator(text_1LE, lambda k, step: drawn[k, step], cache, spans, lambda k, _: delivered.append(spans.now()))
    seconds = spans.seconds()
    total = spans.between(start, delivered[-1])
    return {
        "first_frame_latency_s": spans.between(start, delivered[0]),
        "in_flight_latency_s": spans.between(delivered[-2], delivered[-1]),
        "throughput_fps": geometry.frames / total,
        "total_s": total,
        "denoise_s": seconds["denoise"],
        "cache_s": seconds.get("cache", 0.0),
        "decode_s": seconds["decode"],
    }


def time_text(profile: Profile, checkpoints: Path, caption: str, device) -> np.ndarray:
    """Seconds to encode one caption, text to embedding: shown apart, in no other number."""
    encoder = text_encoder.load(profile, checkpoints, device)
    samples = []
    for turn in range(profile.timing.warmups + profile.timing.runs):
        spans = Spans(device)
        with torch.inference_mode(), spans("text"):
            encoder([caption])
        if turn >= profile.timing.warmups:
            samples.append(spans.seconds()["text"])
    return np.array(samples)


def measure(
    profile: Profile, runs: list[Run], prompts: Path, checkpoints: Path, device
) -> dict[str, dict[str, np.ndarray]]:
    """Samples of every metric by run_id. Warm-ups first, then rounds in which every run has one turn.

    `reference_s`, of `Reference`, is taken right before each turn.
    """
    text, captions = read_prompts(prompts, profile)
    text = text[:1].to(device)
    seed = profile.evaluation.student_seeds[0]
    generators = [load_generator(profile, r, seed, prompts, checkpoints, device) for r in runs]
    caches = [g.cache(1) for g in generators]
    samples: dict[str, list[dict]] = {r.run_id: [] for r in runs}
    reference = Reference(device)
    for turn in track(range(profile.timing.warmups + profile.timing.runs), "timing rounds"):
        for generator, cache in zip(generators, caches, strict=True):
            before = {"reference_s": reference.seconds()}
            once = time_once(generator, text, cache, profile.evaluation.seed) | before
            if turn >= profile.timing.warmups:
                samples[generator.run.run_id].append(once)
    text_s = time_text(profile, checkpoints, captions[0], device)
    return {r: {m: np.array([s[m] for s in rows]) for m in rows[0]} | {"text_s": text_s} for r, rows in samples.items()}


def write_records(
    profile: Profile,
    runs: list[Run],
    samples: dict[str, dict[str, np.ndarray]],
    checkpoints: Path,
    out: Path,
    device,
) -> None:
    """`<out>/<run_id>/timing.json`: medians with their quartiles."""
    common = records.provenance(device)
    seed = profile.evaluation.student_seeds[0]
    for run in runs:
        names = [*run.checkpoints([seed]), "text_encoder"]
        hashes = weights.hashes(checkpoints, names)
        rows = []
        for metric, values in samples[run.run_id].items():
            low, value, high = (float(q) for q in np.quantile(values, [0.25, 0.5, 0.75]))
            rows.append(
                records.Record(
                    run_id=run.run_id,
                    profile=profile.name,
                    metric=metric,
                    value=value,
                    low=low,
                    high=high,
                    n=len(values),
                    seeds=[seed],
                    unit=UNITS.get(metric, "s"),
                    metric_version=TIMING_VERSION,
                    weights=hashes,
                    **common,
                )
            )
        records.write(Path(out) / run.run_id / "timing.json", rows)
