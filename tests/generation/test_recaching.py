"""Recaching under another prompt: what it computes again, and what it leaves."""

import pytest
import torch

from repro.errors import ReproError
from repro.generation.cache_policy import POLICIES
from repro.generation.noise import prompt_noise
from repro.generation.rollout import rollout
from repro.generation.student import ForwardCounter
from repro.models.kv_cache import KVCache
from repro.schedule import Schedule

CHUNKS = 7


@pytest.fixture
def roll(smoke, untrained, text):
    """Roll out with prompt 0 up to a chunk, and prompt 1 from it on: (video, forwards)."""
    contexts = [untrained.text_context(t[None]) for t in text]

    def make(change, *, recaches=True, mode="diagonal", window=12, sink=0, same=False):
        cache = KVCache(untrained.config, smoke.geometry, 1, window, sink, device="cpu", dtype=torch.float32)
        counter = ForwardCounter(untrained)
        # The same prompt in another object: a change that changes nothing.
        later = untrained.text_context(text[:1]) if same else contexts[1]
        video = rollout(
            counter,
            prompt_noise(0, [0], smoke.geometry),
            lambda k: contexts[0] if k < change else later,
            Schedule.parse("32", CHUNKS),
            cache,
            POLICIES[mode],
            shift=5.0,
            recaches=recaches,
        )
        return video, counter.calls

    return make


@pytest.mark.parametrize("mode", ["self", "diagonal"])
@pytest.mark.parametrize("change", [1, 3])
def test_under_the_same_prompt_nothing_changes_while_the_window_is_not_full(roll, mode, change):
    torch.testing.assert_close(roll(change, same=True, mode=mode)[0], roll(CHUNKS, mode=mode)[0], atol=1e-5, rtol=1e-5)


def test_it_makes_one_forward_for_each_chunk_of_the_window_but_the_next(roll):
    plain = roll(CHUNKS)[1]
    assert [roll(change)[1] - plain for change in (1, 2, 3, 5)] == [1, 2, 3, 3]
    assert roll(5, recaches=False)[1] == plain


@pytest.mark.parametrize("change", [2, 5, 6])
def test_it_changes_what_comes_after_and_nothing_before(roll, change):
    recached, kept = roll(change)[0], roll(change, recaches=False)[0]
    before = change * 3
    assert torch.equal(recached[:, :before], kept[:, :before])
    assert (recached[:, before : before + 3] - kept[:, before : before + 3]).abs().max() > 1e-4


def test_the_window_is_what_a_cache_of_its_own_would_hold(smoke, untrained, text):
    """Slots after a restart at chunk 2, against a fresh cache at the same positions."""
    geometry, x = smoke.geometry, torch.randn(5, 1, 3, *smoke.geometry.latent_shape[1:])
    context, level = untrained.text_context(text[:1]), torch.full((1, 3), 357.0)

    def fill(cache, chunks):
        for k in chunks:
            cache.begin(k)
            out = untrained(x[k], level, context, start_frame=3 * k, cache=cache)
        return out

    used, fresh = (KVCache(untrained.config, geometry, 1, 9, device="cpu", dtype=torch.float32) for _ in range(2))
    fill(used, range(5))
    used.reset(2)
    fresh.reset(2)
    torch.testing.assert_close(fill(used, range(2, 5)), fill(fresh, range(2, 5)))
    torch.testing.assert_close(used.k_LBTNH, fresh.k_LBTNH)


def test_a_sink_cannot_be_recached(roll):
    with pytest.raises(ReproError, match="a cache with a sink starts at chunk 0, not 2"):
        roll(5, sink=3)
