"""The tiny decoder: stream against whole, against a plain per-frame loop, causality, shapes, key names."""

import pytest
import torch

from repro.config import load_profile
from repro.models.taehv import MemoryBlock, TinyDecoder
from repro.training.loop import generator_for

CHANNELS = (12, 10, 8, 6)


@pytest.fixture(scope="module")
def model():
    """Weights that keep the signal's size, so that a wrong memory cannot hide below a tolerance."""
    model = TinyDecoder(CHANNELS, 4).requires_grad_(False).eval()
    for i, p in enumerate(model.parameters()):
        scale = (2 / p[0].numel()) ** 0.5 if p.dim() > 1 else 0.1
        p.copy_(scale * torch.randn(p.shape, generator=generator_for(1, i)))
    return model


@pytest.fixture(scope="module")
def latents():
    return torch.randn((2, 6, 4, 3, 5), generator=generator_for(0))


def frame_by_frame(model, latents_FCHW):
    """One latent frame at a time through the layers, every layer's frames in a list; no batching of time."""
    past, out = {}, []
    for latent in latents_FCHW:
        frames = [latent[None]]
        for index, layer in enumerate(model.decoder):
            following = []
            for x in frames:
                if isinstance(layer, MemoryBlock):
                    y = layer(x, past.get(index, torch.zeros_like(x)))
                    past[index] = x
                else:
                    y = layer(x)
                following += list(y.split(1))
            frames = following
        out += frames
    return torch.cat(out[3:])


@pytest.mark.parametrize("training", [True, False])
def test_whole_decode_equals_a_plain_loop(model, latents, training):
    model.train(training)
    whole = model.decode(latents)
    model.eval()
    for row, video in zip(latents, whole, strict=True):
        expected = frame_by_frame(model, row)
        assert expected.std() > 0.1
        clamped = expected if training else expected.clamp(0, 1)
        torch.testing.assert_close(video, clamped, atol=2e-5 * expected.abs().max().item(), rtol=0)


@pytest.mark.parametrize("cut", [(1, 1, 1, 1, 1, 1), (3, 3), (2, 4)])
def test_streamed_chunks_equal_the_whole_video(model, latents, cut):
    stream = model.stream()
    parts = [stream.push(chunk) for chunk in latents.split(cut, dim=1)]
    assert [p.shape[1] for p in parts] == [4 * f - (3 if i == 0 else 0) for i, f in enumerate(cut)]
    torch.testing.assert_close(torch.cat(parts, 1), model.decode(latents), atol=2e-4, rtol=0)


@pytest.mark.parametrize("changed", [1, 3, 5])
def test_no_frame_sees_a_later_latent(model, latents, changed):
    other = latents.clone()
    other[:, changed] += 1
    model.train()  # unclamped
    a, b = model.decode(latents), model.decode(other)
    model.eval()
    first = 4 * changed - 3
    assert torch.equal(a[:, :first], b[:, :first])
    assert all((a[:, f] - b[:, f]).abs().max() > 0 for f in range(first, first + 4))


def test_a_video_does_not_depend_on_its_batch(model, latents):
    torch.testing.assert_close(model.decode(latents)[1:], model.decode(latents[1:]), atol=2e-4, rtol=0)


def test_memory_reaches_past_the_chunk(model, latents):
    """Otherwise a stream of single frames would equal the whole by accident."""
    alone = model.stream()
    alone.push(latents[:, 2:3])
    assert (alone.push(latents[:, 3:4]) - model.decode(latents)[:, 9:13]).abs().max() > 0.05


@pytest.mark.parametrize("name", ["smoke", "mini"])
def test_81_frames_from_21_latents(name):
    profile = load_profile(name)
    geometry = profile.geometry
    with torch.device("meta"):
        model = TinyDecoder(profile.autoencoders.tiny_channels, geometry.latent_channels).eval()
        video = model.decode(torch.empty(2, *geometry.latent_shape))
    assert video.shape == (2, geometry.frames, 3, geometry.height, geometry.width)


def test_state_dict_has_the_layout_of_taehv():
    """At Wan2.1's widths: indices and shapes of `TAEHV.decoder` in its author's source."""
    with torch.device("meta"):
        state = TinyDecoder((256, 128, 64, 64), 16).state_dict()
    shapes = {k: tuple(v.shape) for k, v in state.items()}
    assert shapes["decoder.1.weight"] == (256, 16, 3, 3)
    assert shapes["decoder.3.conv.0.weight"] == (256, 512, 3, 3)
    assert shapes["decoder.7.conv.weight"] == (256, 256, 1, 1)
    assert shapes["decoder.8.weight"] == (128, 256, 3, 3)
    assert shapes["decoder.13.conv.weight"] == (256, 128, 1, 1)
    assert shapes["decoder.19.conv.weight"] == (128, 64, 1, 1)
    assert shapes["decoder.22.weight"] == (3, 64, 3, 3)
    assert "decoder.8.bias" not in shapes and "decoder.22.bias" in shapes
