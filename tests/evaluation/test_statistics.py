"""Intervals against closed forms and their coverage; pairing; Holm by hand."""

import numpy as np
import pandas as pd
import pytest

from repro.errors import ReproError
from repro.evaluation.statistics import (
    cluster_bootstrap,
    cluster_counts,
    cluster_draws,
    holm,
    paired_difference,
    verdict,
)


def table(values) -> pd.DataFrame:
    """Rows are training seeds, columns prompts."""
    values = np.asarray(values, float)
    seeds, prompts = np.indices(values.shape)
    return pd.DataFrame({"seed": seeds.ravel(), "prompt": prompts.ravel(), "value": values.ravel()})


def rng(seed=0):
    return np.random.default_rng(seed)


def test_one_seed_is_the_plain_bootstrap_of_the_mean():
    values = rng().normal(3, 2, (1, 400))
    mean, low, high = cluster_bootstrap(table(values), 4000, rng(1))
    half = 1.96 * values.std() / np.sqrt(values.size)
    assert mean == pytest.approx(values.mean())
    assert low == pytest.approx(mean - half, abs=0.06 * half)
    assert high == pytest.approx(mean + half, abs=0.06 * half)


@pytest.mark.parametrize(("by_seed", "by_prompt"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_seeds_and_prompts_widen_the_interval(by_seed, by_prompt):
    """Var = var(seed means) / S + var(prompt means) / P, for S seeds of the same P prompts."""
    values = rng(2).normal(0, 1, (12, 50)) + by_seed * rng(3).normal(0, 1, (12, 1))
    values += by_prompt * rng(6).normal(0, 1, (1, 50))
    variance = values.mean(1).var() / 12 + values.mean(0).var() / 50
    _, low, high = cluster_bootstrap(table(values), 4000, rng(4))
    assert (high - low) / 2 == pytest.approx(1.96 * variance**0.5, rel=0.06)


@pytest.mark.parametrize("by_seed", [0.0, 0.2])
@pytest.mark.parametrize(("by_prompt", "by_clip"), [(3.0, 1.0), (1.0, 2.0)])
def test_three_seeds_of_the_same_prompts_cover_the_truth(by_seed, by_prompt, by_clip):
    """Drawn within each seed, what prompts differ by would be told too small."""
    covered, draw = [], rng(7)
    for _ in range(300):
        shape = by_seed * draw.normal(size=(3, 1)) + by_prompt * draw.normal(size=(1, 60))
        _, low, high = cluster_bootstrap(table(shape + by_clip * draw.normal(size=(3, 60))), 200, draw)
        covered.append(low <= 0 <= high)
    assert 0.90 <= np.mean(covered) <= 0.99


def test_resamples_of_a_whole_table_have_as_many_clips():
    clips = table(np.zeros((3, 20)))
    counts = cluster_counts(clips, 50, rng())
    assert (counts.sum(1) == len(clips)).all() and counts.min() == -1
    assert (cluster_counts(clips[clips["seed"] == 1], 50, rng()) >= 0).all()


def test_means_are_drawn_as_the_counts_are():
    values = table(rng(8).normal(size=(3, 20))).drop(index=[4, 27])
    counts = cluster_counts(values, 40_000, rng(1))
    a, b = cluster_draws(values, 40_000, rng(2)), counts @ values["value"].to_numpy() / counts.sum(1)
    assert a.mean() == pytest.approx(b.mean(), abs=0.02 * b.std()) and a.std() == pytest.approx(b.std(), rel=0.02)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    covered, draw = [], rng(5)
    for _ in range(300):
        _, low, high = cluster_bootstrap(table(draw.normal(1, 1, (1, 60))), 200, draw)
        covered.append(low <= 1 <= high)
    # 95% less the percentile bootstrap's known shortfall at 60 prompts; three standard errors are 4%.
    assert 0.90 <= np.mean(covered) <= 0.98


def test_equal_values_have_no_interval():
    assert cluster_bootstrap(table(np.full((3, 5), 0.7)), 50, rng()) == pytest.approx((0.7, 0.7, 0.7))


def test_the_interval_follows_from_the_generator_and_not_from_the_order_of_seeds():
    values = table(rng().random((3, 20)))
    once = cluster_bootstrap(values, 200, rng(1))
    assert once == cluster_bootstrap(values, 200, rng(1)) != cluster_bootstrap(values, 200, rng(2))
    blocks = [values[values["seed"] == s] for s in (2, 0, 1)]
    assert cluster_bootstrap(pd.concat(blocks), 200, rng(1)) == pytest.approx(once)


@pytest.mark.parametrize("values", [[[]], [[1.0, np.nan]], [[1.0, np.inf]]])
def test_missing_values_are_never_averaged_away(values):
    with pytest.raises(ReproError, match=f"cannot average {np.size(values)} values"):
        cluster_bootstrap(table(values), 10, rng())


def test_pairing_removes_what_the_prompts_share():
    prompts = rng(6).normal(0, 5, (3, 60))
    a, b = table(prompts + 0.5 + 0.1 * rng(7).normal(size=(3, 60))), table(prompts)
    mean, low, high, p = paired_difference(a, b, 1999, rng(8))
    assert mean == pytest.approx((a["value"] - b["value"]).mean())
    assert 0.45 < low < mean < high < 0.55 and p == pytest.approx(2 / 2000)
    mirrored = paired_difference(b, a, 1999, rng(8))
    assert mirrored == pytest.approx((-mean, -high, -low, p))


def test_rows_are_paired_by_seed_and_prompt_not_by_position():
    a = table(rng().random((2, 30)))
    shuffled = a.sample(frac=1, random_state=0)
    mean, low, high, p = paired_difference(a, shuffled, 200, rng())
    assert mean == low == high == 0 and p == 1


def test_p_values_are_uniform_where_nothing_differs():
    draw = rng(9)
    p = []
    for _ in range(200):
        a, b = (table(draw.normal(size=(1, 50))) for _ in range(2))
        p.append(paired_difference(a, b, 200, draw)[3])
    assert np.mean(np.array(p) < 0.05) < 0.12 and np.mean(p) == pytest.approx(0.5, abs=0.08)


def test_rows_without_a_partner_are_refused():
    a, b = table(rng().random((2, 5))), table(rng().random((2, 4)))
    with pytest.raises(ReproError, match=r"10 and 8 scores share 8 \(seed, prompt\)"):
        paired_difference(a, b, 10, rng())


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.6, 0.5]), [1.0, 1.0])


@pytest.mark.parametrize(
    ("difference", "p", "higher", "says"),
    [
        (0.1, 0.01, True, "reproduced"),
        (-0.1, 0.01, True, "contradicted"),
        (-0.1, 0.01, False, "reproduced"),
        (0.1, 0.01, False, "contradicted"),
        (0.1, 0.05, True, "unresolved"),
        (0.0, 0.01, True, "unresolved"),
    ],
)
def test_verdicts(difference, p, higher, says):
    assert verdict(difference, p, higher) == says
