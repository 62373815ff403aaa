"""Bad input through the command line: exit code 2, one line that names the culprit, nothing half-written."""

import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from repro.__main__ import main
from repro.config import ROOT, load_profile
from repro.models import text_encoder, weights

RUNS = ROOT / "results" / "published" / "mini" / "runs"


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run a verb in this process; returns the exit code and the lines of standard error."""

    def call(*arguments) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["repro", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, capsys.readouterr().err.splitlines()

    return call


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A folder with a sound text encoder of the smoke profile."""
    folder = tmp_path_factory.mktemp("checkpoints")
    encoder = text_encoder.build(load_profile("smoke"))
    weights.save(folder / "text_encoder.safetensors", encoder, {"stage": "teacher"})
    return folder


@pytest.fixture
def checkpoints(good, tmp_path):
    return shutil.copytree(good, tmp_path / "checkpoints")


def _missing(path):
    path.unlink()


def _truncated(path):
    (path.parent / weights.SUMS).unlink()
    path.write_bytes(path.read_bytes()[:-100])


def _altered(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _pickled(path):
    path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))


def _torch_saved(path):
    torch.save({"weights": torch.zeros(3)}, path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_missing, "is missing"),
        (_truncated, "truncated"),
        (_altered, "does not match its line in SHA256SUMS"),
        (_pickled, "is a pickle, which may run code: refused"),
        (_torch_saved, "is a pickle, which may run code: refused"),
    ],
)
def test_bad_checkpoint(cli, checkpoints, tmp_path, damage, says):
    path = checkpoints / "text_encoder.safetensors"
    damage(path)
    out = tmp_path / "out" / "prompts.safetensors"
    code, lines = cli("prompts", "--profile", "smoke", "--checkpoints", checkpoints, "--out", out)
    assert code == 2
    assert len(lines) == 1 and lines[0].startswith("error: ") and str(path) in lines[0] and says in lines[0]
    assert not out.parent.exists()


def test_folder_that_cannot_be_written(cli, checkpoints, tmp_path):
    blocked = tmp_path / "results"
    blocked.write_text("a file where the folder should be")
    out = blocked / "prompts.safetensors"
    code, lines = cli("prompts", "--profile", "smoke", "--checkpoints", checkpoints, "--out", out)
    assert code == 2
    assert len(lines) == 1 and str(blocked) in lines[0] and "choose another folder" in lines[0]
    assert blocked.read_text() == "a file where the folder should be"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["generate", "x", "--out", "a.gif"], "a.gif is no name for a .mp4 file"),
        (["generate", "x", "--out", "FILE/a.mp4"], "cannot write to FILE"),
        (["preview", "teacher", "--checkpoints", "FILE", "--out", "b.txt"], "b.txt is no name for a .png file"),
        (["time", "--runs", "real", "--prompts", "p", "--checkpoints", "c", "--out", "FILE"], "cannot write to FILE"),
        (["videos", "--systems", "real", "--checkpoints", "c", "--out", "FILE/deep/er"], "cannot write to FILE"),
        (["bench", "--out", "FILE/bench.json"], "cannot write to FILE"),
        (["numerics", "--out", "n.json", "--seconds", "nan"], "nan seconds are no length of time"),
        (["train", "judge", "--checkpoints", "c", "--work", "w", "--max-seconds", "-1"], "-1 seconds are no length"),
        (["user-study", "plan", "--out", "plan.txt"], "plan.txt is no name for a .csv file"),
        (["notebook", "Makefile", "--out", "n.ipynb"], "no notebook source Makefile"),
    ],
)
def test_outputs_and_times_are_tried_before_any_work(cli, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("no folder")
    code, lines = cli(*arguments)
    assert code == 2 and len(lines) == 1 and says in lines[0]
    assert [p.name for p in tmp_path.iterdir()] == ["FILE"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["time", "--runs", "real", "--prompts", "p"], "run 'real' renders its clips and has no time of its own"),
        (["pace", "--systems", "self,real"], "system 'real' renders its clips and has no pace"),
        (["preview", "ode", "--run", "wan2_1", "--out", "x.png"], "run 'wan2_1' .* does not roll out a student"),
        (["table", "5", "--runs", "r", "--speed", "s.json"], "Table 5 tells of no speed, and has no use for s.json"),
        (
            ["table", "1", "--runs", RUNS, "--speed", "s.json"],
            "s.json are missing: make them with python -m repro speed",
        ),
        (
            ["cost", "--logs", RUNS.parent / "training", "--measured", "m.json"],
            "m.json are missing: make them with python -m repro iterations --profile mini",
        ),
    ],
)
def test_what_a_verb_has_no_use_for_or_misses_is_named(cli, checkpoints, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    where = [] if arguments[0] in ("table", "cost") else ["--checkpoints", checkpoints]
    out = [] if "--out" in arguments else ["--out", tmp_path / "out"]
    code, lines = cli(*arguments, *where, *out)
    assert code == 2 and len(lines) == 1 and re.search(says, lines[0])


def test_unknown_run_and_device(cli, checkpoints, tmp_path):
    common = ["--prompts", tmp_path / "p", "--checkpoints", checkpoints, "--out", tmp_path / "out"]
    code, lines = cli("evaluate", "--profile", "smoke", "--run", "diagonal_9", *common)
    assert code == 2 and "no run 'diagonal_9' in config/runs.csv" in lines[0]
    if not torch.cuda.is_available():
        run = ["--run", "diagonal_4322222", "--device", "cuda"]
        code, lines = cli("evaluate", "--profile", "smoke", *run, *common)
        assert code == 2 and "sees no GPU here; use --device cpu" in lines[0]


@pytest.fixture
def copied(tmp_path):
    """A copy of the sources and sheets, to be spoilt."""
    for part in ("config", "repro"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("smoke.yaml", "flow: {shift:", "flow: {shfit:", "smoke.yaml: unknown key 'flow.shfit' (value 5.0)"),
        (
            "runs.csv",
            "diagonal,,,diagonal,4322222",
            "diagonal,,,diagonal,43x2222",
            "schedule '43x2222', position 3: 'x' is not a step count",
        ),
        (
            "runs.csv",
            "table5,self,,",
            "table5,selv,,",
            "names student 'selv', which students.csv",
        ),
        ("speed.csv", "baseline,ladder,", "baseline,lader,", "row 'baseline' is of 'lader': choose of ladder, table1,"),
        ("speed.csv", ",graphed,", ",grafed,", "has engine 'grafed': engines.csv has "),
        (
            "runs.csv",
            "self_4322222,table5,",
            "self_4322222,tabel5,",
            "run 'self_4322222' has tables 'tabel5', but there is no 'tabel5': choose of table1, table2,",
        ),
        (
            "runs.csv",
            "self_4322222,table5,",
            "self_4322222,table5:diagonal_4322222,",
            "row 'diagonal_4322222' of table5 is run 'diagonal_4322222' already: name another row",
        ),
        (
            "runs.csv",
            "self_4322222,table5,",
            "self_4322222,table5;table5:twice,",
            "run 'self_4322222' has tables 'table5;table5:twice', one of them twice",
        ),
    ],
)
def test_bad_configuration(copied, file, old, new, says):
    path = copied / "config" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    done = subprocess.run(
        [sys.executable, "-m", "repro", "check", "--profile", "smoke"],
        cwd=copied,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and says in done.stderr
    assert "Traceback" not in done.stderr


def test_workflow_shows_the_message_of_a_failed_job(copied, checkpoints):
    """The failing verb's sentence reaches the console, not only its log."""
    for part in ("Snakefile", "rules", "profiles", "envs"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, copied / part)
    _altered(checkpoints / "text_encoder.safetensors")
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    target = "results/smoke/prompts.safetensors"
    done = subprocess.run(
        [snakemake, "--cores", "1", target, "--config", "profile=smoke", f"checkpoints={checkpoints}"],
        cwd=copied,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "does not match its line in SHA256SUMS" in done.stdout + done.stderr
    assert not (copied / target).exists()
