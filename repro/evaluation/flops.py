"""Floating-point operations of the DiT's forwards and of its distillation, counted by hand: products and attention.

Legend: T tokens of the chunk, S keys seen, L text tokens, D width.
"""

from typing import NamedTuple

from repro.config import DmdFit, Sampling, Scale, Student
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


GUIDED = 2
"""Forwards of a step with guidance, and prompts of a video."""


def many_step(scale: Scale, config: WanConfig, row: Sampling) -> float:
    """FLOP of a video in the scale's `teacher_steps` with guidance, by the sampler of `generation.many_step`.

    On a staircase a chunk sees its window in each of its steps, and all but the last are read once more.
    """
    geometry, steps = row.geometry(scale.geometry), scale.flow.teacher_steps
    if row.sampler == "bidirectional":
        tokens = geometry.tokens(geometry.latent_frames)
        return GUIDED * (context(config) + steps * forward(config, tokens, tokens, config.text_tokens))
    total, chunk = context(config), geometry.tokens(geometry.chunk_frames)
    for k in range(geometry.chunks):
        keys = min((k + 1) * chunk, geometry.tokens(row.window_frames))
        total += (steps + (k < geometry.chunks - 1)) * forward(config, chunk, keys, config.text_tokens)
    return GUIDED * total


def many_step_forwards(scale: Scale, row: Sampling) -> int:
    """Transformer calls of that video: a call of a staircase is for all the chunks in flight."""
    steps, more = scale.flow.teacher_steps, row.geometry(scale.geometry).chunks - 1
    return GUIDED * (steps if row.sampler == "bidirectional" else steps + more * min(row.lag, steps) + more)


BACKWARD = 2
"""A backward pass makes two products for each of the forward's."""


class IterationFlop(NamedTuple):
    """FLOP for one video of an iteration: of the model, and those done again for what was not kept."""

    model: float
    recomputed: float


def distillation_iteration(scale: Scale, config: WanConfig, row: Student, fit: DmdFit) -> IterationFlop:
    """One video of a student that trains on its own rollouts: a rollout for each critic update and one for its own.

    The critic's updates and the student's are a forward and a backward; the teacher scores with and without text,
    the critic once. What a block's inputs give again (checkpointing) is counted apart.
    """
    geometry = scale.geometry.with_chunk_frames(row.chunk_frames)
    schedule, tokens = Schedule.parse(row.schedule, geometry.chunks), geometry.tokens(geometry.latent_frames)
    text = context(config)
    rollouts = (fit.critic_updates + 1) * video(
        scale, config, schedule, row.forcing == "self", row.window_frames, row.chunk_frames
    )
    whole = forward(config, tokens, tokens, config.text_tokens)
    chunk = geometry.tokens(row.chunk_frames)
    windows = [min((k + 1) * chunk, geometry.tokens(row.window_frames)) for k in range(geometry.chunks)]
    causal = sum(forward(config, chunk, keys, config.text_tokens) for keys in windows)
    times = fit.generator_batches
    trained = fit.critic_updates * (whole + text) + times * (causal + text)
    return IterationFlop(
        model=rollouts + 3 * times * (whole + text) + (1 + BACKWARD) * trained,
        recomputed=fit.critic_updates * whole + times * causal,
    )
