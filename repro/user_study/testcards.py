"""Test cards in place of videos, to try a survey before there are any: a square that crosses a coloured ground."""

import colorsys
from pathlib import Path

import numpy as np

from repro.errors import ReproError
from repro.files import write_atomic, write_text
from repro.user_study.design import DEGRADED, Design
from repro.user_study.plan import make

WIDTH, HEIGHT, FPS = 208, 120, 8


def write(design: Design, out: Path, seconds: float = 2.0) -> int:
    """`<out>/videos/<method>/<prompt>.mp4` and `<out>/prompts.csv`, all that `survey` asks for; the number of videos.

    Raises ReproError for a folder that holds something: real videos are not replaced by cards.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise ReproError(f"{out} is not empty: choose another --out for the test cards")
    plan = make(design)
    prompts = (*design.prompt_names, *design.dynamic_names)
    pairs = {(m, p) for side in ("left", "right") for m, p in zip(plan[side], plan["prompt"], strict=True) if m}
    pairs |= {(m, p) for m in design.methods for p in plan[plan["kind"] == "check"]["prompt"]}
    cards = sorted((m, p) for m, p in pairs if m != DEGRADED)
    for method, prompt in cards:
        frames = draw(design.methods.index(method) / len(design.methods), prompts.index(prompt), round(seconds * FPS))
        write_atomic(out / "videos" / method / f"{prompt}.mp4", lambda path, frames=frames: encode(frames, path))
    lines = [f"{p},Test card: prompt {i}" for i, p in enumerate(prompts, 1)]
    write_text(out / "prompts.csv", "\n".join(["prompt,text", *lines]) + "\n")
    return len(cards)


def draw(hue: float, row: int, count: int) -> np.ndarray:
    """Frames [count, height, width, 3]: the ground's hue tells methods apart, the square's height prompts."""
    ground = np.array([255 * c for c in colorsys.hsv_to_rgb(hue, 0.5, 0.7)])
    frames = np.broadcast_to(ground, (count, HEIGHT, WIDTH, 3)).astype("uint8")
    top = 10 + row * 7 % (HEIGHT - 50)
    for i, frame in enumerate(frames):
        left = int((WIDTH - 40) * i / max(count - 1, 1))
        frame[top : top + 30, left : left + 30] = 240
    return frames


def encode(frames: np.ndarray, path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
