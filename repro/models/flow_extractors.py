"""The motion features 𝓕 of a latent video that Table 9 compares (paper, section 3.3 and appendix G).

Legend: B batch, F latent frames, C latent channels, H and W latent height and width, D features.
Every extractor takes latents [B, F, C, H, W] in fp32; none knows the size of a video beforehand.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as nnf
from torch import nn

WIDTH = 64
"""Hidden width of the learnable extractors, as in the authors' code."""
CUTOFF = 0.25
"""Largest low frequency, in units of Nyquist's: FreeInit's (Wu et al., 2024), whom the paper cites."""


class Raw(nn.Module):
    """The latents themselves, [B, F, C, H, W]."""

    def forward(self, x_BFCHW: torch.Tensor) -> torch.Tensor:
        return x_BFCHW


class Difference(nn.Module):
    """X_{t+1} − X_t, [B, F−1, C, H, W]."""

    def forward(self, x_BFCHW: torch.Tensor) -> torch.Tensor:
        return x_BFCHW.diff(dim=1)


class Correlation(nn.Module):
    """4D correlation volume of neighbouring frames, [B, F−1, H, W, H, W]: dot products over C, by √C (as RAFT)."""

    def forward(self, x_BFCHW: torch.Tensor) -> torch.Tensor:
        *_, channels, height, width = x_BFCHW.shape
        x = x_BFCHW.flatten(3)
        volume = x[:, :-1].mT @ x[:, 1:] / math.sqrt(channels)
        return volume.unflatten(3, (height, width)).unflatten(2, (height, width))


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def dct_matrix(size: int, device: torch.device) -> torch.Tensor:
    """Orthonormal DCT-II [size, size]: row k has frequency k/size of Nyquist's. Formed in float64."""
    k, n = torch.arange(size, dtype=torch.float64)[:, None], torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi * k * (2 * n + 1) / (2 * size)) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.float().to(device)


def dct3(x_BFCHW: torch.Tensor, *, inverse: bool = False) -> torch.Tensor:
    """Orthonormal DCT-II over F, H and W (its inverse is its transpose)."""
    f, h, w = (dct_matrix(x_BFCHW.shape[dim], x_BFCHW.device) for dim in (1, 3, 4))
    f, h, w = (m.mT if inverse else m for m in (f, h, w))
    return torch.einsum("fa,hb,wd,nacbd->nfchw", f, h, w, x_BFCHW)


class FrequencyBand(nn.Module):
    """The part of a video inside or outside the ball of low frequencies, as latents [B, F, C, H, W].

    Time, height and width count alike, as in FreeInit: the low band holds what is large and slow, the
    high band what is small or fast. Both bands add up to the video.
    """

    def __init__(self, low: bool):
        super().__init__()
        self.low = low

    def forward(self, x_BFCHW: torch.Tensor) -> torch.Tensor:
        f, h, w = (torch.arange(x_BFCHW.shape[dim], device=x_BFCHW.device) / x_BFCHW.shape[dim] for dim in (1, 3, 4))
        inside = f[:, None, None] ** 2 + h[:, None] ** 2 + w**2 <= CUTOFF**2
        keep = (inside if self.low else ~inside)[:, None]
        return dct3(dct3(x_BFCHW) * keep, inverse=True)


class Head(nn.Module):
    """A learnable extractor: `convolutions` 3×3 ones within a frame, then a two-layer MLP, D features a position.

    The features are normalised at every position (LayerNorm without parameters): a head that is
    trained to match its own moving average would otherwise shrink towards zero.
    """

    def __init__(self, channels: int, convolutions: int):
        super().__init__()
        widths = [channels] + convolutions * [WIDTH]
        layers: list[nn.Module] = []
        for width in widths[:-1]:
            layers += [nn.Conv2d(width, WIDTH, 3, padding=1), nn.GELU()]
        layers += [nn.Conv2d(widths[-1], WIDTH, 1), nn.GELU(), nn.Conv2d(WIDTH, WIDTH, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x_BFCHW: torch.Tensor) -> torch.Tensor:
        """Features [B, F, H, W, D] of every frame by itself."""
        batch, frames = x_BFCHW.shape[:2]
        features = self.layers(x_BFCHW.flatten(0, 1)).permute(0, 2, 3, 1)
        return nnf.layer_norm(features, (WIDTH,)).unflatten(0, (batch, frames))


EXTRACTORS = {
    "raw": lambda channels: Raw(),
    "difference": lambda channels: Difference(),
    "correlation": lambda channels: Correlation(),
    "low_freq": lambda channels: FrequencyBand(low=True),
    "high_freq": lambda channels: FrequencyBand(low=False),
    "mlp": lambda channels: Head(channels, convolutions=0),
    "conv_diff": lambda channels: nn.Sequential(Difference(), Head(channels, convolutions=2)),
}
"""Rows of Table 9; each makes the extractor for latents of so many channels."""
