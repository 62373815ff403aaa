"""The judge: its shapes, and what the shipped one reads in held-out clips."""

import pytest
import torch

from repro.config import ROOT, load_profile
from repro.evaluation.quality import load_judge
from repro.geometry import Geometry
from repro.models import weights
from repro.training.data import split_scenes
from repro.training.judge import IGNORE, accuracy, corrupt, judge_loss, targets
from repro.training.loop import generator_for
from repro.world.judge import CLIP_HEADS, FEATURES, SLOT_HEADS, WIDTHS, Judge
from repro.world.render import render
from repro.world.scene import SHAPES, sample

CHECKPOINTS = ROOT / "results/published/mini/checkpoints"
CLIPS = 240
"""Held-out clips that are drawn and judged in some 25 s on one core; always the first ones of the split."""
SMALL = Geometry(frames=21, height=32, width=48)


@pytest.fixture
def judge():
    torch.manual_seed(0)
    return Judge().requires_grad_(False).eval()


@pytest.fixture
def small():
    scenes = [sample(1, i) for i in range(4)]
    return scenes, render(scenes, SMALL)


@pytest.mark.parametrize(("height", "width"), [(64, 112), (32, 48)])
def test_features_and_heads_have_their_shapes(judge, height, width):
    frames, features = judge.features(torch.rand((2, 5, 3, height, width), generator=generator_for(0)))
    assert {k: tuple(f.shape) for k, f in frames.items()} == {
        "subject": (2, 5, WIDTHS[-1]),
        "places": (2, 5, WIDTHS[-2], (height // 8) * (width // 8)),
    }
    assert features.shape == (2, FEATURES)
    heads = judge.heads(features)
    assert {k: tuple(v.shape) for k, v in heads.items()} == {
        **{k: (2, len(SHAPES), n) for k, n in SLOT_HEADS.items()},
        **{k: (2, n) for k, n in CLIP_HEADS.items()},
    }


def test_probabilities_are_probabilities(judge, small):
    p = judge.probabilities(judge.features(small[1])[1])
    for name in ("presence", "imaging", "aesthetic"):
        assert p[name].shape[-1] == 1 and p[name].min() >= 0 and p[name].max() <= 1
    for name in p.keys() - {"presence", "imaging", "aesthetic"}:
        torch.testing.assert_close(p[name].sum(-1), torch.ones(p[name].shape[:-1]))


def test_bytes_and_floats_are_the_same_clip_in_any_batch(judge, small):
    _, video = small
    whole = judge.features(video)[1]
    torch.testing.assert_close(judge.features(video.float() / 255)[1], whole)
    alone = torch.cat([judge.features(clip[None])[1] for clip in video])
    torch.testing.assert_close(alone, whole, atol=1e-5, rtol=1e-4)


def test_the_judge_sees_time_and_place(judge, small):
    _, video = small
    whole = judge.features(video)[1]
    for changed in (video.flip(1), video.flip(4)):
        assert (judge.features(changed)[1] - whole).abs().max() > 1e-4


def test_targets_are_the_scenes_truth(small):
    scenes, _ = small
    truth = targets(scenes)
    for i, s in enumerate(scenes):
        present = {sprite.shape: sprite for sprite in s.sprites}
        for shape in range(len(SHAPES)):
            sprite = present.get(shape)
            assert truth["presence"][i, shape] == (sprite is not None)
            for name in ("color", "size", "motion"):
                assert truth[name][i, shape] == (IGNORE if sprite is None else getattr(sprite, name))
        assert all(truth[name][i] == getattr(s, name) for name in ("scene", "style", "camera"))
        assert (truth["relation"][i] == CLIP_HEADS["relation"] - 1) == (s.relation is None)


def test_accuracy_counts_right_answers_over_the_shapes_present(judge, small):
    scenes, video = small
    logits = judge.heads(judge.features(video)[1])
    share = accuracy(judge, video, scenes, batch=3)
    right = [
        int(logits["motion"][i, sprite.shape].argmax()) == sprite.motion
        for i, s in enumerate(scenes)
        for sprite in s.sprites
    ]
    assert share["motion"] == pytest.approx(sum(right) / len(right))
    assert share.keys() == {"presence", "color", "size", "motion", "relation", "scene", "style", "camera"}


def test_the_loss_is_small_only_for_the_truth(small):
    scenes, _ = small
    truth, ones = targets(scenes), torch.ones(len(scenes))
    logits = {"presence": (truth["presence"][..., None] * 2 - 1) * 20}
    for name, n in (SLOT_HEADS | CLIP_HEADS).items():
        if name in ("color", "size", "motion", "relation", "scene", "style", "camera"):
            logits[name] = 20 * torch.nn.functional.one_hot(truth[name].long().clamp(min=0), n).float()
    logits |= {name: torch.full((len(scenes), 1), 20.0) for name in ("imaging", "aesthetic")}
    assert judge_loss(logits, truth, ones, ones) < 1e-4
    for name, value in logits.items():
        assert judge_loss(logits | {name: -value}, truth, ones, ones) > 0.5, name


def test_corruption_spares_the_first_half_and_lowers_one_target_of_each_other_clip(small):
    video = small[1].float().repeat(4, 1, 1, 1, 1) / 255
    spoilt, imaging, aesthetic = corrupt(video, generator_for(1))
    assert torch.equal(spoilt[:8], video[:8]) and (imaging[:8] == 1).all() and (aesthetic[:8] == 1).all()
    assert (torch.maximum(imaging, aesthetic) == 1).all() and (imaging + aesthetic)[8:].max() < 2
    assert all((a != b).any() for a, b in zip(spoilt[8:], video[8:], strict=True))


@pytest.fixture(scope="module")
def shares() -> dict[str, float]:
    profile = load_profile("mini")
    judged = Geometry(frames=21, height=profile.geometry.height, width=profile.geometry.width)
    scenes = split_scenes("heldout", profile, CLIPS)
    return accuracy(load_judge(CHECKPOINTS, "cpu"), render(scenes, judged), scenes)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["presence", "color", "size", "motion", "relation", "scene", "style", "camera"])
def test_the_shipped_judge_reads_heldout_clips(shares, head):
    assert shares[head] >= 0.97


@pytest.mark.slow
def test_the_shipped_judge_is_as_good_as_its_record_says(shares):
    """Within three standard errors of the accuracy that training wrote down for the whole split."""
    _, meta = weights.load(CHECKPOINTS / "judge.safetensors")
    assert meta["heldout_accuracy"].keys() == shares.keys()
    for head, recorded in meta["heldout_accuracy"].items():
        error = (recorded * (1 - recorded) / CLIPS) ** 0.5
        assert abs(shares[head] - recorded) <= 3 * error + 1 / CLIPS, head
