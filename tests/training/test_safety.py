"""A killed run ends where an undisturbed one does; a full disk or a blocked folder costs no checkpoint.

Every run here is a process of its own that goes through the command line, forked from a server that has
imported PyTorch once.
"""

import errno
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import repro.__main__ as command_line
from repro.errors import ReproError
from repro.models import presets, text_encoder, weights
from repro.models.wan import WanDiT
from repro.training import journal, loop
from repro.verbs import training as training_verbs

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["repro.training.student", "torch._dynamo", "transformers.models.umt5.modeling_umt5"])
ITERATIONS, SAVE_EVERY = 24, 3


def train(profile, folder: Path, before=None) -> None:
    """Body of a process: `python -m repro train student`, with what it says on standard error kept."""
    sys.stderr = (folder / "stderr").open("w")
    training_verbs.load_profile = lambda name: profile
    if before is not None:
        before()
    sys.argv = f"repro train student --checkpoints {folder}/checkpoints --work {folder}/work --threads 1".split()
    try:
        command_line.main()
    finally:
        sys.stderr.close()


def start(profile, folder: Path, before=None):
    process = PROCESSES.Process(target=train, args=(profile, folder, before))
    process.start()
    return process


def finish(profile, folder: Path, before=None) -> int:
    process = start(profile, folder, before)
    process.join(120)
    return process.exitcode


def kill_at_third_checkpoint() -> None:
    """Arrange that this process dies with a checkpoint half written."""
    write_atomic, saves = loop.write_atomic, []

    def cut(path, write):
        saves.append(path)

        def half(temporary):
            write(temporary)
            os.truncate(temporary, temporary.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

        return write_atomic(path, half if len(saves) == 3 else write)

    loop.write_atomic = cut


def small_files_only() -> None:
    """The kernel refuses files as large as a checkpoint, as it would on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@pytest.fixture(scope="module")
def profile(smoke):
    fit = smoke.dmd_fit.model_copy(update={"iterations": ITERATIONS, "save_every": SAVE_EVERY, "lr": 1e-3})
    return smoke.model_copy(update={"dmd_fit": fit})


@pytest.fixture(scope="module")
def checkpoints(smoke, tmp_path_factory):
    """What the stage starts from, untrained."""
    folder = tmp_path_factory.mktemp("start")
    model = WanDiT(presets.from_profile(smoke))
    model.init_weights(loop.generator_for(0, 0))
    torch.nn.init.normal_(model.proj_out.weight, std=0.1, generator=loop.generator_for(0, 1))
    weights.save(folder / "teacher.safetensors", model, {})
    weights.save(folder / "ode.safetensors", model, {})
    torch.manual_seed(0)
    weights.save(folder / "text_encoder.safetensors", text_encoder.build(smoke), {})
    return folder


@pytest.fixture
def fresh(checkpoints, tmp_path):
    """Makes folders from which a run can start."""

    def make(name: str) -> Path:
        shutil.copytree(checkpoints, tmp_path / name / "checkpoints")
        return tmp_path / name

    return make


def work(folder: Path) -> Path:
    return folder / "work" / "diagonal-s0"


def lines(folder: Path) -> list[dict]:
    return journal.read_log(work(folder) / journal.LOG)


def leftovers(folder: Path) -> list[Path]:
    return [p for p in folder.rglob(".*") if p.name != ".lock"]


def assert_equal(a, b, where="state") -> None:
    """Nested states, bit for bit."""
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b), where
    elif isinstance(a, dict | list | tuple):
        assert len(a) == len(b), where
        for key in a if isinstance(a, dict) else range(len(a)):
            assert_equal(a[key], b[key], f"{where}.{key}")
    else:
        assert a == b, where


def test_killed_at_random_moments_it_ends_with_the_same_bits(profile, fresh):
    whole, killed = fresh("whole"), fresh("killed")
    assert finish(profile, whole) == 0, (whole / "stderr").read_text()

    assert finish(profile, killed, kill_at_third_checkpoint) == -signal.SIGKILL
    assert len(leftovers(killed)) == 1, "it died while it wrote"
    rng = np.random.default_rng(0)
    for _ in range(2):
        log, process = work(killed) / journal.LOG, start(profile, killed)
        known = log.stat().st_mtime_ns
        while log.stat().st_mtime_ns == known and process.is_alive():
            time.sleep(0.005)
        process.join(rng.uniform(0, 0.4))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert finish(profile, killed) == 0, (killed / "stderr").read_text()

    states = [torch.load(work(f) / "state.pt", weights_only=True) for f in (whole, killed)]
    assert all(s.pop("seconds") > 0 for s in states)
    assert_equal(*states)
    name = "checkpoints/diagonal-s0.safetensors"
    assert (whole / name).read_bytes() == (killed / name).read_bytes()
    assert not leftovers(killed)

    told, again = lines(whole), lines(killed)
    assert [line | {"seconds": 0} for line in told] == [line | {"seconds": 0} for line in again]
    assert all(a["seconds"] < b["seconds"] for a, b in pairwise(again))
    starts = [piece["start"] for piece in journal.read_run(work(killed))["pieces"]]
    assert (
        starts == sorted(set(starts)) and starts[:2] == [0, 2 * SAVE_EVERY] and all(s % SAVE_EVERY == 0 for s in starts)
    )


def test_full_disk_stops_it_with_the_last_checkpoint_whole(profile, fresh):
    folder = fresh("full")
    assert finish(profile, folder, kill_at_third_checkpoint) == -signal.SIGKILL
    state = work(folder) / "state.pt"
    before = state.read_bytes()
    assert finish(profile, folder, small_files_only) == 2
    (told,) = (folder / "stderr").read_text().splitlines()
    assert told.startswith(f"error: cannot write {state}: {os.strerror(errno.EFBIG)}. ") and "free some space" in told
    assert state.read_bytes() == before and not leftovers(folder)
    assert torch.load(state, weights_only=True)["iteration"] == 2 * SAVE_EVERY
    assert finish(profile, folder) == 0, "with space again it goes on"


def test_truly_full_file_system(profile, fresh, tmp_path):
    """`python -m repro` on a file system with room for the log but for no checkpoint."""
    folder, disk = fresh("disk"), tmp_path / "mounted"
    disk.mkdir()
    mount = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=256k none {disk} && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*mount, "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    options = f"--profile smoke --checkpoints {folder}/checkpoints --work {disk}".split()
    then_list = ["sh", "-c", f'"$@"; code=$?; ls -A {disk}/diagonal-s0; exit $code', "sh"]
    done = subprocess.run(
        [*mount, *then_list, sys.executable, "-m", "repro", "train", "student", *options],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (told,) = done.stderr.splitlines()
    assert told.startswith(f"error: cannot write {disk}/diagonal-s0/state.pt: {os.strerror(errno.ENOSPC)}. ")
    assert set(done.stdout.split()[-3:]) == {".lock", "log.jsonl", "run.json"}


def test_full_disk_under_the_log(tmp_path):
    log = object.__new__(journal.Journal)
    log.path = Path("/dev/full")
    with pytest.raises(ReproError, match=r"cannot write /dev/full: No space left.*last checkpoint is whole"):
        log.write({"iteration": 0})


@pytest.mark.parametrize("blocked", ["checkpoints", "work"])
def test_folder_that_cannot_be_written_is_refused_before_any_work(monkeypatch, capsys, tmp_path, blocked):
    folders = {name: tmp_path / name / "inner" for name in ("checkpoints", "work")}
    (tmp_path / blocked).write_text("a file where a folder should be")
    monkeypatch.setattr("repro.training.judge.train_judge", lambda *_, **__: pytest.fail("work was begun"))
    options = [f"--{name}={folder}" for name, folder in folders.items()]
    monkeypatch.setattr(sys, "argv", ["repro", "train", "judge", "--profile", "smoke", *options])
    with pytest.raises(SystemExit) as stop:
        command_line.main()
    (told,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and told.startswith(f"error: cannot write to {folders[blocked]}: Not a directory. ")


def test_two_processes_in_one_folder_are_refused(profile, fresh):
    folder = fresh("twice")
    work(folder).mkdir(parents=True)
    with loop.locked(work(folder)):
        assert finish(profile, folder) == 2
    assert "another process is at work in" in (folder / "stderr").read_text()


def test_journal_forgets_what_a_checkpoint_does_not_know_and_half_a_line(tmp_path, smoke):
    def opened(at):
        return journal.Journal(tmp_path, at, stage="toy", seed=0, fit=smoke.ode_fit, device="cpu")

    first = opened(0)
    for i in range(6):
        first.write({"iteration": i, "seconds": i})
    with first.path.open("a") as log:
        log.write('{"iteration": 6, "sec')
    opened(4).write({"iteration": 4, "seconds": 9})
    assert [line["iteration"] for line in journal.read_log(first.path)] == [0, 1, 2, 3, 4]
    opened(4), opened(2)
    assert [piece["start"] for piece in json.loads((tmp_path / journal.RUN).read_text())["pieces"]] == [0, 2]
