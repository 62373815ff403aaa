"""Estimators against statsmodels, published examples and planted effects; simulated votes only."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize, stats
from scipy.special import expit
from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint, proportions_ztest

from repro.errors import ReproError
from repro.evaluation.statistics import holm
from repro.user_study import (
    estimators,
    mixed,
    plan,
    population,
    power,
    ranking,
    reliability,
    responses,
    simulate,
    truth,
)
from repro.user_study.simulate import Truth

PUBLISHED = "results/published/user_study/truth/truth.csv"


def scenario(studies, **changes):
    common = {"scenario": "s", "participants": 40, "prompts": 20, "comparisons": 20, "log_odds": 0.0, "rater_sd": 0.0,
              "prompt_sd": 0.0, "side_bias": 0.0, "studies": studies}  # fmt: skip
    return Truth(**common | changes)


def drawn(studies, seed=0, **changes):
    """(wins [S, W, N, K], votes [W, N, K])."""
    return simulate.studies(scenario(studies, **changes), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def crossed():
    """(wins [S, N, K], votes [N, K]) where raters and prompts differ."""
    wins, votes = drawn(30, log_odds=0.4, rater_sd=0.6, prompt_sd=0.6)
    return wins.sum(1), votes.sum(0)


def test_wilson_is_that_of_statsmodels(crossed):
    found = estimators.wilson(*crossed)
    votes = crossed[1].sum()
    for i, wins in enumerate(crossed[0].sum((1, 2))):
        assert (found.low[i], found.high[i]) == pytest.approx(proportion_confint(wins, votes, method="wilson"))
        assert found.p[i] == pytest.approx(proportions_ztest(wins, votes, 0.5, prop_var=0.5)[1])
    # Newcombe 1998, table I, method 3: 81 of 263.
    wins, votes = np.zeros((1, 1, 263)), np.ones((1, 263))
    wins[..., :81] = 1
    newcombe = estimators.wilson(wins, votes)
    assert (newcombe.low[0], newcombe.high[0]) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def long(wins_NK, votes_NK):
    """One row a vote: won, rater, prompt."""
    rater, prompt = np.nonzero(votes_NK)
    votes = votes_NK[rater, prompt].astype(int)
    won = np.concatenate([[1] * int(w) + [0] * int(n - w) for w, n in zip(wins_NK[rater, prompt], votes, strict=True)])
    return won, np.repeat(rater, votes), np.repeat(prompt, votes)


def freedom_of(reach):
    """Degrees of freedom of the t law whose middle 95% reach so many errors far."""
    return optimize.brentq(lambda freedom: stats.t.ppf(0.975, freedom) - reach, 1, 1e6)


def test_paired_t_is_that_of_scipy(crossed):
    found, by_rater = estimators.paired_t_votes(*crossed), estimators.paired_t_raters(*crossed)
    for i in range(5):
        won, _, _ = long(crossed[0][i], crossed[1])
        same = stats.ttest_rel(won, 1 - won)
        assert found.p[i] == pytest.approx(same.pvalue)
        assert found.high[i] - found.low[i] == pytest.approx(np.ptp(same.confidence_interval()) / 2)
        own = crossed[0][i].sum(1) / crossed[1].sum(1)
        same = stats.ttest_1samp(own, 0.5)
        assert by_rater.p[i] == pytest.approx(same.pvalue)
        assert (by_rater.low[i], by_rater.high[i]) == pytest.approx(tuple(same.confidence_interval()))


def test_two_way_errors_are_those_of_statsmodels(crossed):
    found = estimators.two_way(*crossed)
    for i in range(5):
        won, rater, prompt = long(crossed[0][i], crossed[1])
        groups = np.stack([rater, prompt], 1)
        fit = sm.OLS(won, np.ones(len(won))).fit(cov_type="cluster", cov_kwds={"groups": groups})
        assert found.rate[i] == pytest.approx(fit.params[0])
        # Half an interval is t times the error: that tells the degrees of freedom, and with them p.
        freedom = freedom_of((found.high[i] - found.low[i]) / 2 / fit.bse[0])
        assert 19 < freedom < 80
        assert found.p[i] == pytest.approx(2 * stats.t.sf(abs(found.rate[i] - 0.5) / fit.bse[0], freedom), rel=1e-6)


def test_robust_intervals_contain_the_planted_rate():
    wins, votes = drawn(40, log_odds=0.4, rater_sd=0.6, prompt_sd=0.6)
    planted = float(population.marginal(0.4, np.hypot(0.6, 0.6)))
    cells, rng = (wins.sum(1), votes.sum(0)), np.random.default_rng(0)
    wide = estimators.bootstrap(*cells, 300, rng, prompts=True)
    narrow = estimators.bootstrap(*cells, 300, rng, prompts=False)
    robust, naive = estimators.two_way(*cells), estimators.wilson(*cells)
    for found in (wide, robust):
        assert ((found.low < planted) & (planted < found.high)).sum() >= 34
        assert found.rate.mean() == pytest.approx(planted, abs=0.02)
        assert np.mean(found.high - found.low) > 1.7 * np.mean(naive.high - naive.low)
    assert np.mean(narrow.high - narrow.low) < np.mean(wide.high - wide.low)
    assert ((naive.low < planted) & (planted < naive.high)).sum() < 34


def test_bootstrap_over_raters_agrees_with_the_t_over_raters():
    wins, votes = drawn(20, rater_sd=1.0)
    cells = wins.sum(1), votes.sum(0)
    boot = estimators.bootstrap(*cells, 2000, np.random.default_rng(0), prompts=False)
    t = estimators.paired_t_raters(*cells)
    np.testing.assert_allclose(np.mean(boot.high - boot.low), np.mean(t.high - t.low), rtol=0.06)
    np.testing.assert_allclose(boot.rate, t.rate)
    with pytest.raises(ReproError, match="too sparse"):
        sparse = np.eye(3)
        estimators.bootstrap(sparse[None], sparse, 500, np.random.default_rng(0), prompts=True)


def test_unanimous_votes_have_no_log_odds():
    votes = np.ones((5, 4))
    with pytest.raises(ReproError, match="all 20 votes agree"):
        mixed.fit_counts(np.stack([votes, 0 * votes]), np.stack([votes, 0 * votes]))


def test_mixed_recovers_what_is_planted():
    wins, votes = drawn(12, log_odds=0.5, rater_sd=0.8, prompt_sd=0.5, side_bias=0.3, participants=60, prompts=40,
                        comparisons=40)  # fmt: skip
    fits = [mixed.fit_counts(one, votes) for one in wins]
    assert np.mean([f.effect[0] for f in fits]) == pytest.approx(0.5, abs=0.1)
    assert np.mean([f.effect[1] for f in fits]) == pytest.approx(0.6, abs=0.07)
    assert np.mean([f.rater_sd for f in fits]) == pytest.approx(0.8, abs=0.08)
    assert np.mean([f.prompt_sd for f in fits]) == pytest.approx(0.5, abs=0.08)
    planted = float(population.marginal(0.5, np.hypot(0.8, 0.5), 0.3))
    assert np.mean([f.rate for f in fits]) == pytest.approx(planted, abs=0.02)
    assert sum(f.rate_low < planted < f.rate_high for f in fits) >= 10
    assert sum(f.low[1] < 0.6 < f.high[1] for f in fits) >= 10


def test_mixed_has_the_degrees_of_freedom_of_raters_and_prompts_not_of_votes():
    wins, votes = drawn(5, log_odds=0.4, rater_sd=0.8, prompt_sd=0.8)
    for one in wins:
        fit = mixed.fit_counts(one, votes)
        half = (fit.high - fit.low)[0] / 2

        def p_of(freedom, half=half, effect=fit.effect[0]):
            return 2 * stats.t.sf(abs(effect) * stats.t.ppf(0.975, freedom) / half, freedom)

        freedom = optimize.brentq(lambda f, fit=fit, p_of=p_of: np.log(p_of(f) / fit.p[0]), 2, 1e6)
        assert 19 < freedom < 60


def test_mixed_without_spread_is_the_plain_logistic_regression():
    wins, votes = drawn(6, log_odds=0.4, side_bias=0.3, seed=3)
    for one in wins:
        fit = mixed.fit_counts(one, votes)
        side = np.concatenate([np.full(votes[w].sum(), 0.5 - w) for w in (0, 1)])
        won = np.concatenate([long(one[w], votes[w])[0] for w in (0, 1)])
        plain = sm.Logit(won, np.stack([np.ones(len(won)), side], 1)).fit(disp=0)
        # Estimated spread is near nothing, but seldom nothing.
        np.testing.assert_allclose(fit.effect, plain.params, rtol=0.06)
        assert (fit.high - fit.low)[1] == pytest.approx(np.ptp(plain.conf_int()[1]), rel=0.05)


def test_mean_field_intervals_are_too_short_so_that_ours_is_needed():
    """Why `mixed` is not statsmodels' BinomialBayesMixedGLM: same centre, but an error that leaves much out."""
    wins, votes = drawn(1, log_odds=0.4, rater_sd=0.8, prompt_sd=0.8, seed=1)
    fit = mixed.fit_counts(wins[0], votes)
    won, rater, prompt = long(wins[0].sum(0), votes.sum(0))
    table = pd.DataFrame({"won": won, "rater": rater, "prompt": prompt})
    model = BinomialBayesMixedGLM.from_formula("won ~ 1", {"r": "0 + C(rater)", "p": "0 + C(prompt)"}, table)
    mean_field = model.fit_vb()
    assert mean_field.fe_mean[0] == pytest.approx(fit.effect[0], abs=0.15)
    assert 2 * 1.96 * mean_field.fe_sd[0] < 0.6 * (fit.high - fit.low)[0]
    np.testing.assert_allclose(np.exp(mean_field.vcp_mean), [fit.rater_sd, fit.prompt_sd], rtol=0.25)


def test_bradley_terry_recovers_planted_strengths(larger):
    changes = {"participants": 60, "prompts": 30, "comparisons": 20, "round_robin": True}
    design = larger[0].model_copy(update=changes)
    strength = dict(zip(design.methods, (0.0, -0.9, 0.6), strict=True))
    rng = np.random.default_rng(0)
    frame = simulate.respondents(design, plan.make(design), strength, rng, rater_sd=0.2, prompt_sd=0.2)
    found = ranking.bradley_terry(responses.accept(frame, design, "simulated")).set_index("method")
    for method, planted in strength.items():
        assert found.loc[method, "strength"] == pytest.approx(planted, abs=0.2)
        assert found.loc[method, "low"] <= planted <= found.loc[method, "high"]
    assert found.index.tolist() == ["magi_1", "diagdistill", "causvid"] and found["rank"].tolist() == [1, 2, 3]
    assert (found["rank_low"] <= found["rank"]).all() and (found["rank"] <= found["rank_high"]).all()


def test_cohens_kappa_of_a_published_example():
    """Two readers of 50 proposals, 20 yes-yes, 5, 10, 15 no-no: κ = 0.4."""
    one = [1] * 25 + [0] * 25
    other = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert reliability.cohen(one, other) == pytest.approx(0.4)
    assert reliability.cohen(one, one) == pytest.approx(1) and np.isnan(reliability.cohen([1, 1], [1, 1]))
    some, more = np.random.default_rng(0).integers(0, 4, (2, 200))
    counts = pd.crosstab(some, more).to_numpy()
    assert reliability.cohen(some, more) == pytest.approx(cohens_kappa(counts).kappa)


def test_fleiss_kappa_of_a_published_example():
    """Fourteen raters, ten items, five categories: κ = 0.210."""
    counts = np.array([
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ])  # fmt: skip
    assert reliability.fleiss(counts) == pytest.approx(0.210, abs=5e-4)


def test_krippendorffs_alpha_of_his_own_example():
    """Krippendorff 2011, section C: four observers, twelve units, answers missing."""
    observed = np.array([
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0], [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0], [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ])  # fmt: skip
    counts = np.stack([(observed == value).sum(0) for value in range(1, 6)], 1)
    assert reliability.krippendorff(counts) == pytest.approx(0.743, abs=5e-4)
    assert reliability.krippendorff(counts, ordinal=True) == pytest.approx(0.815, abs=5e-4)
    assert np.isnan(reliability.krippendorff([[3, 0], [2, 0]]))


def test_holm_is_that_of_statsmodels_and_of_the_definition():
    p = [0.01, 0.04, 0.03, 0.005]
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize("sd", [0.0, 0.5, 2.0])
def test_rates_of_a_population_and_back(sd):
    rate = float(population.marginal(0.7, sd))
    assert population.log_odds_of(rate, sd) == pytest.approx(0.7, abs=1e-6)
    drawn = expit(0.7 + sd * np.random.default_rng(0).normal(size=200_000))
    assert rate == pytest.approx(drawn.mean(), abs=3e-3)


def test_variance_parts_and_power_are_those_of_simulated_studies():
    centre = population.log_odds_of(0.6, np.hypot(0.5, 0.7))
    wins, votes = drawn(1500, log_odds=centre, rater_sd=0.5, prompt_sd=0.7)
    rates = wins.sum((1, 2, 3)) / votes.sum()
    parts = population.variance_parts(0.6, 0.5, 0.7)
    error, freedom = population.expected_error(parts, 40, 20, int(votes.sum()), other_prompts=True)
    assert error == pytest.approx(rates.std(), rel=0.06) and 19 < freedom < 59
    assert sum((parts.raters, parts.prompts, parts.interaction, parts.vote)) == pytest.approx(0.24)
    found = (estimators.two_way(wins.sum(1), votes.sum(0)).p < 0.05).mean()
    assert population.power(0.6, error, freedom) == pytest.approx(found, abs=0.06)
    assert population.power(0.5, error, freedom) == pytest.approx(0.05, abs=1e-6)


def test_power_rises_and_its_threshold_lies_between_rates():
    size = power.Size(participants=40, prompts=20, comparisons=6, rater_sd=0.3, prompt_sd=0.3, studies=300)
    found = power.curve(size, 0, rates=(0.5, 0.55, 0.6, 0.65, 0.7))
    assert found["two_way"].is_monotonic_increasing and found["two_way"].iloc[0] < 0.1 < 0.9 < found["two_way"].iloc[-1]
    assert 0.55 < power.detectable(found) < 0.65
    assert np.isnan(power.detectable(found.assign(two_way=0.3)))


def band(share, studies, tests=1):
    """Counts' shares that 95% of binomial draws fall into, over so many tests together."""
    return np.array(stats.binom.interval(1 - 0.05 / tests, studies, share)) / studies


def test_intervals_cover_and_alarms_are_five_percent_while_the_naive_test_cries_wolf():
    methods = ("paired_t_votes", "two_way")
    null = truth.measure(scenario(600, rater_sd=0.6, prompt_sd=0.6, side_bias=0.3), 5, methods).set_index("method")
    planted = truth.measure(scenario(600, rater_sd=0.6, prompt_sd=0.6, log_odds=0.4), 6, methods).set_index("method")
    for found in (null, planted):
        low, high = band(0.95, 600, 2)
        assert low <= found.loc["two_way", "coverage"] <= high
        assert abs(found.loc["two_way", "bias"]) < 0.01
    low, high = band(0.05, 600)
    assert low <= null.loc["two_way", "rejected"] <= high
    # All votes as independent: false alarms several times as often as stated, with certainty.
    assert null.loc["paired_t_votes", "rejected_low"] > 0.3 and planted.loc["paired_t_votes", "coverage_high"] < 0.75
    assert planted.loc["two_way", "truth"] == pytest.approx(population.marginal(0.4, np.hypot(0.6, 0.6)))
    assert bool(null["null"].all()) and not planted["null"].any()


def test_the_naive_test_is_right_where_votes_are_independent():
    found = truth.measure(scenario(600), 7, ("paired_t_votes", "wilson")).set_index("method")
    low, high = band(0.05, 600)
    assert found["rejected"].between(low, high).all()


@pytest.fixture(scope="module")
def published():
    return pd.read_csv(PUBLISHED)


def test_published_simulations_are_the_configured_ones(published):
    told = simulate.load_truths()
    assert set(published["scenario"]) == set(told) and set(published["method"]) == set(truth.METHODS)
    assert (published["studies"] >= 500).all()
    assert (published["studies"] == published["scenario"].map(lambda s: told[s].studies)).all()
    assert not published.duplicated(["scenario", "method"]).any() and published.notna().all(axis=None)


def test_published_mixed_model_covers_95_percent_and_alarms_five(published):
    own = published[published["method"] == "mixed"]
    for row in own.itertuples():
        low, high = band(0.95, row.studies, len(own))
        assert low <= row.coverage <= high, row.scenario
        if row.null:
            assert 1 - high <= row.rejected <= 1 - low, row.scenario
    pooled = np.average(own["coverage"], weights=own["studies"])
    assert pooled == pytest.approx(0.95, abs=0.01)


def test_published_naive_tests_are_wrong_where_raters_or_prompts_differ(published):
    wrong = published[published["null"] & (published["scenario"] != "null_independent")].set_index("method")
    for method in ("wilson", "paired_t_votes"):
        assert (wrong.loc[method, "rejected_low"] > 0.2).all()
    right = published[published["scenario"] == "null_independent"].set_index("method")
    assert right.loc["paired_t_votes", "rejected_low"] < 0.05 < right.loc["paired_t_votes", "rejected_high"]
