"""Normalisation, rotary positions and attention of the Wan DiT.

Legend: B batch, T tokens, N heads, H head dim, D width = N·H.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as nnf
from torch import nn

ROPE_THETA = 10_000.0


class RMSNorm(nn.Module):
    """RMS norm over the whole width, heads together, in fp32 (Wan2.1's qk norm)."""

    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x32 = x.float()
        x32 = x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + self.eps)
        return (x32 * self.weight).type_as(x)


def layer_norm(x: torch.Tensor, eps: float, weight=None, bias=None) -> torch.Tensor:
    """Layer norm in fp32, whatever the parameters are in; returns fp32."""
    weight, bias = (None if p is None else p.float() for p in (weight, bias))
    return nnf.layer_norm(x.float(), x.shape[-1:], weight, bias, eps)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a table made during inference serves training too
def rotary_table(
    head_dim: int, start_frame: int, frames: int, height: int, width: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin [1, T, 1, H/2] of 3D rotary positions; time may start anywhere and never ends.

    The head splits into time, height and width parts as in Wan2.1: 2·⌊H/6⌋ for each of height and
    width, the rest for time. Angles are formed in float64, on the device, so that a rollout never waits for the host.
    """
    spatial = 2 * (head_dim // 6)
    parts = (
        (head_dim - 2 * spatial, torch.arange(start_frame, start_frame + frames, device=device)[:, None, None]),
        (spatial, torch.arange(height, device=device)[None, :, None]),
        (spatial, torch.arange(width, device=device)[None, None, :]),
    )
    angles = []
    for dim, position in parts:
        frequency = ROPE_THETA ** -(torch.arange(0, dim, 2, dtype=torch.float64, device=device) / dim)
        angle = position[..., None] * frequency
        angles.append(angle.expand(frames, height, width, dim // 2))
    angle = torch.cat(angles, dim=-1).reshape(1, frames * height * width, 1, head_dim // 2)
    return angle.cos().float(), angle.sin().float()


def rotate(x_BTNH: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate neighbouring channel pairs by their position's angle."""
    a, b = x_BTNH.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2).type_as(x_BTNH)


class ChunkMask(NamedTuple):
    """A mask that all tokens of a chunk share: for each chunk of queries the chunks of keys that it sees.

    Attention then takes one product without a mask for each chunk of queries, and none for what is masked, so that a
    kernel that knows no masks will do.
    """

    seen: tuple[tuple[int, ...], ...]
    tokens: int

    @classmethod
    def of(cls, seen_QK: torch.Tensor, tokens: int) -> "ChunkMask":
        """From a boolean matrix over chunks of so many tokens."""
        return cls(tuple(tuple(row.nonzero().flatten().tolist()) for row in seen_QK), tokens)

    def attend(self, q_BTNH, k_BSNH, v_BSNH, kernel: Callable[..., torch.Tensor] | None = None) -> torch.Tensor:
        """[B, T, D] by `kernel` (q, k, v), PyTorch's own when not given."""
        kernel = kernel or attend
        queries = zip(q_BTNH.split(self.tokens, dim=1), self.seen, strict=True)
        return torch.cat([kernel(q, self._of(k_BSNH, seen), self._of(v_BSNH, seen)) for q, seen in queries], dim=1)

    def _of(self, x_BSNH: torch.Tensor, seen: tuple[int, ...]) -> torch.Tensor:
        """Keys or values of some chunks, in rising order: a view where they lie side by side."""
        if seen[-1] - seen[0] == len(seen) - 1:
            return x_BSNH[:, seen[0] * self.tokens : (seen[-1] + 1) * self.tokens]
        chunks = x_BSNH.split(self.tokens, dim=1)
        return torch.cat([chunks[i] for i in seen], dim=1)


def attend(q_BTNH, k_BSNH, v_BSNH, mask: torch.Tensor | ChunkMask | None = None) -> torch.Tensor:
    """Scaled dot-product attention, [B, T, D]. `mask` is boolean [T, S], true where attended, or a `ChunkMask`."""
    if isinstance(mask, ChunkMask):
        return mask.attend(q_BTNH, k_BSNH, v_BSNH)
    out = nnf.scaled_dot_product_attention(
        q_BTNH.transpose(1, 2), k_BSNH.transpose(1, 2), v_BSNH.transpose(1, 2), attn_mask=mask
    )
    return out.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Projections and qk norms of one attention; self-attention rotates, cross-attention does not."""

    def __init__(self, dim: int, heads: int, eps: float):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim) for _ in range(3))
        # A list, as in diffusers, whose second entry is a dropout without parameters.
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])
        self.norm_q, self.norm_k = RMSNorm(dim, eps), RMSNorm(dim, eps)

    def query(self, x_BTD: torch.Tensor) -> torch.Tensor:
        return self.norm_q(self.to_q(x_BTD)).unflatten(2, (self.heads, -1))

    def key_value(self, x_BTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        k = self.norm_k(self.to_k(x_BTD)).unflatten(2, (self.heads, -1))
        return k, self.to_v(x_BTD).unflatten(2, (self.heads, -1))

    def project(self, x_BTD: torch.Tensor) -> torch.Tensor:
        return self.to_out[0](x_BTD)
