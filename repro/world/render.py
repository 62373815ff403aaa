"""Scenes → pixels: anti-aliased signed distances over moving textures, batched.

Legend: B clips, t video frames, H and W pixels. Lengths are fractions of the height.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from repro.geometry import Geometry
from repro.world.scene import CAMERAS, MOTIONS, RADII, RELATIONS, SCENES, SHAPES, STYLES, Scene, Sprite

PALETTE = torch.tensor(
    [
        (0.90, 0.12, 0.12),
        (0.10, 0.72, 0.22),
        (0.15, 0.30, 0.95),
        (0.98, 0.88, 0.12),
        (0.66, 0.16, 0.80),
        (0.98, 0.98, 0.98),
    ]
)
INK = 0.06
OVERLAP = 0.06
"""How far two sprites' regions reach into each other, so that they sometimes touch or hide."""
GPU_BATCH = 64


def _region(scene: Scene, which: int, aspect: float) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of the part of the frame that sprite `which` keeps to."""
    if scene.relation is None:
        return 0.0, 0.0, aspect, 1.0
    name = RELATIONS[scene.relation]
    first = (name in ("left of", "above")) == (which == 0)
    if name in ("left of", "right of"):
        middle = aspect / 2
        return (0.0, 0.0, middle + OVERLAP, 1.0) if first else (middle - OVERLAP, 0.0, aspect, 1.0)
    return (0.0, 0.0, aspect, 0.5 + OVERLAP) if first else (0.0, 0.5 - OVERLAP, aspect, 1.0)


def trajectory(sprite: Sprite, region: tuple[float, float, float, float], times: np.ndarray) -> np.ndarray:
    """Centre x, y and rotation at each time, [t, 3]; the sprite never leaves its region."""
    across, along, extent, rate, phase = sprite.particulars
    radius = RADII[sprite.size]
    left, top, right, bottom = region
    low = np.array([left + radius, top + radius])
    room = np.maximum(np.array([right - radius, bottom - radius]) - low, 0.0)
    place = np.tile(low + room * np.array([across, along]), (len(times), 1))
    angle = np.zeros(len(times))
    turn = 1 if phase < 0.5 else -1
    match MOTIONS[sprite.motion]:
        case "moves left" | "moves right" | "moves up" | "moves down" as name:
            axis = 0 if name in ("moves left", "moves right") else 1
            travel = room[axis] * (0.6 + 0.4 * extent)
            start = low[axis] + (room[axis] - travel) * rate
            forward = name in ("moves right", "moves down")
            place[:, axis] = start + travel * (times if forward else 1 - times)
        case "orbits":
            orbit = min(room.min(), 0.4) / 2 * (0.8 + 0.2 * extent)
            centre = low + orbit + (room - 2 * orbit) * np.array([across, along])
            a = 2 * math.pi * (phase * 2 + turn * (1.3 + 0.9 * rate) * times)
            place = centre + orbit * np.stack([np.cos(a), np.sin(a)], axis=1)
        case "bounces":
            hop = room[1] * (0.6 + 0.4 * extent)
            floor = low[1] + hop + (room[1] - hop) * along
            place[:, 1] = floor - hop * np.abs(np.sin(math.pi * (phase + (2.5 + 1.5 * rate) * times)))
        case "spins":
            angle = 2 * math.pi * turn * (0.7 + 0.6 * rate) * times
    return np.concatenate([place, angle[:, None]], axis=1)


def _distance(shape: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Signed distance to a shape of unit radius, negative inside; y points down."""
    rho = torch.hypot(x, y)
    if shape == "circle":
        return rho - 0.95
    sides = {"square": 4, "triangle": 3, "star": 5}[shape]
    sector = 2 * math.pi / sides
    # Zero points up for corners (star) and down for flat sides (triangle); a square stands on its side.
    turn = math.pi / 2 if shape != "triangle" else -math.pi / 2
    theta = torch.atan2(y, x) + turn
    folded = theta - sector * torch.round(theta / sector)
    if shape == "star":
        inner = 0.45
        px, py = rho * torch.cos(folded), rho * torch.sin(folded.abs())
        ex, ey = inner * math.cos(sector / 2) - 1.0, inner * math.sin(sector / 2)
        length = math.hypot(ex, ey)
        return ((px - 1.0) * ey - py * ex) / length
    inradius = {"square": 0.82, "triangle": 0.58}[shape]
    return rho * torch.cos(folded) - inradius


def _soft(value: torch.Tensor, sharpness: float) -> torch.Tensor:
    """A smoothed square wave in [0, 1]."""
    return torch.sigmoid(sharpness * value)


def _texture(name: str, x: torch.Tensor, y: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Mixing weight in [0, 1] of two colours at world coordinates; `u` [B, 16] are the clip's numbers."""
    u = u[:, :, None, None, None]
    tau = 2 * math.pi
    match name:
        case "stripes":
            a = math.pi / 2 * (u[:, 0] - 0.5)  # steep enough that a sideways pan shows
            return _soft(torch.sin(tau * ((1.6 + 0.8 * u[:, 1]) * (x * torch.cos(a) + y * torch.sin(a)) + u[:, 2])), 5)
        case "checks":
            f = 1.1 + 0.5 * u[:, 1]
            return _soft(torch.sin(tau * (f * x + u[:, 2])) * torch.sin(tau * (f * y + u[:, 3])), 9)
        case "dots":
            f = 2.2 + 0.8 * u[:, 1]
            gx, gy = f * x + u[:, 2], f * y + u[:, 3]
            return _soft(0.30 - torch.hypot(gx - torch.round(gx), gy - torch.round(gy)), 24)
        case "waves":
            bend = 0.16 * torch.sin(tau * ((1.0 + 0.4 * u[:, 0]) * x + u[:, 2]))
            return _soft(torch.sin(tau * ((1.8 + 0.7 * u[:, 1]) * (y + bend) + u[:, 3])), 5)
    total = torch.zeros_like(x)
    for k in range(4):
        a, f = tau * u[:, 3 * k], 0.7 + 0.5 * k
        total = total + torch.sin(tau * (f * (x * torch.cos(a) + y * torch.sin(a)) + u[:, 3 * k + 1])) / (1 + 0.5 * k)
    return _soft(total, 1.2)


def _background(scenes: Sequence[Scene], x, y, times, device) -> torch.Tensor:
    """[B, t, 3, H, W]: a texture of two muted colours under the clip's camera."""
    numbers = torch.tensor([s.background for s in scenes], device=device)
    out = x.new_empty((len(scenes), len(times), 3, *x.shape[-2:]))
    t = times[None, :, None, None]
    for kind, name in enumerate(SCENES):
        rows = [i for i, s in enumerate(scenes) if s.scene == kind]
        if not rows:
            continue
        u = numbers[rows]
        camera = torch.tensor([scenes[i].camera for i in rows], device=device)
        panning = (camera == CAMERAS.index("panning camera")).float()
        zooming = (camera == CAMERAS.index("zooming camera")).float()
        side = torch.where(u[:, 16] < 0.5, 1.0, -1.0)
        pan = (panning * side * (0.6 + 0.5 * u[:, 17]))[:, None, None, None] * t
        scale = torch.exp(-(zooming * (0.6 + 0.3 * u[:, 18]))[:, None, None, None] * t)
        centre = x.mean()
        mix = _texture(name, centre + (x - centre) * scale + pan, 0.5 + (y - 0.5) * scale, u[:, :16])
        hue = torch.stack([u[:, 19], (u[:, 19] + 0.25 + 0.5 * u[:, 20]) % 1])
        value = torch.stack([0.22 + 0.12 * u[:, 21], 0.50 + 0.14 * u[:, 22]])
        # Three phases of a cosine make a hue; a small amplitude keeps it muted against the sprites.
        phase = torch.arange(3, device=device) / 3
        dark, light = (
            value[k][:, None] * (1 + 0.28 * torch.cos(2 * math.pi * (hue[k][:, None] + phase))) for k in (0, 1)
        )
        dark, light = dark[:, None, :, None, None], light[:, None, :, None, None]
        out[rows] = dark + (light - dark) * mix[:, :, None]
    return out


def _paint(canvas: torch.Tensor, rows, sprites, paths: torch.Tensor, style: str, shape: str, x, y, pixels: int) -> None:
    """Draw one sprite of `shape` and `style` on each of `rows`, in place."""
    device = canvas.device
    radius = torch.tensor([RADII[s.size] for s in sprites], device=device)[:, None, None, None]
    px, py, angle = (paths[..., k, None, None] for k in range(3))
    dx, dy = (x - px) / radius, (y - py) / radius
    cos, sin = torch.cos(angle), torch.sin(angle)
    ux, uy = cos * dx + sin * dy, -sin * dx + cos * dy
    distance = _distance(shape, ux, uy)
    cover = (0.5 - distance * radius * pixels).clamp(0, 1)[:, :, None]
    fill = PALETTE.to(device)[[s.color for s in sprites]][:, None, :, None, None]
    if style == "outlined":
        border = (0.5 + (distance + 0.2) * radius * pixels).clamp(0, 1)[:, :, None]
        fill = fill * (1 - border) + INK * border
    elif style == "striped":
        bands = _soft(torch.sin(2 * math.pi * 1.1 * (ux + uy)), 6)[:, :, None]
        fill = fill * (1 - 0.75 * bands) + INK * 0.75 * bands
    canvas[rows] = canvas[rows] * (1 - cover) + fill * cover


def _render_batch(scenes: Sequence[Scene], geometry: Geometry, device) -> torch.Tensor:
    aspect = geometry.width / geometry.height
    x = ((torch.arange(geometry.width, device=device) + 0.5) / geometry.height)[None, None, None, :]
    y = ((torch.arange(geometry.height, device=device) + 0.5) / geometry.height)[None, None, :, None]
    x, y = (v.expand(1, 1, geometry.height, geometry.width) for v in (x, y))
    host_times = np.linspace(0.0, 1.0, geometry.frames)
    times = torch.tensor(host_times, device=device, dtype=torch.float32)
    canvas = _background(scenes, x, y, times, device)
    for depth in (1, 0):  # the first sprite is nearer
        groups: dict[tuple[int, int], list[int]] = {}
        for i, s in enumerate(scenes):
            if depth < len(s.sprites):
                groups.setdefault((s.sprites[depth].shape, s.style), []).append(i)
        for (shape, style), rows in groups.items():
            sprites = [scenes[i].sprites[depth] for i in rows]
            paths = np.stack(
                [
                    trajectory(s, _region(scenes[i], depth, aspect), host_times)
                    for i, s in zip(rows, sprites, strict=True)
                ]
            )
            paths = torch.tensor(paths, device=device, dtype=torch.float32)
            _paint(canvas, rows, sprites, paths, STYLES[style], SHAPES[shape], x, y, geometry.height)
    return (canvas.clamp(0, 1) * 255).round().to(torch.uint8)


@torch.no_grad()
def render(scenes: Sequence[Scene], geometry: Geometry, device="cpu") -> torch.Tensor:
    """Clips uint8 [B, frames, 3, height, width].

    A clip does not depend on its neighbours: on a CPU each is drawn alone, which is as fast.
    """
    batch = 1 if torch.device(device).type == "cpu" else GPU_BATCH
    return torch.cat([_render_batch(scenes[i : i + batch], geometry, device) for i in range(0, len(scenes), batch)])
