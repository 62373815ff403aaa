"""What the paper's published aggregates can bear: intervals, counts, variance that p < 0.01 allows, and κ.

The paper gives rates alone, no raw data, and its text leaves open what "150 comparisons per model pair" counts: all
votes of a pair, or each participant's. Both readings are computed throughout.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.optimize import brentq
from scipy.stats import t as student
from statsmodels.stats.proportion import binom_test, proportion_confint

from repro.config import Section, load_rows
from repro.errors import ReproError
from repro.user_study import population
from repro.user_study.design import FOLDER

SPREADS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Standard deviations in log-odds at which errors are tabled."""
WIDEST = 20.0
"""Log-odds beyond which a larger deviation changes nothing: votes are then unanimous by rater or by prompt."""


class Printed(Section):
    """One row of `paper.csv`."""

    quantity: str
    item: str
    value: float
    unit: str
    source: str = Field(min_length=1)

    @property
    def key(self) -> tuple[str, str]:
        return self.quantity, self.item


@dataclass(frozen=True)
class Paper:
    """The study as printed: preference rates (shares) by baseline, and its sizes."""

    rates: dict[str, float]
    participants: int
    comparisons: int
    prompts: int
    seconds: float
    alpha: float
    kappa: float
    shares: dict[tuple[str, str], float]
    familiarity: float

    @property
    def readings(self) -> dict[str, int]:
        """Votes of a pair by how "150 comparisons" is read."""
        return {"all": self.comparisons, "each": self.comparisons * self.participants}


def load(path: Path = FOLDER / "paper.csv") -> Paper:
    """Raises ReproError for a row that is wrong or missing."""
    path = Path(path)
    rows = {key: printed.value for key, printed in load_rows(path, Printed, "key").items()}
    try:
        return Paper(
            rates={item: value / 100 for (q, item), value in rows.items() if q == "preference"},
            participants=int(rows["participants", "all"]),
            comparisons=int(rows["comparisons", "pair"]),
            prompts=int(rows["prompts", "all"]),
            seconds=rows["seconds", "longest"],
            alpha=rows["alpha", "paired_t"],
            kappa=rows["kappa", "cohen"],
            shares={k: v / 100 for k, v in rows.items() if k[0] in ("background", "experience")},
            familiarity=rows["familiarity", "mean"],
        )
    except KeyError as error:
        raise ReproError(f"{path.name} has no row {error.args[0]}: restore it from the repository") from error


def intervals(paper: Paper) -> pd.DataFrame:
    """Each rate's Wilson interval and exact binomial p, all votes taken as independent, by reading; p Holm-adjusted."""
    from repro.evaluation.statistics import holm

    rows = []
    for reading, votes in paper.readings.items():
        for baseline, rate in paper.rates.items():
            low, high = proportion_confint(rate * votes, votes, 0.05, "wilson")
            p = binom_test(round(rate * votes), votes, 0.5)
            rows.append(
                {"reading": reading, "votes": votes, "baseline": baseline, "rate": rate}
                | {"low": low, "high": high, "p": p}
            )
    table = pd.DataFrame(rows)
    return table.assign(p_holm=table.groupby("reading")["p"].transform(holm))


def whole_counts(rate: float, votes: int, decimals: int = 1) -> list[int]:
    """Counts of `votes` that print as this percentage."""
    near = range(int(np.floor((rate - 0.01) * votes)), int(np.ceil((rate + 0.01) * votes)) + 1)
    printed = f"{100 * rate:.{decimals}f}"
    # Halves may be rounded either way: both neighbours of the printed digit count.
    half = 0.5 * 10**-decimals + 1e-9
    return [k for k in near if 0 <= k <= votes and abs(100 * k / votes - float(printed)) <= half]


def counts(paper: Paper) -> pd.DataFrame:
    """Do the printed percentages match whole numbers of votes, by reading, and of participants?"""
    rows = []
    sizes = {"one a participant": paper.participants, **paper.readings}
    for reading, votes in sizes.items():
        for baseline, rate in paper.rates.items():
            found = whole_counts(rate, votes)
            rows.append({"what": baseline, "reading": reading, "of": votes, "counts": len(found)} | _span(found))
    for (question, answer), share in paper.shares.items():
        found = whole_counts(share, paper.participants, decimals=0)
        row = {"what": f"{question}: {answer}", "reading": "participants", "of": paper.participants}
        rows.append(row | {"counts": len(found)} | _span(found))
    found = [k for k in range(5 * paper.participants + 1) if abs(k / paper.participants - paper.familiarity) <= 0.05]
    row = {"what": "familiarity: sum of ratings", "reading": "participants", "of": paper.participants}
    rows.append(row | {"counts": len(found)} | _span(found))
    return pd.DataFrame(rows)


def _span(found: list[int]) -> dict:
    return {"from": found[0], "to": found[-1]} if found else {"from": pd.NA, "to": pd.NA}


def possible_sizes(paper: Paper, most: int = 1000) -> list[int]:
    """Numbers of votes a pair, the same for all pairs, at which every printed rate is a whole count."""
    return [n for n in range(1, most + 1) if all(whole_counts(r, n) for r in paper.rates.values())]


def p_value(paper: Paper, rate: float, votes: int, rater_sd: float, prompt_sd: float, *, other_prompts: bool) -> float:
    """p to expect of a t test when raters and prompts differ by so much (log-odds)."""
    parts = population.variance_parts(rate, rater_sd, prompt_sd)
    error, freedom = population.expected_error(
        parts, paper.participants, paper.prompts, votes, other_prompts=other_prompts
    )
    return population.t_test(rate, error, freedom)


def p_grid(paper: Paper, rate: float, votes: int) -> pd.DataFrame:
    """p over standard deviations of raters and prompts, for these prompts alone and for prompts at large."""
    rows = []
    for rater_sd in SPREADS:
        for prompt_sd in SPREADS:
            row = {"rater_sd": rater_sd, "prompt_sd": prompt_sd}
            for name, other in (("p_these_prompts", False), ("p_any_prompts", True)):
                row[name] = p_value(paper, rate, votes, rater_sd, prompt_sd, other_prompts=other)
            rows.append(row)
    return pd.DataFrame(rows)


def largest_sd(paper: Paper, rate: float, votes: int, of: str) -> float:
    """Largest deviation of raters, or of prompts, at which p stays below the paper's α when the other is zero.

    NaN where p is not below α even without any; infinite where no deviation undoes it.
    """

    def excess(sd: float) -> float:
        rater_sd, prompt_sd = (sd, 0.0) if of == "raters" else (0.0, sd)
        return p_value(paper, rate, votes, rater_sd, prompt_sd, other_prompts=of == "prompts") - paper.alpha

    if excess(0.0) >= 0:
        return float("nan")
    return float(brentq(excess, 0.0, WIDEST)) if excess(WIDEST) > 0 else float("inf")


def limits(paper: Paper) -> pd.DataFrame:
    """`largest_sd` of every rate and reading, and what it means: the middle 95% of raters, or prompts."""
    rows = []
    for reading, votes in paper.readings.items():
        for baseline, rate in paper.rates.items():
            row = {"reading": reading, "baseline": baseline, "rate": rate}
            for of in ("raters", "prompts"):
                sd = largest_sd(paper, rate, votes, of)
                row[f"{of}_sd"] = sd
                centre = population.log_odds_of(rate, sd) if np.isfinite(sd) else np.nan
                row |= {f"{of}_low": _share(centre - 1.96 * sd), f"{of}_high": _share(centre + 1.96 * sd)}
            rows.append(row)
    return pd.DataFrame(rows)


def _share(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-log_odds)))


def kappa_means(paper: Paper) -> pd.DataFrame:
    """If κ is the chance-corrected agreement of raters on which model wins a prompt, what follows for each rate?

    κ = (P − Pe) / (1 − Pe) with Pe = r² + (1 − r)² gives the agreement P of two raters; it equals the variance of the
    prompts' own rates over r (1 − r) (Fleiss 1971, for many raters), so the standard error of r over K prompts is at
    least √(κ r (1 − r) / K). `kappa_limit`: the κ beyond which p < α cannot be; `needed`: the smallest rate above one
    half at which it could be at the printed κ.
    """
    K = paper.prompts
    bound = student.ppf(1 - paper.alpha / 2, K - 1)
    rows = []
    for baseline, rate in paper.rates.items():
        spread = rate * (1 - rate)
        chance = rate**2 + (1 - rate) ** 2
        error = np.sqrt(paper.kappa * spread / K)
        p = population.t_test(rate, error, K - 1)
        reach = student.ppf(0.975, K - 1) * error
        agreement = paper.kappa * (1 - chance) + chance
        rows.append(
            {"baseline": baseline, "rate": rate, "agreement": agreement, "prompt_sd": np.sqrt(paper.kappa * spread)}
            | {"error": error, "low": rate - reach, "high": rate + reach, "p": p}
            | {"kappa_limit": K * ((rate - 0.5) / bound) ** 2 / spread}
        )
    # r − 1/2 = bound √(κ r (1 − r) / K), solved for r.
    c = bound**2 * paper.kappa / K
    return pd.DataFrame(rows).assign(needed=0.5 + np.sqrt(c / (1 + c)) / 2)


def needs(paper: Paper, comparisons: int = 6, spread: float = 0.5, power: float = 0.8) -> pd.DataFrame:
    """Participants for `power` at 5% to find each printed rate again, `comparisons` a pair each, by prompts.

    `spread`: standard deviation of raters and of prompts, log-odds. NaN where prompts are too few for any number.
    """
    rows = []
    for baseline, rate in paper.rates.items():
        parts = population.variance_parts(rate, spread, spread)
        row = {"baseline": baseline, "rate": rate}
        for prompts in (20, 50, 100, 200):

            def enough(raters: int, prompts: int = prompts, parts=parts, rate=rate) -> bool:
                error, freedom = population.expected_error(
                    parts, raters, prompts, raters * comparisons, other_prompts=True
                )
                return population.power(rate, error, freedom) >= power

            row[f"prompts_{prompts}"] = _smallest(enough)
        rows.append(row)
    return pd.DataFrame(rows)


def _smallest(enough, most: int = 100_000) -> float:
    """The smallest whole number from 2 on that is enough, by bisection."""
    if not enough(most):
        return float("nan")
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)


def hours(paper: Paper) -> dict[str, float]:
    """Hours of video that one participant watches, each pair of clips side by side once, by reading."""
    pairs = len(paper.rates)
    each = {"all": paper.comparisons / paper.participants, "each": paper.comparisons}
    return {reading: pairs * votes * paper.seconds / 3600 for reading, votes in each.items()}
