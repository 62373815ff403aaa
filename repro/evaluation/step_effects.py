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


def explained(scores: pd.DataFrame) -> float:
    """Share of the variance between schedules' means that the effects predict, each schedule left out in turn.

    A schedule that alone has some number of steps in a chunk cannot be predicted by the others and is not; NaN where
    that leaves fewer than two.
    """
    means = _wide(scores).mean(axis=1).to_numpy()
    choices = sorted({int(d) for s in scores["schedule"] for d in s})
    design = _design(_wide(scores).index, choices)
    hat = design @ np.linalg.pinv(design)
    own = 1 - np.diag(hat)
    known = own > 1e-9
    if known.sum() < 2:
        return float("nan")
    missed = (means - hat @ means)[known] / own[known]
    return float(1 - np.mean(missed**2) / np.mean((means[known] - means[known].mean()) ** 2))
