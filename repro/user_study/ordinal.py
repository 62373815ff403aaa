"""Likert answers, decay over the segments of a video, and who took part."""

import numpy as np
import pandas as pd
from scipy import stats

from repro.evaluation.statistics import holm
from repro.user_study.questions import DECAY, SEGMENTS
from repro.user_study.responses import Responses

SCALED = ("quality", "dynamic")
LEAST = 6
"""Raters below which the signed-rank test cannot reach 0.05 at all."""


def _scores(responses: Responses, parts: tuple[str, ...]) -> pd.DataFrame:
    """part, question, method, participant, value: a rater's mean over the videos of a method."""
    frame = responses.frame[responses.frame["part"].isin(parts)]
    value = frame["answer"].map({name: i for i, name in enumerate(DECAY)})
    frame = frame.assign(value=value.fillna(pd.to_numeric(frame["answer"], errors="coerce")))
    keys = ["part", "question", "left", "participant"]
    return frame.groupby(keys, sort=False)["value"].mean().reset_index().rename(columns={"left": "method"})


def likert(responses: Responses) -> pd.DataFrame:
    """One row an item and method: mean over raters and its 95% t interval; against the first method, a paired test.

    The test is Wilcoxon's signed-rank test over raters who saw both, Holm-adjusted over all rows; `difference` is the
    first method's mean minus this one's over the same raters.
    """
    scores = _scores(responses, SCALED)
    rows = []
    for (part, question), own in scores.groupby(["part", "question"], sort=False):
        wide = own.pivot(index="participant", columns="method", values="value")
        first = responses.design.methods[0]
        for method in (m for m in responses.design.methods if m in wide):
            row = {"part": part, "question": question, "method": method, **_mean(wide[method].dropna())}
            if method != first and first in wide:
                gap = (wide[first] - wide[method]).dropna()
                tested = len(gap) >= LEAST and gap.any()
                row |= {"pairs": len(gap), "difference": gap.mean()}
                row |= {"p": stats.wilcoxon(gap, method="approx").pvalue if tested else np.nan}
            rows.append(row)
    table = pd.DataFrame(rows, columns=[
        "part", "question", "method", "raters", "mean", "low", "high", "pairs", "difference", "p",
    ])  # fmt: skip
    asked = table["p"].notna()
    table.loc[asked, "p_holm"] = holm(table.loc[asked, "p"]) if asked.any() else []
    return table


def decay(responses: Responses) -> pd.DataFrame:
    """One row a method and segment: mean decay (0 consistent to 2 significant), and Page's test that it rises."""
    scores = _scores(responses, ("consistency",))
    rows = []
    for method in (m for m in responses.design.methods if m in set(scores["method"])):
        wide = scores[scores["method"] == method].pivot(index="participant", columns="question", values="value")
        wide = wide.reindex(columns=SEGMENTS).dropna()
        p = stats.page_trend_test(wide.to_numpy()).pvalue if len(wide) > 1 else np.nan
        rows += [{"method": method, "segment": s, **_mean(wide[s]), "p_rises": p} for s in SEGMENTS]
    return pd.DataFrame(rows, columns=["method", "segment", "raters", "mean", "low", "high", "p_rises"])


def people(responses: Responses) -> pd.DataFrame:
    """One row a demographic answer: how many gave it."""
    frame = responses.frame[responses.frame["part"] == "about"]
    table = frame.groupby(["question", "answer"], sort=False).size().rename("count").reset_index()
    return table.assign(share=table["count"] / table.groupby("question")["count"].transform("sum"))


def _mean(values: pd.Series) -> dict[str, float]:
    n, mean = len(values), float(values.mean()) if len(values) else np.nan
    reach = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return {"raters": n, "mean": mean, "low": mean - reach, "high": mean + reach}
