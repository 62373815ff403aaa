"""The VAE: whole passes against the stream and against diffusers, causality, shapes."""

import pytest
import torch

from repro.config import load_profile
from repro.models import vae
from repro.training.loop import generator_for

SIDE = 32
FRAMES = 21


@pytest.fixture(scope="module")
def model(smoke):
    """Random weights, biases and statistics included: zeros would hide errors."""
    model = vae.build(smoke).requires_grad_(False).eval()
    for i, p in enumerate(model.parameters()):
        if p.dim() == 1:
            p.add_(0.2 * torch.randn(p.shape, generator=generator_for(0, i)))
    channels = smoke.geometry.latent_channels
    model.latents_mean.copy_(torch.randn(channels, generator=generator_for(1)))
    model.latents_std.copy_(0.5 + torch.rand(channels, generator=generator_for(2)))
    return model


@pytest.fixture(scope="module")
def video():
    return torch.rand((2, FRAMES, 3, SIDE, SIDE), generator=generator_for(3))


@pytest.fixture(scope="module")
def latents(smoke):
    shape = (2, 6, smoke.geometry.latent_channels, SIDE // 8, SIDE // 8)
    return torch.randn(shape, generator=generator_for(4))


def normalise(model, z):
    shape = (1, 1, -1, 1, 1)
    return (z - model.latents_mean.view(shape)) / model.latents_std.view(shape)


def close(a, b):
    """Equal up to the order of fp32 sums, on the scale of the values."""
    torch.testing.assert_close(a, b, atol=2e-5 * b.abs().max().item(), rtol=0)


@torch.no_grad()
def test_whole_encoding_equals_diffusers_frame_by_frame(model, video):
    theirs = model.model.encode(video.transpose(1, 2) * 2 - 1).latent_dist.mean.transpose(1, 2)
    assert theirs.std() > 0.1
    close(model.posterior_mean(video), theirs)
    close(model.encode(video), normalise(model, theirs))


@torch.no_grad()
def test_whole_decoding_equals_diffusers_frame_by_frame(model, latents):
    z = model.denormalise(latents)
    close(normalise(model, z), latents)
    theirs = model.model.decode(z.transpose(1, 2)).sample.transpose(1, 2) * 0.5 + 0.5
    assert theirs.std() > 0.05
    close(model.decode(latents), theirs)


@torch.no_grad()
@pytest.mark.parametrize("cut", [(1, 1, 1, 1, 1, 1), (3, 3), (2, 4), (6,)])
def test_streamed_chunks_equal_the_whole_video(model, latents, cut):
    stream = model.stream()
    parts = [stream.push(chunk) for chunk in latents.split(cut, dim=1)]
    assert [p.shape[1] for p in parts] == [4 * f - (3 if i == 0 else 0) for i, f in enumerate(cut)]
    close(torch.cat(parts, 1), model.reconstruct(model.denormalise(latents)))


@torch.no_grad()
def test_two_streams_do_not_share_their_memory(model, latents):
    first, second = model.stream(), model.stream()
    first.push(latents[:1, :3])
    a = second.push(latents[1:, :3])
    close(a, model.reconstruct(model.denormalise(latents[1:, :3])))


@torch.no_grad()
@pytest.mark.parametrize("changed", [1, 4, 5, 12, 20])
def test_encoding_never_looks_ahead(model, video, changed):
    other = video.clone()
    other[:, changed] = 1 - other[:, changed]
    a, b = model.encode(video), model.encode(other)
    first = (changed + 3) // 4
    assert torch.equal(a[:, :first], b[:, :first])
    assert (a[:, first] - b[:, first]).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("changed", [1, 3, 5])
def test_decoding_never_looks_ahead(model, latents, changed):
    other = latents.clone()
    other[:, changed] += 1
    a, b = (model.reconstruct(model.denormalise(x)) for x in (latents, other))
    first = 4 * changed - 3
    assert torch.equal(a[:, :first], b[:, :first])
    assert (a[:, first : first + 4] - b[:, first : first + 4]).abs().max() > 1e-3


@torch.no_grad()
def test_81_frames_are_21_latent_frames_and_back(model, smoke):
    geometry = smoke.geometry
    video = torch.rand((1, geometry.frames, 3, geometry.height, geometry.width), generator=generator_for(5))
    latents = model.encode(video)
    assert latents.shape == (1, *geometry.latent_shape) == (1, 21, 16, 4, 6)
    decoded = model.decode(latents)
    assert decoded.shape == video.shape and decoded.min() >= 0 and decoded.max() <= 1


@pytest.mark.parametrize("name", ["smoke", "mini"])
def test_every_profile_compresses_by_eight_and_four(name):
    profile = load_profile(name)
    with torch.device("meta"):
        model = vae.build(profile)
        z = model.posterior_mean(torch.empty(1, 9, 3, 64, 112))
        assert z.shape == (1, 3, profile.geometry.latent_channels, 8, 14)
        assert model.reconstruct(z).shape == (1, 9, 3, 64, 112)
    # As bfloat16 the shipped VAE stays under 16 MiB.
    assert 2 * sum(p.numel() for p in model.parameters()) < 16 * 2**20


@torch.no_grad()
def test_an_untrained_encoder_tells_pictures_apart(smoke):
    torch.manual_seed(0)
    model = vae.build(smoke)
    z = model.posterior_mean(torch.rand((8, 1, 3, SIDE, SIDE), generator=generator_for(6)))
    # With PyTorch's own initialisation the biases drown the picture and this falls below 0.02.
    assert z.std(0).mean() > 0.2 * z.square().mean().sqrt()
