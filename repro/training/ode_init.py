"""Stage 2: the causal student learns x0 from the teacher's ODE trajectories (CausVid; docs/method.md, Training)."""

from pathlib import Path
from typing import NamedTuple

import torch
from rich.progress import track

from repro.config import Profile, stage_settings
from repro.flow import TIMESTEPS, expand, nominal_to_sigma, x0_from_velocity
from repro.generation.samplers import euler
from repro.models import weights
from repro.models.wan import WanDiT, block_causal_mask
from repro.schedule import STEP_LISTS
from repro.training.capture import captured
from repro.training.data import kept, split_scenes
from repro.training.loop import Piece, Task, ema_copy, generator_for, run
from repro.training.optimizer import muon
from repro.training.teacher import EDGES, TEACHER, autocast, compile_blocks, load_teacher

LEVELS = STEP_LISTS["default"][max(STEP_LISTS["default"])]
"""Every nominal timestep that any schedule uses, highest noise first."""


@torch.no_grad()
def trajectories(profile: Profile, teacher: WanDiT, encoder, sources: dict, work: Path, device, batch=128) -> dict:
    """The teacher's guided ODE: states at LEVELS and the end, [N, levels+1, F, C, H, W], and text [N, L, E].

    They are the same for every training seed. `sources` are the hashes of teacher and encoder.
    """
    fit, flow, geometry = profile.ode_fit, profile.flow, profile.geometry
    captions = [s.caption for s in split_scenes("train", profile, fit.trajectories)]
    sigmas = [nominal_to_sigma(t, flow.shift) for t in LEVELS]

    def solve() -> dict[str, torch.Tensor]:
        generator = generator_for(0, 1, device=device)
        states, texts = [], []
        for start in track(range(0, len(captions), batch), "teacher trajectories"):
            part = captions[start : start + batch]
            noise = torch.randn((len(part), *geometry.latent_shape), generator=generator, device=device)
            with autocast(device):
                text, null = encoder(part), encoder([""] * len(part))
                contexts = (teacher.text_context(text), teacher.text_context(null))
                how = {"steps": fit.solver_steps, "shift": flow.shift, "guidance": flow.guidance}
                end, passed = euler(teacher, noise, *contexts, **how, record=sigmas)
            states.append(torch.stack([*passed, end], dim=1).to(torch.bfloat16))
            texts.append(text.float())
        return {"states": torch.cat(states), "text": torch.cat(texts)}

    solved = f"{len(captions)} trajectories of {fit.solver_steps} steps, shift {flow.shift}, guidance {flow.guidance}"
    config = f"{profile.dit} {geometry} {solved} by {sources}"
    return kept(Path(work) / "trajectories.safetensors", config, solve, device)


class Pairs(NamedTuple):
    """Where the teacher's guided ODE started and ended, [N, F, C, H, W] each, and the text [N, L, E]."""

    noise: torch.Tensor
    end: torch.Tensor
    text: torch.Tensor

    def rows(self, rows: torch.Tensor) -> "Pairs":
        return Pairs(*(t[rows].float() for t in self))


def teacher_pairs(profile: Profile, teacher: WanDiT, encoder, sources: dict, work: Path, device) -> Pairs:
    """Ends of the trajectories that stage 2 made."""
    data = trajectories(profile, teacher, encoder, sources, work, device)
    return Pairs(data["states"][:, 0].clone(), data["states"][:, -1].clone(), data["text"])


def ode_task(profile: Profile, data: dict, student: WanDiT, device) -> Task:
    """Each chunk at its own random level (the clean end included), attending block-causally."""
    fit, geometry = profile.ode_fit, profile.geometry
    average = ema_copy(student)
    compile_blocks(student, device)
    optimizer = muon([student], fit, EDGES)
    sigmas = torch.tensor([nominal_to_sigma(t, profile.flow.shift) for t in LEVELS] + [0.0], device=device)
    mask = block_causal_mask(geometry, device=device)

    def losses(x, x0, sigma_BF, text_BLE) -> dict:
        with autocast(device):
            v = student(x, sigma_BF * TIMESTEPS, student.text_context(text_BLE), mask=mask)
        error = (x0_from_velocity(x, v.float(), sigma_BF) - x0).square()
        noisy = expand((sigma_BF > 0).float(), error).expand_as(error)
        return {"loss": (error * noisy).sum() / noisy.sum()}

    gradients = captured(losses, student.parameters(), device)

    def step(iteration: int, generator: torch.Generator) -> dict:
        rows = torch.randint(len(data["text"]), (fit.batch,), generator=generator, device=device)
        level_Bk = torch.randint(len(sigmas), (fit.batch, geometry.chunks), generator=generator, device=device)
        level_BF = level_Bk.repeat_interleave(geometry.chunk_frames, dim=1)
        frames = torch.arange(geometry.latent_frames, device=device)
        x = data["states"][rows[:, None], level_BF, frames].float()
        x0 = data["states"][rows, -1].float()
        scalars = gradients(x, x0, sigmas[level_BF], data["text"][rows])
        return scalars | {"grad_norm": optimizer.step(fit.clip_norm)}

    return Task(
        "ode",
        {"ode": student},
        {"muon": optimizer},
        step,
        ema={"ode": average},
        config=stage_settings(profile, "ode"),
    )


def train_ode(profile: Profile, checkpoints: Path, work: Path, piece: Piece) -> bool:
    teacher, encoder = load_teacher(profile, checkpoints, piece.device)
    compile_blocks(teacher, piece.device)
    sources = weights.hashes(checkpoints, TEACHER)
    data = trajectories(profile, teacher, encoder, sources, work, piece.device)
    student = WanDiT(teacher.config)
    weights.load_into(student, checkpoints / "teacher.safetensors")
    task = ode_task(profile, data, student.to(piece.device), piece.device)
    done = run(task, profile.ode_fit, work / "ode", sources=sources, **vars(piece))
    if done or piece.max_seconds is not None:
        meta = {"stage": "ode", "seed": piece.seed, "finished": done}
        weights.save(checkpoints / "ode.safetensors", task.ema["ode"].state_dict(), meta)
    return done
