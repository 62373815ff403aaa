"""Clips of several systems side by side, same prompt and noise, as small animations to look at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from rich.progress import track

from repro.config import Profile, Run, System
from repro.evaluation.sampling import to_uint8
from repro.evaluation.sources import clip_source
from repro.files import write_atomic, write_text
from repro.reporting.records import code_hash
from repro.training.data import split_scenes

EVERY = 3
"""Every third frame is kept: a third of the bytes, and motion still shows."""
COLORS = 64
GAP, LABEL = 4, 14
"""Pixels between clips, and above them for their names."""


def animate(clips: dict[str, np.ndarray], fps: float, path: Path) -> Path:
    """GIF of clips uint8 [frames, 3, height, width] next to each other, named above, at `fps` of the given frames."""
    names, films = list(clips), [c[::EVERY].transpose(0, 2, 3, 1) for c in clips.values()]
    frames, height, width, _ = films[0].shape
    size = (len(films) * (width + GAP) - GAP, LABEL + height)
    pages = []
    for t in range(frames):
        page = Image.new("RGB", size, "white")
        for i, film in enumerate(films):
            page.paste(Image.fromarray(film[t]), (i * (width + GAP), LABEL))
        draw = ImageDraw.Draw(page)
        for i, name in enumerate(names):
            draw.text((i * (width + GAP), 1), name, fill="black")
        pages.append(page)
    # One palette for all frames, and no dithering, which would flicker and cost bytes.
    palette = Image.fromarray(np.concatenate([np.asarray(p) for p in pages])).quantize(COLORS)
    pages = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pages]
    milliseconds = round(1000 * EVERY / fps)

    def write(temporary: Path) -> None:
        about = f"synthetic video: {', '.join(names)}; code {code_hash()}"
        pages[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=pages[1:],
            duration=milliseconds,
            loop=0,
            comment=about.encode(),
        )

    return write_atomic(path, write)


@torch.inference_mode()
def write_videos(
    profile: Profile, systems: Sequence[tuple[System, Run]], count: int, checkpoints: Path, out: Path, device
) -> None:
    """Write `<out>/<prompt>.gif` of the first held-out prompts, and `README.md` with their captions.

    Systems trained per seed show the first training seed.
    """
    scenes = split_scenes("prompts", profile, count)
    clips: dict[str, list[np.ndarray]] = {}
    for system, run in systems:
        steps = system.steps or profile.flow.teacher_steps
        seed = profile.evaluation.student_seeds[0]
        name = f"{system.source}-s{seed}" if system.trained_per_seed else system.source
        make = clip_source(profile, name, run, scenes, checkpoints, steps, device)
        batch = profile.evaluation.batch
        starts = track(range(0, count, batch), system.system)
        parts = [to_uint8(make(range(start, min(start + batch, count)))) for start in starts]
        clips[system.system] = list(np.concatenate(parts))
    lines = [f"# {', '.join(clips)}", "", "The same prompt and the same noise in every column."]
    for i, scene in enumerate(scenes):
        animate({name: film[i] for name, film in clips.items()}, profile.geometry.fps, Path(out) / f"{i:02d}.gif")
        lines += ["", f"{scene.caption}", "", f"![{scene.caption}]({i:02d}.gif)"]
    write_text(Path(out) / "README.md", "\n".join(lines) + "\n")
