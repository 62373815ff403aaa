"""Staircase sampling: SkyReels-V2's timestep matrix, the ends of the lag, cached = uncached, guidance."""

import pytest
import torch
from diffusers import SkyReelsV2DiffusionForcingPipeline

from repro.flow import euler_sigmas
from repro.generation.noise import prompt_noise, whole_video
from repro.generation.samplers import euler
from repro.generation.staircase import IN_FLIGHT, positions, staircase
from repro.generation.student import ForwardCounter
from repro.models.wan import block_causal_mask
from repro.training.loop import generator_for

SHIFT, STEPS = 5.0, 8


@pytest.mark.parametrize("lag", [0, 1, 3, 8, 20])
@pytest.mark.parametrize("block", [1, 3])
def test_positions_are_those_of_skyreels_matrix(lag, block):
    template, chunks = torch.arange(1000, 0, -1000 // STEPS), 7
    assert len(template) == STEPS
    matrix, index, update, _ = SkyReelsV2DiffusionForcingPipeline.generate_timestep_matrix(
        None, chunks * block, template, chunks * block, ar_step=lag, causal_block_size=block
    )
    ours = positions(STEPS, chunks, lag)
    assert torch.equal(ours.repeat_interleave(block, dim=1), index)
    active = (ours >= 1) & (ours <= STEPS)
    assert torch.equal(active.repeat_interleave(block, dim=1), update)
    levels = torch.cat([torch.tensor([999]), template, torch.tensor([0])])[ours]
    assert torch.equal(levels.repeat_interleave(block, dim=1), matrix)


def test_noise_never_falls_along_the_video_and_at_most_four_chunks_are_in_flight():
    found = positions(STEPS, 7, STEPS // IN_FLIGHT)
    assert (found.diff(dim=1) <= 0).all()
    active = ((found >= 1) & (found <= STEPS)).sum(1)
    assert active.max() == IN_FLIGHT and active.min() == 1


def sampled(model, profile, text, lag, null=None, window=21, guidance=1.0, chunk_frames=3, **kwargs):
    geometry = profile.geometry.with_chunk_frames(chunk_frames)
    noise = whole_video(prompt_noise(0, range(len(text)), geometry), geometry)
    contexts = (model.text_context(text), None if null is None else model.text_context(null))
    settings = {
        "config": model.config,
        "geometry": geometry,
        "window_frames": window,
        "steps": STEPS,
        "lag": lag,
        "shift": SHIFT,
    }
    return staircase(model, noise, *contexts, **settings, guidance=guidance, **kwargs), noise, contexts


def uncached(model, noise, context, geometry, lag, window):
    """Every forward over the whole prefix, done chunks at level 0 among it, as in SkyReels-V2."""
    mask, x = block_causal_mask(geometry, window), noise.clone()
    level = torch.tensor([1.0, *euler_sigmas(STEPS, SHIFT)])
    for row in positions(STEPS, geometry.chunks, lag).repeat_interleave(geometry.chunk_frames, dim=1):
        v = model(x, (level[row] * 1000).expand(len(x), -1), context, mask=mask)
        moving = (row >= 1) & (row <= STEPS)
        step = torch.where(moving, level[(row + 1).clamp(max=STEPS + 1)] - level[row], 0.0)
        x = x + step[:, None, None, None] * v
    return x


@pytest.mark.parametrize("window", [21, 9])
@pytest.mark.parametrize("lag", [0, 2, 3, STEPS])
def test_keys_and_values_of_done_chunks_stand_for_them(untrained, smoke, text, lag, window):
    with torch.no_grad():
        video, noise, (context, _) = sampled(untrained, smoke, text, lag, window=window)
        expected = uncached(untrained, noise, context, smoke.geometry, lag, window)
    assert video.isfinite().all() and (video - noise).abs().mean() > 0.1
    torch.testing.assert_close(video, expected, atol=2e-4, rtol=1e-4)


def test_one_chunk_of_everything_is_the_bidirectional_sampler(untrained, smoke, text):
    with torch.no_grad():
        null = text * 0
        video, noise, contexts = sampled(untrained, smoke, text, 0, null, guidance=3.0, chunk_frames=21)
        expected, _ = euler(untrained, noise, *contexts, steps=STEPS, shift=SHIFT, guidance=3.0)
    torch.testing.assert_close(video, expected, atol=2e-4, rtol=1e-4)


def test_chunks_stream_in_order_and_forwards_are_as_planned(untrained, smoke, text):
    """Guidance doubles the forwards; all chunks but the last are read once more."""
    counted, chunks = ForwardCounter(untrained), []
    counted.text_context, counted.config = untrained.text_context, untrained.config
    with torch.no_grad():
        video, _, _ = sampled(
            counted, smoke, text, 2, text * 0, guidance=3.0, on_chunk=lambda k, x0: chunks.append((k, x0.clone()))
        )
    assert [k for k, _ in chunks] == list(range(7))
    assert torch.equal(torch.cat([x0 for _, x0 in chunks], dim=1), video)
    assert counted.calls == 2 * (STEPS + 6 * 2 + 6)


def test_no_chunk_sees_a_later_one(untrained, smoke, text):
    """Another start of the fifth chunk leaves the four before it alone."""
    with torch.no_grad():
        _, noise, (context, _) = sampled(untrained, smoke, text, 2)
        other = noise.clone()
        other[:, 12:15] += torch.randn(other[:, 12:15].shape, generator=generator_for(1))
        settings = {"geometry": smoke.geometry, "window_frames": 21, "steps": STEPS, "lag": 2, "shift": SHIFT}
        settings["config"] = untrained.config
        a, b = (staircase(untrained, n, context, None, guidance=1.0, **settings) for n in (noise, other))
    assert torch.equal(a[:, :12], b[:, :12]) and not torch.equal(a[:, 12:15], b[:, 12:15])
