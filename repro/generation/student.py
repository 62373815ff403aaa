"""A distilled student with everything it needs to make videos of one run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from repro.config import Profile, Run, Scale
from repro.engine.assemble import Engine
from repro.engine.options import EAGER
from repro.generation.cache_policy import CachePolicy
from repro.generation.noise import NoiseSource
from repro.generation.rollout import rollout
from repro.generation.spans import NO_SPANS, Spans
from repro.models import presets, weights
from repro.models.kv_cache import KVCache
from repro.models.wan import TextContext, WanDiT

OnFrames = Callable[[int, torch.Tensor], None]


def load_dit(profile: Profile, name: str, checkpoints: Path, device) -> WanDiT:
    """The frozen DiT of the checkpoint `<name>.safetensors`."""
    model = WanDiT(presets.from_profile(profile))
    weights.load_into(model, Path(checkpoints) / f"{name}.safetensors")
    return model.to(device).requires_grad_(False).eval()


def load_student(profile: Profile, name: str, seed: int, checkpoints: Path, device) -> WanDiT:
    return load_dit(profile, f"{name}-s{seed}", checkpoints, device)


class ForwardCounter:
    """Counts transformer calls: the `forwards` column. `on_call(calls)`, if it is set, hears of each as it begins."""

    def __init__(self, forward):
        self.forward, self.calls = forward, 0
        self.on_call: Callable[[int], None] | None = None

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.on_call is not None:
            self.on_call(self.calls)
        return self.forward(*args, **kwargs)


@dataclass
class Generator:
    """One row of runs.csv, ready to generate."""

    profile: Scale
    run: Run
    model: WanDiT
    decoder: torch.nn.Module
    device: str = "cpu"
    engine: Engine | None = None
    """Carries out the forwards and decodes; without one, the model and the decoder do as they are."""

    def __post_init__(self):
        self.geometry = self.run.geometry(self.profile.geometry)
        self.schedule = self.run.schedule_for(self.geometry)
        self.policy = CachePolicy(self.run.noise_level)
        if self.engine is None:
            self.engine = Engine(self.model, EAGER, self.device)
        self.forward = ForwardCounter(self.engine.forward)
        self.decoder_dtype = next(self.decoder.parameters()).dtype
        self.decoder = self.engine.decoder(self.decoder)

    def draws(self, chunk: int) -> int:
        """Draws of noise that a chunk takes: its start, each later step and a cache pass."""
        return self.schedule.counts[chunk] + 1

    def cache(self, batch: int) -> KVCache:
        """The engine's for so many videos, the same every time: a stream forgets the one before it."""
        return self.engine.cache(self.geometry, batch, self.run.window_frames, self.run.sink_frames)

    @torch.inference_mode()
    def __call__(
        self,
        text_BLE: torch.Tensor,
        noise: NoiseSource,
        cache: KVCache,
        spans: Spans = NO_SPANS,
        on_frames: OnFrames | None = None,
    ) -> torch.Tensor:
        """Decoded video [B, frames, 3, height, width] in [0, 1], of one prompt a video.

        `cache` comes from `cache(B)` and may be used again. `on_frames(k, frames)` runs as each
        chunk is decoded.
        """
        frames = []

        def keep(k: int, video: torch.Tensor) -> None:
            frames.append(video)
            if on_frames is not None:
                on_frames(k, video)

        with spans("denoise"):
            context = self.model.text_context(text_BLE)
        self.stream(context, noise, cache, keep, spans)
        return torch.cat(frames, dim=1)

    @torch.inference_mode()
    def stream(
        self,
        context: TextContext | Callable[[int], TextContext],
        noise: NoiseSource,
        cache: KVCache,
        on_frames: OnFrames,
        spans: Spans = NO_SPANS,
        *,
        recaches: bool = False,
    ) -> None:
        """The same chunk by chunk: nothing is kept. `context` may depend on the chunk (see `rollout`)."""
        cache.reset()
        decoding = self.decoder.stream()

        def decode(k: int, x0: torch.Tensor) -> None:
            with self.engine.aside():
                with spans("decode", k):
                    frames = decoding.push(x0.to(self.decoder_dtype))
                on_frames(k, frames)

        rollout(
            self.forward,
            noise,
            context,
            self.schedule,
            cache,
            self.policy,
            shift=self.profile.flow.shift,
            on_chunk=decode,
            spans=spans,
            recaches=recaches,
            keep=False,
        )
        self.engine.join()
