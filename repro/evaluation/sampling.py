"""Held-out prompts, and the clips that a run makes of them."""

from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from repro.config import Profile, Run
from repro.errors import ReproError
from repro.generation.noise import prompt_noise
from repro.generation.student import Generator, load_student
from repro.models import taehv, vae, weights


def write_prompts(profile: Profile, checkpoints: Path, out: Path) -> None:
    """Encode the held-out captions once: `text` [N, L, E] with the captions in the metadata."""
    from repro.models import text_encoder
    from repro.world import scene

    seed, count = scene.split("prompts", profile)
    if count < profile.evaluation.prompts:
        raise ReproError(f"{profile.evaluation.prompts} prompts asked for, but the split has {count}")
    captions = [scene.sample(seed, i).caption for i in range(profile.evaluation.prompts)]
    encoder = text_encoder.build(profile)
    weights.load_into(encoder, checkpoints / "text_encoder.safetensors")
    with torch.inference_mode():
        text = encoder.eval()(captions).float()
    weights.save(out, {"text": text}, {"captions": captions}, dtype=None)


def read_prompts(path: Path) -> tuple[torch.Tensor, list[str]]:
    tensors, metadata = weights.load(path)
    return tensors["text"].clone(), metadata["captions"]


def load_decoder(profile: Profile, kind: str, checkpoints: Path, device) -> torch.nn.Module:
    """The `tiny` or `full` decoder of a profile."""
    if kind == "full":
        module, name = vae.build(profile), "vae"
    else:
        module = taehv.TinyDecoder(profile.autoencoders.tiny_channels, profile.geometry.latent_channels)
        name = "tiny"
    weights.load_into(module, Path(checkpoints) / f"{name}.safetensors")
    # Both decoders are convolutions of few channels, which run nearly twice as fast with these last.
    module = module.to(memory_format=torch.channels_last) if kind == "tiny" else module
    return module.to(device).requires_grad_(False).eval()


def to_uint8(video: torch.Tensor) -> np.ndarray:
    return (video.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def sample(profile: Profile, run: Run, prompts: Path, checkpoints: Path, device) -> tuple[np.ndarray, dict]:
    """Clips uint8 [seeds·prompts, frames, 3, height, width], seeds outermost, and the counted forwards."""
    text, captions = read_prompts(prompts)
    decoder = load_decoder(profile, run.decoder, checkpoints, device)
    batch, clips, calls = profile.evaluation.batch, [], set()
    for seed in profile.evaluation.student_seeds:
        model = load_student(profile, run.student, seed, checkpoints, device)
        generator = Generator(profile, run, model, decoder, device)
        cache = generator.new_cache(batch)
        for start in track(range(0, len(captions), batch), f"{run.run_id} s{seed}"):
            ids = range(start, min(start + batch, len(captions)))
            if len(ids) < batch:
                cache = generator.new_cache(len(ids))
            noise = prompt_noise(profile.evaluation.seed, ids, generator.geometry, device)
            before = generator.forward.calls
            clips.append(to_uint8(generator(text[list(ids)].to(device), noise, cache)))
            calls.add(generator.forward.calls - before)
    if len(calls) != 1:
        raise ReproError(f"run {run.run_id}: batches made different numbers of forwards: {sorted(calls)}")
    return np.concatenate(clips), {"forwards": calls.pop(), "paper_nfe": generator.schedule.paper_nfe}
