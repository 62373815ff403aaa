"""Intervals of a preference rate, from the naive to those that know of raters and prompts; many studies at once.

S studies, N raters, K prompts. `wins_SNK` counts the votes for the first method of `votes_NK` cast. All but
`bootstrap` and `mixed` are vectorised over S.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from repro.errors import ReproError
from repro.user_study import mixed as crossed
from repro.user_study.population import satterthwaite

ALPHA = 0.05


@dataclass(frozen=True)
class Estimate:
    """Rate, 95% interval and two-sided p of the rate being one half; each [S]. NaN where a method has no answer."""

    rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


def _from_error(rate, error, freedom) -> Estimate:
    """t interval and test of 1/2 on the rate's own scale, cut to [0, 1]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = stats.t.ppf(1 - ALPHA / 2, freedom) * error
        p = 2 * stats.t.sf(np.abs(rate - 0.5) / error, freedom)
    return Estimate(rate, np.clip(rate - reach, 0, 1), np.clip(rate + reach, 0, 1), p)


def wilson(wins_SNK, votes_NK) -> Estimate:
    """Wilson's interval and the score test: every vote counts as independent of all others."""
    from statsmodels.stats.proportion import proportion_confint

    wins, votes = wins_SNK.sum((1, 2)), votes_NK.sum()
    low, high = proportion_confint(wins, votes, ALPHA, "wilson")
    rate = wins / votes
    return Estimate(rate, low, high, 2 * stats.norm.sf(np.abs(rate - 0.5) * 2 * np.sqrt(votes)))


def paired_t_votes(wins_SNK, votes_NK) -> Estimate:
    """Paired t over all votes, chosen (1) against not chosen (0): the same assumption as Wilson's."""
    votes = votes_NK.sum()
    rate = wins_SNK.sum((1, 2)) / votes
    return _from_error(rate, np.sqrt(rate * (1 - rate) / (votes - 1)), votes - 1)


def paired_t_raters(wins_SNK, votes_NK) -> Estimate:
    """Paired t over raters' own rates: speaks of other people, but of these prompts only."""
    own = wins_SNK.sum(2) / votes_NK.sum(1)
    n = own.shape[1]
    return _from_error(own.mean(1), own.std(1, ddof=1) / np.sqrt(n), n - 1)


def two_way(wins_SNK, votes_NK) -> Estimate:
    """Two-way cluster-robust error (Cameron, Gelbach and Miller 2011): other people and other prompts.

    The variance over raters plus that over prompts less that over their cells, each with the factor G / (G − 1);
    where sampling makes it smaller than one of the first two, that one is taken. t with Satterthwaite's degrees of
    freedom.
    """
    _, N, K = wins_SNK.shape
    votes = votes_NK.sum()
    rate = wins_SNK.sum((1, 2)) / votes
    error_SNK = wins_SNK - rate[:, None, None] * votes_NK
    cells = np.count_nonzero(votes_NK)
    raters = (error_SNK.sum(2) ** 2).sum(1) * N / (N - 1)
    prompts = (error_SNK.sum(1) ** 2).sum(1) * K / (K - 1)
    within = (error_SNK**2).sum((1, 2)) * cells / (cells - 1)
    variance = np.maximum(raters + prompts - within, np.maximum(raters, prompts))
    freedom = satterthwaite((raters - within, prompts - within, within), (N - 1, K - 1, cells - 1))
    return _from_error(rate, np.sqrt(variance) / votes, freedom)


def bootstrap(wins_SNK, votes_NK, draws: int, rng: np.random.Generator, *, prompts: bool) -> Estimate:
    """Percentile interval; raters are drawn with replacement, with `prompts` both ways of the table are."""
    _, N, K = wins_SNK.shape
    raters_DN = rng.multinomial(N, np.full(N, 1 / N), draws)
    prompts_DK = rng.multinomial(K, np.full(K, 1 / K), draws) if prompts else np.ones((draws, K))
    votes_D = ((raters_DN @ votes_NK) * prompts_DK).sum(1)
    if not votes_D.all():
        raise ReproError(f"a bootstrap draw of {N} raters and {K} prompts has no vote: the study is too sparse")
    rate_SD = np.stack([((raters_DN @ wins_NK) * prompts_DK).sum(1) / votes_D for wins_NK in wins_SNK])
    low, high = np.quantile(rate_SD, [ALPHA / 2, 1 - ALPHA / 2], axis=1)
    tail = np.minimum((rate_SD <= 0.5).sum(1), (rate_SD >= 0.5).sum(1))
    rate = wins_SNK.sum((1, 2)) / votes_NK.sum()
    return Estimate(rate, low, high, np.minimum(1, 2 * (tail + 1) / (draws + 1)))


def mixed(wins_SWNK, votes_WNK) -> Estimate:
    """Mixed-effects logistic regression with crossed raters and prompts; the rate of the population at large.

    W: the first of the pair on the left, on the right.
    """
    fits = [crossed.fit_counts(wins_WNK, votes_WNK) for wins_WNK in wins_SWNK]
    return Estimate(*np.array([(fit.rate, fit.rate_low, fit.rate_high, fit.p[0]) for fit in fits]).T)
