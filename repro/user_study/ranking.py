"""Bradley–Terry: strengths whose differences are the log-odds of a preference, and the ranks they leave open."""

import numpy as np
import pandas as pd
from scipy import stats

from repro.user_study.preference import votes
from repro.user_study.responses import Responses

DRAWS = 4000


def bradley_terry(responses: Responses) -> pd.DataFrame:
    """One row a method, strongest first: strength against the first method, 95% interval, rank and its interval.

    A binomial GLM without intercept, +1 for the first of a pair and −1 for the second; errors are two-way
    cluster-robust over raters and prompts. Ranks: 95% of draws from the estimates' normal law.
    """
    import statsmodels.api as sm

    decided = votes(responses).dropna(subset="won")
    methods = responses.design.methods
    design = np.zeros((len(decided), len(methods)))
    at = {method: i for i, method in enumerate(methods)}
    design[np.arange(len(decided)), decided["first"].map(at)] = 1
    design[np.arange(len(decided)), decided["second"].map(at)] -= 1
    groups = np.stack([pd.factorize(decided[key])[0] for key in ("participant", "prompt")], 1)
    # The first method is the zero that the others are measured from.
    model = sm.GLM(decided["won"].to_numpy(), design[:, 1:], family=sm.families.Binomial())
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": groups})
    strength, covariance = np.concatenate([[0.0], fit.params]), _valid(fit.cov_params())
    freedom = min(np.unique(groups[:, 0]).size, np.unique(groups[:, 1]).size) - 1
    reach = stats.t.ppf(0.975, freedom) * np.concatenate([[0.0], np.sqrt(np.diag(covariance))])
    drawn = np.random.default_rng(responses.design.seed).multivariate_normal(fit.params, covariance, DRAWS)
    ranks = stats.rankdata(-np.column_stack([np.zeros(DRAWS), drawn]), axis=1)
    low, high = np.quantile(ranks, [0.025, 0.975], axis=0)
    table = pd.DataFrame(
        {
            "method": methods,
            "strength": strength,
            "low": strength - reach,
            "high": strength + reach,
            "rank": stats.rankdata(-strength).astype(int),
            "rank_low": low.astype(int),
            "rank_high": high.astype(int),
        }
    )
    return table.sort_values("rank", kind="stable", ignore_index=True)


def _valid(covariance: np.ndarray) -> np.ndarray:
    """Two-way errors may come out indefinite in small studies: negative directions are set to zero."""
    value, vector = np.linalg.eigh(covariance)
    return (vector * np.maximum(value, 0)) @ vector.T
