"""Agreement beyond chance, each coefficient where it belongs.

- Cohen's κ: two raters and the same items; or one rater and the same items twice (self-consistency).
- Fleiss' κ: any raters, the same number of them on every item, categories without order.
- Krippendorff's α: any number of raters an item, missing answers, nominal or ordinal.

An item is a prompt of a pair, an answer the method preferred (not the side, which is drawn at random). A low
coefficient says that people differ in taste; it makes a preference neither wrong nor insignificant.
"""

from itertools import combinations

import numpy as np
import pandas as pd

from repro.user_study.preference import votes
from repro.user_study.responses import Responses


def cohen(one, other) -> float:
    """Cohen's κ of two equally long codings; NaN where both give one and the same category throughout."""
    from statsmodels.stats.inter_rater import cohens_kappa

    one, other = np.asarray(one), np.asarray(other)
    categories = np.unique(np.concatenate([one, other]))
    if len(categories) < 2:
        return float("nan")
    counts = np.zeros((len(categories),) * 2)
    np.add.at(counts, (np.searchsorted(categories, one), np.searchsorted(categories, other)), 1)
    return float(cohens_kappa(counts, return_results=False))


def fleiss(counts_IC: np.ndarray) -> float:
    """Fleiss' κ of answers [items, categories]; every item must have the same number of them."""
    from statsmodels.stats.inter_rater import fleiss_kappa

    return float(fleiss_kappa(counts_IC, method="fleiss"))


def krippendorff(counts_IC: np.ndarray, *, ordinal: bool = False) -> float:
    """Krippendorff's α of answers [items, categories], categories in order if `ordinal`; lone answers do not count.

    1 − observed / expected disagreement over the coincidence matrix (Krippendorff 2011, "Computing Krippendorff's
    alpha-reliability").
    """
    counts = np.asarray(counts_IC, float)
    counts = counts[counts.sum(1) > 1]
    size = counts.sum(1, keepdims=True)
    coincidence = (counts / (size - 1)).T @ counts - np.diag((counts / (size - 1)).sum(0))
    total = coincidence.sum(0)
    if ordinal:
        rank = np.cumsum(total) - total / 2
        distance = (rank[:, None] - rank) ** 2
    else:
        distance = 1.0 - np.eye(len(total))
    expected = (np.outer(total, total) - np.diag(total)) / (total.sum() - 1)
    if not (expected * distance).sum():
        return float("nan")
    return float(1 - (coincidence * distance).sum() / (expected * distance).sum())


def _counts(decided: pd.DataFrame) -> np.ndarray:
    """Votes [items, (second, first)]."""
    won = decided.groupby(["first", "second", "prompt"])["won"].agg(["size", "sum"])
    return np.column_stack([won["size"] - won["sum"], won["sum"]])


def pairwise_cohen(decided: pd.DataFrame, least: int = 5) -> tuple[float, int]:
    """(mean Cohen's κ over pairs of raters who share at least `least` items, number of such pairs)."""
    item = decided["first"] + "/" + decided["second"] + "/" + decided["prompt"]
    table = decided.assign(item=item).groupby(["item", "participant"])["won"].first().unstack()
    found = []
    for one, other in combinations(table.columns, 2):
        both = table[[one, other]].dropna()
        if len(both) >= least:
            found.append(cohen(both[one], both[other]))
    return (float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")), len(found)


def agreement(responses: Responses) -> pd.DataFrame:
    """One row a coefficient: what it is of, its value, how many items it rests on."""
    decided = votes(responses).dropna(subset="won")
    counts = _counts(decided)
    size = counts.sum(1)
    fixed = int(np.bincount(size.astype(int))[2:].argmax() + 2) if size.max() > 1 else 0
    same = counts[size == fixed] if fixed else counts[:0]
    mean, pairs = pairwise_cohen(decided)
    again = _again(responses)
    rows = [
        ("Krippendorff's alpha", "all votes", krippendorff(counts) if fixed else np.nan, int((size > 1).sum())),
        ("Fleiss' kappa", f"items with {fixed} votes", fleiss(same) if len(same) > 1 else np.nan, len(same)),
        ("Cohen's kappa", "pairs of raters, mean", mean, pairs),
        (
            "Cohen's kappa",
            "same rater again",
            cohen(again["won"], again["won_again"]) if len(again) else np.nan,
            len(again),
        ),
    ]
    return pd.DataFrame(rows, columns=["coefficient", "of", "value", "n"])


def _again(responses: Responses) -> pd.DataFrame:
    """Decided repeats beside the votes that they repeat."""
    first, second = votes(responses), votes(responses, kind="repeat")
    joined = first.merge(
        second[["participant", "repeats", "won"]],
        left_on=["participant", "task"],
        right_on=["participant", "repeats"],
        suffixes=("", "_again"),
    )
    return joined.dropna(subset=["won", "won_again"])
