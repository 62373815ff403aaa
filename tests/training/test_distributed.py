"""Two gloo processes under torchrun's own agent: the curve of one, a killed process, another number of them.

Rounding alone may differ: sums over two halves of a batch and over shards, in fp32, relative TOLERANCE.
"""

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from repro.config import ROOT, load_profile, load_students
from repro.errors import ReproError
from repro.models import presets, text_encoder, weights
from repro.models.wan import WanDiT
from repro.training import distributed, student
from repro.training.distributed import ShardedState
from repro.training.loop import Piece, generator_for, run

TOLERANCE = 1e-4
CURVES = ("loss", "critic_loss", "dmd_gradient", "grad_norm")
"""What is logged but for latent_std: a mean of two halves' deviations is not the deviation of the whole."""
NAME = "diagonal-s0"
LAST = load_profile("smoke").dmd_fit.iterations


def train(checkpoints: Path, work: Path, *, dies_at: int | None = None, max_seconds: float | None = None) -> bool:
    """The student of smoke; `dies_at` is the iteration at which the last of the processes is killed."""

    def mortal(task, *args, **kwargs):
        step = task.step

        def killed(iteration, generator):
            if iteration == dies_at and distributed.rank() == distributed.size() - 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(iteration, generator)

        task.step = killed
        return run(task, *args, **kwargs)

    student.run = mortal
    with distributed.joined("cpu") as device:
        profile, row = load_profile("smoke"), load_students()["diagonal"]
        return student.train_student(profile, row, checkpoints, work, Piece(0, device, max_seconds))


def report(arguments: dict) -> bool:
    """In a process of the agent: its number, and what the verb would tell on the console."""
    print(os.getpid(), flush=True)
    try:
        return train(**arguments)
    except ReproError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Checkpoints with random weights, and the same student trained by one process without torchrun."""
    folder = tmp_path_factory.mktemp("distributed")
    checkpoints, profile = folder / "checkpoints", load_profile("smoke")
    torch.manual_seed(0)
    for seed, name in enumerate(("teacher", "ode")):
        model = WanDiT(presets.from_profile(profile))
        model.init_weights(generator_for(seed))
        torch.nn.init.normal_(model.proj_out.weight, std=0.1, generator=generator_for(seed, 1))
        weights.save(checkpoints / f"{name}.safetensors", model, {})
    weights.save(checkpoints / "text_encoder.safetensors", text_encoder.build(profile), {})
    assert student.train_student(profile, load_students()["diagonal"], checkpoints, folder / "one", Piece(0))
    (checkpoints / f"{NAME}.safetensors").rename(folder / "one.safetensors")
    return folder


@pytest.fixture
def together(begun, tmp_path):
    """Starts processes as torchrun does, from a clean one that has imported everything."""
    multiprocessing.set_forkserver_preload([__name__])

    def start(processes: int, work: Path, **arguments):
        """What each process returned; their consoles are the files of `work`'s `console`."""
        console = tmp_path / "console"
        shutil.rmtree(console, ignore_errors=True)
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id="test",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            start_method="forkserver",
            max_restarts=0,
            monitor_interval=0.05,
            logs_specs=DefaultLogsSpecs(log_dir=str(console), redirects=Std.ALL),
        )
        return elastic_launch(config, report)({"checkpoints": begun / "checkpoints", "work": work} | arguments)

    start.console = lambda rank: next((tmp_path / "console").glob(f"**/{rank}/stdout.log")).read_text()
    return start


def curve(work: Path) -> dict[str, torch.Tensor]:
    lines = [json.loads(line) for line in (work / NAME / "log.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == list(range(LAST))
    return {name: torch.tensor([line[name] for line in lines], dtype=torch.float64) for name in CURVES}


def same_as_one(begun: Path, work: Path) -> None:
    """Curves, and the student that is written in the end (in bf16: a rounding apart)."""
    torch.testing.assert_close(curve(work), curve(begun / "one"), rtol=TOLERANCE, atol=0)
    ours, one = load_file(begun / "checkpoints" / f"{NAME}.safetensors"), load_file(begun / "one.safetensors")
    torch.testing.assert_close(ours, one, rtol=1e-2, atol=1e-4)


def saved(work: Path) -> int:
    """Iterations of the last whole state."""
    return json.loads((ShardedState(work / NAME).latest() / distributed.PROGRESS).read_text())["iteration"]


def test_two_processes_draw_the_curve_of_one(begun, together, tmp_path):
    assert together(2, tmp_path) == {0: True, 1: True}
    same_as_one(begun, tmp_path)


@pytest.mark.slow
def test_a_killed_process_stops_the_other_and_any_number_goes_on(begun, together, tmp_path):
    """The state before the kill is whole; two processes go on from it, and so does one from its copy."""
    work, copy = tmp_path / "work", tmp_path / "copy"
    with pytest.raises(ChildFailedError) as stopped:
        together(2, work, dies_at=LAST - 1)
    # The launcher sees the death first, or else the other process does, by its connection.
    assert re.search(r"Signal 9 \(SIGKILL\) received|Connection (reset|closed) by peer", str(stopped.value))
    assert not any(Path("/proc", together.console(rank).split()[0]).exists() for rank in (0, 1))
    assert saved(work) == LAST - 1
    shutil.copytree(work, copy)
    for processes, folder in ((2, work), (1, copy)):
        together(processes, folder)
        same_as_one(begun, folder)


def test_what_one_process_began_two_go_on_with(begun, together, tmp_path):
    assert together(1, tmp_path, max_seconds=0) == {0: False}
    assert saved(tmp_path) == 1
    together(2, tmp_path)
    same_as_one(begun, tmp_path)


def test_a_folder_begun_without_torchrun_is_refused_by_name(begun):
    """By the command itself, on its console."""
    before = {p: p.read_bytes() for p in (begun / "one").rglob("*") if p.is_file()}
    verb = ["-m", "repro", "train", "student", "--profile", "smoke", "--threads", "1"]
    folders = ["--checkpoints", str(begun / "checkpoints"), "--work", str(begun / "one")]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    done = subprocess.run([*torchrun, *verb, *folders], cwd=ROOT, capture_output=True, text=True)
    told = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    state = begun / "one" / NAME / "state.pt"
    assert done.returncode == 1, done.stderr
    assert told == [
        f"error: {state} is the state of a run without torchrun: go on with it so, or delete it to start over"
    ]
    assert before == {p: p.read_bytes() for p in before}
