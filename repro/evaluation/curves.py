"""Does a measure do what it should as clips get worse? Curves over severity, and verdicts on them.

Legend: R bootstrap resamples of the clips, L severities, N clips. Every resample takes the same clips at
every severity: all differences are paired.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from repro.evaluation.statistics import holm

ALPHA = 0.05
SIDES = 2
"""Ways in which a severity can leave a flat curve: up and down."""
SIGNS = {"falls": -1, "rises": 1}


def draws_needed(requested: int, cells: int, severities: int) -> int:
    """Bootstrap resamples, at least twice what one of `cells` needs to survive every correction.

    The smallest one-sided p of n resamples is 1/(n+1). A cell multiplies it by the places it looks at, both
    sides of every severity or all pairs of severities; Holm by the number of cells.
    """
    places = max(SIDES * (severities - 1), math.comb(severities, 2))
    return max(requested, math.ceil(2 * cells * places / ALPHA))


@dataclass(frozen=True)
class Curve:
    """A measure at every severity, the first of which is 0: `values` [L] and their bootstrap `draws` [R, L].

    `unseen` [R]: shares that clips unlike any of the `n` may have in the world; about 1/n on average.
    """

    severities: np.ndarray
    values: np.ndarray
    draws: np.ndarray
    unseen: np.ndarray
    n: int

    @property
    def slope(self) -> np.ndarray:
        """Weights [L] of the least-squares trend: the change of the measure from severity 0 to 1."""
        centred = self.severities - self.severities.mean()
        return centred / (centred**2).sum()

    def trend(self) -> tuple[float, float, float]:
        """Value and 95% interval."""
        low, high = np.quantile(self.draws @ self.slope, [0.025, 0.975])
        return float(self.values @ self.slope), float(low), float(high)

    def points(self) -> pd.DataFrame:
        """One row a severity: the value and its paired difference from severity 0, with 95% intervals."""
        changes = self.draws - self.draws[:, :1]
        low, high = np.quantile(self.draws, [0.025, 0.975], axis=0)
        change_low, change_high = np.quantile(changes, [0.025, 0.975], axis=0)
        return pd.DataFrame(
            {
                "severity": self.severities,
                "value": self.values,
                "low": low,
                "high": high,
                "change": self.values - self.values[0],
                "change_low": change_low,
                "change_high": change_high,
                "n": self.n,
            }
        )


Statistic = Callable[[np.ndarray], np.ndarray]
"""Counts [R, N], how often each resample holds each clip → the statistic [R]."""


def mean_of(scores_N: np.ndarray) -> Statistic:
    return lambda counts_RN: counts_RN @ scores_N / counts_RN.sum(1)


def curve(severities: Sequence[float], statistics: Sequence[Statistic], n: int, resamples: int, rng) -> Curve:
    """The curve of one statistic a severity over `n` clips, two at least."""
    counts_RN = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
    # A resample of one clip alone has no spread, and so no distance.
    counts_RN = counts_RN[(counts_RN > 0).sum(1) > 1]
    once = np.ones((1, n), dtype=int)
    return Curve(
        np.array(severities, dtype=float),
        np.concatenate([s(once) for s in statistics]),
        np.stack([s(counts_RN) for s in statistics], axis=1),
        rng.beta(1, n, size=len(counts_RN)),
        n,
    )


def _share(hits_R: np.ndarray) -> np.ndarray:
    """One-sided bootstrap p: the share of resamples that speak against a statement, never quite zero."""
    return (1 + hits_R.sum(0)) / (1 + len(hits_R))


def p_values(found: Curve, expectation: str, margin: float) -> dict[str, float]:
    """One-sided p of three statements about a curve, before any correction.

    `expected`: the trend has the expected sign; for `flat`, no severity changes the measure by `margin`; for
    `same`, nothing changes in any resample, which leaves nothing to chance.
    `contrary`: some severity lies back by more than `margin` from a milder one; for `flat`, some severity
    changes it by more.
    `blind`: the trend stays within `margin`, though it should not; asked of what should move only.

    Clips that change may be too rare to be among those seen: what says that a score in [0, 1] is flat must
    hold even if the unseen ones change by all of the range (one hypothetical clip, as in Gaffke's bound of
    a mean).
    """
    changes = found.draws[:, 1:] - found.draws[:, :1]
    if expectation == "same":
        moves = float((changes != 0).any())
        return {"expected": moves, "contrary": 1 - moves, "blind": 1.0}
    if expectation == "flat":
        unseen = found.unseen[:, None]
        highest, lowest = ((1 - unseen) * changes + end * unseen for end in (1, -1))
        above, below = _share(lowest <= margin), _share(highest >= -margin)
        return {
            "expected": float(np.maximum(_share(highest >= margin), _share(lowest <= -margin)).max()),
            "contrary": float(min(1.0, np.minimum(above, below).min() * SIDES * changes.shape[1])),
            "blind": 1.0,
        }
    sign = SIGNS[expectation]
    trend = sign * (found.draws @ found.slope)
    mild, severe = np.triu_indices(found.draws.shape[1], k=1)
    steps = sign * (found.draws[:, severe] - found.draws[:, mild])
    return {
        "expected": float(_share(trend <= 0)),
        "contrary": float(min(1.0, _share(steps >= -margin).min() * steps.shape[1])),
        "blind": float(max(_share(trend >= margin), _share(trend <= -margin))),
    }


def judge_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Add Holm-adjusted p values and the verdict to cells with `expectation`, `expected`, `contrary` and `blind`.

    Violated where the measure goes the other way or does not answer at all; held where it does what it
    should; else unresolved. Free cells are asked nothing. Each statement is adjusted over all asked cells.
    """
    asked = cells["expectation"] != "free"
    out = cells.assign(verdict="free", finding="")
    for name in ("expected", "contrary", "blind"):
        out.loc[asked, name] = holm(cells.loc[asked, name])
    for i in cells.index[asked]:
        out.loc[i, ["verdict", "finding"]] = _verdict(out.loc[i])
    return out


def _verdict(cell: pd.Series) -> tuple[str, str]:
    still = cell["expectation"] in ("flat", "same")
    if cell["contrary"] < ALPHA:
        return "violated", "moves" if still else "goes back"
    if cell["expected"] < ALPHA:
        return "held", ""
    if cell["blind"] < ALPHA:
        return "violated", "does not answer"
    return "unresolved", ""
