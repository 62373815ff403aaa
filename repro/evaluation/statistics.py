"""Intervals and paired differences.

Scores come as tables with the columns seed (training seed), prompt and value. All training seeds make the same prompts,
so that a clip is no draw of its own: the bootstrap is clustered two ways, by seed and by prompt. Each side is drawn
alone, and what the two do to the mean is added (A. C. Cameron, J. B. Gelbach and D. L. Miller, Robust inference with
multiway clustering, 2011, without the term that they subtract: an interval is a little wide where clips differ by
neither). With one seed it is the plain bootstrap of the prompts.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from repro.errors import ReproError


def cluster_counts(clips: pd.DataFrame, n: int, rng: np.random.Generator) -> np.ndarray:
    """How often each row of `clips` (seed, prompt) counts in each of n resamples, [n, rows].

    As often as its seed was drawn, and its prompt, less one: -1 where neither was. With every prompt of every seed the
    counts of a resample add up to the number of clips. The same rows serve all that was measured on the same clips, so
    that differences stay paired.
    """
    counts = np.full((n, len(clips)), -1)
    for side in ("seed", "prompt"):
        names, place = np.unique(clips[side], return_inverse=True)
        counts += rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n)[:, place]
    return counts


def cluster_draws(values: pd.DataFrame, n: int, rng: np.random.Generator) -> np.ndarray:
    """Means [n] of resampled tables, drawn as in `cluster_counts`: the sums of each seed and prompt will do."""
    total, size = np.full(n, -values["value"].sum()), np.full(n, -len(values))
    for side in ("seed", "prompt"):
        of_each = values.groupby(side)["value"].agg(["sum", "size"])
        drawn = rng.integers(len(of_each), size=(n, len(of_each)), dtype=np.int32)
        total, size = (t + of_each[c].to_numpy()[drawn].sum(1) for t, c in ((total, "sum"), (size, "size")))
    return total / size


def interval_of(draws: np.ndarray) -> tuple[float, float]:
    """95% percentile interval of draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def slope(x_S: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Least-squares slope of values [..., S] over x [S]."""
    centred = x_S - x_S.mean()
    return values @ centred / (centred @ centred)


def two_sided_p(draws: np.ndarray) -> float:
    """Bootstrap p of a value that is nought."""
    tail = min((draws <= 0).sum(), (draws >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(draws) + 1)))


def cluster_bootstrap(values: pd.DataFrame, n: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Mean and 95% percentile interval. Raises ReproError on an empty or non-finite table."""
    if values.empty or not np.isfinite(values["value"]).all():
        raise ReproError(f"cannot average {len(values)} values, {values['value'].isna().sum()} of them missing")
    return (float(values["value"].mean()), *interval_of(cluster_draws(values, n, rng)))


def paired_difference(
    a: pd.DataFrame, b: pd.DataFrame, n: int, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Mean of a − b over the same (seed, prompt), its 95% interval and a two-sided bootstrap p.

    Students of two rows are different trainings: those that have a seed's number in common are matched.
    """
    joined = a.merge(b, on=["seed", "prompt"], suffixes=("_a", "_b"), validate="one_to_one")
    if len(joined) != len(a) or len(joined) != len(b):
        raise ReproError(f"paired rows do not match: {len(a)} and {len(b)} scores share {len(joined)} (seed, prompt)")
    difference = joined[["seed", "prompt"]].assign(value=joined["value_a"] - joined["value_b"])
    means = cluster_draws(difference, n, rng)
    return (float(difference["value"].mean()), *interval_of(means), two_sided_p(means))


def holm(p_values) -> np.ndarray:
    """Holm-adjusted p values."""
    from statsmodels.stats.multitest import multipletests

    return multipletests(p_values, method="holm")[1]


def verdict(difference: float, p_adjusted: float, higher_is_better: bool = True) -> str:
    """Of a claim that the first row is better: reproduced, contradicted or unresolved."""
    if p_adjusted >= 0.05 or difference == 0:
        return "unresolved"
    return "reproduced" if (difference > 0) == higher_is_better else "contradicted"


class Line(NamedTuple):
    """A least-squares line; `worst` is the largest departure from it, a share of the range of y."""

    slope: float
    start: float
    r2: float
    worst: float


def straight_line(x: np.ndarray, y: np.ndarray) -> Line:
    """How linear is y in x? y must not be constant."""
    slope, start = np.polyfit(x, y, 1)
    left = y - (slope * x + start)
    return Line(float(slope), float(start), float(1 - left.var() / y.var()), float(np.abs(left).max() / np.ptp(y)))
