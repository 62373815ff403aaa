"""Many-step causal sampling: chunks denoised side by side, each some steps behind the one before.

One lag makes three samplers. 0: all chunks at once. All the steps: chunk after chunk. Between: a
staircase of noise, asynchronous diffusion forcing (SkyReels-V2's `ar_step`); with a lag of a quarter
of the steps, MAGI-1's pipeline of at most four chunks in flight.

Legend: B batch, F latent frames, K chunks, C latent channels, H and W latent height and width, I iterations.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from repro.flow import TIMESTEPS, euler_sigmas
from repro.generation.spans import NO_SPANS, Spans
from repro.geometry import Geometry
from repro.models.kv_cache import HistoryCache, Together
from repro.models.wan import TextContext, WanConfig, together_mask

IN_FLIGHT = 4
"""Chunks that MAGI-1 denoises at a time."""


def positions(steps: int, chunks: int, lag: int) -> torch.Tensor:
    """Which step each chunk takes in each iteration, [I, K]: 1 … steps; 0 before its first, steps + 1 after its last.

    The step index of diffusers' SkyReels-V2 `generate_timestep_matrix`.
    """
    lag = min(lag, steps)
    iteration = torch.arange(1, steps + (chunks - 1) * lag + 1)
    return (iteration[:, None] - lag * torch.arange(chunks)).clamp(0, steps + 1)


class _Stream(NamedTuple):
    """One text condition, the keys and values of its finished chunks, and its weight in the velocity."""

    context: TextContext
    history: HistoryCache
    weight: float


@torch.no_grad()
def staircase(
    forward: Callable[..., torch.Tensor],
    noise_BFCHW: torch.Tensor,
    context: TextContext,
    null_context: TextContext | None,
    *,
    config: WanConfig,
    geometry: Geometry,
    window_frames: int,
    steps: int,
    lag: int,
    shift: float,
    guidance: float,
    on_chunk: Callable[[int, torch.Tensor], None] | None = None,
    spans: Spans = NO_SPANS,
) -> torch.Tensor:
    """Euler on the flow ODE of a block-causal model, whose sizes `config` has; returns x0 [B, F, C, H, W].

    A forward covers the chunks in flight. A finished chunk is read once more, clean, and from then on
    only its keys and values are seen. `on_chunk(k, x0)` runs as soon as chunk k is clean.
    """
    x, frames, sigmas = noise_BFCHW.clone(), geometry.chunk_frames, euler_sigmas(steps, shift)
    level = torch.tensor(sigmas, device=x.device)
    guided = null_context is not None and guidance != 1
    weighted = [(context, guidance), (null_context, 1 - guidance)] if guided else [(context, 1.0)]
    kind = {"device": x.device, "dtype": context.keys[0].dtype}
    streams = [_Stream(c, HistoryCache(config, geometry, len(x), window_frames, **kind), w) for c, w in weighted]

    def velocity(active: range, here: slice, sigma_f: torch.Tensor) -> torch.Tensor:
        timestep, mask = (sigma_f * TIMESTEPS).expand(len(x), -1), together_mask(geometry, window_frames, active)
        return sum(
            s.weight * forward(x[:, here], timestep, s.context, start_frame=here.start, cache=cache, mask=mask)
            for s, cache in ((s, Together(s.history, active)) for s in streams)
        )

    plan = positions(steps, geometry.chunks, lag)
    for row, row_K in zip(plan.tolist(), plan.to(x.device), strict=True):
        moving = [k for k, position in enumerate(row) if 1 <= position <= steps]
        active = range(moving[0], moving[-1] + 1)
        here = slice(active.start * frames, active.stop * frames)
        step_f = row_K[active.start : active.stop].repeat_interleave(frames)
        now, after = level[step_f - 1], level[step_f]
        with spans("denoise"):
            x[:, here] += (after - now)[:, None, None, None] * velocity(active, here, now).to(x.dtype)
        for k in (k for k in active if row[k] == steps):
            chunk = slice(k * frames, (k + 1) * frames)
            if on_chunk is not None:
                on_chunk(k, x[:, chunk])
            if row[-1] < steps:  # someone will look back
                clean = torch.zeros(len(x), frames, device=x.device)
                with spans("cache"):
                    for s in streams:
                        s.history.begin(k)
                        forward(x[:, chunk], clean, s.context, start_frame=chunk.start, cache=s.history)
    return x
