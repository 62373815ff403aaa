"""Pixels: determinism, batches, and every captioned attribute visible as it is named."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from repro.config import load_profile
from repro.geometry import Geometry
from repro.world import render as drawing
from repro.world.render import PALETTE, render
from repro.world.scene import (
    CAMERAS,
    COLORS,
    MOTIONS,
    RELATIONS,
    SCENES,
    SHAPES,
    SIZES,
    STYLES,
    Scene,
    Sprite,
    sample,
)

MINI = load_profile("mini").geometry
SHORT = Geometry(frames=21, height=64, width=112)
STILL_CAMERA = CAMERAS.index("still camera")
SCENE_LIST = [sample(2, i) for i in range(12)]


def sprite(shape="star", color="red", size="large", motion="stays still", **kwargs) -> Sprite:
    return Sprite(SHAPES.index(shape), COLORS.index(color), SIZES.index(size), MOTIONS.index(motion), **kwargs)


def scene(*sprites, relation=None, ground="clouds", style="flat", camera="still camera", **kwargs) -> Scene:
    relation = None if relation is None else RELATIONS.index(relation)
    ground, style, camera = SCENES.index(ground), STYLES.index(style), CAMERAS.index(camera)
    return Scene(sprites, relation, ground, style, camera, **kwargs)


def bare(s: Scene) -> Scene:
    return replace(s, sprites=(), relation=None)


def mask(s: Scene, geometry=SHORT) -> torch.Tensor:
    """Where the sprites are, [t, H, W]: what differs from the same background without them."""
    clip, background = render([s, bare(s)], geometry).int()
    return ((clip - background).abs().sum(1) > 60).float()


def centroid(s: Scene) -> np.ndarray:
    """x and y of the sprites' pixels in each frame, [t, 2]."""
    m = mask(s)
    count = m.sum((1, 2))
    assert count.min() > 50
    y, x = torch.meshgrid(torch.arange(m.shape[1]), torch.arange(m.shape[2]), indexing="ij")
    return torch.stack([(m * v).sum((1, 2)) / count for v in (x, y)], 1).numpy()


def difference(a: Scene, b: Scene) -> float:
    """Share of pixels that differ visibly, in the frame where most do."""
    x, y = render([a, b], SHORT).int()
    return ((x - y).abs().amax(1) > 25).float().mean((1, 2)).max().item()


def test_shape_type_and_range():
    video = render(SCENE_LIST[:2], MINI)
    assert video.shape == (2, 81, 3, 64, 112) and video.dtype == torch.uint8
    assert video.amin() < 40 and video.amax() > 200


def test_a_clip_is_the_same_each_time_alone_or_in_company():
    together = render(SCENE_LIST, SHORT)
    assert torch.equal(together, render([sample(2, i) for i in range(12)], SHORT))
    for i in (0, 5, 11):
        assert torch.equal(together[i : i + 1], render(SCENE_LIST[i : i + 1], SHORT))
    assert torch.equal(together.flip(0), render(SCENE_LIST[::-1], SHORT))
    assert len({clip.numpy().tobytes() for clip in together}) == 12


def test_the_gpus_batches_draw_the_same_clips():
    """On a GPU clips are drawn in batches; sums in another order may move a value across a rounding edge."""
    batched = drawing._render_batch(SCENE_LIST, SHORT, "cpu").int()
    assert (batched - render(SCENE_LIST, SHORT)).abs().max() <= 1


def test_fewer_frames_are_the_same_clip_seen_less_often():
    every = render(SCENE_LIST[:3], MINI)[:, ::4].int()
    assert (every - render(SCENE_LIST[:3], SHORT)).abs().max() <= 1


def test_resolution_changes_the_sampling_not_the_scene():
    large = Geometry(frames=9, height=128, width=224)
    small = Geometry(frames=9, height=64, width=112)
    halved = torch.nn.functional.avg_pool2d(render(SCENE_LIST[:4], large).float().flatten(0, 1), 2)
    assert (halved - render(SCENE_LIST[:4], small).flatten(0, 1)).abs().mean() < 2.5


BASE = scene(sprite(), ground="dots")
PAIR = scene(sprite(size="small"), sprite("circle", "blue", "small"), relation="left of")
VARIANTS = {
    "shape": [replace(BASE, sprites=(sprite(n),)) for n in SHAPES],
    "color": [replace(BASE, sprites=(sprite(color=n),)) for n in COLORS],
    "size": [replace(BASE, sprites=(sprite(size=n),)) for n in SIZES],
    "motion": [replace(BASE, sprites=(sprite(motion=n),)) for n in MOTIONS],
    "relation": [replace(PAIR, relation=k) for k in range(len(RELATIONS))],
    "scene": [replace(BASE, scene=k) for k in range(len(SCENES))],
    "style": [replace(BASE, style=k) for k in range(len(STYLES))],
    "camera": [replace(BASE, camera=k) for k in range(len(CAMERAS))],
}


@pytest.mark.parametrize("attribute", VARIANTS)
def test_every_two_values_of_an_attribute_look_different(attribute):
    for a, b in combinations(VARIANTS[attribute], 2):
        assert difference(a, b) > 0.01


@pytest.mark.parametrize(
    ("motion", "axis", "sign"),
    [("moves left", 0, -1), ("moves right", 0, 1), ("moves up", 1, -1), ("moves down", 1, 1)],
)
@pytest.mark.parametrize("size", SIZES)
def test_straight_motion_goes_where_it_says(motion, axis, sign, size):
    for particulars in ((0.5,) * 5, (0.1, 0.9, 0.0, 0.9, 0.2), (0.9, 0.1, 1.0, 0.1, 0.8)):
        path = centroid(scene(sprite("square", "white", size, motion, particulars=particulars)))
        steps = np.diff(path, axis=0)
        assert (steps[:, axis] * sign > 0).all() and (path[-1] - path[0])[axis] * sign > 8
        assert np.abs(steps[:, 1 - axis]).max() < 0.2


def test_a_bounce_rises_and_falls_on_one_spot():
    path = centroid(scene(sprite("circle", "white", "small", "bounces")))
    assert np.ptp(path[:, 0]) < 0.5 and np.ptp(path[:, 1]) > 15
    turns = np.diff(np.sign(np.diff(path[:, 1])))
    assert (turns != 0).sum() >= 4


@pytest.mark.parametrize("phase", [0.2, 0.8])
def test_an_orbit_goes_round_more_than_once(phase):
    path = centroid(scene(sprite("circle", "white", "small", "orbits", particulars=(0.5,) * 4 + (phase,))))
    arm = path - (path.max(0) + path.min(0)) / 2
    radius = np.hypot(*arm.T)
    assert radius.min() > 0.85 * radius.max() > 4
    turned = np.unwrap(np.arctan2(arm[:, 1], arm[:, 0]))
    assert abs(turned[-1] - turned[0]) > 2 * np.pi * 1.3
    # y points down, so a growing angle turns clockwise.
    assert (np.diff(turned) > 0).all() if phase < 0.5 else (np.diff(turned) < 0).all()


def test_a_spin_turns_on_the_spot_and_stillness_is_still():
    spinning, still = (scene(sprite("triangle", "white", motion=m)) for m in ("spins", "stays still"))
    assert np.ptp(centroid(spinning), axis=0).max() < 1.5
    changed = (mask(spinning) != mask(spinning)[:1]).float().mean((1, 2))
    assert changed.max() > 0.03
    clip = render([still], SHORT)[0]
    assert torch.equal(clip, clip[:1].expand_as(clip))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("color", COLORS)
def test_flat_sprites_show_their_colour(shape, color):
    s = scene(sprite(shape, color))
    inside = mask(s, SHORT)[0].bool()
    pixels = render([s], SHORT)[0, 0][:, inside].float() / 255
    shown = pixels.median(1).values
    assert (PALETTE - shown).square().sum(1).argmin() == COLORS.index(color)
    assert (PALETTE[COLORS.index(color)] - shown).abs().max() < 0.01


@pytest.mark.parametrize("shape", SHAPES)
def test_large_is_twice_small(shape):
    areas = [mask(scene(sprite(shape, "white", size)))[0].sum() for size in SIZES]
    assert areas[1] / areas[0] == pytest.approx((17 / 12) ** 2, rel=0.12)


def test_shapes_have_the_area_of_their_outline():
    """Against the polygons' closed forms, in units of the squared radius."""
    expected = {
        "circle": np.pi * 0.95**2,
        "square": (2 * 0.82) ** 2,
        "triangle": 3 * np.sqrt(3) * 0.58**2,
        "star": 5 * 0.45 * np.sin(np.pi / 5),
    }
    radius = 17 / 64 * SHORT.height
    white = 0.98 * 255
    for shape, area in expected.items():
        s = scene(sprite(shape, "white"))
        clip, background = render([s, bare(s)], SHORT)[:, 0].float()
        cover = ((clip - background) / (white - background)).mean(0).sum().item()
        assert cover / radius**2 == pytest.approx(area, rel=0.04), shape


@pytest.mark.parametrize("style", STYLES)
def test_styles_darken_what_they_should(style):
    s = scene(sprite("circle", "white", "large"), style=style)
    cover = mask(replace(s, style=STYLES.index("flat")))[0].bool()
    dark = (render([s], SHORT)[0, 0].float().mean(0) < 100)[cover].float().mean()
    low, high = {"flat": (0, 0.02), "outlined": (0.2, 0.5), "striped": (0.3, 0.7)}[style]
    assert low <= dark <= high


@pytest.mark.parametrize("name", RELATIONS)
def test_relations_hold_on_the_screen(name):
    both = scene(sprite("square", "white", "small"), sprite("circle", "yellow", "small"), relation=name, style="flat")
    frame = render([both], SHORT)[0, 0].float() / 255
    places = []
    for color in ("white", "yellow"):
        near = (frame - PALETTE[COLORS.index(color)].view(3, 1, 1)).abs().amax(0) < 0.05
        assert near.sum() > 50
        places.append(near.nonzero().float().mean(0))
    (y1, x1), (y2, x2) = places
    assert {"left of": x1 < x2, "right of": x1 > x2, "above": y1 < y2, "below": y1 > y2}[name]


def test_the_first_sprite_hides_the_second():
    crowded = scene(
        sprite("square", "white", "large", particulars=(1.0, 0.5, 0.5, 0.5, 0.5)),
        sprite("circle", "blue", "large", particulars=(0.0, 0.5, 0.5, 0.5, 0.5)),
        relation="left of",
    )
    alone = replace(crowded, sprites=crowded.sprites[:1], relation=None)
    narrow = Geometry(frames=9, height=64, width=64)  # little room, so that they overlap
    frame = render([crowded], narrow)[0, 0].float() / 255
    white = (frame - PALETTE[COLORS.index("white")].view(3, 1, 1)).abs().amax(0) < 0.05
    region = drawing._region(crowded, 0, 1.0)
    centre = drawing.trajectory(alone.sprites[0], region, np.zeros(1))[0, :2]
    y, x = ((torch.arange(64) + 0.5) / 64)[:, None], ((torch.arange(64) + 0.5) / 64)[None, :]
    half = 0.82 * 17 / 64 - 1 / 64
    square = ((x - centre[0]).abs() < half) & ((y - centre[1]).abs() < half)
    assert white[square].all()


@pytest.mark.parametrize("ground", SCENES)
def test_cameras_move_the_background_as_they_say(ground):
    numbers = tuple(np.random.default_rng(SCENES.index(ground)).random(24).tolist())
    still, pan, zoom = (render([scene(ground=ground, camera=c, background=numbers)], SHORT)[0].float() for c in CAMERAS)
    assert torch.equal(still, still[:1].expand_as(still))
    assert torch.equal(pan[0], still[0]) and torch.equal(zoom[0], still[0])
    # A pan slides: the last frame is the first moved sideways. A zoom holds the middle and moves the edges.
    side = 1 if numbers[16] < 0.5 else -1
    shift = round((0.6 + 0.5 * numbers[17]) * SHORT.height)
    a, b = (pan[-1], pan[0]) if side > 0 else (pan[0], pan[-1])
    assert (a[:, :, :-shift] - b[:, :, shift:]).abs().mean() < 6
    change = (zoom - zoom[:1]).abs().mean((0, 1))
    middle, edges = change[28:36, 50:62].mean(), change[[0, -1]].mean()
    assert edges > 3 * middle and edges > 5


def visible_change(camera: str, grounds, count: int) -> torch.Tensor:
    """Greatest mean change of a bare background against its first frame, [count] in levels."""
    geometry = Geometry(frames=9, height=32, width=48)
    scenes = [replace(bare(sample(1, i)), camera=CAMERAS.index(camera)) for i in range(6 * count)]
    scenes = [s for s in scenes if SCENES[s.scene] in grounds][:count]
    video = render(scenes, geometry).float()
    return (video - video[:, :1]).abs().mean((2, 3, 4)).amax(1)


@pytest.mark.parametrize("camera", ["panning camera", "zooming camera"])
@pytest.mark.parametrize("ground", SCENES)
def test_moving_cameras_are_seen_in_every_clip(camera, ground):
    assert visible_change(camera, [ground], 60).min() > 5
