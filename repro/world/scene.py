"""The sprite world's grammar: scenes drawn from (seed, index), their captions, and back.

All lengths are fractions of the video's height, all times fractions of the clip, so that one scene
can be rendered at any geometry.
"""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from repro.errors import ReproError

SHAPES = ("circle", "square", "triangle", "star")
COLORS = ("red", "green", "blue", "yellow", "purple", "white")
SIZES = ("small", "large")
MOTIONS = ("moves left", "moves right", "moves up", "moves down", "orbits", "bounces", "spins", "stays still")
RELATIONS = ("left of", "right of", "above", "below")
SCENES = ("stripes", "checks", "dots", "waves", "clouds")
STYLES = ("flat", "outlined", "striped")
CAMERAS = ("still camera", "panning camera", "zooming camera")

RADII = (12 / 64, 17 / 64)
"""A small and a large sprite: each spans several tokens of the mini profile."""

SPLITS = {"train": 1, "heldout": 2, "prompts": 3}
TWO_SPRITES = 0.35


@dataclass(frozen=True)
class Sprite:
    """Attributes as indices into the tuples above, and the drawn particulars that no caption tells."""

    shape: int
    color: int
    size: int
    motion: int
    particulars: tuple[float, ...] = (0.5,) * 5
    """Uniform numbers: place across, place along, extent, rate, phase."""


@dataclass(frozen=True)
class Scene:
    sprites: tuple[Sprite, ...]
    relation: int | None
    """Index into RELATIONS of the first sprite with respect to the second; None for one sprite."""
    scene: int | None
    style: int | None
    camera: int | None
    template: int = 0
    background: tuple[float, ...] = (0.5,) * 24
    """Uniform numbers for palette, phase, scale and camera speed."""

    @cached_property
    def caption(self) -> str:
        return caption(self)

    @property
    def attributes(self) -> dict:
        """Caption-level truth: slots by shape, and scene-wide attributes (None where not told)."""
        slots = {s.shape: {"color": s.color, "size": s.size, "motion": s.motion} for s in self.sprites}
        return {
            "slots": slots,
            "relation": canonical_relation(self),
            "scene": self.scene,
            "style": self.style,
            "camera": self.camera,
        }


def canonical_relation(scene: Scene) -> int | None:
    """Relation of the sprite whose shape comes first in SHAPES with respect to the other."""
    if scene.relation is None:
        return None
    first, second = scene.sprites
    return scene.relation if first.shape < second.shape else scene.relation ^ 1


def motions_allowed(shape: int, stacked: bool) -> list[int]:
    """A circle's spin cannot be seen, and stacked sprites have no room to move up and down."""
    allowed = []
    for index, name in enumerate(MOTIONS):
        if name == "spins" and SHAPES[shape] == "circle":
            continue
        if stacked and name in ("moves up", "moves down", "orbits", "bounces"):
            continue
        allowed.append(index)
    return allowed


def sample(seed: int, index: int) -> Scene:
    """The scene at `index` of the stream `seed`; the same on every machine."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, index])))
    count = 2 if rng.random() < TWO_SPRITES else 1
    shapes = rng.permutation(len(SHAPES))[:count]
    colors = rng.permutation(len(COLORS))[:count]
    relation = int(rng.integers(len(RELATIONS))) if count == 2 else None
    stacked = relation is not None and relation >= 2
    sprites = []
    for shape, color in zip(shapes.tolist(), colors.tolist(), strict=True):
        size = 0 if stacked else int(rng.integers(len(SIZES)))
        motion = int(rng.choice(motions_allowed(shape, stacked)))
        sprites.append(Sprite(shape, color, size, motion, tuple(rng.random(5).tolist())))
    return Scene(
        tuple(sprites),
        relation,
        int(rng.integers(len(SCENES))),
        int(rng.integers(len(STYLES))),
        int(rng.integers(len(CAMERAS))),
        int(rng.integers(2)),
        tuple(rng.random(24).tolist()),
    )


def split(name: str, profile) -> tuple[int, int]:
    """(seed, clips) of a split; splits never share a seed."""
    if name not in SPLITS:
        raise ReproError(f"no split {name!r}: choose one of {', '.join(SPLITS)}")
    world = profile.world
    return SPLITS[name], world.train_clips if name == "train" else world.heldout_clips


def _noun(sprite: Sprite) -> str:
    return f"a {SIZES[sprite.size]} {COLORS[sprite.color]} {SHAPES[sprite.shape]}"


def caption(scene: Scene) -> str:
    """One of two orders of the same facts."""
    first = scene.sprites[0]
    over = f" over {SCENES[scene.scene]}"
    if len(scene.sprites) == 1:
        body = f"{_noun(first)} {MOTIONS[first.motion]}{over}"
    else:
        second = scene.sprites[1]
        body = (
            f"{_noun(first)} {RELATIONS[scene.relation]} {_noun(second)}{over}, "
            f"the {SHAPES[first.shape]} {MOTIONS[first.motion]} and the {SHAPES[second.shape]} {MOTIONS[second.motion]}"
        )
    look = f"{STYLES[scene.style]} style, {CAMERAS[scene.camera]}"
    return f"{body}, {look}" if scene.template == 0 else f"{look}: {body}"


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def vocabulary() -> list[str]:
    """Every word that a caption may use."""
    phrases = (
        *SHAPES,
        *COLORS,
        *SIZES,
        *MOTIONS,
        *RELATIONS,
        *SCENES,
        *STYLES,
        *CAMERAS,
        "a over the and style",
    )
    return sorted({w for phrase in phrases for w in words(phrase)})


def _one_of(options: tuple[str, ...]) -> str:
    return "(" + "|".join(options) + ")"


_NOUN = re.compile(rf"\ba {_one_of(SIZES)} {_one_of(COLORS)} {_one_of(SHAPES)}\b")
_MOTION = re.compile(rf"\b{_one_of(SHAPES)} {_one_of(MOTIONS)}\b")


def parse_caption(text: str) -> Scene:
    """Read a caption back; what it leaves out is None (a motion left out stays still).

    Raises ReproError for a caption outside the grammar.
    """
    plain = " ".join(words(text))
    unknown = sorted(set(words(text)) - set(vocabulary()))
    if unknown:
        raise ReproError(f"caption {text!r}: the sprite world has no word {unknown[0]!r}")
    nouns = _NOUN.findall(plain)
    if not 1 <= len(nouns) <= 2:
        raise ReproError(f"caption {text!r} names {len(nouns)} sprites; write one or two as 'a small red star'")
    if len({shape for _, _, shape in nouns}) < len(nouns):
        raise ReproError(f"caption {text!r}: two sprites need two shapes ({', '.join(SHAPES)})")
    motions = dict(_MOTION.findall(plain))
    sprites = tuple(
        Sprite(
            SHAPES.index(shape),
            COLORS.index(color),
            SIZES.index(size),
            MOTIONS.index(motions.get(shape, "stays still")),
        )
        for size, color, shape in nouns
    )

    def find(options: tuple[str, ...], pattern: str) -> int | None:
        match = re.search(pattern.format(_one_of(options)), plain)
        return options.index(match.group(1)) if match else None

    relation = find(RELATIONS, r"\b{} a (?:small|large)\b")
    if (relation is None) != (len(sprites) == 1):
        raise ReproError(f"caption {text!r}: two sprites need a relation ({', '.join(RELATIONS)}), one has none")
    return Scene(
        sprites,
        relation,
        find(SCENES, r"\bover {}\b"),
        find(STYLES, r"\b{} style\b"),
        find(CAMERAS, r"\b{}\b"),
    )
