"""Distribution matching as a loss with a stop-gradient target (DMD, eq. 7–8)."""

import torch
import torch.nn.functional as nnf

NORMALIZER_FLOOR = 1e-2
"""Smallest mean |x0_student − x0_real| that the DMD gradient is divided by."""


def dmd_gradient(x0: torch.Tensor, x0_real: torch.Tensor, x0_fake: torch.Tensor) -> torch.Tensor:
    """(x0_fake − x0_real) / mean|x0 − x0_real|, the mean taken per video (DMD, eq. 7–8)."""
    scale = (x0 - x0_real).abs().mean(dim=tuple(range(1, x0.ndim)), keepdim=True)
    return (x0_fake - x0_real) / scale.clamp_min(NORMALIZER_FLOOR)


def dmd_loss(x0: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """½‖x0 − sg(x0 − gradient)‖², whose derivative with respect to x0 is `gradient` (over the element count)."""
    return 0.5 * nnf.mse_loss(x0, (x0 - gradient).detach())
