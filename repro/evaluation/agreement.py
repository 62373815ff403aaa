"""The judge against the renderer's truth: confusion matrices, accuracy and Cohen's kappa of every head.

Legend: N clips, K classes of a head, R bootstrap resamples of the clips.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from repro.errors import ReproError
from repro.training.judge import IGNORE, targets
from repro.world.judge import Judge
from repro.world.scene import CAMERAS, COLORS, MOTIONS, RELATIONS, SCENES, SIZES, STYLES

CLASSES = {
    "presence": ("absent", "present"),
    "color": COLORS,
    "size": SIZES,
    "motion": MOTIONS,
    "relation": (*RELATIONS, "one sprite"),
    "scene": SCENES,
    "style": STYLES,
    "camera": CAMERAS,
}
"""Head → its answers, in the order of the logits."""


@torch.inference_mode()
def answers(judge: Judge, features_BD: torch.Tensor) -> dict[str, np.ndarray]:
    """The class that each head finds most likely, [N] or, of a slot head, [N, S]."""
    found = {}
    for name, logits in judge.heads(features_BD.float()).items():
        if name in CLASSES:
            chosen = logits[..., 0] > 0 if name == "presence" else logits.argmax(-1)
            found[name] = chosen.long().cpu().numpy()
    return found


def confusion(truth: np.ndarray, judged: np.ndarray, classes: int) -> np.ndarray:
    """Counts [N, K, K] of (truth, judged) in each clip; slots whose truth is IGNORE are left out."""
    truth, judged = (x.reshape(len(truth), -1).astype(int) for x in (truth, judged))
    counts = np.zeros((len(truth), classes, classes), dtype=int)
    clip, slot = np.nonzero(truth != IGNORE)
    np.add.at(counts, (clip, truth[clip, slot], judged[clip, slot]), 1)
    return counts


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of right answers of counts [..., K, K]."""
    return np.trace(counts, axis1=-2, axis2=-1) / counts.sum((-2, -1))


def kappa(counts: np.ndarray) -> np.ndarray:
    """Cohen's kappa of counts [..., K, K]: (observed − chance) / (1 − chance); NaN where chance alone agrees."""
    total = counts.sum((-2, -1))
    chance = (counts.sum(-1) * counts.sum(-2)).sum(-1) / total**2
    with np.errstate(invalid="ignore"):
        return (accuracy(counts) - chance) / np.where(chance == 1, np.nan, 1 - chance)


def agreement(judge: Judge, features_BD: torch.Tensor, scenes: Sequence, resamples: int, seed: int):
    """Per head accuracy and kappa with 95% intervals over clips, and the confusion counts in long form.

    Raises ReproError for a head whose truth and answers are one and the same class: kappa is undefined.
    """
    truth, judged = targets(scenes), answers(judge, features_BD)
    rows, cells = [], []
    for head, names in CLASSES.items():
        counts_NKK = confusion(truth[head].numpy(), judged[head], len(names))
        whole = counts_NKK.sum(0)
        if np.isnan(kappa(whole)):
            raise ReproError(
                f"head {head!r}: all {whole.sum()} truths and answers are one class, so that kappa is undefined: "
                "raise validity.judged of the profile"
            )
        rng = np.random.default_rng([seed, *head.encode()])
        drawn_RN = rng.multinomial(len(scenes), np.full(len(scenes), 1 / len(scenes)), size=resamples)
        drawn_RKK = np.tensordot(drawn_RN, counts_NKK, 1)
        row = {"head": head, "classes": len(names), "n": int(whole.sum())}
        for name, measure in (("accuracy", accuracy), ("kappa", kappa)):
            # A resample without any variety has no kappa: left out of the interval.
            low, high = np.nanquantile(measure(drawn_RKK), [0.025, 0.975])
            row |= {name: float(measure(whole)), f"{name}_low": float(low), f"{name}_high": float(high)}
        rows.append(row)
        cells += [
            {"head": head, "truth": names[i], "judged": names[k], "count": int(whole[i, k])}
            for i in range(len(names))
            for k in range(len(names))
        ]
    return pd.DataFrame(rows), pd.DataFrame(cells)
