"""Clips of many schedules from the same prompts and noise: what schedules begin with alike is made once.

Legend: S schedules, P prompts, B branches · P videos of a batch, prompts innermost.
"""

from collections.abc import Sequence
from functools import cache as remember
from itertools import groupby

import torch

from repro.generation.noise import NoiseSource
from repro.generation.rollout import rollout
from repro.generation.student import Generator
from repro.models.wan import TextContext
from repro.schedule import Schedule


def _repeat(context: TextContext, times: int) -> TextContext:
    return TextContext(*([t.repeat(times, 1, 1, 1) for t in part] for part in (context.keys, context.values)))


@torch.inference_mode()
def branch(generator: Generator, schedules: Sequence[str], text_PLE: torch.Tensor, noise: NoiseSource) -> torch.Tensor:
    """Clips uint8 [S, P, frames, 3, height, width], each as `generator` with that schedule would make it.

    Schedules have one digit a chunk. `noise` draws for the P prompts. Only the tiny decoder can branch.
    """
    prompts, chunks = len(text_PLE), generator.geometry.chunks
    noise, context = remember(noise), generator.model.text_context(text_PLE)
    cache, decoding, made = generator.cache(prompts), generator.decoder.stream(), [""]
    film = torch.empty(0)
    for k in range(chunks):
        # Branches with equal step counts lie side by side, and are denoised together.
        parents = {prefix: place for place, prefix in enumerate(made)}
        made = sorted({s[: k + 1] for s in schedules}, key=lambda s: (s[k], s))
        rows = torch.tensor([parents[s[:k]] for s in made], device=text_PLE.device)
        rows = (rows[:, None] * prompts + torch.arange(prompts, device=rows.device)).flatten()
        cache, latents = cache.take(rows), []
        cache.begin(k)
        for digit, group in groupby(made, key=lambda s: s[k]):
            start, times = sum(map(len, latents)), len(list(group))
            latents.append(
                rollout(
                    generator.forward,
                    lambda chunk, step, n=times: noise(chunk, step).repeat(n, 1, 1, 1, 1),
                    _repeat(context, times),
                    Schedule.parse(digit, chunks, steps=generator.run.steps),
                    cache.take(slice(start, start + times * prompts)),
                    generator.policy,
                    shift=generator.profile.flow.shift,
                    chunks=range(k, k + 1),
                )
            )
        decoding = decoding.take(rows)
        frames = decoding.push(torch.cat(latents).to(generator.decoder_dtype))
        frames = (frames.clamp(0, 1) * 255).round().to(torch.uint8)
        film = torch.cat([film[rows], frames], dim=1) if k else frames
    places = {schedule: place for place, schedule in enumerate(made)}
    return film.unflatten(0, (-1, prompts))[[places[s] for s in schedules]]
