"""Preference rates of every pair, from the votes: the naive, the robust and the mixed-effects answer side by side."""

import numpy as np
import pandas as pd
from scipy import stats

from repro.errors import ReproError
from repro.evaluation.statistics import holm
from repro.user_study import estimators, mixed
from repro.user_study.questions import ASPECTS, FIRST, SECOND
from repro.user_study.responses import Responses, pair_of


def votes(responses: Responses, question: str = "overall", kind: str = "main") -> pd.DataFrame:
    """One row a vote: participant, task, prompt, first, second, first_left, won (1, 0; NaN if undecided), repeats."""
    frame = responses.frame
    rows = frame[(frame["part"] == "comparison") & (frame["question"] == question) & (frame["kind"] == kind)]
    pairs = [pair_of(left, right, responses.design) for left, right in zip(rows["left"], rows["right"], strict=True)]
    first = np.array([pair[0] for pair in pairs], object)
    left = rows["answer"].isin((*FIRST, "a"))
    right = rows["answer"].isin((*SECOND, "b"))
    first_left = rows["left"].to_numpy() == first
    won = np.where(left | right, (left.to_numpy() == first_left).astype(float), np.nan)
    return rows[["participant", "task", "prompt", "repeats"]].assign(
        first=first, second=[pair[1] for pair in pairs], first_left=first_left, won=won
    )


def tables(decided: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """(wins [W, N, K], votes [W, N, K]) of one pair's decided votes: W first on the left, on the right."""
    side = 1 - decided["first_left"].to_numpy(int)
    rater, raters = pd.factorize(decided["participant"])
    prompt, prompts = pd.factorize(decided["prompt"])
    wins, count = np.zeros((2, 2, len(raters), len(prompts)))
    np.add.at(wins, (side, rater, prompt), decided["won"])
    np.add.at(count, (side, rater, prompt), 1)
    return wins, count


def rates(responses: Responses, question: str = "overall") -> pd.DataFrame:
    """One row a pair of the design. p of `mixed`, Holm-adjusted over the pairs, is the primary test."""
    found = votes(responses, question)
    rows = []
    for first, second in responses.design.pairs:
        own = found[(found["first"] == first) & (found["second"] == second)]
        rows.append({"first": first, "second": second, **pair(own, responses.design)})
    table = pd.DataFrame(rows)
    table["p_holm"] = _holm(table["mixed_p"])
    return table


def _holm(p: pd.Series) -> np.ndarray:
    """Holm-adjusted p; one that is NaN stays so, and counts as a test all the same."""
    return np.where(p.notna(), holm(p.fillna(1.0)), np.nan)


def pair(own: pd.DataFrame, design) -> dict:
    """All answers for one pair's votes. Where all votes agree there is no mixed model: its columns are NaN."""
    decided = own.dropna(subset="won")
    if decided["participant"].nunique() < 2 or decided["prompt"].nunique() < 2:
        raise ReproError(
            f"{len(decided)} decided votes of {decided['participant'].nunique()} participants on "
            f"{decided['prompt'].nunique()} prompts in a pair: it takes two of each, collect more"
        )
    wins, count = tables(decided)
    cells = wins.sum(0)[None], count.sum(0)
    rng = np.random.default_rng(design.seed)
    told = {
        "wilson": estimators.wilson(*cells),
        "paired_t_votes": estimators.paired_t_votes(*cells),
        "paired_t_raters": estimators.paired_t_raters(*cells),
        "bootstrap_raters": estimators.bootstrap(*cells, design.bootstrap, rng, prompts=False),
        "bootstrap_both": estimators.bootstrap(*cells, design.bootstrap, rng, prompts=True),
        "two_way": estimators.two_way(*cells),
    }
    row = {
        "votes": len(own),
        "undecided": len(own) - len(decided),
        "raters": wins.shape[1],
        "prompts": wins.shape[2],
        "rate": float(decided["won"].mean()),
        "rate_undecided_half": float(own["won"].fillna(0.5).mean()),
    }
    for name, estimate in told.items():
        row |= {f"{name}_{k}": float(getattr(estimate, k)[0]) for k in ("low", "high", "p")}
    return row | _mixed(wins, count)


def _mixed(wins, count) -> dict:
    try:
        fit = mixed.fit_counts(wins, count)
    except ReproError:
        names = ("rate", "low", "high", "p", "log_odds", "log_odds_low", "log_odds_high", "rater_sd", "prompt_sd")
        return {f"mixed_{name}": np.nan for name in names} | {"side_log_odds": np.nan, "side_p": np.nan}
    sided = len(fit.effect) > 1
    return {
        "mixed_rate": fit.rate,
        "mixed_low": fit.rate_low,
        "mixed_high": fit.rate_high,
        "mixed_p": float(fit.p[0]),
        "mixed_log_odds": float(fit.effect[0]),
        "mixed_log_odds_low": float(fit.low[0]),
        "mixed_log_odds_high": float(fit.high[0]),
        "mixed_rater_sd": fit.rater_sd,
        "mixed_prompt_sd": fit.prompt_sd,
        "side_log_odds": float(fit.effect[1]) if sided else np.nan,
        "side_p": float(fit.p[1]) if sided else np.nan,
    }


def aspects(responses: Responses) -> pd.DataFrame:
    """Each aspect of each pair: the share called equal, and the rate among the others; Holm over all of them."""
    rows = []
    for aspect in ASPECTS:
        found = votes(responses, aspect)
        for first, second in responses.design.pairs:
            own = found[(found["first"] == first) & (found["second"] == second)]
            row = {
                "aspect": aspect,
                "first": first,
                "second": second,
                "answers": len(own),
                "equal": own["won"].isna().mean(),
            }
            rows.append(row | _robust(own.dropna(subset="won")))
    table = pd.DataFrame(rows)
    return table.assign(p_holm=_holm(table["p"]))


def _robust(decided: pd.DataFrame) -> dict[str, float]:
    """The two-way estimate; NaN where fewer than two raters or prompts are left."""
    if min(decided["participant"].nunique(), decided["prompt"].nunique()) < 2:
        return dict.fromkeys(("rate", "low", "high", "p"), np.nan)
    wins, count = tables(decided)
    found = estimators.two_way(wins.sum(0)[None], count.sum(0))
    return {name: float(getattr(found, name)[0]) for name in ("rate", "low", "high", "p")}


def anova(responses: Responses) -> pd.DataFrame:
    """Do the pairs' rates differ? One way over votes, as if independent, and repeated measures over raters."""
    from statsmodels.stats.anova import AnovaRM

    decided = votes(responses).dropna(subset="won")
    decided = decided.assign(pair=decided["first"] + "/" + decided["second"])
    groups = [group["won"] for _, group in decided.groupby("pair")]
    rows = []
    if len(groups) > 1:
        f = stats.f_oneway(*groups)
        rows.append(("one way, votes", f.statistic, len(groups) - 1, len(decided) - len(groups), f.pvalue))
        own = decided.groupby(["participant", "pair"])["won"].mean().unstack().dropna()
        if len(own) > 1:
            table = AnovaRM(own.stack().rename("rate").reset_index(), "rate", "participant", ["pair"]).fit().anova_table
            rows.append(("repeated measures, raters", *table.iloc[0]))
    return pd.DataFrame(rows, columns=["test", "F", "df_between", "df_within", "p"])
