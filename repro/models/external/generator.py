"""Transformers: Wan2.1 (diffusers' or original names), Self-Forcing, CausVid and LongLive, base and adapter."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from repro.errors import ReproError
from repro.models.external import files, lora, names
from repro.models.wan import WanConfig, WanDiT

Which = Literal["ema", "plain"]
HOLDERS: dict[Which, tuple[str, ...]] = {
    "ema": ("generator_ema", "generator", "model"),
    "plain": ("generator", "model"),
}
"""Where a training checkpoint keeps the generator, in order of preference."""
LORA_HOLDERS = ("generator_lora",)


def load_generator(
    path: Path,
    *,
    config: WanConfig,
    which: Which = "ema",
    adapter: Path | None = None,
    alpha: float | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> WanDiT:
    """A transformer of published weights, in whatever layout they come.

    `path` is a diffusers folder, its `transformer/`, or one .safetensors or .pt file. A training
    checkpoint gives its average (`which="ema"`) where it has one. `adapter` is a LoRA file to merge, as
    LongLive ships one; its scale is α/r with `alpha` where the file tells none, by default r (LongLive
    trained with α = r = 256). Raises ReproError that names file, key and remedy; nothing is loaded then.
    """
    path = Path(path)
    tensors, adapters = read_generator(path, which)
    if adapter is not None:
        if adapters:
            raise ReproError(f"weights {path} hold an adapter of their own: load them without {adapter}")
        adapters = read_adapter(adapter)
    with torch.device("meta"):
        model = WanDiT(config)
    if path.is_dir():
        _require_config(_folder(path) / "config.json", config)
    files.require_fit(model, tensors, path)
    lora.require_fit(adapters, tensors, f"weights {adapter or path}")
    files.fill(model, lora.merge(tensors, adapters, alpha), dtype, device)
    return model


def read_generator(path: Path, which: Which = "ema") -> tuple[dict[str, torch.Tensor], dict[str, lora.Adapter]]:
    """Tensors by our names, and the adapters that the same file holds, inside the generator or beside it."""
    where = f"weights {path}"
    found = files.read(_folder(path))
    base, adapters = lora.split(_held(found, HOLDERS[which], where), names.WAN_DIT, where)
    if any(isinstance(found.get(key), Mapping) for key in LORA_HOLDERS):
        beside = _adapters(found, where)
        if adapters:
            raise ReproError(f"{where} hold adapters twice, inside the generator and beside it: remove one of them")
        adapters = beside
    return names.canonical(base, names.WAN_DIT, where), adapters


def read_adapter(path: Path) -> dict[str, lora.Adapter]:
    """Adapters by our name of the weight that each changes."""
    return _adapters(files.read(path), f"weights {path}")


def _adapters(found: Mapping[str, Any], where: str) -> dict[str, lora.Adapter]:
    """The adapters of a file that holds nothing else, or of its holder for them."""
    base, adapters = lora.split(_held(found, LORA_HOLDERS, where), names.WAN_DIT, where)
    if base or not adapters:
        what = f"{next(iter(base))}, which is no adapter's" if base else "no adapter"
        raise ReproError(f"{where} hold {what}: a LoRA file has keys like …lora_A.weight and …lora_B.weight only")
    return adapters


def _folder(path: Path) -> Path:
    """The transformer's folder of a diffusers pipeline."""
    inner = Path(path) / "transformer"
    return inner if inner.is_dir() else Path(path)


def _held(found: Mapping[str, Any], holders: tuple[str, ...], where: str) -> dict[str, torch.Tensor]:
    """The tensors of the first holder that a file has, or the file itself if it holds nothing but tensors."""
    for key in holders:
        if isinstance(found.get(key), Mapping):
            return files.require_tensors(found[key], f"{where}, {key}")
    if any(isinstance(value, Mapping) for value in found.values()):
        raise ReproError(
            f"{where} hold {', '.join(map(str, found))}, but none of {', '.join(holders)}. "
            "Choose other weights of the file, or another file"
        )
    return files.require_tensors(found, where)


def _require_config(path: Path, c: WanConfig) -> None:
    """Check what shapes do not tell, in diffusers' words and in Wan2.1's own."""
    if path.is_file():
        files.require_config(
            path,
            {
                "num_attention_heads": c.heads,
                "num_heads": c.heads,
                "attention_head_dim": c.dim // c.heads,
                "patch_size": [1, c.patch, c.patch],
                "freq_dim": c.freq_dim,
                "eps": c.eps,
                "cross_attn_norm": True,
                "qk_norm": "rms_norm_across_heads",
            },
        )
