"""All that turns prompts into videos: the sprite world's own checkpoints, or published weights at paper scale."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from repro.config import Profile, Run, Scale
from repro.engine.assemble import Engine
from repro.engine.options import EAGER, EngineOptions
from repro.errors import ReproError
from repro.evaluation.sampling import load_decoder
from repro.generation.student import Generator, load_student
from repro.models import presets, text_encoder
from repro.models.external.autoencoders import load_tiny, load_vae
from repro.models.external.generator import load_generator
from repro.models.external.text import TOKENS, UMT5_XXL, load_text_encoder
from repro.models.wan import TextContext, WanDiT
from repro.sources import load_weights


@dataclass
class Studio:
    """`encode` maps captions to embeddings [B, L, E], and raises ReproError for one it cannot read."""

    scale: Scale
    run: Run
    model: WanDiT
    decoder: torch.nn.Module
    encode: Callable[[Sequence[str]], torch.Tensor]
    engine: Engine
    device: str

    def generator(self, **changes) -> Generator:
        """For one video of the run, with other values of its row, such as `frames`, checked again."""
        run = Run(**(self.run.model_dump() | changes))
        return Generator(self.scale, run, self.model, self.decoder, self.device, self.engine)

    @torch.inference_mode()
    def contexts(self, captions: Sequence[str]) -> list[TextContext]:
        """One for each caption, at batch 1."""
        texts = self.encode(captions)
        return [self.model.text_context(text[None]) for text in texts]


def open_world(profile: Profile, run: Run, checkpoints: Path, device, options: EngineOptions = EAGER) -> Studio:
    """A student of the sprite world, of the first training seed."""
    model = load_student(profile, run.student, profile.evaluation.student_seeds[0], checkpoints, device)
    encoder = text_encoder.load(profile, checkpoints, device)
    decoder = load_decoder(profile, run.decoder, checkpoints, device)
    return Studio(profile, run, model, decoder, encoder, Engine(model, options, device), device)


def find(provides: str, root: Path) -> Path:
    """Where a part of the published weights lies. Raises ReproError with the command that fetches it."""
    rows = [row for row in load_weights().values() if row.provides == provides]
    for row in rows:
        if row.place(root).exists():
            return row.place(root)
    raise ReproError(f"no weights of {provides} in {root}; fetch them with\n{rows[0].command(root)}")


def models() -> list[str]:
    """Names of the published transformers that roll out."""
    found = (r.provides for r in load_weights().values() if r.component == "generator" and r.provides != "wan2_1")
    return list(dict.fromkeys(found))


def open_published(
    scale: Scale,
    run: Run,
    name: str,
    root: Path,
    device,
    options: EngineOptions = EAGER,
    *,
    text: dict[str, Any] = UMT5_XXL,
    tokens: int = TOKENS,
) -> Studio:
    """A published transformer with UMT5 and Wan2.1's decoder, or the tiny one, from a folder of weights.

    Large products run in bf16 and the tiny decoder in fp16 on a GPU. LongLive's adapter is part of LongLive.
    Raises ReproError for an unknown name, and for missing or unfit files, before anything large is read.
    """
    root, cuda = Path(root), torch.device(device).type == "cuda"
    if name not in models():
        raise ReproError(f"no published model {name!r}: choose one of {', '.join(models())}")
    part = "tiny" if run.decoder == "tiny" else "vae"
    names = [name, "umt5", "tokenizer", {"tiny": "taehv", "vae": "vae"}[part]]
    names += ["longlive_lora"] * (name == "longlive")
    places = {n: find(n, root) for n in names}
    model = load_generator(
        places[name], config=presets.from_profile(scale), adapter=places.get("longlive_lora"), device=device
    )
    model.reduce_(torch.bfloat16 if cuda else torch.float32).requires_grad_(False).eval()
    encoder = load_text_encoder(
        places["umt5"], places["tokenizer"], config=text, tokens=tokens, dtype=torch.bfloat16, device=device
    )
    if part == "tiny":
        dtype = torch.float16 if cuda else torch.float32
        decoder = load_tiny(places["taehv"], channels=scale.autoencoders.tiny_channels, dtype=dtype, device=device)
        decoder = decoder.to(memory_format=torch.channels_last)
    else:
        decoder = load_vae(places["vae"], device=device)
    engine = Engine(model, options, device)
    return Studio(scale, run, model, decoder.requires_grad_(False), encoder, engine, device)
