"""Held-out prompts, and the clips that a run makes of them."""

from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from repro.config import Profile, Run
from repro.errors import ReproError
from repro.generation.many_step import ManyStep
from repro.generation.noise import prompt_noise
from repro.generation.student import Generator, load_dit
from repro.models import taehv, vae, weights
from repro.training.data import pixel_pool, split_scenes
from repro.world.scene import Scene


def prompt_scenes(profile: Profile) -> list[Scene]:
    """The scenes of the held-out prompts."""
    scenes = split_scenes("prompts", profile, profile.evaluation.prompts)
    if len(scenes) < profile.evaluation.prompts:
        raise ReproError(f"{profile.evaluation.prompts} prompts asked for, but the split has {len(scenes)}")
    return scenes


def write_prompts(profile: Profile, checkpoints: Path, out: Path) -> None:
    """Encode the held-out captions once: `text` [N, L, E] and `null` [1, L, E], with the captions in the metadata."""
    from repro.models import text_encoder

    captions = [s.caption for s in prompt_scenes(profile)]
    encoder = text_encoder.build(profile)
    weights.load_into(encoder, checkpoints / "text_encoder.safetensors")
    with torch.inference_mode():
        text, null = encoder.eval()(captions).float(), encoder([""]).float()
    weights.save(out, {"text": text, "null": null}, {"captions": captions}, dtype=None)


def read_prompts(path: Path, profile: Profile) -> tuple[torch.Tensor, list[str]]:
    """Encoded text [N, L, E] and captions. Raises ReproError for a file that the verb `prompts` did not make, or made
    for another profile or evaluation."""
    remedy = f"make them with the verb `prompts`, with the same --profile {profile.name} and --evaluation"
    if not Path(path).is_file():
        raise ReproError(f"prompts {path} are missing: {remedy}")
    tensors, metadata = weights.load(path)
    if "text" not in tensors or "captions" not in metadata:
        raise ReproError(f"{path} holds no encoded prompts: {remedy}")
    text, captions = tensors["text"].clone(), metadata["captions"]
    asked = [s.caption for s in prompt_scenes(profile)]
    shape = (len(asked), profile.dit.text_tokens, profile.dit.text_dim)
    if captions != asked or text.shape != shape:
        raise ReproError(
            f"{path} holds {len(captions)} prompts of shape {tuple(text.shape[1:])}, but the evaluation asks for its "
            f"own {len(asked)} of {shape[1:]}: {remedy}"
        )
    return text, captions


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


def load_generator(
    profile: Profile, run: Run, seed: int, prompts: Path, checkpoints: Path, device
) -> Generator | ManyStep:
    """The run's model of one training seed with its decoder, ready to generate."""
    model = load_dit(profile, run.checkpoints([seed])[0], checkpoints, device)
    decoder = load_decoder(profile, run.decoder, checkpoints, device)
    if run.sampler == "rollout":
        return Generator(profile, run, model, decoder, device)
    null = weights.load(prompts)[0]["null"].to(device)
    return ManyStep(profile, run, model, decoder, null, device)


def sample(profile: Profile, run: Run, prompts: Path, checkpoints: Path, device) -> tuple[np.ndarray, dict]:
    """Clips uint8 [seeds·prompts, frames, 3, height, width], seeds outermost, and the counted forwards."""
    if run.sampler == "renderer":
        return pixel_pool(prompt_scenes(profile), profile, device).cpu().numpy(), {}
    text, captions = read_prompts(prompts, profile)
    batch, clips, calls = profile.evaluation.batch, [], set()
    for seed in profile.evaluation.student_seeds:
        generator = load_generator(profile, run, seed, prompts, checkpoints, device)
        cache = generator.cache(batch)
        for start in track(range(0, len(captions), batch), f"{run.run_id} s{seed}"):
            ids = range(start, min(start + batch, len(captions)))
            if len(ids) < batch:
                cache = generator.cache(len(ids))
            noise = prompt_noise(profile.evaluation.seed, ids, generator.geometry, device)
            before = generator.forward.calls
            clips.append(to_uint8(generator(text[list(ids)].to(device), noise, cache)))
            calls.add(generator.forward.calls - before)
    if len(calls) != 1:
        raise ReproError(f"run {run.run_id}: batches made different numbers of forwards: {sorted(calls)}")
    counts = {"forwards": calls.pop()}
    if run.sampler == "rollout":
        counts["paper_nfe"] = generator.schedule.paper_nfe
    return np.concatenate(clips), counts
