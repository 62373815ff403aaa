"""A causal student and a critic for one-dimensional videos, driven by the suite's own rollout.

Legend: B batch, K frames (a chunk each), R frames of reach.
"""

from dataclasses import dataclass

import torch
from torch import nn

REACH = 3


def _mlp(inputs: int, outputs: int, width: int = 96) -> nn.Sequential:
    layers = [nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


@dataclass
class Context:
    """What the chunks before left behind: the numbers as they were kept, [B, K], and how many chunks there are."""

    kept_BK: torch.Tensor
    chunk: int = -1

    def begin(self, chunk: int) -> None:
        self.chunk = chunk

    def keep(self, x_B: torch.Tensor) -> None:
        """The input of the chunk's latest forward takes its place."""
        self.kept_BK[:, self.chunk] = x_B


class Student(nn.Module):
    """x0 of one frame from its noised number, its noise level, and the frames kept before it."""

    def __init__(self, frames: int):
        super().__init__()
        self.frames = frames
        self.net = _mlp(2 + 2 * REACH + frames, 1)

    def x0(self, x_B: torch.Tensor, sigma_B: torch.Tensor, past_BR: torch.Tensor, chunk: int) -> torch.Tensor:
        """Prediction [B]; a place before the video holds zero, and a flag says so."""
        there = torch.arange(REACH) >= REACH - chunk
        place = torch.zeros(self.frames)
        place[chunk] = 1
        parts = [x_B[:, None], sigma_B[:, None], past_BR * there, there.float().expand(len(x_B), -1)]
        return self.net(torch.cat([*parts, place.expand(len(x_B), -1)], 1))[:, 0]

    @staticmethod
    def past(kept_BK: torch.Tensor, chunk: int) -> torch.Tensor:
        """The last frames before a chunk, [B, R], zeros where there is none."""
        padded = torch.cat([torch.zeros(len(kept_BK), REACH), kept_BK], 1)
        return padded[:, chunk : chunk + REACH]

    def forward(self, x_B1111, timestep_B1, context, *, start_frame: int, cache: Context) -> torch.Tensor:
        """Velocity, as the rollout wants it of a transformer; the chunk's input is what the cache keeps of it."""
        x, sigma = x_B1111.flatten(), timestep_B1[:, 0] / 1000
        cache.keep(x)
        x0 = self.x0(x, sigma, self.past(cache.kept_BK, cache.chunk), cache.chunk)
        return ((x - x0) / sigma.clamp(min=1e-3)).view_as(x_B1111)


class Critic(nn.Module):
    """x0 of a whole noised video of the student's."""

    def __init__(self, frames: int):
        super().__init__()
        self.net = _mlp(frames + 1, frames, 128)

    def forward(self, x_BK: torch.Tensor, sigma_B: torch.Tensor) -> torch.Tensor:
        return x_BK - sigma_B[:, None] * self.net(torch.cat([x_BK, sigma_B[:, None]], 1))
