"""Weight files as others publish them: safetensors, whole or in shards, and PyTorch files without code."""

import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from repro.errors import ReproError
from repro.models import weights

AGAIN = "Download it again (python -m repro preflight tells from where)"
OTHER = "Is it another model, or one of another size? python -m repro preflight lists the files that fit"


def read(path: Path) -> dict[str, Any]:
    """What a weight file holds, or a folder with the weights of one model; mapped, not copied, where possible.

    A PyTorch file may hold more than tensors (`dict` in `dict`); a safetensors file holds tensors only.
    Raises ReproError for missing, truncated or ambiguous files, and for a pickle that calls for code.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise ReproError(f"weights {path} are missing. python -m repro preflight tells where to get them")
    return _read_pickle(path) if weights.is_pickle(path) else _read_safetensors(path)


def read_json(path: Path) -> dict:
    try:
        value = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise ReproError(f"{path} cannot be read ({error}). {AGAIN}") from error
    if not isinstance(value, dict):
        raise ReproError(f"{path} must hold a JSON object, not {type(value).__name__}. {AGAIN}")
    return value


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, framework="pt") as handle:
            return {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ReproError(f"weights {path} are not a whole safetensors file ({error}): truncated? {AGAIN}") from error


def _read_folder(folder: Path) -> dict[str, torch.Tensor]:
    indexes, files = (sorted(folder.glob(f"*.safetensors{end}")) for end in (".index.json", ""))
    if len(indexes) == 1:
        return _read_shards(indexes[0])
    if len(files) == 1 and not indexes:
        return _read_safetensors(files[0])
    found = ", ".join(p.name for p in (*indexes, *files)) or "no .safetensors file"
    raise ReproError(
        f"weights folder {folder} holds {found}: it must hold one .safetensors file, or shards and one "
        f".safetensors.index.json. {AGAIN}"
    )


def _read_shards(index: Path) -> dict[str, torch.Tensor]:
    """Tensors of all shards that an index names; each must lie where the index says."""
    where = read_json(index).get("weight_map")
    if not isinstance(where, dict) or not where or not all(isinstance(name, str) for name in where.values()):
        raise ReproError(f"{index} has no weight_map from keys to files. {AGAIN}")
    tensors = {}
    for name in sorted(set(where.values())):
        if Path(name).name != name:
            raise ReproError(f"{index} names the shard {name!r}, which is not a file of its own folder: refused")
        if not (index.parent / name).is_file():
            raise ReproError(f"weights {index.parent / name} are missing, which {index.name} names. {AGAIN}")
        shard = _read_safetensors(index.parent / name)
        for key in shard:
            if where.get(key) != name:
                raise ReproError(f"weights {index.parent / name} hold {key}, which {index.name} does not say. {AGAIN}")
        tensors |= shard
    for key, name in where.items():
        if key not in tensors:
            raise ReproError(f"weights {index.parent / name} lack {key}, which {index.name} promises. {AGAIN}")
    return tensors


def _read_pickle(path: Path) -> dict[str, Any]:
    """A file of torch.save, read without running any code."""
    with path.open("rb") as handle:
        archive = handle.read(2) == b"PK"
    if archive and not zipfile.is_zipfile(path):
        raise ReproError(f"weights {path} are a PyTorch file without its end: truncated. {AGAIN}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        if wanted:
            raise ReproError(
                f"weights {path} are a pickle that calls for {wanted[1]}, which may run code: refused. "
                "Convert them to safetensors where they come from"
            ) from error
        raise ReproError(f"weights {path} cannot be read as tensors alone: refused. {AGAIN}") from error
    except (RuntimeError, EOFError, ValueError, OSError, KeyError, IndexError) as error:
        raise ReproError(f"weights {path} are not a whole PyTorch file ({error}): truncated? {AGAIN}") from error
    if not isinstance(content, Mapping):
        raise ReproError(f"weights {path} hold a {type(content).__name__}, not tensors by name. {OTHER}")
    return dict(content)


def require_tensors(found: Mapping[str, Any], where: str) -> dict[str, torch.Tensor]:
    """`found`, if it is tensors by name; else a ReproError that names the first that is not."""
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise ReproError(f"{where}: {key!r} is a {type(value).__name__}, not a tensor. {OTHER}")
    return dict(found)


def require_config(path: Path, wanted: Mapping[str, Any]) -> None:
    """Raise ReproError where a config.json beside weights says otherwise; shapes do not tell of heads or norms."""
    said = read_json(path)
    for key, value in wanted.items():
        if key in said and said[key] != value:
            raise ReproError(f"{path}: {key} is {said[key]!r}, not {value!r}. {OTHER}")


def require_fit(module: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    weights.require_fit(module, tensors, f"weights {path}", OTHER)


def fill(module: nn.Module, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype, device: str) -> None:
    """Give a module, made on the meta device, copies of `tensors`, one at a time, in `dtype` on `device`.

    A copy even where nothing changes: the file may be replaced while the model lives.
    """
    copies = {k: v.to(device=device, dtype=dtype, copy=True) for k, v in tensors.items()}
    module.load_state_dict(copies, assign=True)
