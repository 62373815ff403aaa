"""Training of the VAE, and of the tiny decoder on its latents."""

from dataclasses import replace
from pathlib import Path

import torch

from repro.config import Fit, Profile, stage_settings
from repro.models import taehv, vae, weights
from repro.training.capture import captured
from repro.training.data import pixel_pool, split_scenes
from repro.training.loop import Piece, Task, ema_copy, run
from repro.training.optimizer import muon
from repro.training.teacher import autocast

PHASES = ((0.40, 1, 4.0), (0.35, 5, 1.0), (0.25, None, 0.5))
"""Share of the iterations, latent frames of a window (None: the whole clip), and batch size over `fit.batch`.

Space is learned first, on single pictures. The causal convolutions reach far back, so the last
phase shows them whole clips, their steady state included.
"""
POOL_CLIPS = 4096
STATISTICS_CLIPS = 256
SPRITE_WEIGHT = 5.0
"""Loss weight of a sprite's pixels; sprites fill a tenth of the frame and carry most of the caption."""
LATENT_NOISE, ENERGY_WEIGHT = 0.05, 1e-4
"""Fixed posterior noise and a pull of the mean to zero. A learned posterior starts at unit variance,
drowns the small initial means and collapses; with the variance fixed the mean learns at once."""


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of videos in [0, 1]."""
    return (-10 * torch.log10((a.float() - b.float()).square().mean())).item()


def reconstruction(output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted absolute plus squared error."""
    error = (output - target).abs()
    return (weight * (error + 2 * error.square())).mean()


def phase(fit: Fit, iteration: int) -> tuple[int | None, int]:
    """Latent frames of a window (None: the whole clip) and windows a batch at `iteration`."""
    progress = (iteration + 0.5) / fit.iterations
    ends = [sum(share for share, _, _ in PHASES[: i + 1]) for i in range(len(PHASES) - 1)]
    _, latents, scale = PHASES[sum(progress > end for end in ends)]
    return latents, max(1, round(scale * fit.batch))


class Windows:
    """Random windows of rendered clips; a quarter of them start their clip."""

    def __init__(self, profile: Profile, device):
        scenes = split_scenes("train", profile, POOL_CLIPS)
        self.pool = pixel_pool(scenes, profile, device)
        self.sprites = torch.empty_like(self.pool[:, :, :1], dtype=torch.bool)
        for i in range(0, len(scenes), 256):
            bare = [replace(s, sprites=()) for s in scenes[i : i + 256]]
            rows = slice(i, i + 256)
            background = pixel_pool(bare, profile, device)
            self.sprites[rows] = (self.pool[rows] != background).any(2, keepdim=True)
        self.per_latent, self.whole = profile.geometry.temporal_compression, profile.geometry.latent_frames

    def draw(self, fit: Fit, iteration: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Video [B, frames, 3, H, W] in [0, 1] and loss weights [B, frames, 1, H, W] of this iteration's phase."""
        device = self.pool.device
        latents, batch = phase(fit, iteration)
        frames = 1 + ((latents or self.whole) - 1) * self.per_latent
        rows = torch.randint(len(self.pool), (batch, 1), generator=generator, device=device)
        starts = torch.randint(self.pool.shape[1] - frames + 1, (batch, 1), generator=generator, device=device)
        starts = torch.where(torch.rand(batch, 1, generator=generator, device=device) < 0.25, 0, starts)
        columns = starts + torch.arange(frames, device=device)
        weight = 1 + (SPRITE_WEIGHT - 1) * self.sprites[rows, columns].float()
        return self.pool[rows, columns].float() / 255, weight


def vae_task(profile: Profile, windows: Windows, device, seed: int) -> Task:
    fit = profile.vae_fit
    torch.manual_seed(seed)
    model = vae.build(profile).to(device)
    optimizer = muon([model], fit, ("conv_in", "conv_out", "quant_conv"))

    def losses(video: torch.Tensor, weight: torch.Tensor, noise: torch.Tensor) -> dict:
        with autocast(device):
            z = model.posterior_mean(video)
            output = model.reconstruct(z + LATENT_NOISE * noise).float()
        energy = z.float().square().mean()
        loss = reconstruction(output, video, weight) + ENERGY_WEIGHT * energy
        return {"loss": loss, "energy": energy, "squared_error": (output - video).square().mean()}

    gradients = captured(losses, model.parameters(), device)

    def step(iteration: int, generator: torch.Generator) -> dict:
        video, weight = windows.draw(fit, iteration, generator)
        shape = (
            len(video),
            1 + (video.shape[1] - 1) // windows.per_latent,
            *profile.geometry.latent_shape[1:],
        )
        scalars = gradients(video, weight, torch.randn(shape, generator=generator, device=device))
        return scalars | {"grad_norm": optimizer.step(fit.clip_norm)}

    config = stage_settings(profile, "vae")
    return Task("vae", {"vae": model}, {"muon": optimizer}, step, ema={"vae": ema_copy(model)}, config=config)


@torch.no_grad()
def _heldout_psnr(decode, encoder: vae.Vae, profile: Profile, device, clips: int = 32) -> float:
    video = pixel_pool(split_scenes("heldout", profile, clips), profile, device)
    pairs = []
    for part in video.split(8):
        part = part.float() / 255
        with autocast(device):
            pairs.append((decode(encoder.encode(part)).float().clamp(0, 1), part))
    return psnr(torch.cat([a for a, _ in pairs]), torch.cat([b for _, b in pairs]))


@torch.no_grad()
def measure_statistics(model: vae.Vae, windows: Windows, device) -> None:
    """Set the per-channel mean and deviation that normalise the latents."""
    parts = []
    for clips in windows.pool[:STATISTICS_CLIPS].split(8):
        with autocast(device):
            parts.append(model.posterior_mean(clips.float() / 255).float())
    latents_BFCHW = torch.cat(parts)
    model.latents_mean.copy_(latents_BFCHW.mean((0, 1, 3, 4)))
    model.latents_std.copy_(latents_BFCHW.std((0, 1, 3, 4)))


def train_vae(profile: Profile, checkpoints: Path, work: Path, piece: Piece) -> bool:
    windows = Windows(profile, piece.device)
    task = vae_task(profile, windows, piece.device, piece.seed)
    done = run(task, profile.vae_fit, work / "vae", **vars(piece))
    if done:
        model = task.ema["vae"]
        measure_statistics(model, windows, piece.device)
        meta = {
            "stage": "vae",
            "seed": piece.seed,
            "psnr_db": _heldout_psnr(model.decode, model, profile, piece.device),
        }
        weights.save(checkpoints / "vae.safetensors", model, meta)
    return done


def tiny_task(profile: Profile, encoder: vae.Vae, windows: Windows, device, seed: int) -> Task:
    fit = profile.tiny_fit
    torch.manual_seed(seed)
    model = taehv.TinyDecoder(profile.autoencoders.tiny_channels, profile.geometry.latent_channels).to(device)
    optimizer = muon([model], fit, ("decoder.1.", f"decoder.{len(model.decoder) - 1}."))

    def losses(video: torch.Tensor, weight: torch.Tensor) -> dict:
        with autocast(device):
            with torch.no_grad():
                latents = encoder.encode(video)
            output = model.decode(latents).float()
        return {
            "loss": reconstruction(output, video, weight),
            "squared_error": (output - video).square().mean(),
        }

    gradients = captured(losses, model.parameters(), device)

    def step(iteration: int, generator: torch.Generator) -> dict:
        scalars = gradients(*windows.draw(fit, iteration, generator))
        return scalars | {"grad_norm": optimizer.step(fit.clip_norm)}

    config = stage_settings(profile, "tiny")
    return Task("tiny", {"tiny": model}, {"muon": optimizer}, step, ema={"tiny": ema_copy(model)}, config=config)


def train_tiny(profile: Profile, checkpoints: Path, work: Path, piece: Piece) -> bool:
    encoder = vae.build(profile)
    weights.load_into(encoder, checkpoints / "vae.safetensors")
    encoder = encoder.to(piece.device).requires_grad_(False).eval()
    task = tiny_task(profile, encoder, Windows(profile, piece.device), piece.device, piece.seed)
    done = run(task, profile.tiny_fit, work / "tiny", sources=weights.hashes(checkpoints, ["vae"]), **vars(piece))
    if done:
        model = task.ema["tiny"]
        meta = {
            "stage": "tiny",
            "seed": piece.seed,
            "psnr_db": _heldout_psnr(model.decode, encoder, profile, piece.device),
        }
        weights.save(checkpoints / "tiny.safetensors", model, meta)
    return done
