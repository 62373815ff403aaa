"""Where clips come from: the renderer, the autoencoder, the teacher, or a causal checkpoint.

Every source makes clips of the same scenes from the same noise, so that what differs is the model.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from repro.config import Profile, Run
from repro.evaluation.sampling import load_decoder
from repro.generation.noise import prompt_noise, whole_video
from repro.generation.samplers import euler
from repro.generation.student import Generator, load_dit
from repro.training.data import pixel_pool
from repro.training.teacher import autocast, load_teacher

Make = Callable[[Sequence[int]], torch.Tensor]
"""Prompt numbers → decoded video [B, frames, 3, height, width] in [0, 1]."""


def _reconstruction(profile: Profile, run: Run, scenes: list, checkpoints: Path, device) -> Make:
    codec = load_decoder(profile, "full", checkpoints, device)
    decoder = load_decoder(profile, run.decoder, checkpoints, device)

    def make(ids: Sequence[int]) -> torch.Tensor:
        video = pixel_pool([scenes[i] for i in ids], profile, device).float() / 255
        return decoder.decode(codec.encode(video))

    return make


def _teacher(profile: Profile, run: Run, scenes: list, checkpoints: Path, device, steps: int) -> Make:
    teacher, encoder = load_teacher(profile, checkpoints, device)
    decoder, flow = load_decoder(profile, run.decoder, checkpoints, device), profile.flow

    def make(ids: Sequence[int]) -> torch.Tensor:
        noise = whole_video(prompt_noise(profile.evaluation.seed, ids, profile.geometry, device), profile.geometry)
        with autocast(device):
            texts = (encoder([scenes[i].caption for i in ids]), encoder([""] * len(ids)))
            contexts = [teacher.text_context(t) for t in texts]
            x0, _ = euler(teacher, noise, *contexts, steps=steps, shift=flow.shift, guidance=flow.guidance)
        return decoder.decode(x0)

    return make


def _causal(profile: Profile, run: Run, scenes: list, checkpoints: Path, device, name: str) -> Make:
    _, encoder = load_teacher(profile, checkpoints, device)
    model = load_dit(profile, name, checkpoints, device)
    generator = Generator(profile, run, model, load_decoder(profile, run.decoder, checkpoints, device), device)

    def make(ids: Sequence[int]) -> torch.Tensor:
        noise = prompt_noise(profile.evaluation.seed, ids, generator.geometry, device)
        return generator(encoder([scenes[i].caption for i in ids]), noise, generator.cache(len(ids)))

    return make


def _real(profile: Profile, scenes: list, device) -> Make:
    return lambda ids: pixel_pool([scenes[i] for i in ids], profile, device).float() / 255


def clip_source(profile: Profile, source: str, run: Run, scenes: list, checkpoints: Path, steps: int, device) -> Make:
    """The maker of clips of `scenes`.

    `source` is `real`, `reconstruction`, `teacher` (bidirectional, `steps` Euler steps), or the name
    of a causal checkpoint, which generates as `run` says.
    """
    common = (profile, run, scenes, checkpoints, device)
    match source:
        case "real":
            return _real(profile, scenes, device)
        case "reconstruction":
            return _reconstruction(*common)
        case "teacher":
            return _teacher(*common, steps)
    return _causal(*common, source)
