"""Pictures of the gallery: animations that can be stopped, and strips of frames of every run for the same prompts."""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from repro.errors import ReproError

GAP = 2
"""Pixels between the frames of a strip."""


@dataclass(frozen=True)
class Animation:
    """A GIF of several systems side by side, and its first page as a still."""

    gif: Path
    still: bytes
    caption: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Strip:
    """Frames of one clip in a row."""

    run_id: str
    name: str
    png: bytes
    size: tuple[int, int]


def animations(folder: Path) -> tuple[str, list[Animation]]:
    """Title and animations of a folder that `repro.evaluation.videos` wrote; nothing where there is none."""
    listing = folder / "README.md"
    if not listing.is_file():
        return "", []
    text = listing.read_text()
    found = []
    for caption, name in re.findall(r"!\[(.+?)\]\((.+?\.gif)\)", text):
        gif = folder / name
        if not gif.is_file():
            raise ReproError(f"{listing} names {name}, which is missing: make it again with the rule `videos`")
        with Image.open(gif) as image:
            still = _png(image.convert("RGB"))
            found.append(Animation(gif, still, caption, image.size))
    return text.splitlines()[0].strip("# "), found


def strips(runs: Path) -> dict[str, list[Strip]]:
    """Caption → a strip for every run whose `frames.npz` has that prompt."""
    found: dict[str, list[Strip]] = {}
    for path in sorted(runs.glob("*/frames.npz")):
        with np.load(path) as saved:
            for number, (caption, frames) in enumerate(zip(saved["captions"], saved["frames"], strict=True)):
                count, height, width, _ = frames.shape
                sheet = Image.new("RGB", (count * (width + GAP) - GAP, height), "white")
                for i, frame in enumerate(frames):
                    sheet.paste(Image.fromarray(frame), (i * (width + GAP), 0))
                run = path.parent.name
                found.setdefault(str(caption), []).append(Strip(run, f"{run}-{number}.png", _png(sheet), sheet.size))
    return found


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
