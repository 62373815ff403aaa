"""The one training loop: deterministic iterations, JSONL log, progress bar, checkpoint and resume.

Every iteration draws from its own generator, seeded by (seed, iteration); so a run that is killed
and restarted repeats exactly what the uninterrupted run would have done.
"""

import hashlib
import io
import math
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.distributed.fsdp import FSDPModule

from repro.config import Fit
from repro.errors import ReproError
from repro.files import locked, require_writable, write_atomic
from repro.training import distributed
from repro.training.journal import LOG, RUN, Journal
from repro.training.optimizer import Optimizer

KEPT = ("state*", LOG, RUN)
"""What a stage's folder has of a training, as patterns."""


class OtherTraining(ReproError):
    """A state is there, whole, but of another training, whose `Task.config` is `config`."""

    def __init__(self, told: str, config: str):
        super().__init__(told)
        self.config = config


@dataclass
class Task:
    """One training stage.

    `step(iteration, generator)` does a whole iteration, optimiser steps included, and returns scalars
    to log. `modules` and `optimizers` are checkpointed under their names;
    `ema` maps a name in `modules` to the moving average of that module (see `ema_copy`).
    """

    name: str
    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    step: Callable[[int, torch.Generator], dict[str, float | torch.Tensor]]
    ema: dict[str, nn.Module] = field(default_factory=dict)
    constant_lr: frozenset[str] = frozenset()
    """Names of optimisers whose learning rate follows no schedule."""
    config: str = ""
    """Text that must not change between a checkpoint and its resumption; `run` adds seed and sources to it."""

    def require_same(self, state: Path, config: str) -> None:
        """Raise OtherTraining where a state's `config` is not this task's."""
        if config != self.config:
            raise OtherTraining(
                f"training state {state} belongs to another configuration, to another seed, or to a stage that started "
                "from other checkpoints; delete it to start over, or add --restart, which keeps it in earlier/",
                config,
            )


def ema_copy(module: nn.Module) -> nn.Module:
    if isinstance(module, FSDPModule):
        return distributed.sharded_copy(module)
    return deepcopy(module).requires_grad_(False).eval()


def lr_factor(iteration: int, fit: Fit) -> float:
    """Linear warm-up, then cosine decay to zero at the last iteration."""
    warmup = min(1.0, (iteration + 1) / max(1, fit.warmup))
    return warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, iteration / fit.iterations)))


def generator_for(seed: int, *keys: int, device="cpu") -> torch.Generator:
    """A generator that depends on the seed and keys alone."""
    state = np.random.SeedSequence([seed, *keys]).generate_state(2, np.uint32)
    return torch.Generator(device).manual_seed(int(state[0]) << 31 ^ int(state[1]))


@torch.no_grad()
def update_ema(task: Task, decay: float, iteration: int) -> None:
    """EMA with the usual ramp (1+i)/(10+i), so that a short run does not remember its start."""
    decay = min(decay, (1 + iteration) / (10 + iteration))
    for name, average in task.ema.items():
        now = task.modules[name]
        torch._foreach_lerp_(*(distributed.local(m.parameters()) for m in (average, now)), 1 - decay)
        for a, b in zip(average.buffers(), now.buffers(), strict=True):
            a.copy_(b)


class State:
    """Training state of one process in `state.pt`."""

    def __init__(self, folder: Path):
        self.path = Path(folder) / "state.pt"

    def __str__(self) -> str:
        return str(self.path)

    def load(self, task: Task, device) -> tuple[int, float]:
        """Iterations and seconds that the state stands for; zero without one."""
        path = self.path
        if not path.is_file():
            return 0, 0.0
        try:
            state = torch.load(path, map_location=device, weights_only=True)
        except Exception as error:
            raise ReproError(f"training state {path} cannot be read ({error}); delete it to start over") from error
        task.require_same(path, state["config"])
        try:
            for kind, objects in (("modules", task.modules), ("ema", task.ema), ("optimizers", task.optimizers)):
                for name, item in objects.items():
                    item.load_state_dict(state[kind][name])
        except (KeyError, RuntimeError, ValueError) as error:
            told = " ".join(str(error).split())
            raise ReproError(
                f"training state {path} does not fit {task.name} ({told}); delete it to start over"
            ) from error
        return state["iteration"], state.get("seconds", 0.0)

    def save(self, task: Task, iteration: int, seconds: float) -> None:
        """Serialised in memory first: torch.save names neither a full disk nor the file as the cause."""
        state = {
            "iteration": iteration,
            "seconds": seconds,
            "config": task.config,
            "modules": {k: m.state_dict() for k, m in task.modules.items()},
            "ema": {k: m.state_dict() for k, m in task.ema.items()},
            "optimizers": {k: o.state_dict() for k, o in task.optimizers.items()},
        }
        whole = io.BytesIO()
        torch.save(state, whole)
        write_atomic(self.path, lambda p: p.write_bytes(whole.getbuffer()))


def state_of(task: Task, folder: Path) -> State | distributed.ShardedState:
    """Where the task's state is kept. Raises ReproError where it has been trained in the other way."""
    sharded = any(isinstance(module, FSDPModule) for module in task.modules.values())
    alone, together = State(folder), distributed.ShardedState(folder)
    if alone.path.is_file() if sharded else together.latest():
        other, how = (alone, "without torchrun") if sharded else (together, "under torchrun")
        raise ReproError(f"{other} is the state of a run {how}: go on with it so, or delete it to start over")
    return together if sharded else alone


@dataclass(frozen=True)
class Piece:
    """How a stage is trained from one start of the program to its end: what `run` takes besides the task."""

    seed: int
    device: str = "cpu"
    max_seconds: float | None = None
    restart: bool = False


def _aside(folder: Path, config: str) -> Path:
    """Where the state of a training with this `Task.config` waits while the folder is another's."""
    return folder / "earlier" / hashlib.sha256(config.encode()).hexdigest()[:12]


def _move(source: Path, target: Path) -> None:
    """State and journal; what `target` has of them goes."""
    target.mkdir(parents=True, exist_ok=True)
    for old in [path for pattern in KEPT for path in target.glob(pattern)]:
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    for path in [path for pattern in KEPT for path in source.glob(pattern)]:
        path.replace(target / path.name)


def _begin(task: Task, folder: Path, device, restart: bool) -> tuple[State | distributed.ShardedState, int, float]:
    """The state, and how far it is. With `restart` one of another training is set aside, and what was set aside of
    this one comes back: a setting that is changed and changed back loses nothing. One process only."""
    state, mine = state_of(task, folder), _aside(folder, task.config)
    try:
        start, before = state.load(task, device)
    except OtherTraining as other:
        if not restart:
            raise
        _move(folder, _aside(folder, other.config))
        start, before = 0, 0.0
    if restart and not start and mine.is_dir():
        _move(mine, folder)
        state = state_of(task, folder)
        start, before = state.load(task, device)
    return state, start, before


def run(
    task: Task,
    fit: Fit,
    folder: Path,
    *,
    seed: int,
    sources: Mapping[str, str] | None = None,
    device="cpu",
    max_seconds: float | None = None,
    restart: bool = False,
) -> bool:
    """Train until `fit.iterations`, or for `max_seconds`; True when finished.

    `folder` receives the state (resumed from when present), and the journal's `log.jsonl` and `run.json`.
    `sources` are the hashes of the checkpoints that the stage starts from, by name: the state of a stage that
    started from others, or from another seed, is refused, or with `restart` set aside in `earlier/` (`_begin`).
    Of several processes, the first one locks the folder and writes the journal, with means over all.
    Raises ReproError on a non-finite loss, a full disk, or a folder that cannot be written or that
    another process is using, leaving the last checkpoint as it was.
    """
    folder = Path(folder)
    require_writable(folder)
    task = replace(task, config=f"{task.config} seed={seed} sources={dict(sources or {})}")
    with locked(folder) if distributed.rank() == 0 else nullcontext():
        return _run(task, fit, folder, seed, device, max_seconds, restart)


def _run(task: Task, fit: Fit, folder: Path, seed: int, device, max_seconds: float | None, restart: bool) -> bool:
    (state, start, before), leads = _begin(task, folder, device, restart), distributed.rank() == 0
    if start == fit.iterations:
        return True
    journal = Journal(folder, start, stage=task.name, seed=seed, fit=fit, device=device) if leads else None
    began, log_every = time.monotonic(), max(1, min(50, fit.iterations // 20))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, disable=not leads) as bar:
        row = bar.add_task(task.name, total=fit.iterations, completed=start, note="")
        for iteration in range(start, fit.iterations):
            factor = lr_factor(iteration, fit)
            for name, optimizer in task.optimizers.items():
                optimizer.scale_lr(1.0 if name in task.constant_lr else factor)
            scalars = task.step(iteration, generator_for(seed, iteration, device=device))
            update_ema(task, fit.ema, iteration)
            bar.update(row, completed=iteration + 1)
            spent, last = time.monotonic() - began, iteration + 1 == fit.iterations
            out_of_time = max_seconds is not None and distributed.any_of(spent > max_seconds, device)
            logs = iteration % log_every == 0 or last
            saves = (iteration + 1) % fit.save_every == 0 or last or out_of_time
            if logs or saves:
                scalars = distributed.average(scalars, device)
                if not all(map(math.isfinite, scalars.values())):
                    raise ReproError(
                        f"{task.name}: non-finite value at iteration {iteration}: {scalars}. The last checkpoint "
                        f"is {state}, and was finite; with a lower learning rate, delete it and start over"
                    )
            if logs:
                elapsed = round(before + time.monotonic() - began, 3)
                if leads:
                    journal.write({"iteration": iteration, "seconds": elapsed} | scalars)
                bar.update(row, note=" ".join(f"{k} {v:.4g}" for k, v in scalars.items()))
            if saves:
                state.save(task, iteration + 1, before + time.monotonic() - began)
            if out_of_time and not last:
                return False
    return True
