"""Graded corruptions of clips: what the judge's quality heads learn from, and what validates every measure.

Videos are float [B, T, 3, H, W] in [0, 1]; severity lies in [0, 1], and 0 changes nothing.
"""

import math

import torch
import torch.nn.functional as nnf

IMAGING = ("blur", "noise", "downsample")
AESTHETIC = ("saturation", "contrast", "cast")
TEMPORAL = ("flicker", "freeze")
LUMA = (0.299, 0.587, 0.114)


def _luma(video: torch.Tensor) -> torch.Tensor:
    weight = torch.tensor(LUMA, device=video.device).view(1, 1, 3, 1, 1)
    return (video * weight).sum(2, keepdim=True)


def _blur(video: torch.Tensor, sigma: float) -> torch.Tensor:
    radius = max(1, math.ceil(2.5 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=video.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(video.dtype)
    x = video.flatten(0, 2)[:, None]
    x = nnf.conv2d(nnf.pad(x, (radius, radius, 0, 0), "replicate"), kernel.view(1, 1, 1, -1))
    x = nnf.conv2d(nnf.pad(x, (0, 0, radius, radius), "replicate"), kernel.view(1, 1, -1, 1))
    return x[:, 0].view_as(video)


def degrade(video: torch.Tensor, kind: str, severity: float, generator: torch.Generator) -> torch.Tensor:
    """Corrupt clips by one kind at one severity; every clip draws its own noise, tint and flicker."""
    if severity <= 0:
        return video
    batch, frames, _, height, width = video.shape
    device = video.device

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, device=device)

    match kind:
        case "blur":
            out = _blur(video, 0.3 + height / 22 * severity)
        case "noise":
            out = video + 0.3 * severity * torch.randn(video.shape, generator=generator, device=device)
        case "downsample":
            small = (max(2, round(height / (1 + 5 * severity))), max(2, round(width / (1 + 5 * severity))))
            x = nnf.interpolate(video.flatten(0, 1), small, mode="area")
            out = nnf.interpolate(x, (height, width), mode="nearest").view_as(video)
        case "saturation":
            # Oversaturation grows along the clip, as it does in a drifting rollout.
            amount = 1 + 2.5 * severity * torch.linspace(0.3, 1, frames, device=device).view(1, -1, 1, 1, 1)
            gray = _luma(video)
            out = gray + (video - gray) * amount
        case "contrast":
            out = 0.5 + (video - 0.5) * (1 - 0.8 * severity)
        case "cast":
            tint = torch.nn.functional.normalize(uniform(batch, 1, 3, 1, 1) - 0.5, dim=2)
            out = video + 0.4 * severity * tint
        case "flicker":
            out = video * (1 + 0.8 * severity * (uniform(batch, frames, 1, 1, 1) - 0.5))
        case "freeze":
            held = max(1, round((1 - severity) * frames))
            out = video[:, torch.arange(frames, device=device).clamp(max=held - 1)]
        case _:
            raise ValueError(f"unknown corruption {kind!r}")
    return out.clamp(0, 1)
