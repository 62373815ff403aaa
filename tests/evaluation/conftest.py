"""A run and checkpoints with random weights: plumbing, never quality."""

import pytest
import torch

from repro.config import load_runs
from repro.evaluation import sampling
from repro.models import text_encoder, vae, weights
from repro.models.taehv import TinyDecoder
from repro.training.loop import generator_for
from repro.world.judge import FEATURES, Judge

RUN = "diagonal_4322222"


@pytest.fixture(scope="module")
def run():
    return load_runs()[RUN]


@pytest.fixture
def checkpoints(tmp_path, smoke, run, untrained):
    torch.manual_seed(0)
    tiny = TinyDecoder(smoke.autoencoders.tiny_channels, smoke.geometry.latent_channels)
    with torch.no_grad():
        for p in tiny.parameters():
            if p.dim() > 1:
                p.normal_(0, (2 / p[0].numel()) ** 0.5, generator=generator_for(1))
        tiny.decoder[-1].weight.mul_(0.1)
        tiny.decoder[-1].bias.fill_(0.5)
    weights.save(tmp_path / "text_encoder.safetensors", text_encoder.build(smoke), {})
    weights.save(tmp_path / "tiny.safetensors", tiny, {})
    for seed in (0, 1):
        torch.nn.init.normal_(untrained.proj_out.weight, std=0.1, generator=generator_for(seed))
        weights.save(tmp_path / f"{run.student}-s{seed}.safetensors", untrained, {})
    sampling.write_prompts(smoke, tmp_path, tmp_path / "prompts.safetensors")
    return tmp_path


@pytest.fixture
def everything(checkpoints, smoke, untrained):
    torch.manual_seed(0)
    weights.save(checkpoints / "vae.safetensors", vae.build(smoke), {})
    weights.save(checkpoints / "judge.safetensors", Judge(), {})
    weights.save(checkpoints / "real.safetensors", {"features": torch.randn(200, FEATURES)}, {}, dtype=None)
    weights.save(checkpoints / "teacher.safetensors", untrained, {})
    return checkpoints
