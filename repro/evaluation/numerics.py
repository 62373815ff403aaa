"""What the speed options change in the numbers: engines against the plain model in fp32, on the same latents.

Random weights again: an error of rounding is measured, not of quality.
"""

from pathlib import Path

import torch
from rich.progress import track

from repro.config import Run, Scale
from repro.engine.assemble import Engine
from repro.engine.options import EAGER, load_engines
from repro.errors import ReproError
from repro.evaluation.speed import WEIGHTS, random_dit
from repro.generation.cache_policy import POLICIES
from repro.generation.noise import prompt_noise
from repro.generation.rollout import rollout
from repro.models import presets
from repro.models.kv_cache import KVCache
from repro.reporting import records

NUMERICS_VERSION = "1"
WINDOW = 12
SHORT, LONG = "video", "long"


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """‖found − expected‖ / ‖expected‖."""
    return float((found.float() - expected.float()).norm() / expected.float().norm())


class Rolls:
    """Rollouts of one video with the same prompt and noise, whatever carries them out."""

    def __init__(self, scale: Scale, frames: int, device):
        self.scale, self.device = scale, device
        self.geometry = scale.geometry.resized(frames=frames)
        run = {"run_id": "numerics", "tables": "none", "student": "random", "cache": "diagonal", "schedule": "4322222"}
        self.run = Run(**run, window_frames=WINDOW)
        self.schedule = self.run.schedule_for(self.geometry)
        config = presets.from_profile(scale)
        shape = (1, config.text_tokens, config.text_dim)
        self.text = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
        self.noise = prompt_noise(0, [0], self.geometry, device)

    @torch.inference_mode()
    def __call__(
        self, engine: Engine, led_by: list[torch.Tensor] | None = None
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Every step's x0 in order, and the video.

        With `led_by`, each step goes on from that roll's prediction instead of its own, so that all steps of two
        engines get the same input and an error does not grow on itself.
        """
        cache = KVCache(engine.model.config, self.geometry, 1, WINDOW, device=self.device, dtype=engine.cache_dtype)
        predicted: list[torch.Tensor] = []

        def on_step(k, step, x, sigma, x0):
            predicted.append(x0.clone())
            return x0 if led_by is None else led_by[len(predicted) - 1]

        context, policy = engine.model.text_context(self.text), POLICIES["diagonal"]
        shift = self.scale.flow.shift
        video = rollout(engine.forward, self.noise, context, self.schedule, cache, policy, shift=shift, on_step=on_step)
        return predicted, video


def measure(scale: Scale, names: list[str], frames: dict[str, int], device) -> list[records.Record]:
    """Errors of the engines; of plain bf16 too, which is what they are to be held against."""
    known = {EAGER.engine: EAGER} | load_engines()
    for name in names:
        if name not in known:
            raise ReproError(f"no engine {name!r}: engines.csv has {', '.join(known)}")
    rolls = {what: Rolls(scale, count, device) for what, count in frames.items()}
    exact = Engine(random_dit(scale, device, torch.float32), EAGER, device)
    expected = {what: roll(exact) for what, roll in rolls.items()}
    del exact
    common = {
        "profile": scale.name,
        "seeds": [0],
        "metric_version": NUMERICS_VERSION,
        "weights": WEIGHTS,
        **records.provenance(device),
    }
    made = []
    for name in track(names, "engines"):
        engine = Engine(random_dit(scale, device), known[name], device)
        for what, roll in rolls.items():
            steps, video = expected[what]
            led, _ = roll(engine, led_by=steps)
            errors = torch.tensor([relative(a, b) for a, b in zip(led, steps, strict=True)])
            _, alone = roll(engine)
            values = {
                f"{what}_step_error_median": float(errors.median()),
                f"{what}_step_error_max": float(errors.max()),
                f"{what}_rollout_error": relative(alone, video),
            }
            for metric, value in values.items():
                n = len(errors) if "step" in metric else 1
                made.append(records.Record(run_id=name, metric=metric, value=value, n=n, unit="relative", **common))
        del engine
    return made


def write_measured(scale: Scale, names: list[str], seconds: float, out: Path, device) -> None:
    """Records of a video of the scale's length, and of one that rolls on for `seconds`."""
    g = scale.geometry
    per_chunk = g.chunk_frames * g.temporal_compression
    chunks = max(1, round(seconds * g.fps / per_chunk))
    long = 1 + (chunks * g.chunk_frames - 1) * g.temporal_compression
    records.write(Path(out), measure(scale, names, {SHORT: g.frames, LONG: long}, device))
