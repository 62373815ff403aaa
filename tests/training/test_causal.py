"""Many-step causal models: how the chunks' noise hangs together, what counts as an error, a short training."""

import pytest
import torch

from repro.config import Student
from repro.flow import euler_sigmas, shift_sigma
from repro.generation.staircase import IN_FLIGHT, positions
from repro.training.causal import LEVELS, active_error, causal_task, in_flight, non_decreasing
from repro.training.data import Split
from repro.training.loop import generator_for, run

CHUNKS = 7


@pytest.mark.parametrize("name", LEVELS)
def test_noise_never_falls_along_a_video(name):
    levels = LEVELS[name](CHUNKS, 500, generator_for(0))
    assert levels.shape == (500, CHUNKS)
    assert (levels.diff(dim=1) >= 0).all() and levels.min() >= 0 and levels.max() <= 1


def test_a_pivot_makes_some_chunk_of_any_level_and_place():
    """A chunk picked at random has a uniform level: the mean over chunks is that of the pivot's neighbours, 1/2."""
    levels = non_decreasing(CHUNKS, 20_000, generator_for(0))
    assert levels.mean().item() == pytest.approx(0.5, abs=0.01)
    # Order statistics of independent draws would have a first chunk above 0.8 once in 60,000.
    assert (levels[:, 0] > 0.8).float().mean() > 0.02 and (levels[:, -1] < 0.2).float().mean() > 0.02


def test_a_pipeline_is_trained_at_exactly_the_moments_it_is_sampled_at():
    steps = 8
    rows = positions(steps, CHUNKS, steps // IN_FLIGHT)
    nominal = 1 - (rows - 1).clamp(0, steps) / steps
    sampled = torch.tensor(euler_sigmas(steps, 5.0))[(rows - 1).clamp(0, steps)]
    moments = torch.tensor([*(n[n.gt(0)][0] for n in nominal)])
    first = torch.tensor([int(n.gt(0).nonzero()[0]) for n in nominal])
    staircases = (moments[:, None] + (torch.arange(CHUNKS) - first[:, None]) / IN_FLIGHT).clamp(0, 1)
    torch.testing.assert_close(shift_sigma(staircases, 5.0), sampled)
    drawn = in_flight(CHUNKS, 4000, generator_for(0))
    active = (drawn > 0) & (drawn < 1)
    assert active.sum(1).max() == IN_FLIGHT and active.any(1).all()
    gaps = drawn.diff(dim=1)[active[:, 1:] & active[:, :-1]]
    torch.testing.assert_close(gaps, torch.full_like(gaps, 1 / IN_FLIGHT))


def test_clean_frames_and_frames_to_come_are_no_error():
    v, target = (
        torch.zeros(1, 3, 2, 1, 1),
        torch.ones(1, 3, 2, 1, 1) * torch.tensor([5.0, 2.0, 7.0])[:, None, None, None],
    )
    assert active_error(v, target, torch.tensor([[0.0, 0.5, 1.0]])) == 4


@pytest.mark.parametrize("forcing", LEVELS)
def test_a_few_iterations_train_every_parameter(tmp_path, smoke, untrained, text, forcing):
    row = Student(student="a", forcing=forcing, window_frames=21)
    latents = torch.randn(6, *smoke.geometry.latent_shape, generator=generator_for(4)).bfloat16()
    before = {n: p.clone() for n, p in untrained.named_parameters()}

    def encoder(captions):
        return torch.cat([text] * len(captions))[: len(captions)]

    task = causal_task(smoke, row, Split(latents, [str(i) for i in range(6)]), untrained, encoder, "cpu")
    assert run(task, smoke.causal_fit, tmp_path, seed=0)
    still = {n for n, p in untrained.named_parameters() if torch.equal(p, before[n])}
    assert not {n for n in still if not n.endswith("to_k.bias")}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"forcing": "self"}, "without a schedule"),
        ({"forcing": "diffusion", "flow": "raw"}, "flow and reg_weight must be empty"),
        ({"forcing": "pipelined", "schedule": "4"}, "leave schedule empty"),
    ],
)
def test_rows_that_say_two_things_are_refused(row, message):
    with pytest.raises(ValueError, match=message):
        Student(student="a", window_frames=12, **row)
