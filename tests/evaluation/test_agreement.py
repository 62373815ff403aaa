"""Confusion, accuracy and kappa against numbers by hand and statsmodels."""

import numpy as np
import pytest
import torch
from statsmodels.stats.inter_rater import cohens_kappa

from repro.errors import ReproError
from repro.evaluation import agreement
from repro.training.judge import IGNORE, targets
from repro.world.judge import CLIP_HEADS, SLOT_HEADS
from repro.world.scene import sample

SCENES = [sample(3, i) for i in range(40)]


class Oracle:
    """A judge whose logits say the truth of the scenes, but for the first `blind` clips' scene."""

    def __init__(self, blind: int = 0):
        truth = targets(SCENES)
        self.logits = {"presence": truth["presence"][..., None] * 2 - 1}
        for name, n in (SLOT_HEADS | CLIP_HEADS).items():
            if name in truth and name != "presence":
                self.logits[name] = torch.nn.functional.one_hot(truth[name].long().clamp(min=0), n).float()
        self.logits["scene"][:blind] = self.logits["scene"][:blind].roll(1, -1)

    def heads(self, features):
        return self.logits


def test_confusion_by_hand():
    truth = np.array([[0, IGNORE], [1, 1], [2, 0]])
    judged = np.array([[0, 2], [1, 2], [2, 1]])
    counts = agreement.confusion(truth, judged, 3)
    assert counts.sum(0).tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert counts.sum((1, 2)).tolist() == [1, 2, 2]


def test_kappa_by_hand():
    """50 cases, 35 agreed; chance agrees in (25·30 + 25·20) / 50² = 0.5: kappa is 0.4."""
    counts = np.array([[20, 5], [10, 15]])
    assert agreement.accuracy(counts) == pytest.approx(0.7)
    assert agreement.kappa(counts) == pytest.approx(0.4)
    stacked = np.random.default_rng(0).integers(1, 20, (6, 4, 4))
    expected = [cohens_kappa(c, return_results=False) for c in stacked]
    np.testing.assert_allclose(agreement.kappa(stacked), expected)
    assert agreement.kappa(np.diag([3, 4])) == 1 and np.isnan(agreement.kappa(np.array([[5, 0], [0, 0]])))


def test_the_truth_agrees_with_itself_and_an_error_is_found():
    table, cells = agreement.agreement(Oracle(blind=4), torch.zeros(40, 64), SCENES, 200, 0)
    table = table.set_index("head")
    assert table.index.tolist() == list(agreement.CLASSES)
    others = table.drop("scene")
    assert (others[["accuracy", "kappa", "kappa_low"]] == 1).all(axis=None)
    assert table.loc["scene", "accuracy"] == pytest.approx(0.9)
    assert table.loc["scene", "kappa_low"] < table.loc["scene", "kappa"] < table.loc["scene", "kappa_high"] <= 1
    wrong = cells[(cells["truth"] != cells["judged"]) & (cells["count"] > 0)]
    assert set(wrong["head"]) == {"scene"} and wrong["count"].sum() == 4
    assert table.loc["motion", "n"] == sum(len(s.sprites) for s in SCENES)


def test_a_head_without_variety_is_refused():
    still = [s for s in SCENES if s.camera == 0][:3]
    oracle = Oracle()
    oracle.logits = {k: v[[SCENES.index(s) for s in still]] for k, v in oracle.logits.items()}
    with pytest.raises(ReproError, match="head 'camera': all 3 truths and answers are one class"):
        agreement.agreement(oracle, torch.zeros(3, 64), still, 10, 0)
