"""Wrong captions: as many errors as asked for, nested, and each of them false of the clip."""

import numpy as np
import pytest

from repro.world.mistell import mistell
from repro.world.scene import MOTIONS, parse_caption, sample

SCENES = [sample(3, i) for i in range(60)]


def told(scene, severity):
    return mistell(scene, severity, np.random.default_rng([0, 1]))


def differing(scene, other) -> set:
    pairs = zip(scene.sprites, other.sprites, strict=True)
    names = ("shape", "color", "size", "motion")
    facts = {(i, n) for i, (a, b) in enumerate(pairs) for n in names if getattr(a, n) != getattr(b, n)}
    return facts | {n for n in ("relation", "scene", "style", "camera") if getattr(scene, n) != getattr(other, n)}


@pytest.mark.parametrize("severity", [0.0, 0.25, 0.5, 1.0])
def test_a_share_of_the_facts_is_wrong(severity):
    for scene in SCENES:
        facts = 4 * len(scene.sprites) + 3 + (scene.relation is not None)
        assert len(differing(scene, told(scene, severity))) == round(severity * facts)


def test_a_worse_caption_repeats_every_error():
    for scene in SCENES:
        mild, severe = told(scene, 0.25), told(scene, 0.75)
        assert differing(scene, mild) < differing(scene, severe)
        assert differing(scene, mild).isdisjoint(differing(mild, severe))


def test_all_of_the_worst_caption_is_false():
    for scene in SCENES:
        wrong = told(scene, 1.0)
        assert {s.shape for s in wrong.sprites}.isdisjoint({s.shape for s in scene.sprites})
        assert MOTIONS.index("spins") not in {s.motion for s in wrong.sprites}
        truth, claim = scene.attributes["relation"], parse_caption(wrong.caption).attributes["relation"]
        # Along the other axis, whichever sprite comes first.
        assert truth is None or (truth < 2) != (claim < 2)
