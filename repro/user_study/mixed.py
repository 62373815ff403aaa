"""Mixed-effects logistic regression with crossed random effects of raters and prompts.

Laplace's approximation, with the fixed effects integrated out under a flat prior as in REML; only the two standard
deviations are left for the optimiser. statsmodels has the model too (BinomialBayesMixedGLM), but its mean-field
posterior leaves out that fixed and random effects move together: its intervals are too short (see the tests).
Q fixed effects, N raters, K prompts; weights are votes, so that rows may be cells of a table.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, stats
from scipy.special import expit

from repro.errors import ReproError
from repro.user_study.population import marginal, satterthwaite

SMALLEST, LARGEST = 0.01, 5.0
"""Standard deviations in log-odds that are looked at."""


@dataclass(frozen=True)
class Fit:
    """Fixed effects [Q] in log-odds with 95% intervals and p; standard deviations; the population's rate.

    `rate`: over all raters and prompts, both values of the covariate alike: with heterogeneity it lies nearer to one
    half than the expit of the intercept.
    """

    effect: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    rater_sd: float
    prompt_sd: float
    rate: float
    rate_low: float
    rate_high: float


class _Posterior:
    """Joint mode of all effects at given standard deviations, by Newton's method; starts where it last ended."""

    def __init__(self, wins, votes, design_RQ, rater, prompt):
        self.wins, self.votes, self.design = wins, votes, design_RQ
        self.q, self.n, self.k = design_RQ.shape[1], rater.max() + 1, prompt.max() + 1
        self.rater, self.prompt, self.cell = rater, prompt, rater * self.k + prompt
        self.mode = np.zeros(self.q + self.n + self.k)

    def log_odds(self, effects):
        q, n = self.q, self.n
        return self.design @ effects[:q] + effects[q : q + n][self.rater] + effects[q + n :][self.prompt]

    def _precision(self, sds):
        return np.concatenate([np.zeros(self.q), np.full(self.n, sds[0] ** -2), np.full(self.k, sds[1] ** -2)])

    def _sums(self, values):
        """Zᵀ values for the indicator columns of raters, then of prompts."""
        return np.concatenate([np.bincount(self.rater, values, self.n), np.bincount(self.prompt, values, self.k)])

    def _hessian(self, weights, precision):
        q, n = self.q, self.n
        weighted = self.design * weights[:, None]
        hessian = np.zeros((len(precision),) * 2)
        hessian[:q, :q] = self.design.T @ weighted
        hessian[q:, :q] = np.stack([self._sums(column) for column in weighted.T], 1)
        hessian[q + n :, q : q + n] = np.bincount(self.cell, weights, n * self.k).reshape(n, self.k).T
        at = np.arange(q, len(precision))
        hessian[at, at] = self._sums(weights)
        return hessian + np.diag(precision)

    def solve(self, log_sds):
        """(negative log marginal likelihood but for a constant, mode, Cholesky factor of the Hessian's lower half)."""
        precision = self._precision(np.exp(log_sds))
        effects = self.mode.copy()
        for _ in range(100):
            share = expit(self.log_odds(effects))
            left = self.wins - self.votes * share
            slope = np.concatenate([self.design.T @ left, self._sums(left)]) - precision * effects
            factor = linalg.cho_factor(self._hessian(self.votes * share * (1 - share), precision), lower=True)
            step = linalg.cho_solve(factor, slope)
            effects += step / max(1.0, np.abs(step).max() / 2)
            if np.abs(step).max() < 1e-7:
                break
        self.mode = effects
        odds = self.log_odds(effects)
        likelihood = (self.wins * odds - self.votes * np.logaddexp(0, odds)).sum()
        spread = self.n * log_sds[0] + self.k * log_sds[1]
        size = np.log(np.diag(factor[0])).sum()
        return -likelihood + (precision * effects**2).sum() / 2 + spread + size, effects, factor


def fit(wins, votes, design_RQ, rater, prompt) -> Fit:
    """Rows R: `wins` of `votes`, indices of rater and prompt from 0, covariates: an intercept, then one of ±½ at most.

    Intervals are t, the intercept's with Satterthwaite's degrees of freedom, others', which are compared within raters
    and prompts, with those of the votes. Raises ReproError where all votes agree: log-odds are
    then without bound.
    """
    wins, votes = np.asarray(wins, float), np.asarray(votes, float)
    if wins.sum() in (0, votes.sum()):
        raise ReproError(f"all {votes.sum():.0f} votes agree: log-odds have no estimate, report the count instead")
    posterior = _Posterior(wins, votes, np.asarray(design_RQ, float), np.asarray(rater), np.asarray(prompt))
    bounds = [(np.log(SMALLEST), np.log(LARGEST))] * 2
    found = optimize.minimize(lambda x: posterior.solve(x)[0], np.log([0.5, 0.5]), method="L-BFGS-B", bounds=bounds)
    _, effects, factor = posterior.solve(found.x)
    q, sds = posterior.q, np.exp(found.x)
    covariance = linalg.cho_solve(factor, np.eye(len(effects))[:, :q])[:q]
    effect, error = effects[:q], np.sqrt(np.diag(covariance))
    between = (sds[0] ** 2 / posterior.n, sds[1] ** 2 / posterior.k)
    shift = effect[1] / 2 if q > 1 else 0.0
    freedom = np.full(q, votes.sum() - q)
    freedom[0] = satterthwaite(
        (*between, error[0] ** 2 - sum(between)), (posterior.n - 1, posterior.k - 1, votes.sum() - q)
    )
    reach = stats.t.ppf(0.975, freedom) * error
    rates = marginal([effect[0], effect[0] - reach[0], effect[0] + reach[0]], np.hypot(*sds), shift)
    p = 2 * stats.t.sf(np.abs(effect) / error, freedom)
    return Fit(effect, effect - reach, effect + reach, p, *map(float, sds), *map(float, rates))


def fit_counts(wins_WNK, votes_WNK) -> Fit:
    """Effects of the first (intercept) and of being on the left, from tables of votes: W first on the left, right."""
    side, rater, prompt = np.nonzero(votes_WNK)
    at = side, rater, prompt
    columns = [np.ones(len(side))] + [0.5 - side] * bool(np.ptp(side))
    return fit(wins_WNK[at], votes_WNK[at], np.stack(columns, 1), rater, prompt)
