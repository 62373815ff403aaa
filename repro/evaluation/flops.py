"""Floating-point operations of the DiT's cached forwards, counted by hand: matrix products and attention.

Legend: T tokens of the chunk, S keys seen, L text tokens, D width.
"""

from repro.config import Scale
from repro.models.wan import WanConfig
from repro.schedule import Schedule

MULTIPLY_ADD = 2


def forward(config: WanConfig, tokens: int, keys: int, context_tokens: int) -> float:
    """FLOP of one forward of one chunk; the time embedding's are left out."""
    c = config
    weights = c.layers * (6 * c.dim**2 + 2 * c.dim * c.ffn_dim)
    ends = c.dim * c.patch**2 * (c.in_channels + c.out_channels)
    scores = c.layers * 2 * c.dim * (keys + context_tokens)
    return MULTIPLY_ADD * tokens * (weights + ends + scores)


def context(config: WanConfig) -> float:
    """FLOP of a prompt's cross-attention keys and values, made once a video."""
    c = config
    return MULTIPLY_ADD * c.text_tokens * (c.text_dim * c.dim + c.dim**2 + c.layers * 2 * c.dim**2)


def video(
    scale: Scale, config: WanConfig, schedule: Schedule, cache_pass: bool, window: int, chunk_frames: int
) -> float:
    """FLOP of all forwards of one video, cache passes included; `window` in latent frames, current chunk included."""
    total, chunk = context(config), scale.geometry.tokens(chunk_frames)
    for k, steps in enumerate(schedule.counts):
        keys = min((k + 1) * chunk, scale.geometry.tokens(window))
        total += (steps + cache_pass) * forward(config, chunk, keys, config.text_tokens)
    return total
