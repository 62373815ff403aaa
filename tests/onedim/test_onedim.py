"""The one-dimensional world's scores are exact, and its student goes through the suite's rollout."""

import pytest
import torch

from repro.flow import add_noise
from repro.onedim import study
from repro.onedim.student import Student
from repro.onedim.train import SHIFT, Settings, initialise, roll, trajectory
from repro.onedim.world import World
from repro.schedule import Schedule

WORLD = World()


def gen(seed):
    return torch.Generator().manual_seed(seed)


def test_samples_have_the_stated_moments():
    x = WORLD.sample(100_000, gen(0))
    covariance = WORLD.covariance_KK + torch.outer(WORLD.means_MK[0], WORLD.means_MK[0])
    assert torch.allclose(x.T @ x / len(x), covariance, atol=0.05)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 0.9])
def test_the_teachers_error_is_orthogonal_to_anything_made_of_its_input(sigma):
    x0 = WORLD.sample(200_000, gen(0))
    x = add_noise(x0, torch.randn(x0.shape, generator=gen(1)), sigma)
    left = x0 - WORLD.denoised(x, sigma)
    for made in (x, x.flip(1), torch.sin(x), x**3 / 10):
        assert (left * made).mean().abs() < 0.02
    assert (left * x0).mean() > 0.005  # it is an error, not nothing


def test_the_teachers_trajectory_ends_in_the_world():
    end = trajectory(WORLD, torch.randn(20_000, WORLD.frames, generator=gen(0)))[1][-1]
    truth = WORLD.sample(20_000, gen(1))
    assert (end.std(0) - truth.std(0)).abs().max() < 0.1
    assert end[:, 0].abs().mean() == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(("mode", "kept"), [("self", True), ("diagonal", False)])
def test_the_rollout_keeps_what_the_policy_says(mode, kept):
    torch.manual_seed(0)
    student, schedule = Student(WORLD.frames), Schedule.parse("4322222", WORLD.frames)
    with torch.no_grad():
        whole = roll(WORLD, student, schedule, mode, 8, gen(0), exits=False)
        # Clean chunks are kept by Self, the last step's input by Diagonal.
        assert torch.equal(whole.kept_BK, whole.video_BK) == kept
        assert torch.equal(whole.kept_BK, whole.x_BK) != kept


def test_forced_chunks_take_the_place_of_the_students_own():
    torch.manual_seed(0)
    student, schedule = Student(WORLD.frames), Schedule.parse("2", WORLD.frames)
    with torch.no_grad():
        videos = [
            roll(WORLD, student, schedule, "self", 8, gen(0), exits=False, forced_BK=torch.full((8, 7), v)).video_BK
            for v in (0.0, 3.0)
        ]
    assert torch.equal(videos[0][:, 0], videos[1][:, 0])
    assert (videos[0][:, 1:] != videos[1][:, 1:]).all()


def test_initialisation_learns_and_the_study_reports_every_chunk():
    torch.manual_seed(0)
    losses = initialise(WORLD, Student(WORLD.frames), "self", Settings(batch=128, init_iterations=60), 0)
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    table, gaps = study.study(WORLD, study.quick(Settings()))
    assert len(table) == 8 * WORLD.frames and not table["distance"].isna().any()
    assert set(gaps["system"]) == {"self", "diagonal"} and SHIFT == 5
    assert "One training seed" in study.answer(table)
