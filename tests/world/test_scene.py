"""The grammar: scenes from (seed, index), captions and back, splits."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from repro.config import load_profile
from repro.errors import ReproError
from repro.world import scene as grammar
from repro.world.render import _region, trajectory
from repro.world.scene import MOTIONS, RADII, RELATIONS, SHAPES, Sprite, parse_caption, sample

MANY = [sample(seed, i) for seed in (1, 2, 3) for i in range(1000)]
ASPECTS = (112 / 64, 48 / 32)
TIMES = np.linspace(0, 1, 81)


def told(scene):
    """What a caption tells: everything but the particulars, the background's numbers and the template."""
    sprites = tuple(replace(s, particulars=Sprite.particulars) for s in scene.sprites)
    return replace(scene, sprites=sprites, background=grammar.Scene.background, template=0)


def test_a_scene_follows_from_seed_and_index():
    assert [sample(1, i) for i in range(20)] == MANY[:20]
    assert sample(1, 7) != sample(1, 8) and sample(1, 7) != sample(2, 7)


def test_the_stream_does_not_change_from_release_to_release():
    """The shipped checkpoints have seen this stream; another one would leak or spoil their held-out clips."""
    assert sample(2, 0).caption == "outlined style, still camera: a small purple star spins over dots"
    assert sample(2, 0).background[0] == pytest.approx(0.06945365239996537, abs=1e-12)


def test_captions_parse_back_to_their_scene():
    for scene in MANY:
        assert parse_caption(scene.caption) == told(scene), scene.caption


def test_both_templates_say_the_same():
    for scene in MANY[:200]:
        a, b = (replace(scene, template=t).caption for t in (0, 1))
        assert a != b and parse_caption(a) == parse_caption(b)


def test_different_facts_have_different_captions():
    by_caption = {}
    for scene in MANY:
        by_caption.setdefault(scene.caption, set()).add(replace(told(scene), template=scene.template))
    assert max(len(facts) for facts in by_caption.values()) == 1 and len(by_caption) > 2000


def test_every_caption_uses_the_vocabulary_and_fits_every_profile():
    used = {w for s in MANY for w in grammar.words(s.caption)}
    assert used == set(grammar.vocabulary())
    longest = max(len(grammar.words(s.caption)) for s in MANY)
    assert all(longest < load_profile(name).dit.text_tokens for name in ("smoke", "mini"))


def test_every_attribute_is_drawn_about_as_often():
    for name, options in (("scene", grammar.SCENES), ("style", grammar.STYLES), ("camera", grammar.CAMERAS)):
        counts = Counter(getattr(s, name) for s in MANY)
        assert all(abs(counts[k] * len(options) / len(MANY) - 1) < 0.15 for k in range(len(options))), name
    sprites = [s for scene in MANY for s in scene.sprites]
    for name, options in (("shape", SHAPES), ("color", grammar.COLORS)):
        counts = Counter(getattr(s, name) for s in sprites)
        assert all(abs(counts[k] * len(options) / len(sprites) - 1) < 0.15 for k in range(len(options))), name
    assert Counter(s.motion for s in sprites).keys() == set(range(len(MOTIONS)))
    assert abs(np.mean([len(s.sprites) == 2 for s in MANY]) - grammar.TWO_SPRITES) < 0.03


def test_no_scene_holds_what_cannot_be_seen():
    for scene in MANY:
        names = [MOTIONS[s.motion] for s in scene.sprites]
        assert all(
            not (n == "spins" and SHAPES[s.shape] == "circle") for n, s in zip(names, scene.sprites, strict=True)
        )
        assert len({s.shape for s in scene.sprites}) == len({s.color for s in scene.sprites}) == len(names)
        if scene.relation is not None and RELATIONS[scene.relation] in ("above", "below"):
            assert not {"moves up", "moves down", "orbits", "bounces"} & set(names)
            assert all(s.size == 0 for s in scene.sprites)


@pytest.mark.parametrize("aspect", ASPECTS)
def test_sprites_stay_in_the_frame_and_keep_their_relation(aspect):
    for scene in MANY:
        paths = [trajectory(s, _region(scene, i, aspect), TIMES)[:, :2] for i, s in enumerate(scene.sprites)]
        for sprite, path in zip(scene.sprites, paths, strict=True):
            radius = RADII[sprite.size]
            assert path.min() >= radius - 1e-9
            assert path[:, 0].max() <= aspect - radius + 1e-9 and path[:, 1].max() <= 1 - radius + 1e-9
        if scene.relation is not None:
            name = RELATIONS[scene.relation]
            axis = 0 if name in ("left of", "right of") else 1
            gap = paths[1][:, axis] - paths[0][:, axis]
            assert (gap > 0).all() if name in ("left of", "above") else (gap < 0).all()


def test_the_canonical_relation_does_not_depend_on_the_order_of_telling():
    for scene in MANY:
        if scene.relation is None:
            assert grammar.canonical_relation(scene) is None
            continue
        swapped = replace(scene, sprites=scene.sprites[::-1], relation=scene.relation ^ 1)
        assert swapped.attributes == scene.attributes
        first = min(scene.sprites, key=lambda s: s.shape)
        expected = scene.relation if first is scene.sprites[0] else scene.relation ^ 1
        assert scene.attributes["relation"] == expected
    opposites = {RELATIONS[k]: RELATIONS[k ^ 1] for k in range(4)}
    assert opposites == {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def test_splits_share_no_scene():
    profile = load_profile("mini")
    scenes = {}
    for name in grammar.SPLITS:
        seed, count = grammar.split(name, profile)
        assert count == (profile.world.train_clips if name == "train" else profile.world.heldout_clips)
        scenes[name] = {sample(seed, i) for i in range(2000)}
        assert len(scenes[name]) == 2000
    assert not scenes["train"] & scenes["heldout"] and not scenes["heldout"] & scenes["prompts"]
    assert not scenes["train"] & scenes["prompts"]


def test_an_unknown_split_is_named():
    with pytest.raises(ReproError, match="no split 'test': choose one of train, heldout, prompts"):
        grammar.split("test", load_profile("smoke"))


@pytest.mark.parametrize(
    ("caption", "says"),
    [
        ("a small red hexagon over dots", "no word 'hexagon'"),
        ("a red star over dots", "names 0 sprites"),
        ("a small red star left of a large blue circle above a small green square", "names 3 sprites"),
        ("a small red star and a large blue circle", "two sprites need a relation"),
        ("a small red star left of a large blue star over dots", "two sprites need two shapes"),
    ],
)
def test_captions_outside_the_grammar_are_named(caption, says):
    with pytest.raises(ReproError, match=says):
        parse_caption(caption)


def test_what_a_caption_leaves_out_is_none():
    scene = parse_caption("a large white triangle")
    assert (scene.scene, scene.style, scene.camera, scene.relation) == (None,) * 4
    assert MOTIONS[scene.sprites[0].motion] == "stays still"
