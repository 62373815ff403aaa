"""Wan2.1's VAE and the tiny decoder for its latents (TAEHV)."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from repro.errors import ReproError
from repro.models import vae
from repro.models.external import files
from repro.models.taehv import TimeGrow, TinyDecoder

TINY_CHANNELS = (256, 128, 64, 64)
"""Widths of TAEHV's decoder (its public source)."""
LATENT_CHANNELS = 16


def load_vae(
    path: Path, *, sizes: dict[str, Any] | None = None, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> vae.Vae:
    """Wan2.1's VAE from a diffusers folder, its `vae/`, or `Wan2.1_VAE.pth`.

    Sizes and latent statistics are those of a config.json beside the weights, else Wan2.1's;
    `sizes` gives others. Raises ReproError that names file, key and remedy; nothing is loaded then.
    """
    from diffusers import AutoencoderKLWan

    inner = _folder(path)
    if sizes is None and (inner / "config.json").is_file():
        sizes = read_vae_config(inner / "config.json")
    try:
        with torch.device("meta"):
            model = AutoencoderKLWan(**(sizes or {}))
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise ReproError(f"{inner / 'config.json'} describes no VAE ({error}). {files.AGAIN}") from error
    for name in ("latents_mean", "latents_std"):
        if len(model.config[name]) != model.config.z_dim:
            raise ReproError(
                f"{inner / 'config.json'}: {name} has {len(model.config[name])} values for "
                f"{model.config.z_dim} latent channels. {files.AGAIN}"
            )
    tensors = read_vae(path)
    files.require_fit(model, tensors, path)
    files.fill(model, tensors, dtype, device)
    return vae.wrap(model).to(device).eval()


def read_vae(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by diffusers' names, whichever of the two the file has."""
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    tensors = files.require_tensors(files.read(_folder(path)), f"weights {path}")
    original = any(name.startswith(("encoder.downsamples.", "decoder.upsamples.")) for name in tensors)
    return convert_wan_vae_to_diffusers(tensors) if original else tensors


def read_vae_config(path: Path) -> dict[str, Any]:
    """Arguments of `AutoencoderKLWan`; a key that it does not know is refused."""
    from diffusers import AutoencoderKLWan

    known = inspect.signature(AutoencoderKLWan.__init__).parameters
    said = {key: value for key, value in files.read_json(path).items() if not key.startswith("_")}
    for key in said:
        if key not in known:
            raise ReproError(f"{path}: AutoencoderKLWan knows no {key!r} (value {said[key]!r}). {files.OTHER}")
    return said


def _folder(path: Path) -> Path:
    inner = Path(path) / "vae"
    return inner if inner.is_dir() else Path(path)


def load_tiny(
    path: Path,
    *,
    channels: Sequence[int] = TINY_CHANNELS,
    latent_channels: int = LATENT_CHANNELS,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> TinyDecoder:
    """TAEHV's decoder from `taew2_1.pth` or .safetensors; the file's encoder is left where it is."""
    with torch.device("meta"):
        model = TinyDecoder(channels, latent_channels)
    tensors = read_tiny(path, model)
    files.require_fit(model, tensors, path)
    files.fill(model, tensors, dtype, device)
    return model.eval()


def read_tiny(path: Path, model: TinyDecoder) -> dict[str, torch.Tensor]:
    """The decoder's tensors. A file may grow more frames than `model` does: the last ones are kept, as TAEHV does."""
    found = files.require_tensors(files.read(path), f"weights {path}")
    tensors = {name: tensor for name, tensor in found.items() if not name.startswith("encoder.")}
    for index, layer in enumerate(model.decoder):
        name = f"decoder.{index}.conv.weight"
        if isinstance(layer, TimeGrow) and name in tensors:
            rows = layer.conv.weight.shape[0]
            if len(tensors[name]) % rows == 0:
                tensors[name] = tensors[name][-rows:]
    return tensors
