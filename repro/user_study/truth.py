"""Known truth: do the intervals cover what was planted, and how often does a test cry wolf?"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from repro.user_study import estimators
from repro.user_study.population import marginal
from repro.user_study.simulate import Truth, studies

METHODS: dict[str, Callable] = {
    "wilson": estimators.wilson,
    "paired_t_votes": estimators.paired_t_votes,
    "paired_t_raters": estimators.paired_t_raters,
    "bootstrap_raters": partial(estimators.bootstrap, prompts=False),
    "bootstrap_both": partial(estimators.bootstrap, prompts=True),
    "two_way": estimators.two_way,
    "mixed": estimators.mixed,
}
DRAWS = 500


def measure(truth: Truth, seed: int, methods=tuple(METHODS)) -> pd.DataFrame:
    """One row a method: coverage of its 95% intervals and share of p < 0.05, over the simulated studies.

    Both with their own 95% Wilson intervals; `bias`: mean error of the rate; `truth`: the rate over the whole
    population of raters and prompts.
    """
    rng, count = np.random.default_rng(seed), truth.studies
    wins_SWNK, votes_WNK = studies(truth, rng)
    planted = float(marginal(truth.log_odds, np.hypot(truth.rater_sd, truth.prompt_sd), truth.side_bias))
    rows = []
    for name in methods:
        if name == "mixed":
            found = METHODS[name](wins_SWNK, votes_WNK)
        else:
            more = {"draws": DRAWS, "rng": rng} if name.startswith("bootstrap") else {}
            found = METHODS[name](wins_SWNK.sum(1), votes_WNK.sum(0), **more)
        covered = int(((found.low <= planted) & (planted <= found.high)).sum())
        rejected = int((found.p < 0.05).sum())
        rows.append(
            {"scenario": truth.scenario, "method": name, "studies": count, "truth": planted}
            | _share("coverage", covered, count)
            | _share("rejected", rejected, count)
            | {"bias": float(found.rate.mean() - planted), "null": truth.null}
        )
    return pd.DataFrame(rows)


def _share(name: str, count: int, of: int) -> dict[str, float]:
    low, high = proportion_confint(count, of, 0.05, "wilson")
    return {name: count / of, f"{name}_low": low, f"{name}_high": high}
