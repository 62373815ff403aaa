"""Bytes that models take, on disk and on a GPU, counted on models without storage.

What a layer reads and writes is counted, the memory that a kernel borrows is not: a lower bound.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from repro.geometry import Geometry
from repro.models.external.autoencoders import LATENT_CHANNELS, TINY_CHANNELS
from repro.models.kv_cache import KVCache
from repro.models.taehv import TinyDecoder
from repro.models.wan import WanConfig, WanDiT
from repro.sources import TableNeed, WeightSource

RUN_DTYPE = torch.bfloat16
META = torch.device("meta")


@cache
def build(component: str, config: WanConfig) -> nn.Module:
    """A model of paper scale without storage; `generator` is the transformer of `config`."""
    with META:
        match component:
            case "generator" | "pipeline" | "lora":
                return WanDiT(config)
            case "text_encoder":
                from transformers import UMT5Config, UMT5EncoderModel

                from repro.models.external.text import UMT5_XXL

                return UMT5EncoderModel(UMT5Config(**UMT5_XXL))
            case "vae":
                from diffusers import AutoencoderKLWan

                return AutoencoderKLWan()
            case "tiny":
                return TinyDecoder(TINY_CHANNELS, LATENT_CHANNELS)
    raise ValueError(component)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def adapter_parameters(model: WanDiT, rank: int) -> int:
    """Two matrices of `rank` for every linear layer of the transformer's blocks."""
    layers = (m for m in model.blocks.modules() if isinstance(m, nn.Linear))
    return sum(rank * (m.in_features + m.out_features) for m in layers)


def disk_bytes(source: WeightSource, config: WanConfig) -> int:
    """Size of a published file, from its model's size and its precision; 0 for a tokenizer."""
    if source.dtype is None:
        return 0
    model = build(source.component, config)
    count = adapter_parameters(model, source.rank) if source.component == "lora" else parameters(model)
    return count * source.models * getattr(torch, source.dtype).itemsize


@dataclass(frozen=True)
class RunBytes:
    """GPU memory of one run in bf16 at batch 1."""

    weights: int
    cache: int
    decoding: int
    """Largest layer of the decoder for one chunk, and the features it keeps between chunks."""
    denoising: int
    text_encoder: int
    """Needed before the run only."""

    @property
    def generation(self) -> int:
        return self.weights + self.cache + max(self.decoding, self.denoising)


def run_bytes(need: TableNeed, geometry: Geometry, config: WanConfig) -> RunBytes:
    """What the largest run of a table takes."""
    kind = "vae" if need.decoder == "full" else "tiny"
    count = parameters(build("generator", config)) + parameters(build(kind, config))
    kept = KVCache(config, geometry, 1, need.window_frames, device=META, dtype=RUN_DTYPE)
    frames = geometry.latent_frames if need.whole_video else geometry.chunk_frames
    return RunBytes(
        weights=count * RUN_DTYPE.itemsize,
        cache=tensor_bytes(list(vars(kept).values())),
        decoding=_decoding(kind, geometry, config),
        denoising=_denoising(frames, geometry, config),
        text_encoder=parameters(build("text_encoder", config)) * RUN_DTYPE.itemsize,
    )


def tensor_bytes(value) -> int:
    """Bytes of all tensors in nested lists, tuples and dicts."""
    if isinstance(value, torch.Tensor):
        return math.prod(value.shape) * value.element_size()
    if isinstance(value, dict):
        value = list(value.values())
    return sum(map(tensor_bytes, value)) if isinstance(value, list | tuple) else 0


@contextmanager
def largest_layer(module: nn.Module) -> Iterator[Callable[[], int]]:
    """Inside, forwards are watched; the function given tells the most bytes that one layer read and wrote."""
    seen = [0]

    def watch(_, arguments, output) -> None:
        seen[0] = max(seen[0], tensor_bytes(arguments) + tensor_bytes(output))

    hooks = [m.register_forward_hook(watch) for m in module.modules() if not list(m.children())]
    try:
        yield lambda: seen[0]
    finally:
        for hook in hooks:
            hook.remove()


@cache
@torch.no_grad()
def _denoising(frames: int, geometry: Geometry, config: WanConfig) -> int:
    """One layer does for all: they are alike, and their outputs do not live together."""
    with META:
        model = WanDiT(config.model_copy(update={"layers": 1})).to(RUN_DTYPE)
        latents = torch.empty((1, frames, *geometry.latent_shape[1:]), dtype=RUN_DTYPE)
        context = model.text_context(torch.empty((1, config.text_tokens, config.text_dim), dtype=RUN_DTYPE))
        with largest_layer(model) as largest:
            model(latents, torch.empty((1, frames), dtype=RUN_DTYPE), context)
    return largest()


@cache
@torch.no_grad()
def _decoding(kind: str, geometry: Geometry, config: WanConfig) -> int:
    """A later chunk of a stream, which has four video frames for each latent one."""
    from repro.models.vae import Vae

    model = build(kind, config).eval()
    with META, largest_layer(model) as largest:
        latents = torch.empty((1, geometry.chunk_frames, *geometry.latent_shape[1:]))
        stream = (Vae(model, LATENT_CHANNELS) if kind == "vae" else model).stream()
        for _ in range(2):
            stream.push(latents)
    kept = tensor_bytes(list(vars(stream).values()))
    # The models are built in fp32 and run in bf16.
    return (largest() + kept) * RUN_DTYPE.itemsize // torch.float32.itemsize
