"""Bidirectional many-step sampling: the Wan2.1 system, and the teacher of the distillation."""

from collections.abc import Sequence
from itertools import pairwise

import torch

from repro.flow import TIMESTEPS, euler_sigmas
from repro.models.wan import TextContext, WanDiT


def guided_velocity(
    model: WanDiT,
    x_BFCHW: torch.Tensor,
    sigma: torch.Tensor,
    context: TextContext,
    null_context: TextContext | None,
    guidance: float,
) -> torch.Tensor:
    """v_null + guidance · (v_text − v_null), two forwards; one where guidance is 1 or no null is given.

    `sigma` holds one noise level a video, [B].
    """
    timestep_BF = (sigma * TIMESTEPS)[:, None].expand(x_BFCHW.shape[:2])
    v_text = model(x_BFCHW, timestep_BF, context)
    if null_context is None or guidance == 1:
        return v_text.to(x_BFCHW.dtype)
    v_null = model(x_BFCHW, timestep_BF, null_context)
    return (v_null + guidance * (v_text - v_null)).to(x_BFCHW.dtype)


@torch.no_grad()
def euler(
    model: WanDiT,
    noise_BFCHW: torch.Tensor,
    context: TextContext,
    null_context: TextContext | None,
    *,
    steps: int,
    shift: float,
    guidance: float,
    record: Sequence[float] = (),
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Euler on the flow ODE from σ=1 to 0 (as diffusers' FlowMatchEulerDiscreteScheduler with these sigmas).

    Returns x0 [B,F,C,H,W] and the states at each sigma of `record`, whose levels are added to the
    solver's grid.
    """
    levels = sorted({*euler_sigmas(steps, shift), *record}, reverse=True)
    x, states = noise_BFCHW, {}
    for now, after in pairwise(levels):
        if now in record:
            states[now] = x
        sigma = torch.full((len(x),), now, device=x.device)
        x = x + (after - now) * guided_velocity(model, x, sigma, context, null_context, guidance)
    return x, [states[s] for s in record]
