"""The device that a verb works on: there at all, and, in a workflow, a card that no other of its jobs has."""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from repro.errors import ReproError
from repro.files import try_lock

OWN_CARD = "REPRO_OWN_CARD"
"""Set by the Snakefile: every job takes a card for itself. By hand, several verbs may share one."""
LOCKS = Path(tempfile.gettempdir()) / f"repro-cards-{os.getuid()}"
PATIENCE_S = 60.0
_held = []


def take_card(names: Sequence[str], folder: Path = LOCKS, patience_s: float = PATIENCE_S) -> int:
    """Index of a card that no other process took; the kernel gives it back however this process ends.

    Raises ReproError where none becomes free: the workflow was allowed more GPU jobs than there are cards.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + patience_s
    while True:
        for index, name in enumerate(names):
            lock = try_lock(folder / f"{name}.lock")
            if lock is not None:
                _held.append(lock)
                return index
        if time.monotonic() > end:
            raise ReproError(
                f"all {len(names)} GPUs are taken by other jobs: allow the workflow as many as there are "
                f"(--resources gpu={len(names)}), or wait for the other one"
            )
        time.sleep(0.2)


def card(default: int = 0) -> int:
    """The GPU of this process: one of its own inside a workflow, else `default`."""
    import torch

    if OWN_CARD not in os.environ:
        return default
    return take_card([str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())])


def for_child() -> dict[str, str]:
    """Variables with which a process that this one starts sees its card alone; none where it took no card."""
    return {"CUDA_VISIBLE_DEVICES": f"GPU-{Path(_held[-1].name).stem}"} if _held else {}


def prepare(threads: int, device: str) -> None:
    """Settings that all verbs share. Raises ReproError where PyTorch sees no such device."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ReproError(f"--device {device}: PyTorch sees no GPU here; use --device cpu")
    # Processes of torchrun find their cards as they join its group.
    if device == "cuda" and OWN_CARD in os.environ and "LOCAL_RANK" not in os.environ:
        torch.cuda.set_device(card())
    if threads:
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high")
