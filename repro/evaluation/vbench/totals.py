"""From sixteen scores to VBench's totals and the paper's: nothing is filled in, nothing is left out in silence."""

from collections.abc import Iterable, Mapping

from repro.errors import ReproError
from repro.evaluation.dimensions import FRAME, SEMANTIC, TEMPORAL
from repro.evaluation.vbench.dimensions import load_dimensions

QUALITY_WEIGHT, SEMANTIC_WEIGHT = 4, 1
GROUPS = {
    "quality": TEMPORAL + FRAME,
    "semantic": SEMANTIC,
    "temporal": TEMPORAL,
    "frame": FRAME,
    "text": SEMANTIC[:-1],
}
"""Dimensions of each aggregate: VBench's Quality and Semantic, the paper's Temporal, Frame and Text (section 4.1)."""
OF_VBENCH = ("quality", "semantic", "total")


def normalised(scores: Mapping[str, float]) -> dict[str, float]:
    """(score − min) / (max − min), not clipped, as VBench's scripts/cal_final_score.py."""
    rows = load_dimensions()
    return {name: rows[name].normalise(score) for name, score in scores.items()}


def lacks(aggregate: str, scores: Iterable[str]) -> tuple[str, ...]:
    """The dimensions that an aggregate needs and `scores` has not."""
    have, needed = set(scores), GROUPS["quality"] + SEMANTIC if aggregate == "total" else GROUPS[aggregate]
    return tuple(d for d in needed if d not in have)


def aggregate(scores: Mapping[str, float], name: str) -> float:
    """One aggregate of VBench's raw scores, in [0, 1]. Raises ReproError naming the dimensions that are missing.

    VBench's own weigh the dynamic degree half; the paper's are plain means of the normalised scores.
    """
    missing = lacks(name, scores)
    if missing:
        raise ReproError(f"{name} needs {', '.join(missing)}, which was not scored: a part is no {name}")
    if name == "total":
        quality, semantic = aggregate(scores, "quality"), aggregate(scores, "semantic")
        return (QUALITY_WEIGHT * quality + SEMANTIC_WEIGHT * semantic) / (QUALITY_WEIGHT + SEMANTIC_WEIGHT)
    rows, values = load_dimensions(), normalised(scores)
    weights = {d: rows[d].weight if name in OF_VBENCH else 1.0 for d in GROUPS[name]}
    return sum(values[d] * w for d, w in weights.items()) / sum(weights.values())
