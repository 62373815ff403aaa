"""Many-step causal models: flow matching under a block-causal mask, every chunk at its own noise level.

Both start from the bidirectional teacher and keep its text encoder. What differs is how the noise of
neighbouring chunks hangs together (docs/method.md, Systems of Table 1), which `generation.staircase` must stay within.

Legend: B batch, F latent frames, K chunks, C latent channels, H and W latent height and width.
"""

from functools import partial

import torch

from repro.config import Profile, Student, student_fit, student_settings
from repro.flow import TIMESTEPS, add_noise, expand, velocity
from repro.generation.staircase import IN_FLIGHT
from repro.models.wan import WanDiT, block_causal_mask
from repro.training.capture import captured
from repro.training.data import Split
from repro.training.loop import Task, ema_copy
from repro.training.optimizer import muon
from repro.training.teacher import EDGES, autocast, compile_blocks, draw_clips


def non_decreasing(chunks: int, batch: int, generator: torch.Generator) -> torch.Tensor:
    """Noise levels [B, K] that never fall along a video (SkyReels-V2's FoPP, in continuous time).

    One chunk and its level are uniform; the chunks before are uniform below that level, those after
    uniform above, each in order.
    """
    device = generator.device
    pivot_B1 = torch.randint(chunks, (batch, 1), generator=generator, device=device)
    level_B1 = torch.rand(batch, 1, generator=generator, device=device)
    drawn_BK = torch.rand(batch, chunks, generator=generator, device=device)
    place_K = torch.arange(chunks, device=device)
    below, above = drawn_BK * level_B1, level_B1 + (1 - level_B1) * drawn_BK
    levels_BK = torch.where(place_K < pivot_B1, below, torch.where(place_K > pivot_B1, above, level_B1))
    return levels_BK.sort(dim=1).values


def in_flight(chunks: int, batch: int, generator: torch.Generator) -> torch.Tensor:
    """Noise levels [B, K] of a pipeline at a random moment (MAGI-1).

    Each chunk is 1/IN_FLIGHT noisier than the one before: done ones are at 0, those to come at 1.
    """
    device = generator.device
    first, last = -(chunks - 1) / IN_FLIGHT, 1.0
    moment_B1 = first + (last - first) * torch.rand(batch, 1, generator=generator, device=device)
    return (moment_B1 + torch.arange(chunks, device=device) / IN_FLIGHT).clamp(0, 1)


LEVELS = {"diffusion": non_decreasing, "pipelined": in_flight}


def active_error(v: torch.Tensor, target: torch.Tensor, sigma_BF: torch.Tensor) -> torch.Tensor:
    """Mean squared error over the frames that a sampler would move: neither clean nor pure noise to come."""
    active = expand(((sigma_BF > 0) & (sigma_BF < 1)).float(), v)
    return ((v - target).square() * active).sum() / active.expand_as(v).sum().clamp_min(1)


def causal_task(profile: Profile, row: Student, data: Split, student: WanDiT, encoder, device) -> Task:
    """Text dropout, batches and noise are the teacher's stage's."""
    fit = student_fit(profile, row)
    geometry = profile.geometry.with_chunk_frames(row.chunk_frames)
    average = ema_copy(student)
    compile_blocks(student, device)
    optimizer = muon([student], fit, EDGES)
    mask = block_causal_mask(geometry, row.window_frames, device=device)
    captions = [*data.captions, ""]
    with torch.no_grad():
        texts = torch.cat([encoder(captions[i : i + 512]) for i in range(0, len(captions), 512)]).float()
    levels = partial(LEVELS[row.forcing], geometry.chunks)

    def losses(x0, noise, sigma_BF, text_BLE) -> dict:
        with autocast(device):
            x = add_noise(x0, noise, sigma_BF)
            v = student(x, sigma_BF * TIMESTEPS, student.text_context(text_BLE), mask=mask)
        return {"loss": active_error(v.float(), velocity(x0, noise), sigma_BF)}

    gradients = captured(losses, student.parameters(), device)

    def step(iteration: int, generator: torch.Generator) -> dict:
        x0, noise, sigma_BK, rows = draw_clips(data, fit, levels, generator)
        scalars = gradients(x0, noise, sigma_BK.repeat_interleave(geometry.chunk_frames, dim=1), texts[rows])
        return scalars | {"grad_norm": optimizer.step(fit.clip_norm)}

    return Task(
        row.student,
        {"student": student},
        {"muon": optimizer},
        step,
        ema={"student": average},
        config=student_settings(profile, row),
    )
