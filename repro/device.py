"""The device that a verb works on: there at all, and, in a workflow, a card that no more jobs have than may."""

import os
import re
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from repro.errors import ReproError
from repro.files import try_lock

PER_CARD = "REPRO_JOBS_PER_CARD"
"""Set by the Snakefile: so many of its jobs share a card. By hand, any number of verbs may."""
LOCKS = Path(tempfile.gettempdir()) / f"repro-cards-{os.getuid()}"
PATIENCE_S = 60.0
_held = []


def take_card(names: Sequence[str], jobs: int = 1, folder: Path = LOCKS, patience_s: float = PATIENCE_S) -> int:
    """Index of a card that fewer than `jobs` processes took; the kernel gives it back however this process ends.

    Raises ReproError where none becomes free: the workflow was allowed more GPU jobs than the cards may have.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + patience_s
    while True:
        for place, (index, name) in product(range(jobs), enumerate(names)):
            lock = try_lock(folder / f"{name}.{place}.lock")
            if lock is not None:
                _held.append((name, lock))
                return index
        if time.monotonic() > end:
            raise ReproError(
                f"all {len(names)} GPUs have {jobs} of the workflow's jobs each: allow it no more at a time "
                f"(--resources gpu={jobs * len(names)}), or wait for the other one"
            )
        time.sleep(0.2)


def card(default: int = 0) -> int:
    """The GPU of this process: one of its own inside a workflow, else `default`."""
    import torch

    if PER_CARD not in os.environ:
        return default
    names = [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]
    return take_card(names, int(os.environ[PER_CARD]))


def for_child() -> dict[str, str]:
    """Variables with which a process that this one starts sees its card alone; none where it took no card."""
    return {"CUDA_VISIBLE_DEVICES": f"GPU-{_held[-1][0]}"} if _held else {}


def prepare(threads: int, device: str) -> None:
    """Settings that all verbs share. Raises ReproError where PyTorch sees no such device."""
    import torch

    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise ReproError(f"--device {device}: give cpu, cuda, or a card such as cuda:0")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ReproError(f"--device {device}: PyTorch sees no GPU here; use --device cpu")
    if device.startswith("cuda:") and int(device[5:]) >= torch.cuda.device_count():
        raise ReproError(f"--device {device}: PyTorch sees {torch.cuda.device_count()} GPUs here, counted from 0")
    # Processes of torchrun find their cards as they join its group.
    if device == "cuda" and PER_CARD in os.environ and "LOCAL_RANK" not in os.environ:
        torch.cuda.set_device(card())
    if threads:
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high")
