"""Noise sources for the rollout: a callable (chunk, step) → [B, f, C, H, W]."""

from collections.abc import Callable, Sequence

import torch

from repro.geometry import Geometry
from repro.training.loop import generator_for

NoiseSource = Callable[[int, int], torch.Tensor]


def _chunk_shape(geometry: Geometry) -> tuple[int, ...]:
    return (geometry.chunk_frames, *geometry.latent_shape[1:])


def prompt_noise(seed: int, prompt_ids: Sequence[int], geometry: Geometry, device="cpu") -> NoiseSource:
    """Noise that depends on (seed, prompt, chunk, step) alone.

    A video is therefore the same in any batch, in any order, on any device, and rows that differ in
    schedule or cache share their noise. Step 0 is the chunk's start; later ones re-noise.
    """

    def draw(chunk: int, step: int) -> torch.Tensor:
        rows = [
            torch.randn(_chunk_shape(geometry), generator=generator_for(seed, prompt, chunk, step))
            for prompt in prompt_ids
        ]
        return torch.stack(rows).to(device)

    return draw


def stream_noise(generator: torch.Generator, batch: int, geometry: Geometry) -> NoiseSource:
    """Fresh noise from one generator on its own device, for training."""
    shape = (batch, *_chunk_shape(geometry))
    return lambda chunk, step: torch.randn(shape, generator=generator, device=generator.device)


def whole_video(source: NoiseSource, geometry: Geometry) -> torch.Tensor:
    """The chunks' starting noise as one latent [B, F, C, H, W], for bidirectional samplers."""
    return torch.cat([source(chunk, 0) for chunk in range(geometry.chunks)], dim=1)
