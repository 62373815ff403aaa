"""The sixteen VBench dimensions at mini scale, their aggregates, and distances to real clips.

Temporal flickering is VBench's formula; the other temporal measures follow VBench's recipes with the
judge's frame features and OpenCV's DIS flow; the semantic ones are the judge's probability of what
the caption says. Every measure lies in [0, 1], higher is better.

Legend: B clips, t judged frames, D feature width, P places of a frame.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as nnf

from repro.evaluation.dimensions import DIMENSIONS, FRAME, MEASURES, SEMANTIC, TEMPORAL
from repro.world import scene as grammar
from repro.world.judge import FRAME_STEP, Judge

METRIC_VERSION = "2"
"""2: background consistency looks for every place, where 1 compared averages over the frame."""

AGGREGATES = ("temporal", "frame", "text", "quality", "semantic", "total")
DYNAMIC_WEIGHT = 0.5
"""VBench's weight of the dynamic degree within Quality; every other dimension weighs 1."""

FLOW_STRIDE = 2
"""Flow is taken between frames an eighth of a second apart, as VBench does."""
DYNAMIC_SPEED = 0.006
"""Speed, in heights per flow step, above which the fastest 5% of pixels count as moving."""
DYNAMIC_SHARE = 0.25
"""Share of the flow steps that must move, as VBench's four in sixteen."""


def consistency(features_BtD: torch.Tensor) -> torch.Tensor:
    """Mean cosine of each frame to the first and to the one before, halves added (VBench's recipe), [B]."""
    f = nnf.normalize(features_BtD.float(), dim=-1)
    first = (f[:, 1:] * f[:, :1]).sum(-1).clamp(min=0)
    previous = (f[:, 1:] * f[:, :-1]).sum(-1).clamp(min=0)
    return ((first + previous) / 2).mean(1)


def place_consistency(places_BtDP: torch.Tensor) -> torch.Tensor:
    """The same recipe place by place, [B]: how closely each place of a frame is found again anywhere in the other.

    A background that moves with the camera finds itself elsewhere. Features averaged over the frame
    would average out whatever strikes every place on its own, such as pixel noise.
    """
    f = nnf.normalize(places_BtDP.float(), dim=2)

    def found(other_BtDP: torch.Tensor) -> torch.Tensor:
        cosines = f[:, 1:].transpose(2, 3) @ other_BtDP
        return cosines.amax(-1).clamp(min=0).mean((1, 2))

    return (found(f[:, :1]) + found(f[:, :-1])) / 2


def temporal_flickering(video_uint8: torch.Tensor) -> torch.Tensor:
    """(255 − mean|Δframe|) / 255, VBench's formula exactly, [B]."""
    x = video_uint8.float()
    return (255 - (x[:, 1:] - x[:, :-1]).abs().mean((1, 2, 3, 4))) / 255


def motion_smoothness(video_uint8: torch.Tensor) -> torch.Tensor:
    """How well every second frame is the mean of its neighbours, [B]."""
    x = video_uint8.float()
    between, neighbours = x[:, 1:-1:2], (x[:, 0:-2:2] + x[:, 2::2]) / 2
    return (255 - (between - neighbours).abs().mean((1, 2, 3, 4))) / 255


def flow_speeds(clip_uint8: np.ndarray) -> np.ndarray:
    """Speed of every pixel in heights per flow step, [steps, pixels]. `clip_uint8` is [frames, 3, height, width]."""
    import cv2

    # One thread: on frames this small, several wait for each other three times longer than they work.
    cv2.setNumThreads(1)
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    gray = [
        cv2.cvtColor(np.ascontiguousarray(f.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY) for f in clip_uint8[::FLOW_STRIDE]
    ]
    squares = (flow.calc(a, b, None) ** 2 for a, b in pairwise(gray))
    # As np.linalg.norm, to the bit, in a ninth of its time.
    return np.stack([np.sqrt(s[..., 0] + s[..., 1]).ravel() for s in squares]) / clip_uint8.shape[-2]


def dynamic_degree(speeds: np.ndarray) -> float:
    """1 where enough of the clip moves, else 0."""
    count = max(1, speeds.shape[1] // 20)
    fastest = np.partition(speeds, -count, axis=1)[:, -count:]
    moving = (fastest.mean(axis=1) > DYNAMIC_SPEED).sum()
    return float(moving >= DYNAMIC_SHARE * len(speeds))


def saturation(video_uint8: torch.Tensor) -> torch.Tensor:
    """Mean of HSV's saturation, (max − min) / max over the colours of a pixel, [B]."""
    x = video_uint8.float()
    high, low = x.amax(2), x.amin(2)
    return ((high - low) / high.clamp(min=1)).mean((1, 2, 3))


def _each(function: Callable[[np.ndarray], Any], video_uint8: torch.Tensor) -> list:
    """`function` of every clip, as many at a time as PyTorch has threads."""
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(function, video_uint8.cpu().numpy()))


def semantic_scores(probabilities: dict[str, np.ndarray], row: int, caption: str) -> dict[str, float]:
    """Judge's probability of the caption's truth for one clip.

    `multiple_objects` and `spatial_relationship` are NaN where the caption names one sprite: they are
    not defined there, and means leave them out.
    """
    truth = grammar.parse_caption(caption)
    p = {k: v[row] for k, v in probabilities.items()}
    first = truth.sprites[0]
    told: list[float] = []
    for sprite in truth.sprites:
        told += [
            float(p["presence"][sprite.shape, 0]),
            float(p["color"][sprite.shape, sprite.color]),
            float(p["size"][sprite.shape, sprite.size]),
            float(p["motion"][sprite.shape, sprite.motion]),
        ]
    relation = truth.attributes["relation"]
    relation_p = float("nan") if relation is None else float(p["relation"][relation])
    looks = {
        name: float("nan") if value is None else float(p[name][value])
        for name, value in (("scene", truth.scene), ("style", truth.style), ("camera", truth.camera))
    }
    told += [v for v in (relation_p, *looks.values()) if not np.isnan(v)]
    both = [float(p["presence"][s.shape, 0]) for s in truth.sprites]
    return {
        "object_class": both[0],
        "multiple_objects": both[0] * both[1] if len(both) == 2 else float("nan"),
        "human_action": float(p["motion"][first.shape, first.motion]),
        "color": both[0] * float(p["color"][first.shape, first.color]),
        "spatial_relationship": relation_p,
        "scene": looks["scene"],
        "appearance_style": looks["style"],
        "temporal_style": looks["camera"],
        "overall_consistency": float(np.exp(np.mean(np.log(np.maximum(told, 1e-6))))),
    }


@dataclass(frozen=True)
class Reading:
    """What the pixels of clips say, whatever their captions: scores, the judge's answers, its features [B, D]."""

    scores: pd.DataFrame
    probabilities: dict[str, np.ndarray]
    features: np.ndarray

    def against(self, captions: Sequence[str]) -> pd.DataFrame:
        """The sixteen dimensions, then the measures beside them, one row a clip."""
        semantic = [semantic_scores(self.probabilities, row, caption) for row, caption in enumerate(captions)]
        return pd.concat([self.scores, pd.DataFrame(semantic)], axis=1)[[*DIMENSIONS, *MEASURES]]


@torch.inference_mode()
def read(judge: Judge, video_uint8: torch.Tensor) -> Reading:
    """Look at clips [B, frames, 3, height, width]."""
    frame_features, features = judge.features(video_uint8[:, ::FRAME_STEP])
    p = {k: v.float().cpu().numpy() for k, v in judge.probabilities(features).items()}
    speeds = _each(flow_speeds, video_uint8)
    table = pd.DataFrame(
        {
            "subject_consistency": consistency(frame_features["subject"]).cpu(),
            "background_consistency": place_consistency(frame_features["places"]).cpu(),
            "temporal_flickering": temporal_flickering(video_uint8).cpu(),
            "motion_smoothness": motion_smoothness(video_uint8).cpu(),
            "dynamic_degree": [dynamic_degree(s) for s in speeds],
            "aesthetic_quality": p["aesthetic"][:, 0],
            "imaging_quality": p["imaging"][:, 0],
            "motion_amplitude": [s.mean() for s in speeds],
            "saturation": saturation(video_uint8).cpu(),
        }
    ).astype(float)
    return Reading(table, p, features.float().cpu().numpy())


def measure(judge: Judge, video_uint8: torch.Tensor, captions: Sequence[str]) -> pd.DataFrame:
    """The sixteen dimensions of clips [B, frames, 3, height, width] and the measures beside them, one row a clip."""
    return read(judge, video_uint8).against(captions)


def aggregate(scores: pd.DataFrame) -> pd.DataFrame:
    """Add the paper's aggregates (Temporal, Frame, Text) and VBench's (Quality, Semantic, Total = (4Q+S)/5).

    Text leaves out the overall consistency, as the paper does; Semantic includes it.
    """
    weights = pd.Series({d: DYNAMIC_WEIGHT if d == "dynamic_degree" else 1.0 for d in TEMPORAL + FRAME})
    out = scores.copy()
    out["temporal"] = scores[list(TEMPORAL)].mean(axis=1, skipna=False)
    out["frame"] = scores[list(FRAME)].mean(axis=1, skipna=False)
    out["text"] = scores[list(SEMANTIC[:-1])].mean(axis=1)
    out["quality"] = (scores[weights.index] * weights).sum(axis=1, skipna=False) / weights.sum()
    out["semantic"] = scores[list(SEMANTIC)].mean(axis=1)
    out["total"] = (4 * out["quality"] + out["semantic"]) / 5
    return out


def _moments(x_ND: np.ndarray, counts_N: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    return np.average(x_ND, axis=0, weights=counts_N), np.cov(x_ND, rowvar=False, fweights=counts_N)


class Frechet:
    """Squared Fréchet distance between Gaussians fitted to two sets of features, the first one resampled at will."""

    def __init__(self, a_ND: np.ndarray, b_ND: np.ndarray):
        self.a = a_ND
        self.mean, self.cov = _moments(b_ND)
        values, vectors = np.linalg.eigh(self.cov)
        self.root = vectors * np.sqrt(values.clip(min=0)) @ vectors.T

    def __call__(self, counts_N: np.ndarray | None = None) -> float:
        """Distance; `counts_N` says how often each clip of the first set is counted."""
        mean, cov = _moments(self.a, counts_N)
        # Tr (A·B)^½ by the symmetric B^½·A·B^½, which has the same eigenvalues.
        shared = np.sqrt(np.linalg.eigvalsh(self.root @ cov @ self.root).clip(min=0)).sum()
        return float(((mean - self.mean) ** 2).sum() + np.trace(cov) + np.trace(self.cov) - 2 * shared)

    def of_each(self, counts_RN: np.ndarray) -> np.ndarray:
        """Distances [R] where row r counts each clip of the first set so many times."""
        return np.array([self(counts_N) for counts_N in counts_RN])


class KernelDistance:
    """Unbiased squared MMD with the cubic polynomial kernel of KID, on features standardised by the second set."""

    def __init__(self, a_ND: np.ndarray, b_ND: np.ndarray):
        centre, scale = b_ND.mean(0), b_ND.std(0) + 1e-6
        a, b = ((x.astype(np.float64) - centre) / scale for x in (a_ND, b_ND))

        def kernel(x, y):
            return (x @ y.T / x.shape[1] + 1) ** 3

        within = kernel(b, b)
        self.a, self.inner, self.cross = a, kernel(a, a), kernel(a, b).mean(1)
        self.reference = (within.sum() - np.trace(within)) / (len(b) * (len(b) - 1))

    def of_each(self, counts_RN: np.ndarray) -> np.ndarray:
        """Distances [R] where row r counts each clip of the first set so many times. A clip never meets itself."""
        w = counts_RN.astype(float)
        total, met = w.sum(1), ((w @ self.inner) * w).sum(1) - (w**2) @ np.diag(self.inner)
        possible = total**2 - (w**2).sum(1)
        pairs = np.divide(met, possible, out=np.zeros(len(w)), where=possible > 0)
        return pairs + self.reference - 2 * (w @ self.cross) / total

    def __call__(self, counts_N: np.ndarray | None = None) -> float:
        return float(self.of_each(np.ones((1, len(self.cross))) if counts_N is None else counts_N[None])[0])


DISTANCES = {"frechet": Frechet, "kernel_distance": KernelDistance}


def frechet(a_ND: np.ndarray, b_ND: np.ndarray) -> float:
    return Frechet(a_ND, b_ND)()


def kernel_distance(a_ND: np.ndarray, b_ND: np.ndarray) -> float:
    return KernelDistance(a_ND, b_ND)()


class SeedMean:
    """A distance averaged over training seeds, each of which made clips of the same prompts in the same order.

    Clips of one prompt by students of different training seeds are alike and no independent draws: only those of one
    seed are held against each other.
    """

    def __init__(self, distance, a_ND: np.ndarray, b_ND: np.ndarray, seeds_N):
        seeds = np.asarray(seeds_N)
        self.each = [distance(a_ND[seeds == s], b_ND) for s in np.unique(seeds)]
        self.of_seed = np.array([d() for d in self.each])

    def __call__(self) -> float:
        return float(self.of_seed.mean())

    def resamples(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """How often each prompt counts [n, P], and which seeds are drawn [n, S], for any distance of the clips."""
        prompts, seeds = len(self.each[0].a), len(self.each)
        return rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=n), rng.integers(seeds, size=(n, seeds))

    def draws(self, prompts_RP: np.ndarray, seeds_RS: np.ndarray) -> np.ndarray:
        """Bootstrap draws [R]: what the drawn prompts do to every seed, and what the drawn seeds do, added.

        A resample holds clips twice and so lies further from real than its sample does: the draws centre on the value.
        """
        drawn = np.mean([d.of_each(prompts_RP) for d in self.each], axis=0) + self.of_seed[seeds_RS].mean(1)
        return drawn - drawn.mean() + self()
