"""Flow matching in Wan's convention: x_σ = (1−σ)·x0 + σ·ε and v = ε − x0 (docs/method.md, Time).

Legend: sigma ∈ [0, 1]; timestep ∈ [0, 1000]; both may be floats or tensors that broadcast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # planning a workflow reads schedules, and PyTorch takes seconds to import
    import torch

TIMESTEPS = 1000


def shift_sigma(sigma, shift: float):
    """σ' = kσ / (1 + (k−1)σ), Wan2.1's flow shift (paper, appendix B)."""
    return shift * sigma / (1 + (shift - 1) * sigma)


def nominal_to_sigma(timestep, shift: float):
    """Warp a *nominal* timestep (0 … 1000) once and return its sigma."""
    return shift_sigma(timestep / TIMESTEPS, shift)


def expand(sigma: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Give sigma trailing axes until it broadcasts against `like`."""
    return sigma.reshape(sigma.shape + (1,) * (like.ndim - sigma.ndim))


def _sigma_for(sigma, like: torch.Tensor):
    return expand(sigma, like) if hasattr(sigma, "ndim") else sigma


def add_noise(x0: torch.Tensor, noise: torch.Tensor, sigma) -> torch.Tensor:
    """x_σ = (1−σ)·x0 + σ·ε."""
    sigma = _sigma_for(sigma, x0)
    return (1 - sigma) * x0 + sigma * noise


def velocity(x0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The regression target v = ε − x0."""
    return noise - x0


def x0_from_velocity(x: torch.Tensor, v: torch.Tensor, sigma) -> torch.Tensor:
    """x0 = x_σ − σ·v."""
    return x - _sigma_for(sigma, x) * v


def euler_sigmas(steps: int, shift: float) -> list[float]:
    """Sigmas of a `steps`-step sampler, from 1 to 0 inclusive (steps+1 values), shifted once."""
    return [float(shift_sigma(1 - i / steps, shift)) for i in range(steps + 1)]
