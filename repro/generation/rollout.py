"""The only chunk × step loop: inference and training both generate through `rollout`.

Legend: B batch, f latent frames of a chunk, C latent channels, H and W latent height and width.
"""

from collections.abc import Callable

import torch

from repro.flow import TIMESTEPS, add_noise, nominal_to_sigma, x0_from_velocity
from repro.generation.cache_policy import CachePolicy
from repro.generation.noise import NoiseSource
from repro.generation.spans import NO_SPANS, Spans
from repro.models.kv_cache import KVCache
from repro.models.wan import TextContext
from repro.schedule import Schedule

Forward = Callable[..., torch.Tensor]
OnChunk = Callable[[int, torch.Tensor], None]
OnStep = Callable[[int, int, torch.Tensor, float, torch.Tensor], torch.Tensor]


def predict_x0(
    forward: Forward,
    x_BfCHW: torch.Tensor,
    sigma: float,
    context: TextContext,
    start_frame: int,
    cache: KVCache,
) -> torch.Tensor:
    """One forward of a chunk at one noise level; writes the chunk's cache slot."""
    timestep_Bf = torch.full(x_BfCHW.shape[:2], sigma * TIMESTEPS, device=x_BfCHW.device)
    v = forward(x_BfCHW, timestep_Bf, context, start_frame=start_frame, cache=cache)
    return x0_from_velocity(x_BfCHW, v.to(x_BfCHW.dtype), sigma)


@torch.no_grad()
def rollout(
    forward: Forward,
    noise: NoiseSource,
    context: TextContext | Callable[[int], TextContext],
    schedule: Schedule,
    cache: KVCache,
    policy: CachePolicy,
    *,
    shift: float,
    on_chunk: OnChunk | None = None,
    on_step: OnStep | None = None,
    spans: Spans = NO_SPANS,
) -> torch.Tensor:
    """Generate one video chunk by chunk, without gradient; returns x0 [B, F, C, H, W].

    `forward` is a `WanDiT` (or a graphed one). `on_chunk(k, x0)` runs as soon as chunk k is clean,
    before any cache pass, so decoding streams. `context` may be a function of the chunk: prompts change between
    them. For training, `on_step(k, step, x, sigma, x0)` gets what every step was given and what it predicted, and
    returns the prediction to go on with.
    """
    video = []
    for k in range(schedule.chunks):
        cache.begin(k)
        text = context(k) if callable(context) else context
        timesteps = schedule.timesteps(k)
        x0 = None
        with spans("denoise", k):
            for step, timestep in enumerate(timesteps):
                sigma = nominal_to_sigma(timestep, shift)
                x = noise(k, 0) if x0 is None else add_noise(x0, noise(k, step), sigma)
                start = k * x.shape[1]
                x0 = predict_x0(forward, x, sigma, text, start, cache)
                if on_step is not None:
                    x0 = on_step(k, step, x, sigma, x0)
        video.append(x0)
        if on_chunk is not None:
            on_chunk(k, x0)
        if policy.needs_pass(timesteps[-1]):
            with spans("cache", k):
                sigma = nominal_to_sigma(policy.noise_level, shift)
                kept = add_noise(x0, noise(k, len(timesteps)), sigma) if sigma > 0 else x0
                predict_x0(forward, kept, sigma, text, start, cache)
    return torch.cat(video, dim=1)
