"""Stage 1: the bidirectional teacher, by flow matching with text dropout (docs/method.md, Training)."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as nnf

from repro.config import Profile, TeacherFit, stage_settings
from repro.flow import TIMESTEPS, add_noise, shift_sigma, velocity
from repro.models import presets, text_encoder, weights
from repro.models.wan import WanDiT
from repro.training.capture import captured
from repro.training.data import Split, load_split
from repro.training.loop import Piece, Task, ema_copy, generator_for, run
from repro.training.optimizer import muon

EDGES = (
    "patch_embedding",
    "condition_embedder",
    "scale_shift_table",
    "proj_out",
    "shared",
    "relative_attention",
)
"""Parameters of the DiT and the text encoder that are no hidden matrices (see `muon`)."""


TEACHER = ("teacher", "text_encoder")
"""Checkpoints of the stage."""


def autocast(device):
    """bf16 on a GPU, plain fp32 on a CPU; the masters stay fp32. Cast weights are not kept, for CUDA graphs."""
    cuda = torch.device(device).type == "cuda"
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=cuda, cache_enabled=False)


def compile_blocks(model: WanDiT, device) -> WanDiT:
    """Compile the blocks' halves on a GPU: one graph each serves all layers, and start-up takes seconds."""
    if torch.device(device).type == "cuda":
        for block in model.blocks:
            block.compiled = True
    return model


def flow_matching_loss(
    model: WanDiT, x0_BFCHW: torch.Tensor, noise: torch.Tensor, sigma_B: torch.Tensor, context
) -> torch.Tensor:
    """Mean squared error of the velocity at one noise level a video."""
    x = add_noise(x0_BFCHW, noise, sigma_B)
    timestep_BF = (sigma_B * TIMESTEPS)[:, None].expand(x.shape[:2])
    return nnf.mse_loss(model(x, timestep_BF, context).float(), velocity(x0_BFCHW, noise))


def draw_clips(
    data: Split, fit: TeacherFit, levels: Callable[[int, torch.Generator], torch.Tensor], generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A batch of clean clips, noise, shifted noise levels, and caption numbers; a dropped text has the number N."""
    device = data.latents.device
    rows = torch.randint(len(data), (fit.batch,), generator=generator, device=device)
    x0 = data.latents[rows].float()
    dropped = torch.rand(fit.batch, generator=generator, device=device) < fit.text_dropout
    sigma = shift_sigma(levels(fit.batch, generator), fit.train_shift)
    noise = torch.randn(x0.shape, generator=generator, device=device)
    return x0, noise, sigma, torch.where(dropped, len(data), rows)


def one_level(batch: int, generator: torch.Generator) -> torch.Tensor:
    """Noise levels [B], uniform: one for all frames of a video."""
    return torch.rand(batch, generator=generator, device=generator.device)


def teacher_task(profile: Profile, data: Split, device, seed: int) -> Task:
    fit = profile.teacher_fit
    torch.manual_seed(seed)  # the text encoder's start
    model = WanDiT(presets.from_profile(profile))
    model.init_weights(generator_for(seed, 0))
    model = model.to(device)
    encoder = text_encoder.build(profile).to(device)
    averages = {"teacher": ema_copy(model), "text_encoder": ema_copy(encoder)}
    compile_blocks(model, device)
    tokens = encoder.tokenize([*data.captions, ""])
    ids, mask = (t.to(device) for t in tokens)
    optimizer = muon([model, encoder], fit, EDGES)

    def losses(x0, noise, sigma, ids_BL, mask_BL) -> dict:
        with autocast(device):
            context = model.text_context(encoder.encode(ids_BL, mask_BL))
            return {"loss": flow_matching_loss(model, x0, noise, sigma, context)}

    gradients = captured(losses, [*model.parameters(), *encoder.parameters()], device)

    def step(iteration: int, generator: torch.Generator) -> dict:
        x0, noise, sigma, rows = draw_clips(data, fit, one_level, generator)
        scalars = gradients(x0, noise, sigma, ids[rows], mask[rows])
        return scalars | {"grad_norm": optimizer.step(fit.clip_norm)}

    return Task(
        "teacher",
        {"teacher": model, "text_encoder": encoder},
        {"muon": optimizer},
        step,
        ema=averages,
        config=stage_settings(profile, "teacher"),
    )


def train_teacher(profile: Profile, checkpoints: Path, work: Path, piece: Piece) -> bool:
    data = load_split("train", profile, checkpoints, work, piece.device)
    task = teacher_task(profile, data, piece.device, piece.seed)
    done = run(task, profile.teacher_fit, work / "teacher", sources=weights.hashes(checkpoints, ["vae"]), **vars(piece))
    if done or piece.max_seconds is not None:
        # An unfinished teacher is saved too: later pieces replace it, and samples can be watched meanwhile.
        meta = {"stage": "teacher", "seed": piece.seed, "finished": done}
        weights.save(checkpoints / "teacher.safetensors", task.ema["teacher"].state_dict(), meta)
        weights.save(checkpoints / "text_encoder.safetensors", task.ema["text_encoder"].state_dict(), meta)
    return done


def load_teacher(profile: Profile, checkpoints: Path, device) -> tuple[WanDiT, torch.nn.Module]:
    """The frozen teacher and its text encoder."""
    model, encoder = WanDiT(presets.from_profile(profile)), text_encoder.build(profile)
    weights.load_into(model, checkpoints / "teacher.safetensors")
    weights.load_into(encoder, checkpoints / "text_encoder.safetensors")
    return tuple(m.to(device).requires_grad_(False).eval() for m in (model, encoder))
