"""A world of videos of one number a frame, where every score is known.

A video starts in one of two places and drifts: x_1 = ±start + noise, x_{k+1} = decay·x_k + noise. Whole videos are
a mixture of two Gaussians, and so are noised ones; the teacher is their posterior mean, without a network.

Legend: B batch, K frames (a chunk each), M modes.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class World:
    """Two Gaussians over videos of `frames` numbers."""

    frames: int = 7
    start: float = 2.0
    spread: float = 0.3
    decay: float = 0.95
    step: float = 0.35

    @property
    def means_MK(self) -> torch.Tensor:
        path = self.start * self.decay ** torch.arange(self.frames)
        return torch.stack([path, -path])

    @property
    def covariance_KK(self) -> torch.Tensor:
        """Of either mode: an autoregression of order one."""
        k = torch.arange(self.frames)
        variance = torch.empty(self.frames)
        variance[0] = self.spread**2
        for i in range(1, self.frames):
            variance[i] = self.decay**2 * variance[i - 1] + self.step**2
        apart = (k[:, None] - k[None]).abs()
        return self.decay**apart * variance[torch.minimum(k[:, None], k[None])]

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Videos [count, K]."""
        mode = torch.randint(2, (count,), generator=generator)
        noise = torch.randn(count, self.frames, generator=generator)
        return self.means_MK[mode] + noise @ torch.linalg.cholesky(self.covariance_KK).T

    def denoised(self, x_BK: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """E[x0 | x_σ], exactly; σ a number or one a video, [B]."""
        sigma_B = torch.as_tensor(sigma, dtype=x_BK.dtype).expand(len(x_BK))
        keep, eye = (1 - sigma_B)[:, None], torch.eye(self.frames)
        noised_BKK = keep[..., None] ** 2 * self.covariance_KK + (sigma_B**2)[:, None, None] * eye
        left_BMK = x_BK[:, None] - keep[..., None] * self.means_MK
        solved_BMK = torch.linalg.solve(noised_BKK[:, None], left_BMK[..., None])[..., 0]
        weight_BM = (-0.5 * (left_BMK * solved_BMK).sum(-1)).softmax(-1)
        x0_BMK = self.means_MK + keep[..., None] * solved_BMK @ self.covariance_KK
        return (weight_BM[..., None] * x0_BMK).sum(1)
