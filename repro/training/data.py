"""Latents and captions of the sprite world, encoded once and kept beside the training state."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from repro.config import Profile
from repro.files import write_atomic
from repro.models import vae, weights
from repro.world import render, scene


@dataclass(frozen=True)
class Split:
    """`latents` [N, F, C, H, W] in half precision, `captions` of the same N clips."""

    latents: torch.Tensor
    captions: list[str]

    def __len__(self) -> int:
        return len(self.captions)


def split_scenes(name: str, profile: Profile, count: int | None = None) -> list:
    seed, size = scene.split(name, profile)
    return [scene.sample(seed, i) for i in range(min(count or size, size))]


def pixel_pool(scenes: list, profile: Profile, device, step: int = 1, batch: int = 64) -> torch.Tensor:
    """Every `step`-th frame of the scenes' clips, uint8 [N, frames/step, 3, height, width], on `device`."""
    parts = [
        render.render(scenes[i : i + batch], profile.geometry, device)[:, ::step].contiguous()
        for i in track(range(0, len(scenes), batch), "render")
    ]
    return torch.cat(parts)


def kept(path: Path, config: str, make: Callable[[], dict[str, torch.Tensor]], device) -> dict[str, torch.Tensor]:
    """What `make` gives; read back from `path` (.safetensors) where that is whole and was made under this `config`."""
    try:
        with safe_open(path, "pt") as file:
            same = (file.metadata() or {}).get("config") == config
        if same:
            return load_file(path, device=str(device))
    except (FileNotFoundError, SafetensorError):
        pass
    made = make()
    write_atomic(path, lambda p: save_file({k: v.cpu() for k, v in made.items()}, p, {"config": config}))
    return made


@torch.no_grad()
def encode_split(name: str, profile: Profile, codec, codec_hash: str, work: Path, device, batch: int = 32) -> Split:
    """Render and encode a split; read back from `work` when the same codec has done it before."""
    scenes = split_scenes(name, profile)

    def encode() -> dict[str, torch.Tensor]:
        rows = []
        for start in track(range(0, len(scenes), batch), f"encode {name}"):
            video = render.render(scenes[start : start + batch], profile.geometry, device).float() / 255
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=torch.device(device).type == "cuda"):
                rows.append(codec.encode(video).to(torch.bfloat16))
        return {"latents": torch.cat(rows)}

    config = f"{profile.geometry} {profile.world} {profile.autoencoders} by {codec_hash}"
    made = kept(Path(work) / f"latents-{name}.safetensors", config, encode, device)
    return Split(made["latents"], [s.caption for s in scenes])


def load_split(name: str, profile: Profile, checkpoints: Path, work: Path, device) -> Split:
    """A split as the trained autoencoder encodes it."""
    codec = vae.build(profile)
    weights.load_into(codec, checkpoints / "vae.safetensors")
    made_by = weights.hashes(checkpoints, ["vae"])["vae"]
    return encode_split(name, profile, codec.to(device).eval(), made_by, work, device)
