"""The four forcing strategies: what a chunk sees, and that one forward repeats what was generated."""

import pytest
import torch

from repro.config import Student
from repro.generation.student import ForwardCounter
from repro.models.kv_cache import HistoryCache
from repro.training.dmd import student_task
from repro.training.loop import generator_for
from repro.training.ode_init import Pairs

STRATEGIES = {
    "teacher": {"forcing": "teacher"},
    "diffusion": {"forcing": "diffusion"},
    "self": {"forcing": "self"},
    "diagonal": {"forcing": "diagonal"},
    "anchored": {"forcing": "diagonal", "ground_truth_beyond": 2},
    "noisier": {"forcing": "diagonal", "forcing_timestep": 400},
    "frames": {"forcing": "diagonal", "chunk_frames": 1},
}


def latents(distillation, seed=7):
    shape = (distillation.batch, *distillation.profile.geometry.latent_shape)
    return torch.randn(shape, generator=generator_for(seed))


def videos(distillation, text, truth=None):
    texts = text.repeat(distillation.fit.critic_updates + 1, 1, 1)
    truth = latents(distillation) if truth is None else truth
    return distillation.generate(texts, generator_for(3), truth=truth)


def first_difference(a: torch.Tensor, b: torch.Tensor) -> int:
    """The first latent frame that is not the same."""
    return int((a - b).abs().flatten(2).amax(dim=(0, 2)).gt(1e-6).nonzero()[0])


@pytest.mark.parametrize("name", STRATEGIES)
def test_one_forward_repeats_the_generators_share(distil, text, repeated, name):
    distillation = distil(**STRATEGIES[name])
    made = videos(distillation, text).rows(-distillation.fit.batch, None)
    assert len(made.sigma_BF.unique()) > 1
    repeated(distillation, made)


@pytest.mark.parametrize(
    ("name", "first_chunk"),
    [("teacher", 2), ("diffusion", 2), ("self", None), ("diagonal", None), ("anchored", 5)],
)
def test_ground_truth_reaches_the_chunks_that_it_should(distil, text, name, first_chunk):
    """Another chunk 2: its own input, under teacher and diffusion forcing; what chunk 5 sees, when anchored."""
    distillation = distil(**STRATEGIES[name])
    frames = distillation.profile.geometry.chunk_frames
    truth = latents(distillation)
    changed = truth.clone()
    changed[:, 2 * frames : 3 * frames] += 1
    a, b = (videos(distillation, text, t).x0 for t in (truth, changed))
    if first_chunk is None:
        assert torch.equal(a, b)
    else:
        assert first_difference(a, b) // frames == first_chunk


def test_anchors_out_of_sight_change_nothing(distil, text):
    plain, far = (videos(distil(ground_truth_beyond=n), text).x0 for n in (None, 4))
    torch.testing.assert_close(plain, far, atol=1e-5, rtol=1e-5)


def test_a_filled_history_is_that_of_chunk_by_chunk_generation(distil, text):
    context = distil(forcing="teacher").generate.context
    student, geometry, frames = context.student, context.geometry, context.geometry.chunk_frames
    x = torch.randn(len(text), *geometry.latent_shape, generator=generator_for(1))
    sigma = torch.rand(x.shape[:2], generator=generator_for(2))
    whole, parts = (context.history(len(text), HistoryCache) for _ in range(2))
    with torch.no_grad():
        told = student.text_context(text)
        context.fill(whole, x, sigma, told)
        for k in range(geometry.chunks):
            parts.begin(k)
            here = slice(k * frames, (k + 1) * frames)
            student(x[:, here], sigma[:, here] * 1000, told, start_frame=k * frames, cache=parts)
    torch.testing.assert_close(whole.k_LBTNH, parts.k_LBTNH, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(whole.v_LBTNH, parts.v_LBTNH, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "forwards"), [("diagonal", 17), ("self", 24), ("noisier", 24), ("teacher", 6)])
def test_forwards_of_one_iterations_videos(distil, text, name, forwards):
    """Passes of another noise level cost a forward a chunk; ground truth two forwards a share of the batch."""
    distillation = distil(**STRATEGIES[name])
    source = distillation.generate
    if name == "teacher":
        source.context = source.context._replace(student=counter(distillation.student))
        counted = source.context.student
    else:
        counted = source.forward = ForwardCounter(source.forward)
    videos(distillation, text)
    assert distillation.fit.critic_updates + 1 == 3 and counted.calls == forwards


def counter(student):
    counted = ForwardCounter(student)
    counted.text_context, counted.config = student.text_context, student.config
    return counted


@pytest.mark.parametrize("name", ["teacher", "diffusion"])
def test_every_step_is_an_input_under_ground_truth(distil, text, name):
    distillation = distil(**STRATEGIES[name], schedule="4322222")
    made = videos(distillation, text)
    context = distillation.generate.context
    allowed = {round(s, 5) for s in context.schedule.sigmas(0, context.shift)}
    assert {round(s, 5) for s in made.sigma_BF.unique().tolist()} <= allowed
    steps, chunks = distillation.generate.steps_KS, context.geometry.chunks
    for k in range(chunks):
        listed = context.schedule.sigmas(k, context.shift)
        torch.testing.assert_close(steps[k, : len(listed)], torch.tensor(listed))


def test_ground_truth_everywhere_cannot_also_begin_somewhere(distil):
    with pytest.raises(ValueError, match="leave ground_truth_beyond empty"):
        distil(forcing="teacher", ground_truth_beyond=2)


@pytest.mark.parametrize("name", ["teacher", "anchored"])
def test_a_pairs_ground_truth_is_the_teachers_clip(distil, smoke, text, name, monkeypatch):
    """So that L_reg means the same under every strategy: the generator's videos lead to the teacher's end."""
    fit = smoke.dmd_fit.model_copy(update={"reg_weight": 0.25})
    distillation, seen = distil(smoke.model_copy(update={"dmd_fit": fit}), **STRATEGIES[name]), []
    clips, blank, make = latents(distillation), torch.zeros_like(text[:1]), type(distillation.generate).__call__
    noise, end = (latents(distillation, seed) for seed in (8, 9))

    def watched(self, *args, truth, **kwargs):
        seen.append(truth)
        return make(self, *args, truth=truth, **kwargs)

    monkeypatch.setattr(type(distillation.generate), "__call__", watched)
    row = Student(student="a", schedule="4", window_frames=18, **STRATEGIES[name])
    pairs = Pairs(noise, end, blank.repeat(len(end), 1, 1))
    task = student_task(distillation, "a" * len(clips), lambda c: blank.repeat(len(c), 1, 1), row, pairs, clips)
    scalars = task.step(1, generator_for(0, 1))
    own, paired = seen[0][: -fit.batch], seen[0][-fit.batch :]
    assert len(seen) == 1 and len(own) == fit.batch * fit.critic_updates
    for videos_made, where in ((own, clips), (paired, end)):
        assert all(any(torch.equal(one, clip) for clip in where) for one in videos_made)
    assert scalars["reg"] > 0
