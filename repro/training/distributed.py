"""Training by several processes, one a GPU: torchrun starts them, FSDP2 shards the networks over them.

Every process draws an iteration's random numbers for the whole batch and works on its rows of it; FSDP2 averages
the gradients. The number of processes therefore changes a result by rounding alone, and a checkpoint, which
torch.distributed.checkpoint writes in pieces, is read by any number of them.
"""

import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from repro.device import card
from repro.errors import ReproError
from repro.files import write_json
from repro.models.wan import WanDiT

PROGRESS = "progress.json"


def launched() -> bool:
    """Has torchrun started this process?"""
    return dist.is_torchelastic_launched()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """Processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Inside, a process that torchrun started belongs to its group; gives the process's own device.

    After an error the group is left as it is: torchrun ends the other processes as soon as this one has ended.
    """
    if not launched():
        yield device
        return
    local = int(os.environ["LOCAL_RANK"])
    cuda = torch.device(device).type == "cuda"
    if cuda:
        if local >= torch.cuda.device_count():
            raise ReproError(
                f"torchrun started {os.environ['LOCAL_WORLD_SIZE']} processes here, but PyTorch sees "
                f"{torch.cuda.device_count()} GPUs: start one a GPU (--nproc-per-node {torch.cuda.device_count()})"
            )
        device = f"cuda:{card(local)}"
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=torch.device(device))
    else:
        dist.init_process_group("gloo")
    yield device
    dist.destroy_process_group()


@contextmanager
def leader_first() -> Iterator[None]:
    """The first process does what is inside before the others, who then find its files."""
    if rank() > 0:
        dist.barrier()
    yield
    if rank() == 0 and size() > 1:
        dist.barrier()


def share(batch: int) -> slice:
    """This process's rows of a batch. Raises ReproError where the processes cannot share it evenly."""
    if batch % size():
        raise ReproError(
            f"a batch of {batch} cannot be shared evenly by {size()} processes: start another number of them, or "
            "change dmd_fit.batch"
        )
    part = batch // size()
    return slice(rank() * part, (rank() + 1) * part)


def average(scalars: dict[str, float | torch.Tensor], device) -> dict[str, float]:
    """Means over the processes; a norm of sharded gradients is already of them all."""
    whole = {k: v.full_tensor() if isinstance(v, DTensor) else v for k, v in scalars.items()}
    if size() == 1:
        return {k: float(v) for k, v in whole.items()}
    values = torch.stack([torch.as_tensor(v, dtype=torch.float32, device=device) for v in whole.values()])
    dist.all_reduce(values)
    return dict(zip(whole, (values / size()).tolist(), strict=True))


def any_of(flag: bool, device) -> bool:
    """Whether it is true of any process: all get the same answer."""
    if size() == 1:
        return flag
    told = torch.tensor(float(flag), device=device)
    dist.all_reduce(told, dist.ReduceOp.MAX)
    return bool(told)


def shard(model: WanDiT) -> WanDiT:
    """Shard a network block by block, in place; only a block's input is kept for its backward pass.

    On a GPU the masters stay as they are, and forwards and backwards see them in bf16 (norms and modulation too);
    gradients are averaged in fp32. A frozen network is kept in bf16, which its forwards do not tell from fp32.
    """
    # Nothing changes a block's output in place.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
    first = next(model.parameters())
    mesh = init_device_mesh(first.device.type, (size(),))
    policy = MixedPrecisionPolicy()
    if first.is_cuda:
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)
        if not first.requires_grad:
            model.to(torch.bfloat16)
    for block in model.blocks:
        block.checkpointed = True
        fully_shard(block, mesh=mesh, mp_policy=policy)
        register_fsdp_forward_method(block, "text_key_value")
    fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=True)
    register_fsdp_forward_method(model, "text_context")
    return model


def shard_small(module: nn.Module) -> nn.Module:
    """Shard a module of few parameters as one, in its own precision; one without parameters needs nothing."""
    parameters = list(module.parameters())
    if parameters:
        fully_shard(module, mesh=init_device_mesh(parameters[0].device.type, (size(),)), reshard_after_forward=True)
    return module


def sharded_copy(model: WanDiT) -> WanDiT:
    """A copy of a sharded network with the same shards, for a moving average: it has no forward."""
    with torch.device("meta"):
        copy = WanDiT(model.config)
    copy.load_state_dict({k: v.detach().clone() for k, v in model.state_dict().items()}, assign=True)
    return copy.requires_grad_(False).eval()


def local(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Of sharded tensors this process's shards; others as they are."""
    return [t.to_local() if isinstance(t, DTensor) else t for t in tensors]


def whole_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """The state with whole tensors on the CPU; every process must ask for it together."""
    return {k: (v.full_tensor() if isinstance(v, DTensor) else v).cpu() for k, v in module.state_dict().items()}


class ShardedState:
    """Training state in the folders `state-<iteration>`; the last whole one counts, and others are removed.

    A folder is whole once torch.distributed.checkpoint has written its `.metadata`, which it does last.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def __str__(self) -> str:
        return str(self.latest() or self.folder)

    def latest(self) -> Path | None:
        return max((p.parent for p in self.folder.glob("state-*/.metadata")), default=None)

    def _parts(self, task) -> tuple[nn.ModuleDict, list, dict]:
        networks = nn.ModuleDict(task.modules)
        optimizers = [optimizer.adamw for optimizer in task.optimizers.values()]
        model_state, optimizer_state = get_state_dict(networks, optimizers)
        averages = {name: module.state_dict() for name, module in task.ema.items()}
        return networks, optimizers, {"modules": model_state, "optimizers": optimizer_state, "ema": averages}

    def load(self, task, device) -> tuple[int, float]:
        """Iterations and seconds that the last whole state stands for; zero without one."""
        path = self.latest()
        if path is None:
            return 0, 0.0
        networks, optimizers, state = self._parts(task)
        try:
            progress = json.loads((path / PROGRESS).read_text())
            task.require_same(path, progress["config"])
            dcp.load(state, checkpoint_id=path)
        except (OSError, ValueError, RuntimeError, KeyError, dcp.CheckpointException) as error:
            raise ReproError(f"training state {path} cannot be read ({error}); delete it to start over") from error
        set_state_dict(networks, optimizers, model_state_dict=state["modules"], optim_state_dict=state["optimizers"])
        for name, module in task.ema.items():
            module.load_state_dict(state["ema"][name])
        return progress["iteration"], progress["seconds"]

    def save(self, task, iteration: int, seconds: float) -> None:
        path = self.folder / f"state-{iteration:08d}"
        progress = {"iteration": iteration, "seconds": seconds, "config": task.config}
        *_, state = self._parts(task)
        try:
            if rank() == 0:
                shutil.rmtree(path, ignore_errors=True)
                write_json(path / PROGRESS, progress)
            dcp.save(state, checkpoint_id=path)
        except (OSError, RuntimeError, dcp.CheckpointException) as error:
            raise ReproError(
                f"cannot write {path}: {error}. Free some space or make the folder writable, and restart: the state "
                f"before it is whole"
            ) from error
        if rank() == 0:
            for old in self.folder.glob("state-*"):
                if old != path:
                    shutil.rmtree(old, ignore_errors=True)
