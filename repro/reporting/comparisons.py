"""Row against row: paired differences of quality, ratios of timing medians, verdicts on the claim.

The claim of Tables 5 and 6 is always the same: the first row of a pair (`diagonal`) is better than
the second (`self`). `reproduced` and `contradicted` speak of that claim, here and on this scale.
"""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from repro.evaluation.statistics import holm, paired_difference, verdict
from repro.reporting.gather import interval_of
from repro.reporting.paper import Cell
from repro.reporting.records import Record

ALPHA = 0.05
PERCENT = 100.0
TAIL = 50

Pair = tuple[str, str, str]
"""(schedule, run_id of the first row, run_id of the second)."""


def resamples(requested: int, comparisons: int) -> int:
    """Bootstrap resamples of a paired test, at least enough to tell what survives Holm.

    The smallest p that n resamples can give is 2/(n+1); Holm multiplies it by the number of comparisons. At the
    smallest p that must be told from ALPHA, so many resamples leave TAIL draws on the far side of nought: a p of
    which chance in drawing decides little.
    """
    return max(requested, math.ceil(2 * TAIL * comparisons / ALPHA))


Margins = Mapping[tuple[str, str, str], float]
"""(first row, second row, metric) → percentage points by which the first may be worse and still be called no worse."""


def paired(
    scores: Mapping[str, pd.DataFrame], first: str, second: str, metric: str, n: int, seed: int, margin: float = 0.0
) -> dict[str, float]:
    """Difference first − second of a score (0 to 1) in percentage points: `difference`, `low`, `high`, `n`, `p`.

    Only the training seeds that both rows have are compared. p is two-sided, of a difference that is minus the margin.
    """
    a, b = (scores[run][["seed", "prompt", metric]].rename(columns={metric: "value"}) for run in (first, second))
    a, b = a[a["seed"].isin(b["seed"])], b[b["seed"].isin(a["seed"])]
    # A stream of its own for each comparison: adding a row of runs.csv changes no other interval. Its mirror has the
    # same one, and so the same p.
    rng = np.random.default_rng([seed, *f"{' '.join(sorted((first, second)))} {metric}".encode()])
    *shifted, p = paired_difference(a.assign(value=a["value"] + margin / PERCENT), b, n, rng)
    difference, low, high = (PERCENT * x - margin for x in shifted)
    return {"difference": difference, "low": low, "high": high, "n": len(a), "p": p}


def quality_pairs(
    scores: Mapping[str, pd.DataFrame],
    pairs: list[Pair],
    metrics: tuple[str, ...],
    paper: Mapping[tuple[str, str], Cell],
    n: int,
    seed: int,
    margins: Margins | None = None,
) -> pd.DataFrame:
    """Differences first − second in percentage points, one row a (schedule, metric).

    `scores` holds, by run_id, one row a clip with the columns seed, prompt and every metric (0 to 1).
    p values are Holm-adjusted over all rows of the result.
    """
    n, margins = resamples(n, len(pairs) * len(metrics)), margins or {}
    rows = []
    for schedule, first, second in pairs:
        for metric in metrics:
            margin = margins.get((first, second, metric), 0.0)
            rows.append(
                {
                    "schedule": schedule,
                    "metric": metric,
                    "paper_difference": _paper_difference(paper, first, second, metric),
                    "margin": margin,
                }
                | paired(scores, first, second, metric, n, seed, margin)
            )
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"])
    judged = zip(table["difference"] + table.pop("margin"), table["p_holm"], strict=True)
    table["verdict"] = [verdict(d, p) for d, p in judged]
    return table


def _paper_difference(paper, first: str, second: str, metric: str) -> float:
    """Printed first − second; NaN where the paper prints no such cell."""
    if (first, metric) not in paper or (second, metric) not in paper:
        return math.nan
    return float(paper[first, metric].value - paper[second, metric].value)


def timing_ratios(
    records: dict[tuple[str, str], Record],
    pairs: list[Pair],
    metrics: tuple[str, ...],
    paper: Mapping[tuple[str, str], Cell],
) -> pd.DataFrame:
    """Ratios first / second of medians, beside the paper's.

    `low` and `high` divide opposite quartiles: the widest ratio that the two interquartile ranges allow.
    The verdict is `unresolved` where that range holds 1.
    """
    rows = []
    for schedule, first, second in pairs:
        for metric in metrics:
            a, b = interval_of(records, first, metric), interval_of(records, second, metric)
            printed_a, printed_b = paper[first, metric], paper[second, metric]
            low, high = a.low / b.high, a.high / b.low
            rows.append(
                {
                    "schedule": schedule,
                    "metric": metric,
                    "paper_ratio": float(printed_a.value / printed_b.value),
                    "ratio": a.value / b.value,
                    "low": low,
                    "high": high,
                    "n": min(a.n, b.n),
                    "verdict": ratio_verdict(low, high, bool(printed_a.higher_is_better)),
                }
            )
    return pd.DataFrame(rows)


def ratio_verdict(low: float, high: float, higher_is_better: bool) -> str:
    """Of the claim that the first row is better, from the range of the ratio first / second."""
    if low <= 1 <= high:
        return "unresolved"
    return "reproduced" if (low > 1) == higher_is_better else "contradicted"
