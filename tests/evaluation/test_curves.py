"""Verdicts on synthetic curves: what falls, what is flat, what turns back, what nobody can tell."""

import numpy as np
import pandas as pd
import pytest

from repro.evaluation import curves

SEVERITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
CLIPS, DRAWS, MARGIN = 120, 2000, 0.1


def made(shape, noise=0.01, clips=CLIPS, shared=0.3) -> curves.Curve:
    """A curve of clips that differ much from each other, and little in how they change."""
    rng = np.random.default_rng(0)
    level = 0.5 + rng.normal(0, shared, clips)
    scores = [level + value + rng.normal(0, noise, clips) for value in shape]
    return curves.curve(SEVERITIES, [curves.mean_of(s) for s in scores], clips, DRAWS, np.random.default_rng(1))


FALLING = (0, -0.1, -0.2, -0.3, -0.4)
FLAT = (0, 0, 0, 0, 0)
DIPPING = (0, -0.3, -0.6, -0.6, -0.3)
ONCE = (0, 0, 0.3, 0, 0)


@pytest.mark.parametrize(
    ("shape", "noise", "expectation", "verdict", "finding"),
    [
        (FALLING, 0.01, "falls", "held", ""),
        (FALLING, 0.01, "rises", "violated", "goes back"),
        (FALLING, 0.01, "flat", "violated", "moves"),
        (FLAT, 0.01, "flat", "held", ""),
        (FLAT, 0.01, "falls", "violated", "does not answer"),
        (FLAT, 0.01, "rises", "violated", "does not answer"),
        (FLAT, 1.0, "flat", "unresolved", ""),
        (FLAT, 1.0, "falls", "unresolved", ""),
        (FLAT, 0.0, "same", "held", ""),
        (FLAT, 1e-6, "same", "violated", "moves"),
        (FALLING, 0.5, "falls", "held", ""),
        (DIPPING, 0.01, "falls", "violated", "goes back"),
        (ONCE, 0.01, "flat", "violated", "moves"),
        ((0, -0.004, -0.008, -0.012, -0.016), 0.005, "falls", "held", ""),
    ],
)
def test_verdicts(shape, noise, expectation, verdict, finding):
    p = curves.p_values(made(shape, noise), expectation, MARGIN)
    assert all(0 <= value <= 1 for value in p.values())
    cell = curves.judge_cells(pd.DataFrame([{"expectation": expectation, **p}])).loc[0]
    assert (cell["verdict"], cell["finding"]) == (verdict, finding)


def test_flat_is_not_claimed_from_clips_too_few_to_hold_a_rare_change():
    """17 clips, none of which changes: a tenth of all clips may change all the same, with a chance of 0.9^17."""
    few, many = (made(FLAT, noise=0, clips=n) for n in (17, CLIPS))
    assert curves.p_values(few, "flat", MARGIN)["expected"] == pytest.approx(0.9**17, abs=0.03)
    assert curves.p_values(many, "flat", MARGIN)["expected"] < 0.001


def test_holm_counts_the_asked_cells_only():
    nothing = dict.fromkeys(("expected", "contrary", "blind"), np.nan)
    asked = {"expectation": "falls", "expected": 0.02, "contrary": 1.0, "blind": 1.0}
    alone = curves.judge_cells(pd.DataFrame([asked, *[{"expectation": "free", **nothing}] * 5]))
    assert alone["verdict"].tolist() == ["held", *["free"] * 5]
    crowd = curves.judge_cells(pd.DataFrame([asked] * 3))
    assert crowd["expected"].tolist() == pytest.approx([0.06] * 3) and set(crowd["verdict"]) == {"unresolved"}


def test_enough_resamples_to_resolve_one_violation_among_many_cells():
    cells = 94
    n = curves.draws_needed(10, cells, len(SEVERITIES))
    rng = np.random.default_rng(0)
    shape = [curves.mean_of(np.full(CLIPS, v)) for v in FALLING]
    asked = []
    for expectation in ("flat", "rises", "falls"):
        found = curves.curve(SEVERITIES, shape, CLIPS, n, rng)
        asked.append({"expectation": expectation, **curves.p_values(found, expectation, MARGIN)})
    quiet = {"expectation": "falls", "expected": 1.0, "contrary": 1.0, "blind": 1.0}
    verdicts = curves.judge_cells(pd.DataFrame([*asked, *[quiet] * (cells - 3)]))["verdict"]
    assert verdicts[:3].tolist() == ["violated", "violated", "held"] and set(verdicts[3:]) == {"unresolved"}
    assert curves.draws_needed(10**6, cells, len(SEVERITIES)) == 10**6


def test_trend_and_changes_by_hand():
    found = made(FALLING, noise=0)
    assert found.trend() == pytest.approx((-0.4, -0.4, -0.4))
    points = found.points()
    assert points["change"].tolist() == pytest.approx(FALLING)
    # Clips that differ widen the interval of the value, not that of a paired change.
    assert (points["high"] - points["low"]).min() > 0.1
    assert (points["change_high"] - points["change_low"]).max() < 1e-9


def test_the_interval_is_that_of_a_mean():
    found = made(FLAT, noise=0.5, clips=200, shared=0)
    expected = 2 * 1.96 * 0.5 / np.sqrt(200)
    assert (found.points()["high"] - found.points()["low"]).mean() == pytest.approx(expected, rel=0.1)
