"""How many steps in which chunk are worth how much: a score as a sum of one effect a chunk, by least squares.

Legend: S schedules, K chunks, C numbers of steps, P prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class StepEffects:
    """`mean_P` of all schedules and `effects_KCP`, what a chunk adds to it; within a chunk the effects add up to 0.

    A number of steps that no schedule had in a chunk has effect 0 there.
    """

    choices: tuple[int, ...]
    mean_P: np.ndarray
    effects_KCP: np.ndarray

    def predict(self, schedules: Sequence[str]) -> np.ndarray:
        """Expected score [S], the mean over prompts."""
        coefficients = np.concatenate([[self.mean_P.mean()], self.effects_KCP.mean(-1).ravel()])
        return _design(schedules, self.choices) @ coefficients


def _design(schedules: Sequence[str], choices: Sequence[int]) -> np.ndarray:
    """Ones, then one column for every number of steps of every chunk [S, 1 + K·C]."""
    steps_SK = np.array([[int(d) for d in s] for s in schedules])
    hot_SKC = steps_SK[..., None] == np.array(choices)
    return np.column_stack([np.ones(len(steps_SK)), hot_SKC.reshape(len(steps_SK), -1)])


def _wide(scores: pd.DataFrame) -> pd.DataFrame:
    return scores.pivot(index="schedule", columns="prompt", values="total")


def fit(scores: pd.DataFrame) -> StepEffects:
    """Effects from rows (schedule, prompt, total), every schedule scored on every prompt."""
    wide = _wide(scores)
    choices = sorted({int(d) for s in wide.index for d in s})
    # Of all solutions the shortest: none of a chunk's effects is singled out as the one that the others differ from.
    solution = np.linalg.lstsq(_design(wide.index, choices), wide.to_numpy(), rcond=None)[0]
    effects_KCP = solution[1:].reshape(-1, len(choices), wide.shape[1])
    seen_KC1 = _design(wide.index, choices)[:, 1:].any(0).reshape(-1, len(choices), 1)
    offset_K1P = effects_KCP.sum(1, keepdims=True) / seen_KC1.sum(1, keepdims=True)
    return StepEffects(tuple(choices), solution[0] + offset_K1P.sum((0, 1)), (effects_KCP - offset_K1P) * seen_KC1)


def explained(scores: pd.DataFrame, splits: int = 40, seed: int = 0) -> float:
    """Share of the variance between schedules that is predicted for other schedules and other prompts: the effects are
    fitted on half of the prompts and four fifths of the schedules. Below 0 where other prompts have other favourites.

    NaN where there are too few of either.
    """
    wide, rng = _wide(scores), np.random.default_rng(seed)
    missed, spread = 0.0, 0.0
    for _ in range(splits):
        prompts, schedules = rng.permutation(wide.columns), rng.permutation(wide.index)
        half, fifth = len(prompts) // 2, len(schedules) // 5
        if not half or fifth < 2:
            return float("nan")
        fitted = scores[scores["prompt"].isin(prompts[:half]) & scores["schedule"].isin(schedules[fifth:])]
        found = wide.loc[schedules[:fifth], prompts[half:]].mean(axis=1).to_numpy()
        wrong = found - fit(fitted).predict(schedules[:fifth])
        missed += float(np.var(wrong))
        spread += float(np.var(found))
    return 1 - missed / spread if spread else float("nan")
