"""Geometry, flow and schedule against the paper's columns and diffusers' scheduler."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro import flow
from repro.config import load_profile
from repro.errors import ReproError
from repro.geometry import Geometry
from repro.schedule import Schedule

# Schedule → NFEs, as Tables 3, 5 and 6 of the paper print them.
PAPER_NFE = {
    "4322222": 34, "5433333": 48, "5432222": 40, "5333333": 46, "4333333": 44, "4222222": 32,
    "4444444": 56, "5422222": 38, "5522222": 40, "4432222": 38, "4343232": 42, "4532232": 42,
    "3333533": 46, "3233343": 42,
}  # fmt: skip


@pytest.mark.parametrize(("text", "nfe"), PAPER_NFE.items())
def test_paper_schedules_parse_and_obey_the_nfe_column(text, nfe):
    assert Schedule.parse(text, 7).paper_nfe == nfe


def test_forwards_count_cache_passes():
    schedule = Schedule.parse("4322222", 7)
    assert (schedule.forwards("diagonal"), schedule.forwards("self")) == (17, 24)
    assert schedule.forwards("diagonal", noise_level=200) == 24
    assert Schedule.parse("1", 7).forwards("diagonal") == 14


def test_short_strings_repeat_or_cycle():
    assert Schedule.parse("432", 7).counts == (4, 3, 2, 2, 2, 2, 2)
    assert Schedule.parse("432", 7, cycle=True).counts == (4, 3, 2, 4, 3, 2, 4)


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("", "empty"),
        ("4302222", "position 3: '0'"),
        ("43x2222", "position 3: 'x'"),
        ("43 2222", "position 3: ' '"),
        ("4٣22222", "position 2"),
        ("43222229", "position 8: 9 steps"),
        ("43222222", "8 digits for 7 chunks"),
    ],
)
def test_bad_schedules_name_string_and_position(text, needle):
    with pytest.raises(ReproError) as error:
        Schedule.parse(text, 7)
    assert needle in str(error.value) and repr(text) in str(error.value)


@given(st.text(alphabet="12345", min_size=1, max_size=7), st.booleans())
def test_every_valid_schedule_ends_each_chunk_at_the_forcing_level(text, cycle):
    schedule = Schedule.parse(text, 7, cycle=cycle)
    assert schedule.paper_nfe == 2 * sum(len(schedule.timesteps(k)) for k in range(7))
    for k in range(7):
        sigmas = schedule.sigmas(k, shift=5.0)
        assert sigmas[0] == 1.0 and all(a > b for a, b in pairwise(sigmas))
        assert schedule.counts[k] == 1 or schedule.timesteps(k)[-1] == 100


def test_warped_timesteps():
    warped = [flow.nominal_to_sigma(t, 5.0) * 1000 for t in (1000, 750, 500, 250, 100)]
    assert warped == pytest.approx([1000, 937.5, 833.333, 625, 357.143], abs=1e-3)


def test_warp_agrees_with_diffusers_given_explicit_sigmas():
    from diffusers import FlowMatchEulerDiscreteScheduler

    nominal = [1.0, 0.75, 0.5, 0.25, 0.1]
    scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0)
    scheduler.set_timesteps(sigmas=nominal)
    ours = torch.tensor([flow.shift_sigma(s, 5.0) for s in nominal])
    torch.testing.assert_close(scheduler.sigmas[:-1], ours, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(scheduler.timesteps, ours * 1000, atol=1e-3, rtol=1e-6)


@settings(deadline=None)  # the first call of a process may wait for the other one
@given(st.floats(0.01, 1.0), st.integers(0, 10_000))
def test_noise_and_prediction_invert(sigma, seed):
    g = torch.Generator().manual_seed(seed)
    x0, noise = torch.randn(2, 3, 4, generator=g), torch.randn(2, 3, 4, generator=g)
    x = flow.add_noise(x0, noise, torch.full((2,), sigma))
    torch.testing.assert_close(
        flow.x0_from_velocity(x, flow.velocity(x0, noise), torch.full((2,), sigma)), x0, atol=1e-5, rtol=1e-5
    )


def test_geometries_of_both_scales():
    wan = Geometry(frames=81, height=480, width=832)
    assert wan.latent_shape == (21, 16, 60, 104) and wan.tokens_per_frame == 1560 and wan.chunks == 7
    mini = load_profile("mini").geometry
    assert mini.latent_shape == (21, 16, 8, 14) and mini.tokens_per_frame == 28 and mini.chunks == 7
    assert mini.with_chunk_frames(1).chunks == 21
    assert mini.video_frames(0, 3) == 9 and mini.video_frames(3, 3) == 12


def test_bad_geometry_is_refused():
    with pytest.raises(ValueError, match="multiples of 16"):
        Geometry(frames=81, height=60, width=112)
    with pytest.raises(ValueError, match="chunks of 4"):
        Geometry(frames=81, height=64, width=112, chunk_frames=4)
