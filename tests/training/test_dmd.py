"""DMD: gradient, exits, who receives gradient, resumption."""

from collections import Counter

import pytest
import torch

from repro.config import load_students
from repro.flow import x0_from_velocity
from repro.models.wan import WanDiT
from repro.schedule import Schedule
from repro.training.dmd import Distillation, dmd_gradient, dmd_loss, random_exits, score_sigma, student_task
from repro.training.loop import ema_copy, generator_for, run


def test_gradient_formula_and_loss_agree():
    x, real, fake = (torch.randn(2, 3, 4, generator=generator_for(i)) for i in range(3))
    x.requires_grad_()
    gradient = dmd_gradient(x.detach(), real, fake)
    scale = (x.detach() - real).abs().mean(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(gradient, (fake - real) / scale)
    dmd_loss(x, gradient).backward()
    torch.testing.assert_close(x.grad, gradient / x.numel())


def test_normaliser_is_clamped_away_from_zero():
    x = torch.ones(1, 2, 2)
    assert dmd_gradient(x, x.clone(), x + 1).isfinite().all()


@pytest.mark.parametrize("text", ["4322222", "5432222", "1"])
def test_every_step_of_every_chunk_is_reached_evenly(text):
    schedule = Schedule.parse(text, 7)
    generator = generator_for(0)
    draws = Counter()
    for _ in range(600):
        draws.update(enumerate(random_exits(schedule, generator)))
    for k, count in enumerate(schedule.counts):
        for step in range(count):
            assert draws[k, step] > 0.7 * 600 / count
        assert draws[k, count] == 0


def test_score_noise_levels_are_clamped(smoke):
    sigma = score_sigma(4000, smoke.dmd_fit, 5.0, generator_for(0))
    assert sigma.min() >= 0.02 and sigma.max() <= 0.98 and sigma.median() > 0.7


@pytest.fixture
def distillation(smoke, untrained):
    def copy():
        model = WanDiT(untrained.config)
        model.load_state_dict(untrained.state_dict())
        return model

    critic, teacher = copy(), copy()
    with torch.no_grad():
        teacher.proj_out.weight.mul_(1.5)
    row = load_students()["diagonal"]
    return Distillation(smoke, row, copy(), critic, teacher.requires_grad_(False), "cpu")


def receivers(distillation):
    return {
        name
        for name in ("student", "critic", "teacher")
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in getattr(distillation, name).parameters())
    }


def test_each_loss_reaches_exactly_its_network(distillation, text):
    made = distillation.generate(text.repeat(distillation.fit.critic_updates + 1, 1, 1), generator_for(0))
    batch = distillation.generator_batch(made, text * 0, generator_for(0))
    distillation.generator_loss(*batch)["loss"].backward()
    assert receivers(distillation) == {"student"}
    distillation.student.zero_grad(set_to_none=True)
    distillation.critic_loss(*distillation.critic_batch(made, 0, generator_for(0))).backward()
    assert receivers(distillation) == {"critic"}


def test_the_iterations_rollout_is_shared_out_without_overlap(distillation, text):
    fit = distillation.fit
    made = distillation.generate(text.repeat(fit.critic_updates + 1, 1, 1), generator_for(0))
    parts = [distillation.critic_batch(made, u, generator_for(1))[0] for u in range(fit.critic_updates)]
    x = distillation.generator_batch(made, text * 0, generator_for(1))[0]
    assert torch.equal(torch.cat(parts), made.x0[: -fit.batch])
    assert torch.equal(x, made.x[-fit.batch :])


def test_exit_steps_repeated_together_equal_the_rollout(distillation, text):
    """One forward over all chunks, over the kept keys and values, gives what the chunks gave one by one."""
    text = text.repeat(distillation.fit.critic_updates + 1, 1, 1)
    made = distillation.generate(text, generator_for(3)).rows(-len(text) // (distillation.fit.critic_updates + 1), None)
    student = distillation.student
    v = student(
        made.x,
        made.sigma_BF * 1000,
        student.text_context(made.text_BLE),
        history=distillation.history,
        mask=distillation.mask,
    )
    assert len(made.sigma_BF[0].unique()) > 1
    torch.testing.assert_close(x0_from_velocity(made.x, v, made.sigma_BF), made.x0, atol=1e-4, rtol=1e-4)


def test_every_parameter_of_the_student_learns(distillation, text):
    made = distillation.generate(text.repeat(distillation.fit.critic_updates + 1, 1, 1), generator_for(0))
    batch = distillation.generator_batch(made, text * 0, generator_for(0))
    distillation.generator_loss(*batch)["loss"].backward()
    silent = {n for n, p in distillation.student.named_parameters() if p.grad is None or not p.grad.any()}
    assert not {n for n in silent if not n.endswith("to_k.bias")}, silent


def test_distillation_resumes_bit_exactly(tmp_path, smoke, distillation):
    fit, shape = smoke.dmd_fit, (1, smoke.dit.text_tokens, smoke.dit.text_dim)
    start = {n: ema_copy(getattr(distillation, n)).state_dict() for n in ("student", "critic")}

    def encoder(captions):
        return torch.stack([torch.randn(shape[1:], generator=generator_for(len(c))) for c in captions])

    def task():
        for name, state in start.items():
            getattr(distillation, name).load_state_dict(state)
        return student_task(distillation, ["a", "bb", "ccc"], encoder, load_students()["diagonal"])

    whole = task()
    run(whole, fit, tmp_path / "whole", seed=0)
    expected = {k: v.clone() for k, v in whole.ema["student"].state_dict().items()}
    while not run(pieces := task(), fit, tmp_path / "pieces", seed=0, max_seconds=0):
        pass
    for key, value in pieces.ema["student"].state_dict().items():
        assert torch.equal(value, expected[key]), key
    assert any(not torch.equal(expected[k], v) for k, v in start["student"].items())
