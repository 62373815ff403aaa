"""Exact attention kernels by name, all (q [B,T,N,H], k [B,S,N,H], v [B,S,N,H], mask) → [B,T,D].

Those from outside PyTorch know no masks: they take none or a `ChunkMask`.

`sdpa` is whatever PyTorch picks. Those of `TAKE_FP8` take fp8 and are exact only within its rounding. What a machine
does not have is refused by name.
"""

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from repro.engine import fa3_fp8
from repro.errors import ReproError
from repro.models.attention import ChunkMask, attend

Kernel = Callable[..., torch.Tensor]
FA3 = "install FlashAttention-3 for this PyTorch (flash_attn_3), or xformers==0.0.34, whose wheel carries it"
FA4 = "install flash-attn-4 (a pre-release)"


def _backend(backend: SDPBackend, q, k, v, mask=None) -> torch.Tensor:
    with sdpa_kernel(backend):
        return attend(q, k, v, mask)


@cache
def _flash_attention_3() -> Callable:
    for module in ("flash_attn_3._C", "xformers.flash_attn_3._C"):
        try:
            import_module(module)
            return torch.ops.flash_attn_3.fwd
        except (ImportError, OSError, AttributeError):
            continue
    raise ReproError(f"attention kernel fa3 is not installed: {FA3}")


def _chunked(product: Kernel, q, k, v, mask=None) -> torch.Tensor:
    """A `product` (q, k, v), taken for each chunk of queries under a `ChunkMask`."""
    if mask is None:
        return product(q, k, v)
    if isinstance(mask, ChunkMask):
        return mask.attend(q, k, v, product)
    raise ReproError("this attention kernel takes no mask but a ChunkMask: choose an engine with attention sdpa")


def _fa3(q, k, v) -> torch.Tensor:
    return _flash_attention_3()(q, k, v)[0].flatten(2)


@cache
def _flash_attention_4() -> Callable:
    try:
        return import_module("flash_attn.cute").flash_attn_func
    except (ImportError, OSError) as error:
        raise ReproError(f"attention kernel fa4 is not installed ({error}): {FA4}") from error


def _fa4(q, k, v) -> torch.Tensor:
    out = _flash_attention_4()(q, k, v)
    return (out[0] if isinstance(out, tuple) else out).flatten(2)


KERNELS: dict[str, Kernel] = {
    "sdpa": attend,
    "flash2": partial(_backend, SDPBackend.FLASH_ATTENTION),
    "cudnn": partial(_backend, SDPBackend.CUDNN_ATTENTION),
    "fa3": partial(_chunked, _fa3),
    "fa4": partial(_chunked, _fa4),
    "fa3_fp8": partial(_chunked, fa3_fp8.attend),
}
LOADERS = {"fa3": _flash_attention_3, "fa4": _flash_attention_4, "fa3_fp8": fa3_fp8.load}


def kernel(name: str) -> Kernel:
    """The kernel of a name. Raises ReproError where it is unknown or not installed."""
    if name not in KERNELS:
        raise ReproError(f"no attention kernel {name!r}: choose one of {', '.join(KERNELS)}")
    if name in LOADERS:
        LOADERS[name]()
    return KERNELS[name]
