"""Simulated participants with planted effects. They test the pipeline; they are never human data.

A participant r votes for the first of a pair on prompt k with log-odds b + u_r + v_k ± side, u and v normal.
"""

from functools import partial

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.special import expit

from repro.config import Section, load_rows
from repro.user_study.design import DEGRADED, FOLDER, Design
from repro.user_study.plan import shares

MARK = "simulated"
"""How the name of every simulated participant begins; reports say so wherever they meet it."""


class Truth(Section):
    """One row of `truth.csv`: a study of one pair, and what is planted in it (log-odds)."""

    scenario: str = Field(pattern=r"^[a-z0-9_]+$")
    participants: int = Field(ge=2)
    prompts: int = Field(ge=2)
    comparisons: int = Field(ge=1)
    log_odds: float
    rater_sd: float = Field(ge=0)
    prompt_sd: float = Field(ge=0)
    side_bias: float
    """Half of what the left side gains over the right one."""
    studies: int = Field(ge=1)
    """How many are simulated."""

    @property
    def null(self) -> bool:
        return self.log_odds == 0


def load_truths(path=FOLDER / "truth.csv") -> dict[str, Truth]:
    return load_rows(path, Truth, "scenario")


def studies(truth: Truth, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(wins [S, W, N, K], votes [W, N, K]) of simulated studies: S studies, W first on the left or right."""
    S, N, K = truth.studies, truth.participants, truth.prompts
    votes_NK = shares(N, K, truth.comparisons)
    odd_NK = np.add.outer(np.arange(N), np.arange(K)) % 2
    left_NK = votes_NK // 2 + votes_NK % 2 * odd_NK
    votes_WNK = np.stack([left_NK, votes_NK - left_NK])
    odds_SNK = truth.log_odds + (rng.normal(0, truth.rater_sd, (S, N, 1)) + rng.normal(0, truth.prompt_sd, (S, 1, K)))
    bias_W11 = np.array([1, -1])[:, None, None] * truth.side_bias
    return rng.binomial(votes_WNK, expit(odds_SNK[:, None] + bias_W11)), votes_WNK


def respondents(
    design: Design,
    plan: pd.DataFrame,
    log_odds: dict[str, float],
    rng: np.random.Generator,
    *,
    rater_sd: float,
    prompt_sd: float,
    side_bias: float = 0.0,
    ties: float = 0.2,
) -> pd.DataFrame:
    """A whole study's answers, in the columns of `responses.COLUMNS`.

    `log_odds`: a method's strength; the vote for a pair follows their difference, plus effects of rater and prompt
    for that pair. `ties`: share of aspects called equal. Likert answers and decay follow the strengths as well.
    """
    draw = partial(_Effects, rng)
    raters, prompts = draw(rater_sd), draw(prompt_sd)
    rank = {method: i for i, method in enumerate(design.methods)}
    rows = []
    for task in plan.to_dict("records"):
        person = f"{MARK}-{task['participant']}"
        common = {k: task[k] for k in ("task", "part", "kind", "prompt", "left", "right", "repeats")}
        seconds = round(float(rng.gamma(8, design.video_seconds / 6)), 1) if task["left"] else 20.0
        for question, answer in _answers(design, task, person, log_odds, rank, raters, prompts, side_bias, ties, rng):
            rows.append({"participant": person, **common, "question": question, "answer": answer, "seconds": seconds})
    return pd.DataFrame(rows)


class _Effects:
    """Normal effects by key, drawn when first asked for."""

    def __init__(self, rng, sd):
        self.rng, self.sd, self.drawn = rng, sd, {}

    def __call__(self, *key) -> float:
        if key not in self.drawn:
            self.drawn[key] = float(self.rng.normal(0, self.sd))
        return self.drawn[key]


def _answers(design, task, person, strength, rank, raters, prompts, side_bias, ties, rng):
    part = design.parts[task["part"]]
    if task["part"] == "comparison":
        odds = _left_odds(task, person, strength, rank, raters, prompts) + side_bias
        left = rng.random() < expit(odds)
        yield "overall", ("strongly_" if rng.random() < 0.3 else "slightly_") + ("a" if left else "b")
        for question in part.questions[1:]:
            equal, better = rng.random() < ties, rng.random() < expit(odds)
            yield question.key, "equal" if equal else ("a" if better else "b")
        return
    for question in part.questions:
        if not question.options:
            yield question.key, rng.choice(["", "Colours look too saturated.", "Some flicker.", "The face changes."])
        elif task["left"]:
            # A method's strength on a latent scale, cut at even steps; decay runs the other way.
            latent = strength[task["left"]] + raters(person) + rng.logistic()
            level = int(np.clip(np.floor(latent + len(question.options) / 2), 0, len(question.options) - 1))
            yield (
                question.key,
                question.values[::-1][level] if task["part"] == "consistency" else question.values[level],
            )
        else:
            yield question.key, rng.choice(question.values)


def _left_odds(task, person, strength, rank, raters, prompts) -> float:
    """Log-odds of the left one; a spoilt video is seen through at once."""
    sides = task["left"], task["right"]
    if DEGRADED in sides:
        return 4.0 if sides[1] == DEGRADED else -4.0
    first, second = sorted(sides, key=rank.get)
    odds = strength[first] - strength[second] + raters(person, first, second) + prompts(task["prompt"], first, second)
    return odds if sides[0] == first else -odds
