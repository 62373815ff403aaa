"""Checkpoints: safetensors with JSON metadata, listed with their sha256 in SHA256SUMS beside them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from repro.errors import ReproError
from repro.files import in_turn, require_writable, sha256, write_atomic, write_text

SUMS = "SHA256SUMS"
KEEP_FP32 = 4096
"""Floating tensors up to this many elements stay fp32: norms and statistics weigh nothing."""


def _read_sums(folder: Path) -> dict[str, str]:
    path = folder / SUMS
    if not path.is_file():
        return {}
    lines = (line.split(maxsplit=1) for line in path.read_text().splitlines() if line.strip())
    return {name.lstrip("*"): digest for digest, name in lines}


def listed(folder: Path) -> dict[str, str]:
    """State of every checkpoint that a folder's SHA256SUMS lists: present, missing or altered."""
    folder = Path(folder)

    def state(name: str, digest: str) -> str:
        if not (folder / name).is_file():
            return "missing"
        return "present" if sha256(folder / name) == digest else "altered"

    return {name: state(name, digest) for name, digest in _read_sums(folder).items()}


def save(
    path: Path,
    tensors: Mapping[str, torch.Tensor] | nn.Module,
    metadata: dict,
    dtype: torch.dtype | None = torch.bfloat16,
) -> str:
    """Write a checkpoint and its line of SHA256SUMS; returns the hash. Large tensors become `dtype`."""
    path = Path(path)
    if isinstance(tensors, nn.Module):
        tensors = tensors.state_dict()
    ready = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu()
        if dtype is not None and tensor.is_floating_point() and tensor.numel() > KEEP_FP32:
            tensor = tensor.to(dtype)
        ready[name] = tensor.clone(memory_format=torch.contiguous_format)
    header = {"repro": json.dumps(metadata, sort_keys=True)}
    require_writable(path.parent)
    with in_turn(path.parent):  # students are trained beside each other, and share the sums
        write_atomic(path, lambda p: save_file(ready, p, header))
        sums = _read_sums(path.parent) | {path.name: sha256(path)}
        write_text(path.parent / SUMS, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))
    return sums[path.name]


def is_pickle(path: Path) -> bool:
    """Whether a file is a pickle or PyTorch's archive of one, by its first bytes.

    A safetensors file starts with its header's length in eight bytes, which may look like a pickle's
    start; but then comes a brace.
    """
    with Path(path).open("rb") as handle:
        head = handle.read(9)
    return head[8:] != b"{" and head.startswith((b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"))


def _require(path: Path) -> None:
    if not path.is_file():
        raise ReproError(
            f"checkpoint {path} is missing. The shipped ones lie in results/published/mini/checkpoints "
            "(restore with git checkout); train your own with snakemake --config train=true"
        )


def hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of checkpoints, by name. Raises ReproError for a missing one."""
    paths = {name: Path(folder) / f"{name}.safetensors" for name in names}
    for path in paths.values():
        _require(path)
    return {name: sha256(path) for name, path in paths.items()}


def load(path: Path, *, verify: bool = True) -> tuple[dict[str, torch.Tensor], dict]:
    """Tensors and metadata. Raises ReproError for a missing, altered, truncated or pickled file."""
    path = Path(path)
    _require(path)
    if is_pickle(path):
        raise ReproError(f"checkpoint {path} is a pickle, which may run code: refused. Convert it to safetensors first")
    expected = _read_sums(path.parent).get(path.name) if verify else None
    if expected is not None and sha256(path) != expected:
        raise ReproError(
            f"checkpoint {path} does not match its line in {SUMS} (expected sha256 {expected[:16]}…): the file is "
            "truncated or altered. Restore it with git checkout, or train it again"
        )
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = json.loads((handle.metadata() or {}).get("repro", "{}"))
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ReproError(
            f"checkpoint {path} is not a whole safetensors file ({error}): truncated? Restore it or train it again"
        ) from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ReproError(f"checkpoint {path}: {name} holds NaN or infinity. Restore it or train it again")
    return tensors, metadata


def require_fit(module: nn.Module, tensors: Mapping[str, torch.Tensor], where: str, remedy: str) -> None:
    """Raise ReproError that names `where`, missing and unexpected keys, wrong shapes, and the remedy."""
    own = module.state_dict()
    problems = [f"missing {k}" for k in own if k not in tensors]
    problems += [f"unexpected {k}" for k in tensors if k not in own]
    problems += [
        f"{k} has shape {tuple(tensors[k].shape)}, not {tuple(own[k].shape)}"
        for k in own
        if k in tensors and tensors[k].shape != own[k].shape
    ]
    if problems:
        more = f" … and {len(problems) - 6} more" if len(problems) > 6 else ""
        raise ReproError(
            f"{where} does not fit {type(module).__name__} of this profile: {'; '.join(problems[:6])}{more}. {remedy}"
        )


def load_into(module: nn.Module, path: Path) -> dict:
    """Load strictly into `module`, in the module's own dtype; returns the metadata.

    Raises ReproError that names missing and unexpected keys and wrong shapes; nothing is loaded then.
    """
    tensors, metadata = load(path)
    require_fit(module, tensors, f"checkpoint {path}", "Was it trained with another profile or config?")
    own = module.state_dict()
    module.load_state_dict({k: v.to(own[k].dtype) for k, v in tensors.items()})
    return metadata
