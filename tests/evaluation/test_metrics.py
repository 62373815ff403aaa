"""The sixteen measures: formulas by hand, graded corruption of real clips, aggregates, distances."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from repro.config import ROOT, load_profile
from repro.evaluation import metrics
from repro.evaluation.quality import load_judge
from repro.training.data import split_scenes
from repro.training.loop import generator_for
from repro.world.degrade import AESTHETIC, IMAGING, TEMPORAL, degrade
from repro.world.judge import CLIP_HEADS, SLOT_HEADS
from repro.world.render import render
from repro.world.scene import COLORS, MOTIONS, RELATIONS, SHAPES, parse_caption

CLIPS = 8


@pytest.fixture
def noise_video():
    return torch.randint(0, 256, (2, 9, 3, 8, 10), generator=generator_for(0), dtype=torch.uint8)


def test_temporal_flickering_is_vbenchs_formula(noise_video):
    """VBench: the mean over neighbouring frames of mean|difference|, and (255 − that) / 255."""
    expected = []
    for clip in noise_video.numpy().astype(np.float64):
        errors = [np.abs(clip[i] - clip[i + 1]).mean() for i in range(len(clip) - 1)]
        expected.append((255.0 - np.mean(errors)) / 255.0)
    np.testing.assert_allclose(metrics.temporal_flickering(noise_video), expected, rtol=1e-5)


def test_motion_smoothness_is_the_error_of_every_second_frame(noise_video):
    expected = []
    for clip in noise_video.numpy().astype(np.float64):
        errors = [np.abs(clip[i] - (clip[i - 1] + clip[i + 1]) / 2).mean() for i in range(1, len(clip) - 1, 2)]
        expected.append((255.0 - np.mean(errors)) / 255.0)
    np.testing.assert_allclose(metrics.motion_smoothness(noise_video), expected, rtol=1e-5)
    ramp = (torch.arange(9) * 20).view(1, 9, 1, 1, 1).expand(1, 9, 3, 8, 10).to(torch.uint8)
    assert metrics.motion_smoothness(ramp) == 1 and metrics.temporal_flickering(ramp) == pytest.approx(235 / 255)


def test_consistency_is_vbenchs_recipe():
    features = torch.randn((3, 6, 5), generator=generator_for(1))
    expected = []
    for clip in features.numpy().astype(np.float64):
        unit = [f / np.linalg.norm(f) for f in clip]
        pairs = [(max(0, unit[i] @ unit[0]) + max(0, unit[i] @ unit[i - 1])) / 2 for i in range(1, 6)]
        expected.append(np.mean(pairs))
    np.testing.assert_allclose(metrics.consistency(features), expected, rtol=1e-5)
    still = features[:, :1].expand_as(features)
    torch.testing.assert_close(metrics.consistency(still), torch.ones(3))
    torch.testing.assert_close(metrics.consistency(3 * still), torch.ones(3))


def test_place_consistency_finds_what_has_moved():
    places = torch.randn((2, 4, 5, 6), generator=generator_for(1))
    expected = []
    for clip in torch.nn.functional.normalize(places, dim=2).numpy():
        pairs = [np.clip((clip[i].T @ clip[k]).max(1), 0, None).mean() for i in range(1, 4) for k in (0, i - 1)]
        expected.append(np.mean(pairs))
    np.testing.assert_allclose(metrics.place_consistency(places), expected, rtol=1e-5)
    moved = torch.stack([places[:, 0].roll(i, -1) for i in range(4)], 1)
    torch.testing.assert_close(metrics.place_consistency(moved), torch.ones(2))


def sliding(pixels_per_frame: float) -> np.ndarray:
    """A textured picture that slides to the right, [81, 3, 64, 112]."""
    x = np.arange(112)[None, :] - pixels_per_frame * np.arange(81)[:, None, None]
    y = np.arange(64)[None, :, None]
    wave = 127.5 + 60 * np.sin(x / 5) + 60 * np.sin(y / 4 + x / 9)
    return np.repeat(wave.round().astype(np.uint8)[:, None], 3, axis=1)


@pytest.mark.parametrize(("speed", "moves"), [(0.0, 0.0), (0.02, 0.0), (0.6, 1.0), (1.5, 1.0)])
def test_dynamic_degree_is_a_threshold_on_speed(speed, moves):
    """The threshold is 0.006 heights a flow step: 0.19 pixels a frame."""
    assert metrics.dynamic_degree(metrics.flow_speeds(sliding(speed))) == moves


@pytest.mark.parametrize(("moving_steps", "moves"), [(6, 0.0), (16, 1.0)])
def test_dynamic_degree_needs_a_quarter_of_the_steps(moving_steps, moves):
    """81 frames are 40 flow steps."""
    clip = sliding(1.0)
    clip[metrics.FLOW_STRIDE * moving_steps :] = clip[metrics.FLOW_STRIDE * moving_steps]
    assert metrics.dynamic_degree(metrics.flow_speeds(clip)) == moves


# Real clips under the shipped judge.


@pytest.fixture(scope="module")
def profile():
    return load_profile("mini")


@pytest.fixture(scope="module")
def judge():
    return load_judge(ROOT / "results/published/mini/checkpoints", "cpu")


@pytest.fixture(scope="module")
def scenes(profile):
    """The first held-out scenes, as many with one sprite as with two, whose sprites all move."""
    moving = [
        s
        for s in split_scenes("heldout", profile, 200)
        if all(MOTIONS[x.motion] not in ("stays still", "spins") for x in s.sprites)
    ]
    return [s for n in (1, 2) for s in [x for x in moving if len(x.sprites) == n][: CLIPS // 2]]


@pytest.fixture(scope="module")
def clips(scenes, profile):
    return render(scenes, profile.geometry)


@pytest.fixture(scope="module")
def clean(judge, clips, scenes):
    return metrics.measure(judge, clips, [s.caption for s in scenes])


def test_real_clips_score_high_on_everything(clean):
    assert list(clean.columns) == [*metrics.DIMENSIONS, *metrics.MEASURES] and len(metrics.DIMENSIONS) == 16
    assert clean["multiple_objects"].notna().tolist() == [False] * (CLIPS // 2) + [True] * (CLIPS // 2)
    assert (clean[[*metrics.DIMENSIONS]].mean() > 0.9).all(), clean.mean()
    assert clean.max().max() <= 1 and clean.min().min() >= 0


def test_one_clip_at_a_time_scores_the_same(judge, clips, scenes, clean):
    alone = metrics.measure(judge, clips[-1:], [scenes[-1].caption])
    pd.testing.assert_frame_equal(alone, clean[-1:].reset_index(drop=True), atol=1e-4, check_dtype=False)


FALLS = {
    "blur": ("imaging_quality",),
    "downsample": ("imaging_quality",),
    "noise": (
        "imaging_quality",
        "temporal_flickering",
        "motion_smoothness",
        "subject_consistency",
        "background_consistency",
    ),
    "saturation": ("aesthetic_quality",),
    "contrast": ("aesthetic_quality",),
    "cast": ("aesthetic_quality",),
    "flicker": (
        "temporal_flickering",
        "motion_smoothness",
        "subject_consistency",
        "background_consistency",
    ),
    "freeze": ("dynamic_degree", "human_action", "overall_consistency"),
}


@pytest.mark.parametrize(("kind", "measures"), FALLS.items())
def test_measures_fall_as_clips_get_worse(judge, clips, scenes, clean, kind, measures):
    """Mean over the clips, at severities 0, ⅓, ⅔ and 1; only the dynamic degree, 0 or 1 a clip, may pause."""
    levels = [clean.mean()]
    for severity in (1 / 3, 2 / 3, 1.0):
        spoilt = degrade(clips.float() / 255, kind, severity, generator_for(2))
        spoilt = (spoilt * 255).round().to(torch.uint8)
        levels.append(metrics.measure(judge, spoilt, [s.caption for s in scenes]).mean())
    for name in measures:
        steps = np.diff([level[name] for level in levels])
        assert (steps <= 0).all() if name == "dynamic_degree" else (steps < 0).all(), (name, levels)
        assert levels[0][name] - levels[-1][name] > 0.005, (name, levels)


def test_every_temporal_and_frame_measure_falls_under_some_corruption():
    assert {name for names in FALLS.values() for name in names} >= {*metrics.TEMPORAL, *metrics.FRAME}
    assert FALLS.keys() == {*IMAGING, *AESTHETIC, *TEMPORAL}


def wrong(scene, what: str):
    """The same scene with one attribute of its (first) sprite, or of the whole, told wrongly."""
    first = scene.sprites[0]
    shapes = {s.shape for s in scene.sprites}
    absent = next(k for k in range(len(SHAPES)) if k not in shapes)
    changed = {
        "shape": {"shape": absent},
        "color": {"color": (first.color + 1) % len(COLORS)},
        "motion": {"motion": MOTIONS.index("stays still")},
    }
    if what in changed:
        return replace(scene, sprites=(replace(first, **changed[what]), *scene.sprites[1:]))
    count = {"relation": 4, "scene": 5, "style": 3, "camera": 3}[what]
    return replace(scene, **{what: (getattr(scene, what) + 1) % count})


@pytest.mark.parametrize(
    ("what", "measures"),
    [
        ("shape", ("object_class", "multiple_objects", "color", "human_action")),
        ("color", ("color",)),
        ("motion", ("human_action",)),
        ("relation", ("spatial_relationship",)),
        ("scene", ("scene",)),
        ("style", ("appearance_style",)),
        ("camera", ("temporal_style",)),
    ],
)
def test_a_wrong_caption_lowers_its_own_measure_in_every_clip(judge, clips, scenes, clean, what, measures):
    rows = slice(CLIPS // 2, None)  # two sprites: every measure is defined
    table = metrics.measure(judge, clips[rows], [wrong(s, what).caption for s in scenes[rows]])
    before = clean[rows].reset_index(drop=True)
    for name in (*measures, "overall_consistency"):
        assert (table[name] < before[name]).all(), name
    for name in measures:
        assert before[name].mean() - table[name].mean() > 0.5, name
    untouched = set(metrics.DIMENSIONS) - {*measures, "overall_consistency", "spatial_relationship"}
    pd.testing.assert_frame_equal(table[sorted(untouched)], before[sorted(untouched)], atol=1e-5)


def test_overall_consistency_falls_with_every_further_wrong_fact(judge, clips, scenes, clean):
    told, scores = list(scenes), [clean["overall_consistency"].mean()]
    _, features = judge.features(clips[:, :: metrics.FRAME_STEP])
    p = {k: v.numpy() for k, v in judge.probabilities(features).items()}
    for what in ("color", "scene", "style", "camera", "motion", "shape"):
        told = [wrong(s, what) for s in told]
        rows = [metrics.semantic_scores(p, i, s.caption) for i, s in enumerate(told)]
        scores.append(np.mean([r["overall_consistency"] for r in rows]))
    assert (np.diff(scores) < 0).all() and scores[0] > 0.9 and scores[-1] < 0.05


# Numbers by hand.


def test_semantic_scores_by_hand():
    p = {k: np.full((1, len(SHAPES), n), 1 / n) for k, n in SLOT_HEADS.items()}
    p |= {k: np.full((1, n), 1 / n) for k, n in CLIP_HEADS.items()}
    p["presence"][0, :, 0] = [0.9, 0.5, 0.1, 0.8]
    p["relation"][0] = [0.1, 0.2, 0.3, 0.15, 0.25]
    caption = (
        "a small red star left of a large blue circle over dots, the star spins and the circle orbits, "
        "flat style, still camera"
    )
    got = metrics.semantic_scores(p, 0, caption)
    # The circle comes first in SHAPES, so the judge is asked for "circle right of star".
    assert RELATIONS[parse_caption(caption).attributes["relation"]] == "right of"
    told = [0.8, 1 / 6, 1 / 2, 1 / 8, 0.9, 1 / 6, 1 / 2, 1 / 8, 0.2, 1 / 5, 1 / 3, 1 / 3]
    expected = {
        "object_class": 0.8,
        "multiple_objects": 0.72,
        "human_action": 1 / 8,
        "color": 0.8 / 6,
        "spatial_relationship": 0.2,
        "scene": 1 / 5,
        "appearance_style": 1 / 3,
        "temporal_style": 1 / 3,
        "overall_consistency": np.prod(told) ** (1 / 12),
    }
    assert got == pytest.approx(expected)
    alone = metrics.semantic_scores(p, 0, "a small red star over dots")
    undefined = {k for k, v in alone.items() if np.isnan(v)}
    assert undefined == {"multiple_objects", "spatial_relationship", "appearance_style", "temporal_style"}


def test_aggregates_by_hand():
    row = dict(zip(metrics.TEMPORAL, (0.9, 0.8, 1.0, 0.7, 0.6), strict=True))
    row |= {"aesthetic_quality": 0.5, "imaging_quality": 0.7}
    row |= dict(zip(metrics.SEMANTIC, (0.9, 0.1, 0.8, 0.7, 0.2, 0.6, 0.5, 0.2, 0.45), strict=True))
    single = row | {"multiple_objects": np.nan, "spatial_relationship": np.nan}
    got = metrics.aggregate(pd.DataFrame([row, single]))
    quality = (0.9 + 0.8 + 1.0 + 0.7 + 0.5 * 0.6 + 0.5 + 0.7) / 6.5
    for i, (text, semantic) in enumerate([(4.0 / 8, 4.45 / 9), (3.7 / 6, 4.15 / 7)]):
        expected = {
            "temporal": 0.8,
            "frame": 0.6,
            "text": text,
            "quality": quality,
            "semantic": semantic,
            "total": (4 * quality + semantic) / 5,
        }
        assert got.loc[i, list(metrics.AGGREGATES)].to_dict() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["dynamic_degree", "imaging_quality"])
def test_a_missing_quality_measure_is_not_averaged_away(name):
    scores = pd.DataFrame([dict.fromkeys(metrics.DIMENSIONS, 0.5) | {name: np.nan}])
    got = metrics.aggregate(scores).loc[0]
    assert np.isnan(got["quality"]) and np.isnan(got["total"])
    assert np.isnan(got["temporal" if name == "dynamic_degree" else "frame"]) and got["text"] == 0.5


def test_frechet_distance_of_known_gaussians():
    """|m|² + Σ(√λ_a − √λ_b)² for covariances with common axes, turned away from the coordinates'."""
    draw = np.random.default_rng(0)
    axes = np.linalg.qr(draw.normal(size=(3, 3)))[0]
    a_std, b_std, shift = np.array([1.0, 2.0, 0.5]), np.array([2.0, 2.0, 1.0]), np.array([1.0, -1.0, 0.5])
    a = draw.normal(size=(40_000, 3)) * a_std @ axes.T
    b = draw.normal(size=(40_000, 3)) * b_std @ axes.T + shift
    expected = (shift**2).sum() + ((a_std - b_std) ** 2).sum()
    assert metrics.frechet(a, b) == pytest.approx(expected, rel=0.03)
    assert metrics.frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert metrics.frechet(a, b) == pytest.approx(metrics.frechet(b, a))


def test_kernel_distance_of_known_gaussians():
    """For (xy + 1)³ in one dimension: Δμ₃² + 3Δμ₂² + 3Δμ₁², with the raw moments of N(1, 1) and N(0, 1)."""
    draw = np.random.default_rng(1)
    a, b = draw.normal(1, 1, (2000, 1)), draw.normal(0, 1, (2000, 1))
    assert metrics.kernel_distance(a, b) == pytest.approx(4**2 + 3 * 1**2 + 3 * 1**2, rel=0.1)
    # Features are standardised by the reference: units and offsets do not matter.
    assert metrics.kernel_distance(5 * a - 7, 5 * b - 7) == pytest.approx(metrics.kernel_distance(a, b), rel=1e-3)


def test_kernel_distance_of_few_clips_is_unbiased():
    """The mean over many small samples is zero where nothing differs; with the diagonal it would not be."""
    draw = np.random.default_rng(2)
    reference = draw.normal(size=(600, 4))
    small = [draw.normal(size=(16, 4)) for _ in range(150)]
    values = np.array([metrics.kernel_distance(x, reference) for x in small])
    error = values.std() / np.sqrt(len(values))
    # The reference's own deviation, common to all, stays far below the bias of the biased estimate.
    diagonal = np.mean([(((x**2).sum(1) / 4 + 1) ** 3).mean() for x in small]) / 16
    assert abs(values.mean()) < 3 * error + 0.1 * diagonal and diagonal > 10 * error


def test_clips_of_one_prompt_by_two_students_do_not_look_like_a_narrow_set():
    """Students that agree: together as far from real as each of them, also in a resample without one of them."""
    draw = np.random.default_rng(5)
    a, b = draw.normal(size=(40, 4)), draw.normal(size=(400, 4))
    both, seeds = np.concatenate([a, a + 0.01 * draw.normal(size=a.shape)]), np.repeat([0, 1], 40)
    each = [metrics.kernel_distance(both[seeds == s], b) for s in (0, 1)]
    mean = metrics.SeedMean(metrics.KernelDistance, both, b, seeds)
    assert mean() == pytest.approx(np.mean(each))
    assert metrics.kernel_distance(both, b) > np.mean(each) + 0.05
    flat = np.ones((1, 40))
    assert mean.draws(flat, np.array([[0, 0]]))[0] == pytest.approx(mean())


@pytest.mark.parametrize("by_seed", [0.0, 0.3])
def test_draws_of_a_distance_spread_as_fresh_students_and_prompts_do(by_seed):
    """Three seeds, the same 64 prompts: a seed that is not drawn must not leave half of its terms behind."""
    draw = np.random.default_rng(6)
    real, seeds, fresh, told = draw.normal(size=(400, 4)), np.repeat([0, 1, 2], 64), [], []
    for _ in range(60):
        prompts = np.tile(draw.normal(size=(64, 4)), (3, 1))
        clips = 0.7 + prompts + by_seed * np.repeat(draw.normal(size=(3, 4)), 64, axis=0)
        mean = metrics.SeedMean(metrics.KernelDistance, clips + 0.3 * draw.normal(size=clips.shape), real, seeds)
        fresh.append(mean())
        told.append(mean.draws(*mean.resamples(200, draw)).std())
    assert np.median(told) == pytest.approx(np.std(fresh), rel=0.3)


@pytest.mark.parametrize("distance", [metrics.frechet, metrics.kernel_distance])
def test_distances_grow_with_the_shift_and_ignore_the_order(distance):
    draw = np.random.default_rng(3)
    a, b = draw.normal(size=(2, 400, 6))
    values = [distance(a + shift, b) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert (np.diff(values) > 0).all()
    assert distance(a[::-1], draw.permutation(b)) == pytest.approx(values[0])


@pytest.mark.parametrize("speed", [0.5, 1.0])
def test_motion_amplitude_is_the_mean_speed(speed):
    """In heights a flow step of two frames; the flow finds most of it, and twice as much for twice the speed."""
    true = metrics.FLOW_STRIDE * speed / 64
    assert metrics.flow_speeds(sliding(speed)).mean() == pytest.approx(true, rel=0.15)


def test_saturation_is_that_of_hsv():
    colors = [(255, 0, 0), (200, 100, 150), (90, 90, 90), (0, 0, 0)]
    clips = torch.tensor(colors, dtype=torch.uint8)[:, None, :, None, None].expand(-1, 2, -1, 4, 4)
    torch.testing.assert_close(metrics.saturation(clips), torch.tensor([1.0, 0.5, 0.0, 0.0]))
