"""The chunk × step loop: counted forwards, causality, batch independence, cache contents, gradients."""

import pytest
import torch

from repro.flow import add_noise, shift_sigma
from repro.generation.cache_policy import POLICIES, CachePolicy
from repro.generation.noise import prompt_noise, whole_video
from repro.generation.rollout import rollout
from repro.generation.samplers import euler
from repro.generation.spans import Spans
from repro.generation.student import ForwardCounter
from repro.models.kv_cache import KVCache
from repro.schedule import Schedule

SHIFT = 5.0


def generate(model, profile, text, schedule="4322222", mode="diagonal", *, noise=None, chunk_frames=3, **kwargs):
    geometry = profile.geometry.with_chunk_frames(chunk_frames)
    policy = POLICIES[mode] if isinstance(mode, str) else mode
    cache = KVCache(model.config, geometry, len(text), 12, device="cpu", dtype=torch.float32)
    counter = ForwardCounter(model)
    noise = noise or prompt_noise(0, range(len(text)), geometry)
    schedule = Schedule.parse(schedule, geometry.chunks)
    with torch.no_grad():
        context = model.text_context(text)
    video = rollout(counter, noise, context, schedule, cache, policy, shift=SHIFT, **kwargs)
    return video, counter.calls, cache


@pytest.mark.parametrize(("mode", "calls"), [("diagonal", 17), ("self", 24), (CachePolicy(200), 24)])
def test_counted_forwards(untrained, smoke, text, mode, calls):
    video, counted, _ = generate(untrained, smoke, text, mode=mode)
    assert counted == calls
    assert video.shape == (2, *smoke.geometry.latent_shape) and video.isfinite().all()


@pytest.mark.parametrize("chunk_frames", [1, 3])
@pytest.mark.parametrize("mode", ["self", "diagonal"])
def test_no_chunk_sees_a_later_one(untrained, smoke, text, mode, chunk_frames):
    geometry = smoke.geometry.with_chunk_frames(chunk_frames)
    plain = prompt_noise(0, range(2), geometry)
    changed = geometry.chunks // 2

    def perturbed(chunk, step):
        return plain(chunk, step) + (chunk == changed) * 0.1

    a, _, _ = generate(untrained, smoke, text, "2", mode, noise=plain, chunk_frames=chunk_frames)
    b, _, _ = generate(untrained, smoke, text, "2", mode, noise=perturbed, chunk_frames=chunk_frames)
    before = changed * chunk_frames
    assert torch.equal(a[:, :before], b[:, :before])
    assert (a[:, before : before + chunk_frames] - b[:, before : before + chunk_frames]).abs().max() > 1e-3
    assert (a[:, before + chunk_frames :] - b[:, before + chunk_frames :]).abs().max() > 1e-6


def test_a_video_does_not_depend_on_its_batch(untrained, smoke, text):
    both, _, _ = generate(untrained, smoke, text)
    alone, _, _ = generate(untrained, smoke, text[1:], noise=prompt_noise(0, [1], smoke.geometry))
    torch.testing.assert_close(both[1:], alone, atol=1e-4, rtol=1e-4)


def test_modes_and_schedules_share_starting_noise(smoke):
    noise = prompt_noise(3, [5, 7], smoke.geometry)
    assert torch.equal(whole_video(noise, smoke.geometry)[1, :3], prompt_noise(3, [7], smoke.geometry)(0, 0)[0])
    assert not torch.equal(noise(0, 0), noise(0, 1)) and not torch.equal(noise(0, 0), noise(1, 0))


def test_diagonal_keeps_the_last_step_and_self_the_clean_chunk(untrained, smoke, text):
    """Repeat the kept forward by hand: the cache must not change."""
    from repro.flow import TIMESTEPS, nominal_to_sigma

    noise = prompt_noise(0, range(2), smoke.geometry)
    context = untrained.text_context(text)
    frames = smoke.geometry.chunk_frames
    last = smoke.geometry.chunks - 1
    for mode, level in (("self", 0.0), ("diagonal", nominal_to_sigma(100, SHIFT))):
        seen = {}

        def spy(x, timestep, context, *, start_frame, cache, seen=seen):
            seen[start_frame] = (x, timestep)
            return untrained(x, timestep, context, start_frame=start_frame, cache=cache)

        geometry = smoke.geometry
        cache = KVCache(untrained.config, geometry, 2, 12, device="cpu", dtype=torch.float32)
        schedule = Schedule.parse("32", geometry.chunks)
        with torch.no_grad():
            video = rollout(spy, noise, context, schedule, cache, POLICIES[mode], shift=SHIFT)
        x, timestep = seen[last * frames]
        assert timestep.unique().item() == pytest.approx(level * TIMESTEPS)
        if mode == "self":
            assert torch.equal(x, video[:, -frames:])
        else:
            x0 = (x - level * noise(last, 1)) / (1 - level)
            torch.testing.assert_close(add_noise(x0, noise(last, 1), level), x)


def test_chunks_stream_in_order_before_the_cache_pass(untrained, smoke, text):
    events, spans = [], Spans()
    generate(untrained, smoke, text, mode="self", on_chunk=lambda k, x0: events.append((k, x0)), spans=spans)
    assert [k for k, _ in events] == list(range(smoke.geometry.chunks))
    names = [(name, k) for name, k, *_ in spans._marks]
    assert names[:4] == [("denoise", 0), ("cache", 0), ("denoise", 1), ("cache", 1)]
    assert set(spans.seconds()) == {"denoise", "cache"} and min(spans.seconds().values()) > 0


def test_every_step_is_reported_with_what_it_was_given(untrained, smoke, text):
    seen = []
    video, calls, _ = generate(untrained, smoke, text, "3222222", on_step=lambda *step: seen.append(step) or step[-1])
    assert [(k, step) for k, step, *_ in seen] == [(k, s) for k in range(7) for s in range(2 + (k == 0))]
    assert calls == len(seen)
    noise, sigmas = prompt_noise(0, range(2), smoke.geometry), [1.0, shift_sigma(0.75, SHIFT), shift_sigma(0.1, SHIFT)]
    (_, _, x, sigma, x0), (*_, second, _, _) = seen[:2]
    assert torch.equal(x, noise(0, 0)) and [s[3] for s in seen[:3]] == sigmas and sigma == 1
    torch.testing.assert_close(second, add_noise(x0, noise(0, 1), sigmas[1]))
    ends = [x0 for k, step, _, _, x0 in seen if step == (2 if k == 0 else 1)]
    assert torch.equal(torch.cat(ends, 1), video) and not video.requires_grad


def test_euler_records_the_asked_levels_and_agrees_with_diffusers(untrained, smoke, text):
    from diffusers import FlowMatchEulerDiscreteScheduler

    from repro.flow import euler_sigmas

    noise = whole_video(prompt_noise(0, range(2), smoke.geometry), smoke.geometry)
    context = untrained.text_context(text)
    end, (first, middle) = euler(
        untrained,
        noise,
        context,
        None,
        steps=4,
        shift=SHIFT,
        guidance=1.0,
        record=(1.0, euler_sigmas(4, SHIFT)[2]),
    )
    assert torch.equal(first, noise) and not torch.equal(middle, noise)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=SHIFT)
    scheduler.set_timesteps(sigmas=[1, 0.75, 0.5, 0.25])
    x = noise
    with torch.no_grad():
        for t in scheduler.timesteps:
            v = untrained(x, t.expand(2, smoke.geometry.latent_frames), context)
            x = scheduler.step(v, t, x).prev_sample
    torch.testing.assert_close(end, x, atol=1e-4, rtol=1e-4)
