"""Clips of many schedules made together are those made one by one."""

import pytest
import torch

from repro.config import load_runs
from repro.generation.branching import branch
from repro.generation.noise import prompt_noise
from repro.generation.student import Generator
from repro.models.taehv import TinyDecoder

SCHEDULES = ("4322222", "4322221", "1322222", "4311111", "5555555", "4322223")


@pytest.fixture
def generator(smoke, untrained):
    def make(**changes):
        torch.manual_seed(0)
        decoder = TinyDecoder(smoke.autoencoders.tiny_channels, smoke.geometry.latent_channels).eval()
        with torch.no_grad():
            decoder.decoder[-1].bias.fill_(0.5)
        run = load_runs()["diagonal_4322222"].model_copy(update=changes)
        return Generator(smoke, run, untrained, decoder)

    return make


@pytest.mark.parametrize("changes", [{}, {"cache": "self", "noise_level": 0, "window_frames": 6}])
def test_branches_are_the_schedules_own_videos(generator, smoke, text, changes):
    noise = prompt_noise(3, [0, 1], smoke.geometry)
    together = generator(**changes)
    clips = branch(together, SCHEDULES, text, noise)
    assert clips.shape[:3] == (len(SCHEDULES), 2, smoke.geometry.frames) and clips.float().std() > 1
    for schedule, clip in zip(SCHEDULES, clips, strict=True):
        alone = generator(schedule=schedule, **changes)
        expected = (alone(text, noise, alone.cache(2)) * 255).round()
        assert (clip.float() - expected).abs().max() <= 1, schedule
    assert (clips[0].float() - clips[5].float()).abs().max() > 1


def test_what_is_alike_is_made_once(generator, smoke, text):
    one, two = generator(), generator()
    noise = prompt_noise(3, [0, 1], smoke.geometry)
    branch(one, ["4322222"], text, noise)
    branch(two, ["4322222", "4322223"], text, noise)
    assert (one.forward.calls, two.forward.calls) == (17, 17 + 3)
