"""A system of published weights, in whatever layout they come, made ready to sample."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from repro.config import Scale
from repro.engine.assemble import Engine
from repro.engine.options import EngineOptions
from repro.evaluation.sampling import to_uint8
from repro.evaluation.vbench.systems import VBenchSystem
from repro.files import sha256
from repro.generation.noise import NoiseSource, whole_video
from repro.generation.samplers import euler
from repro.generation.student import Generator
from repro.models import presets
from repro.models.external.autoencoders import load_tiny, load_vae
from repro.models.external.generator import load_generator
from repro.models.external.text import UMT5_XXL, load_text_encoder
from repro.sources import find_weights

Sampler = Callable[[torch.Tensor, NoiseSource], np.ndarray]
"""Encoded prompts [B, L, E] and their noise → clips uint8 [B, frames, 3, height, width]."""


@dataclass(frozen=True)
class Loader:
    """A system's published files, in whatever layout they lie under `root`, and the modules made of them.

    Raises ReproError naming the first that is missing, with the commands that fetch it.
    """

    scale: Scale
    system: VBenchSystem
    root: Path
    device: str

    @cached_property
    def places(self) -> dict[str, Path]:
        return {name: find_weights(name, self.root) for name in self.system.needs}

    @property
    def cuda(self) -> bool:
        return torch.device(self.device).type == "cuda"

    def hashes(self) -> dict[str, str]:
        """A short hash of each file, or of all files of a folder."""
        return {name: tree_hash(place)[:16] for name, place in self.places.items()}

    def text_encoder(self):
        return load_text_encoder(
            self.places["umt5"],
            self.places["tokenizer"],
            config=self.scale.umt5 or UMT5_XXL,
            tokens=self.scale.dit.text_tokens,
            dtype=torch.bfloat16 if self.cuda else torch.float32,
            device=self.device,
        )

    def sampler(self, engine: EngineOptions, null_LE: torch.Tensor) -> Sampler:
        """Ready to sample; `null_LE` is the encoded negative prompt, which a rollout does not use."""
        config = presets.from_profile(self.scale)
        adapter = self.places.get(self.system.lora)
        model = load_generator(self.places[self.system.generator], config=config, adapter=adapter, device=self.device)
        model = model.reduce_(torch.bfloat16 if self.cuda else torch.float32).requires_grad_(False).eval()
        decoder, made = self._decoder(), Engine(model, engine, self.device)
        if self.system.sampler == "rollout":
            generator = Generator(self.scale, self.system.run, model, decoder, self.device, made)
            return lambda text, noise: to_uint8(generator(text, noise, generator.cache(len(text))))
        flow, geometry = self.scale.flow, self.scale.geometry

        @torch.inference_mode()
        def whole(text_BLE: torch.Tensor, noise: NoiseSource) -> np.ndarray:
            null = null_LE.to(text_BLE).expand_as(text_BLE)
            contexts = [model.text_context(t) for t in (text_BLE, null)]
            start = whole_video(noise, geometry)
            x0, _ = euler(model, start, *contexts, steps=flow.teacher_steps, shift=flow.shift, guidance=flow.guidance)
            return to_uint8(decoder.decode(x0.to(next(decoder.parameters()).dtype)))

        return whole

    def _decoder(self) -> torch.nn.Module:
        widths = self.scale.autoencoders
        if self.system.decoder == "tiny":
            dtype = torch.float16 if self.cuda else torch.float32
            place, channels = self.places["taehv"], widths.tiny_channels
            return load_tiny(place, channels=channels, dtype=dtype, device=self.device).requires_grad_(False)
        sizes = {"base_dim": widths.base_dim, "dim_mult": list(widths.dim_mult), "num_res_blocks": widths.res_blocks}
        return load_vae(self.places["vae"], sizes=sizes, device=self.device).requires_grad_(False)


def tree_hash(place: Path) -> str:
    """sha256 of a file, or over the names and hashes of a folder's files."""
    if place.is_file():
        return sha256(place)
    parts = [f"{p.relative_to(place)} {sha256(p)}" for p in sorted(place.rglob("*")) if p.is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@torch.inference_mode()
def encode(encoder, prompts: Sequence[str], batch: int) -> dict[str, torch.Tensor]:
    """Encoded prompts [L, E] by their words, kept on the CPU."""
    starts = track(range(0, len(prompts), batch), "encoding prompts")
    parts = [encoder(prompts[start : start + batch]).cpu() for start in starts]
    return dict(zip(prompts, torch.cat(parts), strict=True))
