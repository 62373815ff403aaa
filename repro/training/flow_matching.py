"""Flow distribution matching: L_flow_DMD and L_flow_reg on motion features (paper, eq. 7–12).

Legend: B batch, F latent frames, C latent channels, H and W latent height and width.
"""

import torch
import torch.nn.functional as nnf
from torch import nn

from repro.config import FlowMatching, Student
from repro.models.flow_extractors import EXTRACTORS
from repro.training.loop import ema_copy
from repro.training.losses import dmd_gradient, dmd_loss


class MotionTerms(nn.Module):
    """Both terms of one motion feature 𝓕, and the student head that learns it with its moving average.

    L_flow_DMD is DMD on 𝓕 of the predictions, with its own normaliser. It is formed with the target
    head, so that it moves the generator and no head. L_flow_reg is ‖𝓕_target(end) − 𝓕_student(x0)‖²; it
    moves the generator and the student head. Its `end`, the teacher's output, is where the teacher's ODE ends
    from the same noise, as in L_reg, or in data-free training its prediction for the student's noised
    video (eq. 11 says both: the same ε, "at timestep t").
    """

    def __init__(self, feature: str, channels: int, weights: dict[str, float], mu: float):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.student_head = EXTRACTORS[feature](channels)
        self.target_head = ema_copy(self.student_head)
        self.weights, self.mu = weights, mu

    def forward(
        self, x0: torch.Tensor, x0_real: torch.Tensor, x0_fake: torch.Tensor, end: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """The two terms, unweighted; x0 [B, F, C, H, W] carries the gradient. Without `end`, x0_real is it."""
        with torch.no_grad():
            now, real, fake = (self.target_head(x) for x in (x0, x0_real, x0_fake))
            goal = real if end is None else self.target_head(end)
        return {
            "flow_dmd": dmd_loss(self.target_head(x0), dmd_gradient(now, real, fake)),
            "flow_reg": nnf.mse_loss(self.student_head(x0), goal),
        }

    @torch.no_grad()
    def follow(self) -> None:
        """θ_target ← μ·θ_target + (1 − μ)·θ_student (appendix G)."""
        for target, student in zip(self.target_head.parameters(), self.student_head.parameters(), strict=True):
            target.lerp_(student, 1 - self.mu)


class ReleasedMotionTerm(MotionTerms):
    """The authors' first release: the terms are formed without gradient, constants that train nothing."""

    @torch.no_grad()
    def forward(self, *videos: torch.Tensor) -> dict[str, torch.Tensor]:
        return super().forward(*videos)


def motion_terms(settings: FlowMatching, row: Student, channels: int) -> MotionTerms | None:
    """The motion terms of a student's row, weighted against a spatial term of weight 1; None without."""
    if row.flow is None:
        return None
    weights = {
        "flow_dmd": row.gamma * settings.lambda_flow / settings.lambda_spatial,
        "flow_reg": row.gamma / settings.lambda_spatial,
    }
    if row.flow == "release_v1":
        return ReleasedMotionTerm("difference", channels, weights, settings.ema)
    return MotionTerms(row.flow, channels, weights, settings.ema)
