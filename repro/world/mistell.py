"""The corruption of words: scenes whose caption tells a share of the facts wrongly."""

from dataclasses import replace

import numpy as np

from repro.world.scene import CAMERAS, COLORS, SCENES, SHAPES, STYLES, Scene, motions_allowed

SPRITE_FACTS = ("shape", "color", "size", "motion")
LOOKS = {"scene": len(SCENES), "style": len(STYLES), "camera": len(CAMERAS)}


def _other(value: int, options, rng: np.random.Generator) -> int:
    return int(rng.choice([o for o in options if o != value]))


def mistell(scene: Scene, severity: float, rng: np.random.Generator) -> Scene:
    """The scene with a share `severity` of its facts, drawn at random, replaced by what is not seen.

    The same `rng` state draws the same facts in the same order: a worse caption repeats every error of a
    better one. Wrong shapes are absent from the clip; a wrong relation lies along the other axis, so
    that no wrong shape turns it into the truth.
    """
    absent = rng.permutation([k for k in range(len(SHAPES)) if k not in {s.shape for s in scene.sprites}])
    wrong: dict[tuple[int | None, str], int] = {}
    for i, sprite in enumerate(scene.sprites):
        wrong[i, "shape"] = int(absent[i])
        wrong[i, "color"] = _other(sprite.color, range(len(COLORS)), rng)
        wrong[i, "size"] = 1 - sprite.size
        # A spin is never told: were the sprite told to be a circle, nobody could see it.
        wrong[i, "motion"] = _other(sprite.motion, motions_allowed(SHAPES.index("circle"), stacked=False), rng)
    wrong |= {(None, name): _other(getattr(scene, name), range(n), rng) for name, n in LOOKS.items()}
    if scene.relation is not None:
        wrong[None, "relation"] = scene.relation ^ 2
    facts = list(wrong)
    told = [facts[k] for k in rng.permutation(len(facts))[: round(severity * len(facts))]]
    sprites = tuple(
        replace(sprite, **{name: wrong[i, name] for name in SPRITE_FACTS if (i, name) in told})
        for i, sprite in enumerate(scene.sprites)
    )
    return replace(scene, sprites=sprites, **{name: wrong[w, name] for w, name in told if w is None})
