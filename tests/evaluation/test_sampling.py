"""Prompts and clips of a run: encoded once, and independent of batch and order."""

import numpy as np
import pytest
import torch

from repro.config import load_profile
from repro.errors import ReproError
from repro.evaluation import sampling
from repro.generation.noise import prompt_noise
from repro.models import text_encoder, vae, weights
from repro.models.taehv import TinyDecoder
from repro.world.scene import sample as draw_scene


def resized(profile, **changes):
    return profile.model_copy(update={"evaluation": profile.evaluation.model_copy(update=changes)})


def clips(profile, run, checkpoints):
    return sampling.sample(profile, run, checkpoints / "prompts.safetensors", checkpoints, "cpu")


def test_prompts_are_the_splits_captions_and_their_embeddings(smoke, checkpoints):
    text, captions = sampling.read_prompts(checkpoints / "prompts.safetensors", smoke)
    assert captions == [draw_scene(3, i).caption for i in range(smoke.evaluation.prompts)]
    encoder = text_encoder.build(smoke)
    weights.load_into(encoder, checkpoints / "text_encoder.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(text, encoder.eval()(captions), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"prompts": 7}, "holds 6 prompts of shape .*, but the evaluation asks for its own 7 of .*--profile smoke"),
        ({"prompts": 5}, "holds 6 prompts"),
    ],
)
def test_prompts_of_another_evaluation_are_refused(smoke, checkpoints, asked, says):
    with pytest.raises(ReproError, match=says):
        sampling.read_prompts(checkpoints / "prompts.safetensors", resized(smoke, **asked))


def test_prompts_of_another_profile_are_refused(checkpoints):
    mini = resized(load_profile("mini"), prompts=6)
    with pytest.raises(ReproError, match=r"6 prompts of shape \(32, 32\), but .* 6 of .*--profile mini"):
        sampling.read_prompts(checkpoints / "prompts.safetensors", mini)


def test_more_prompts_than_the_split_holds_are_refused(smoke, checkpoints):
    with pytest.raises(ReproError, match="25 prompts asked for, but the split has 24"):
        sampling.write_prompts(resized(smoke, prompts=25), checkpoints, checkpoints / "more.safetensors")


def test_clips_do_not_depend_on_the_batch_and_are_counted(smoke, run, checkpoints):
    """Six prompts in batches of 3, of 4 and 2, and at once."""
    (a, counts), (b, _), (c, _) = (clips(resized(smoke, batch=n), run, checkpoints) for n in (3, 4, 6))
    geometry = smoke.geometry
    assert a.shape == (6, geometry.frames, 3, geometry.height, geometry.width) and a.dtype == np.uint8
    assert counts == {"forwards": 17, "paper_nfe": 34}
    for other in (b, c):
        assert np.abs(a.astype(int) - other.astype(int)).max() <= 1
    assert a.std() > 5 and all(np.abs(a[i].astype(int) - a[i + 1]).max() > 20 for i in range(5))


def test_training_seeds_are_outermost(smoke, run, checkpoints):
    two, _ = clips(resized(smoke, student_seeds=(1, 0)), run, checkpoints)
    one, _ = clips(smoke, run, checkpoints)
    assert len(two) == 12 and np.array_equal(two[6:], one) and not np.array_equal(two[:6], one)


def test_noise_depends_on_seed_prompt_chunk_and_step_alone(smoke):
    geometry = smoke.geometry
    together = prompt_noise(0, [4, 2, 9], geometry)(1, 2)
    for row, prompt in enumerate((4, 2, 9)):
        assert torch.equal(together[row], prompt_noise(0, [prompt], geometry)(1, 2)[0])
    assert torch.equal(prompt_noise(0, [9, 4], geometry)(1, 2), together[[2, 0]])
    draws = [
        prompt_noise(seed, [prompt], geometry)(chunk, step)
        for seed in (0, 1)
        for prompt in (0, 1)
        for chunk in (0, 1)
        for step in (0, 1)
    ]
    assert len({d.numpy().tobytes() for d in draws}) == 16
    everything = torch.cat(draws).flatten()
    assert abs(everything.mean()) < 4 / len(everything) ** 0.5
    assert everything.std() == pytest.approx(1, abs=4 / (2 * len(everything)) ** 0.5)


def test_decoders_are_loaded_by_their_kind(smoke, checkpoints):
    weights.save(checkpoints / "vae.safetensors", vae.build(smoke), {})
    tiny, full = (sampling.load_decoder(smoke, kind, checkpoints, "cpu") for kind in ("tiny", "full"))
    assert isinstance(tiny, TinyDecoder) and isinstance(full, vae.Vae)
    assert not any(m.training or any(p.requires_grad for p in m.parameters()) for m in (tiny, full))


def test_pixels_are_rounded_and_clamped():
    given = torch.tensor([-0.2, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 1.7])
    assert sampling.to_uint8(given).tolist() == [0, 0, 0, 1, 255, 255]
