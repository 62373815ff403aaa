"""The only chunk × step loop: inference and training both generate through `rollout`.

Legend: B batch, f latent frames of a chunk, C latent channels, H and W latent height and width.
"""

from collections import deque
from collections.abc import Callable, Iterable

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


def recache(
    forward: Forward, written: Iterable[tuple[int, torch.Tensor, float]], context: TextContext, cache: KVCache
) -> None:
    """Fill a cache again under another prompt, from (chunk, x, sigma): what its slots were written from, in order.

    The first of them sees itself alone: what lay before the window is gone.
    """
    for place, (chunk, x, sigma) in enumerate(written):
        if not place:
            cache.reset(chunk)
        cache.begin(chunk)
        predict_x0(forward, x, sigma, context, chunk * x.shape[1], cache)


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
    chunks: range | None = None,
    recaches: bool = False,
    keep: bool = True,
) -> torch.Tensor | None:
    """Generate one video chunk by chunk, without gradient; returns x0 [B, F, C, H, W], or None without `keep`.

    `forward` is a `WanDiT` (or a graphed one). `on_chunk(k, x0)` runs as soon as chunk k is clean,
    before any cache pass, so decoding streams. `context` may be a function of the chunk: prompts change between
    them, and with `recaches` the window's keys and values are then computed again under the new one. `chunks` makes
    a part of the video, where the cache holds what comes before it. For training, `on_step(k, step, x, sigma, x0)`
    gets what every step was given and what it predicted, and returns the prediction to go on with.
    """
    video, text = [], None
    written = deque(maxlen=cache.window - 1 if recaches else 0)
    for k in chunks or range(schedule.chunks):
        before, text = text, context(k) if callable(context) else context
        if text is not before and written:
            with spans("recache", k):
                recache(forward, written, text, cache)
        cache.begin(k)
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
        if keep:
            video.append(x0)
        if on_chunk is not None:
            on_chunk(k, x0)
        if policy.needs_pass(timesteps[-1]):
            with spans("cache", k):
                sigma = nominal_to_sigma(policy.noise_level, shift)
                x = add_noise(x0, noise(k, len(timesteps)), sigma) if sigma > 0 else x0
                predict_x0(forward, x, sigma, text, start, cache)
        written.append((k, x, sigma))
    return torch.cat(video, dim=1) if keep else None
