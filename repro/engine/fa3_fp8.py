"""fp8 attention by FlashAttention-3, whose build for fp8 comes in the wheel of sglang-kernel.

Queries, keys and values are float8_e4m3fn with scales of one; the output is bf16.
"""

import math
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch

from repro.errors import ReproError

LIBRARY = "flash_ops.abi3.so"
REMEDY = "install sglang-kernel without its dependencies, in the version of envs/cuda.txt"


@cache
def load() -> Callable:
    """The forward operator. Raises ReproError where it is not installed or was built for another PyTorch."""
    found = find_spec("sgl_kernel")
    paths = [Path(folder) / LIBRARY for folder in found.submodule_search_locations] if found else []
    try:
        torch.ops.load_library(str(next(path for path in paths if path.is_file())))
        return torch.ops.sgl_kernel.fwd.default
    except StopIteration:
        raise ReproError(f"attention kernel fa3_fp8 is not installed: {REMEDY}") from None
    except (OSError, AttributeError) as error:
        raise ReproError(f"attention kernel fa3_fp8 does not load ({error}): {REMEDY}") from error


def attend(q_BTNH: torch.Tensor, k_BSNH: torch.Tensor, v_BSNH: torch.Tensor) -> torch.Tensor:
    """[B, T, D] in bf16."""
    # In the operator's order. None: new keys, an output, lengths and pages of ragged batches, rotary tables, scales.
    given = (q_BTNH, k_BSNH, v_BSNH, *[None] * 20, 1 / math.sqrt(q_BTNH.shape[-1]))
    causal, window, chunk, softcap, interleaved = False, (-1, -1), 0, 0.0, True
    scheduler, splits, pack_gqa, sm_margin, sinks = None, 1, None, 0, None
    tail = (causal, *window, chunk, softcap, interleaved, scheduler, splits, pack_gqa, sm_margin, sinks)
    return load()(*given, *tail)[0].flatten(2)
