"""Power by simulation: how often does a study of this size find a preference of that size?"""

import numpy as np
import pandas as pd
from pydantic import Field

from repro.config import Section, load_rows
from repro.user_study.design import FOLDER
from repro.user_study.estimators import paired_t_votes, two_way
from repro.user_study.population import log_odds_of
from repro.user_study.simulate import Truth, studies

RATES = (0.5, 0.52, 0.542, 0.56, 0.579, 0.593, 0.61, 0.627, 0.661, 0.7)
"""Preference rates simulated: the paper's five and some around them."""
WANTED = 0.8


class Size(Section):
    """One row of `power.csv`: the size of a study, and how much raters and prompts differ (log-odds)."""

    participants: int = Field(ge=2)
    prompts: int = Field(ge=2)
    comparisons: int = Field(ge=1)
    rater_sd: float = Field(ge=0)
    prompt_sd: float = Field(ge=0)
    studies: int = Field(ge=1)
    """How many are simulated for every rate."""

    @property
    def key(self) -> tuple:
        return tuple(self.model_dump(exclude={"studies"}).values())


def load_sizes(path=FOLDER / "power.csv") -> list[Size]:
    return list(load_rows(path, Size, "key").values())


def curve(size: Size, seed: int, rates=RATES) -> pd.DataFrame:
    """Power of the two-way test at 5%, one row a rate; the naive test's beside it."""
    rows = []
    for rate in rates:
        rng = np.random.default_rng(seed)
        centre = log_odds_of(rate, float(np.hypot(size.rater_sd, size.prompt_sd)))
        truth = Truth(scenario="power", log_odds=centre, side_bias=0.0, **size.model_dump())
        wins_SWNK, votes_WNK = studies(truth, rng)
        cells = wins_SWNK.sum(1), votes_WNK.sum(0)
        power = {f.__name__: float((f(*cells).p < 0.05).mean()) for f in (two_way, paired_t_votes)}
        rows.append(size.model_dump() | {"rate": rate} | power)
    return pd.DataFrame(rows)


def detectable(curve: pd.DataFrame, wanted: float = WANTED) -> float:
    """Smallest rate above one half found with a power of `wanted`, between simulated rates; NaN beyond the last."""
    power = np.maximum.accumulate(curve["two_way"].to_numpy())
    if power[-1] < wanted:
        return float("nan")
    at = int(np.argmax(power >= wanted))
    if at == 0:
        return float(curve["rate"].iloc[0])
    return float(np.interp(wanted, power[at - 1 : at + 1], curve["rate"].iloc[at - 1 : at + 1]))
