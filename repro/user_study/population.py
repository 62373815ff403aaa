"""What log-odds and their spread over raters and prompts mean for a preference rate and its error.

A voter r prefers the first method for prompt k with log-odds b + u_r + v_k, u and v normal.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit, logit

NODES = 61


def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Hermite nodes and weights of a standard normal."""
    node, weight = np.polynomial.hermite_e.hermegauss(NODES)
    return node, weight / weight.sum()


def marginal(log_odds, sd, shift: float = 0.0) -> np.ndarray:
    """Rate over a population whose log-odds are normal, half of the votes shifted by `shift`, half by −`shift`."""
    node, weight = _quadrature()
    log_odds, sd = np.asarray(log_odds, float)[..., None], np.asarray(sd, float)[..., None]
    both = (expit(log_odds + sd * node + shift) + expit(log_odds + sd * node - shift)) / 2
    return (both * weight).sum(-1)


def log_odds_of(rate: float, sd: float) -> float:
    """The log-odds whose `marginal` rate is `rate`."""
    return brentq(lambda x: float(marginal(x, sd)) - rate, -30, 30) if sd else float(logit(rate))


@dataclass(frozen=True)
class Parts:
    """Variance of one vote: between raters, between prompts, their interaction, and of the vote itself."""

    raters: float
    prompts: float
    interaction: float
    vote: float


def variance_parts(rate: float, rater_sd: float, prompt_sd: float) -> Parts:
    """Of votes whose mean is `rate`; deviations are in log-odds."""
    node, weight = _quadrature()
    centre = log_odds_of(rate, float(np.hypot(rater_sd, prompt_sd)))
    share = expit(centre + rater_sd * node[:, None] + prompt_sd * node)
    both = weight[:, None] * weight
    by_rater, by_prompt = share @ weight, weight @ share
    raters = float(weight @ (by_rater - rate) ** 2)
    prompts = float(weight @ (by_prompt - rate) ** 2)
    total = float((both * (share - rate) ** 2).sum())
    return Parts(raters, prompts, max(total - raters - prompts, 0.0), float((both * share * (1 - share)).sum()))


def expected_error(parts: Parts, raters: int, prompts: int, votes: int, *, other_prompts: bool) -> tuple[float, float]:
    """(standard error of the rate, Satterthwaite's degrees of freedom), every rater casting votes/raters.

    `other_prompts`: does the rate speak of prompts at large, or of these alone? For these alone every rater is taken
    to see the same mixture of them.
    """
    cells = min(votes, raters * prompts)
    rest = parts.interaction / cells + parts.vote / votes
    variances = [parts.raters / raters + rest]
    freedoms = [raters - 1]
    if other_prompts:
        variances, freedoms = [variances[0] - rest, parts.prompts / prompts, rest], [raters - 1, prompts - 1, cells - 1]
    return float(np.sqrt(sum(variances))), float(satterthwaite(variances, freedoms))


def satterthwaite(variances, freedoms) -> np.ndarray:
    """Degrees of freedom of a sum of variance estimates that have `freedoms` each; negative estimates count as 0.

    NaN where all are 0.
    """
    variances = [np.maximum(v, 0.0) for v in variances]
    with np.errstate(invalid="ignore"):
        return sum(variances) ** 2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))


def t_test(rate: float, error: float, freedom: float) -> float:
    """Two-sided p of the rate being one half."""
    return float(2 * stats.t.sf(abs(rate - 0.5) / error, freedom))


def power(rate: float, error: float, freedom: float, alpha: float = 0.05) -> float:
    """Chance that a two-sided t test of one half rejects, by a t law moved to the rate."""
    bound, shift = stats.t.ppf(1 - alpha / 2, freedom), abs(rate - 0.5) / error
    return float(stats.t.sf(bound - shift, freedom) + stats.t.cdf(-bound - shift, freedom))
