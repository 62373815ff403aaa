"""DMD: gradient, exits, what each loss term moves, resumption."""

import pytest
import torch

from repro.config import load_students
from repro.errors import ReproError
from repro.flow import add_noise, nominal_to_sigma
from repro.generation.noise import prompt_noise, stream_noise
from repro.schedule import Schedule
from repro.training import forcing
from repro.training.dmd import Round, score_sigma, student_task
from repro.training.forcing import random_exits, started_from
from repro.training.loop import ema_copy, generator_for, run
from repro.training.losses import dmd_gradient, dmd_loss
from repro.training.ode_init import Pairs


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
    exits_BK = random_exits(schedule, 600, generator_for(0))
    for k, count in enumerate(schedule.counts):
        draws = exits_BK[:, k].bincount()
        assert len(draws) == count and draws.min() > 0.7 * 600 / count


def test_score_noise_levels_are_clamped(smoke):
    sigma = score_sigma(4000, smoke.dmd_fit, 5.0, generator_for(0))
    assert sigma.min() >= 0.02 and sigma.max() <= 0.98 and sigma.median() > 0.7


def generators(distillation, made, text, seed):
    """The generator's share of a rollout, scored."""
    return distillation.generator_batch(
        made.rows(-len(text), None), distillation.score_noise(generator_for(seed)), text * 0
    )


@pytest.fixture
def distillation(distil):
    return distil()


@pytest.fixture
def pairs(smoke, distillation):
    shape = (5, *smoke.geometry.latent_shape)
    noise, end = (torch.randn(shape, generator=generator_for(i)) for i in (7, 8))
    return Pairs(noise, end, torch.randn(5, smoke.dit.text_tokens, smoke.dit.text_dim, generator=generator_for(9)))


@pytest.fixture
def made(distillation, pairs, text):
    """A rollout whose generator's share starts from the first pairs."""
    fit = distillation.fit
    texts = torch.cat([text.repeat(fit.critic_updates, 1, 1), pairs.text[: fit.batch]])
    return distillation.generate(texts, generator_for(3), start=pairs.noise[: fit.batch])


def test_the_generators_videos_start_from_the_teachers_noise(smoke, pairs):
    geometry = smoke.geometry
    source = started_from(stream_noise(generator_for(0), 4, geometry), pairs.noise[:2])
    plain = stream_noise(generator_for(0), 4, geometry)
    for k in range(geometry.chunks):
        frames = slice(k * geometry.chunk_frames, (k + 1) * geometry.chunk_frames)
        first, free = source(k, 0), plain(k, 0)
        assert torch.equal(first[2:], pairs.noise[:2, frames]) and torch.equal(first[:2], free[:2])
        assert torch.equal(source(k, 1), plain(k, 1))


def test_regression_pulls_towards_the_teachers_end(distillation, made, pairs, text):
    """With a zero DMD gradient the loss is the weighted squared error to the end, and nothing else."""
    fit = distillation.fit = distillation.fit.model_copy(update={"reg_weight": 0.25})
    scored, end = generators(distillation, made, text, 0), pairs.end[: fit.batch]
    out = distillation.generator_loss(*scored._replace(gradient=scored.gradient * 0), end)
    expected = (made.x0[-fit.batch :] - end).square().mean()
    torch.testing.assert_close(out["loss"], fit.reg_weight * expected, atol=1e-4, rtol=1e-4)


def with_fit(profile, **changes):
    return profile.model_copy(update={"dmd_fit": profile.dmd_fit.model_copy(update=changes)})


def at_once(profile, videos):
    return with_fit(profile, at_once=videos)


def receivers(distillation):
    return {
        name
        for name in ("student", "critic", "teacher")
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in getattr(distillation, name).parameters())
    }


def test_each_loss_reaches_exactly_its_network(distillation, made, pairs, text):
    batch = generators(distillation, made, text, 0)
    distillation.generator_loss(*batch, pairs.end[: len(text)])["loss"].backward()
    assert receivers(distillation) == {"student"}
    distillation.student.zero_grad(set_to_none=True)
    noised = distillation.score_noise(generator_for(0))
    distillation.critic_loss(*distillation.critic_batch(made.rows(0, len(text)), noised)).backward()
    assert receivers(distillation) == {"critic"}


def test_a_video_goes_on_with_the_prediction_of_its_exit(smoke, distillation, text, monkeypatch):
    """All exit at once: every later step of the first chunk re-noises that first prediction, not its own."""
    texts = text.repeat(distillation.fit.critic_updates + 1, 1, 1)
    noise, seen, videos = prompt_noise(0, range(len(texts)), smoke.geometry), [], distillation.generate
    monkeypatch.setattr(forcing, "stream_noise", lambda *_: noise)
    monkeypatch.setattr(forcing, "random_exits", lambda schedule, batch, _: torch.zeros(batch, schedule.chunks).long())
    forward = videos.forward
    videos.forward = lambda x, *a, **k: seen.append(x.clone()) or forward(x, *a, **k)
    made = videos(texts, generator_for(0))
    kept, timesteps = made.x0[:, : smoke.geometry.chunk_frames], videos.context.schedule.timesteps(0)
    assert len(timesteps) == 4 and made.sigma_BF.eq(1).all()
    for step, timestep in enumerate(timesteps[1:], start=1):
        sigma = nominal_to_sigma(timestep, smoke.flow.shift)
        torch.testing.assert_close(seen[step], add_noise(kept, noise(0, step), sigma))


def rounds(distillation, pairs):
    """A round of a distillation, whose texts and clips are those of its rows."""
    texts = pairs.text.repeat(2, 1, 1)
    return Round(distillation, generator_for(3), lambda rows: texts[rows], None, pairs.noise[: distillation.fit.batch])


def batches(round_, distillation):
    """All parts of a round in order."""
    return [round_.videos(i, distillation.micro) for i in range(0, distillation.batch, distillation.micro)]


def test_the_iterations_rollout_is_shared_out_without_overlap(distil, pairs):
    whole = distil()
    round_ = rounds(whole, pairs)
    parts = batches(round_, whole)
    assert torch.equal(torch.cat([part.x0 for part in parts]), round_.made.x0)
    assert [len(part.x0) for part in parts] == [whole.fit.batch] * (whole.fit.critic_updates + 1)


def test_videos_made_one_at_a_time_are_those_made_together(smoke, distil, pairs, repeated):
    """So is what two processes make, each of its own rows; the kept keys and values are the last part's."""
    wide, one = distil(), distil(profile=at_once(smoke, 1))
    together = batches(rounds(wide, pairs), wide)
    assert (one.parts, one.width) == (smoke.dmd_fit.batch, 1)
    alone = batches(rounds(one, pairs), one)
    repeated(one, alone[-1])
    for field in ("x0", "x", "sigma_BF", "text_BLE"):
        whole, pieces = (torch.cat([getattr(part, field) for part in parts]) for parts in (together, alone))
        torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("generator_batches", [1, 3])
def test_gradients_of_parts_add_up_to_that_of_the_batch(smoke, distil, pairs, generator_batches):
    row, fits = load_students()["diagonal"], []
    smoke = with_fit(smoke, generator_batches=generator_batches)
    for profile in (smoke, at_once(smoke, 1)):
        distillation = distil(profile=profile)
        task = student_task(distillation, ["a", "bb"], lambda c: pairs.text[list(map(len, c))], row)
        scalars = [task.step(i, generator_for(0, i)) for i in range(3)]
        fits.append([torch.stack([s[k] for s in scalars]) for k in ("loss", "critic_loss", "grad_norm")])
    torch.testing.assert_close(*fits, atol=1e-5, rtol=1e-4)


def test_a_batch_that_does_not_split_evenly_is_refused(smoke, distil):
    with pytest.raises(ReproError, match="at_once 3 does not divide a process's share of 2 videos"):
        distil(profile=at_once(smoke, 3))


def test_generator_batches_that_do_not_share_an_iteration_evenly_are_refused(smoke, distil):
    with pytest.raises(ReproError, match="generator_batches 2 does not divide the 3 batches of an iteration"):
        distil(profile=with_fit(smoke, generator_batches=2))


def test_the_generator_takes_all_batches_it_is_given(smoke, distil, pairs, repeated, monkeypatch):
    """Those of the critic too, with their own kept keys and values, and every pair in its place."""
    smoke = with_fit(smoke, generator_batches=3, reg_weight=0.25)
    distillation, seen = distil(profile=smoke), []
    score = distillation.generator_batch

    def generator_batch(made, *noise):
        repeated(distillation, made)
        seen.append(made)
        return score(made, *noise)

    monkeypatch.setattr(distillation, "generator_batch", generator_batch)
    row, blank = load_students()["diagonal"], torch.zeros_like(pairs.text[:1])
    student_task(distillation, ["a"], lambda c: blank.repeat(len(c), 1, 1), row, pairs).step(1, generator_for(0, 1))
    (made,) = seen
    assert len(made.x0) == 3 * smoke.dmd_fit.batch == distillation.batch
    assert all(any(torch.equal(text, known) for known in pairs.text) for text in made.text_BLE)


def test_exit_steps_repeated_together_equal_the_rollout(distillation, made, repeated):
    """One forward over all chunks, over the kept keys and values, gives what the chunks gave one by one."""
    made = made.rows(-distillation.fit.batch, None)
    assert len(made.sigma_BF.unique()) > 2
    repeated(distillation, made)


def test_every_parameter_of_the_student_learns(distillation, made, pairs, text):
    batch = generators(distillation, made, text, 0)
    distillation.generator_loss(*batch, pairs.end[: len(text)])["loss"].backward()
    silent = {n for n, p in distillation.student.named_parameters() if p.grad is None or not p.grad.any()}
    assert not {n for n in silent if not n.endswith("to_k.bias")}, silent


@pytest.mark.parametrize("paired", [False, True])
def test_distillation_resumes_bit_exactly(tmp_path, smoke, distillation, pairs, paired):
    fit, shape = smoke.dmd_fit, (1, smoke.dit.text_tokens, smoke.dit.text_dim)
    start = {n: ema_copy(getattr(distillation, n)).state_dict() for n in ("student", "critic")}

    def encoder(captions):
        return torch.stack([torch.randn(shape[1:], generator=generator_for(len(c))) for c in captions])

    def task():
        for name, state in start.items():
            getattr(distillation, name).load_state_dict(state)
        return student_task(
            distillation, ["a", "bb", "ccc"], encoder, load_students()["diagonal"], pairs if paired else None
        )

    whole = task()
    run(whole, fit, tmp_path / "whole", seed=0)
    expected = {k: v.clone() for k, v in whole.ema["student"].state_dict().items()}
    while not run(pieces := task(), fit, tmp_path / "pieces", seed=0, max_seconds=0):
        pass
    for key, value in pieces.ema["student"].state_dict().items():
        assert torch.equal(value, expected[key]), key
    assert any(not torch.equal(expected[k], v) for k, v in start["student"].items())
