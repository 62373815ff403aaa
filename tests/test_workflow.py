"""The workflow: what it plans, what it refuses, and the smoke profile from training to Table 5."""

import csv
import fcntl
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from repro.config import ROOT, load_long, load_runs, load_students, load_systems, students_of

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
PARTS = ("Snakefile", "rules", "profiles", "config", "envs", "repro", "notebooks")
SMOKE = {"profile": "smoke"}


def command(targets, config) -> list[str]:
    settings = [f"{k}={v}" for k, v in config.items()]
    return [SNAKEMAKE, "--cores", "2", *targets, "--config", *settings]


def snakemake(tree: Path, *targets: str, **config) -> tuple[int, str]:
    """Exit code and everything that the console shows."""
    done = subprocess.run(
        command(targets, config), cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def planned(output: str) -> dict[str, int]:
    """Rule → number of jobs, from the statistics of a dry run."""
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)}


def copy_tree(folder: Path) -> Path:
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the workflow without results; tests that use it leave none."""
    return copy_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def given(tmp_path):
    """A folder with a file for every checkpoint name: planning looks at names only."""
    names = ["judge", "real", "tiny", "vae", "text_encoder", *(f"{s}-s0" for s in load_students())]
    for name in names:
        (tmp_path / f"{name}.safetensors").touch()
    return tmp_path


def test_smoke_plans_training_and_every_run(tree):
    code, output = snakemake(tree, "-n", "table5", **SMOKE)
    assert code == 0, output
    jobs = planned(output)
    runs = sum("table5" in r.tables for r in load_runs().values())
    assert jobs["evaluate"] == runs
    assert jobs["train_student"] == len(students_of("table5"))
    assert {n: jobs[n] for n in ("train_judge", "prompts", "time", "table", "notebook")} == {
        "train_judge": 1, "prompts": 1, "time": 1, "table": 1, "notebook": 1,
    }  # fmt: skip
    assert not (tree / "results").exists()


def test_mini_trains_nothing_when_it_has_checkpoints(tree, given):
    code, output = snakemake(tree, "-n", "table5", checkpoints=given)
    assert code == 0, output
    jobs = planned(output)
    assert jobs["evaluate"] == sum("table5" in r.tables for r in load_runs().values())
    assert not [name for name in jobs if name.startswith("train")]


def test_validity_needs_the_judge_alone(tree):
    code, output = snakemake(tree, "-n", "validity", **SMOKE)
    assert code == 0, output
    jobs = planned(output)
    assert jobs.pop("total") == 5
    assert set(jobs) == {"train_judge", "measure_validity", "validity_table", "validity_notebook", "validity"}


def test_headroom_measures_every_system_in_the_size_asked_for(tree):
    code, output = snakemake(tree, "-n", "headroom", **SMOKE, evaluation="full")
    assert code == 0, output
    jobs = planned(output)
    assert jobs["measure_headroom"] == len(load_systems()) and jobs["headroom_notebook"] == 1
    # Full: two training seeds of each student.
    assert jobs["train_student"] == 2 * len(students_of("table5"))


def test_studies_of_inference_leave_out_what_has_no_checkpoint(tree, given):
    """Everything is trained where it may be; else systems of long.csv without a checkpoint are left out."""
    targets = ("long", "table4", "search", "table8", "story")
    code, output = snakemake(tree, "-n", *targets, **SMOKE)
    assert code == 0, output
    jobs = planned(output)
    assert jobs["measure_long"] == len(load_long()) and jobs["study_notebook"] == len(targets)
    assert jobs["story_video"] == 1
    (given / "causvid-s0.safetensors").unlink()
    code, output = snakemake(tree, "-n", *targets, checkpoints=given)
    assert code == 0, output
    jobs = planned(output)
    assert jobs["measure_long"] == len(load_long()) - 1
    assert not [name for name in jobs if name.startswith("train")]


def test_the_ablations_students_are_trained_when_asked_for(tree):
    """All rows with one seed; with the full evaluation's two, those with `seeds` 1 keep theirs."""
    rows = load_students().values()
    for evaluation, seeds in (("default", 1), ("full", 2)):
        code, output = snakemake(tree, "-n", "students", **SMOKE, evaluation=evaluation)
        assert code == 0, output
        assert planned(output)["train_student"] == sum(min(seeds, r.seeds or seeds) for r in rows)


# Stands in for `python -m repro`: makes the files that a stage of training would make, without its work.
TRAINS_NOTHING = """
import sys
from pathlib import Path
said = sys.argv[1:]
given = {key: said[said.index(key) + 1] for key in ("--student", "--seed", "--checkpoints") if key in said}
assert said[0] == "train" and "--restart" in said
made = {"judge": ["judge", "real"], "teacher": ["teacher", "text_encoder"]}.get(said[1], [said[1]])
for name in [f"{given['--student']}-s{given['--seed']}"] if said[1] == "student" else made:
    Path(given["--checkpoints"], f"{name}.safetensors").write_text(" ".join(said))
"""


def changed(tree: Path, file: str, old: str, new: str):
    """Write a setting of the tree anew."""
    path = tree / "config" / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_what_a_changed_setting_concerns_is_trained_again(tmp_path):
    tree = copy_tree(tmp_path)
    (tree / "repro" / "__main__.py").write_text(TRAINS_NOTHING)
    code, output = snakemake(tree, "students", **SMOKE)
    assert code == 0, output

    def again() -> dict[str, int]:
        code, output = snakemake(tree, "-n", "students", **SMOKE)
        assert code == 0, output
        return {name: count for name, count in planned(output).items() if name.startswith("train_")}

    assert again() == {}
    changed(tree, "smoke.yaml", "critic_updates: 2", "critic_updates: 1")
    assert again() == {"train_student": sum(not row.many_step for row in load_students().values())}
    changed(tree, "smoke.yaml", "critic_updates: 1", "critic_updates: 2")
    changed(tree, "smoke.yaml", "teacher_steps: 8", "teacher_steps: 9")
    assert again() == {}
    changed(tree, "students.csv", "\nmagi,pipelined,,21,", "\nmagi,pipelined,,18,")
    assert again() == {"train_student": 1}
    changed(tree, "smoke.yaml", "trajectories: 8", "trajectories: 4")
    assert again() == {"train_ode": 1, "train_student": len(load_students())}


def test_figures_train_every_student_or_take_the_runs_that_were_published(tree):
    runs = {r.run_id: r for r in load_runs().values() if {"figure5a", "figure5b", "figure10"} & r.rows.keys()}
    code, output = snakemake(tree, "-n", "figures", **SMOKE)
    assert code == 0, output
    jobs = planned(output)
    assert jobs["evaluate"] == len(runs) and "real" in runs
    assert jobs["train_student"] == len({r.student for r in runs.values()} - {"real"})
    code, output = snakemake(tree, "-n", "figures")
    assert code != 0 and "results/published/mini/runs has no run of figure" in output
    for name in ("full_4322222", "diagonal_4322222", "real"):
        (folder := tree / "results" / "published" / "mini" / "runs" / name).mkdir(parents=True)
        (folder / "scores.csv").touch()
    try:
        code, output = snakemake(tree, "-n", "figures")
        assert code == 0, output
        made = {"figure_5a", "figure_5b", "figure_10", "notebook_figures", "figures"}
        assert planned(output) == dict.fromkeys(made, 1) | {"total": len(made)}
    finally:
        shutil.rmtree(tree / "results")


def test_cost_trains_what_has_no_logs_and_refuses_where_it_may_not(tree, given):
    code, output = snakemake(tree, "-n", "cost", **SMOKE)
    assert code == 0, output
    jobs = planned(output)
    assert jobs["train_student"] == len(students_of("table5"))
    assert jobs["iterations"] == jobs["cost_table"] == jobs["cost_notebook"] == 1
    code, output = snakemake(tree, "-n", "cost", checkpoints=given)
    assert code == 1 and "holds no training log: train your own with --config train=true" in output


def test_paper_scale_is_tabled_from_published_records_and_measured_on_a_gpu(tree, tmp_path):
    records = Path("results/published/wan-h100/speed")
    shutil.copytree(ROOT / records, tree / records)
    try:
        code, output = snakemake(tree, "-n", "speed", "table4", profile="wan", results=tmp_path)
        assert code == 0, output
        assert planned(output) == {"speed": 1, "speed_tables": 1, "speed_notebook": 1, "table4": 1, "total": 4}
        (tree / records / "table7_table8.json").unlink()
        code, output = snakemake(tree, "-n", "table7", profile="wan", results=tmp_path)
        assert code != 0 and "table7 of profile wan has no published record yet: measure it on a GPU" in output
        code, output = snakemake(tree, "-n", "table7", profile="wan", device="cuda", results=tmp_path)
        assert code == 0 and planned(output)["speed_records"] == 6
    finally:
        shutil.rmtree(tree / "results")


def test_missing_checkpoint_is_named_before_any_job(tree, given):
    (given / "judge.safetensors").unlink()
    code, output = snakemake(tree, "table5", checkpoints=given)
    assert code == 1
    assert f"checkpoint {given}/judge.safetensors is missing: restore it with" in output
    assert not (tree / "results").exists()


def test_training_can_be_asked_for_in_either_spelling(tree):
    for word in ("true", "True"):
        code, output = snakemake(tree, "-n", "table5", train=word)
        assert code == 0 and "train_student" in planned(output), output


@pytest.mark.parametrize(
    ("target", "config", "message"),
    [
        ("table10", {}, "No rule to produce table10"),
        ("table5", {"profle": "mini"}, "unknown config key 'profle': did you mean 'profile'?"),
        ("table5", {"per_card": 0}, "config key per_card=0 must be at least 1"),
        ("table5", {"train": "maybe"}, "config key train='maybe' must be true or false"),
        (
            "table5",
            {"results": "Snakefile"},
            "Snakefile is not a folder. Choose another folder",
        ),
    ],
)
def test_refused_in_one_sentence_before_any_job(tree, target, config, message):
    code, output = snakemake(tree, target, **(SMOKE | config))
    assert code == 1
    assert len([line for line in output.splitlines() if message in line]) == 1, output
    assert "Job stats" not in output
    assert not (tree / "results").exists()


def test_two_runs_in_one_results_folder_are_refused(tree, tmp_path):
    lock = tmp_path / "smoke" / ".lock"
    lock.parent.mkdir()
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        code, output = snakemake(tree, "table5", results=tmp_path, **SMOKE)
    assert code == 1 and "another run is writing it" in output
    assert sorted(lock.parent.iterdir()) == [lock]


def keep_rows(path: Path, keep) -> list[dict]:
    rows = [r for r in csv.DictReader(path.open(newline="")) if keep(r)]
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def keep_schedules(tree: Path, *schedules: str) -> list[str]:
    """Cut runs.csv to table 5's runs of a few schedules, headroom's sheets to the systems that use them."""

    def kept(row: dict) -> bool:
        return row["schedule"] in schedules and "table5" in row["tables"].split(";")

    runs = [r["run_id"] for r in keep_rows(tree / "config" / "runs.csv", kept)]
    systems = keep_rows(tree / "config" / "headroom.csv", lambda r: r["run"] in ("", *runs))
    names = {r["system"] for r in systems}
    keep_rows(tree / "config" / "headroom_targets.csv", lambda r: {r["system"], r["reference"]} <= names)
    return runs


def kill_when(tree: Path, appears: Path, seconds: float = 60) -> None:
    """Start the workflow and kill it and its jobs, as a power cut would, once a file appears."""
    running = subprocess.Popen(
        command(["table5"], SMOKE),
        cwd=tree,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + seconds
    while not appears.exists() and running.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    assert running.poll() is None and appears.exists()
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()


@pytest.mark.slow
@pytest.mark.timeout(1200)  # Some forty processes one after the other: minutes on a busy machine.
def test_smoke_end_to_end(tmp_path):
    """Training to notebook; nothing to do afterwards; a killed run goes on to the same numbers."""
    tree = copy_tree(tmp_path)
    runs = keep_schedules(tree, "4322222", "4444444")
    code, output = snakemake(tree, "table5", **SMOKE)
    assert code == 0, output
    out = tree / "results" / "smoke"

    for run in runs:
        for name in ("quality.json", "timing.json"):
            records = json.loads((out / "runs" / run / name).read_text())
            assert records and all(math.isfinite(r["value"]) and r["run_id"] == run for r in records)
        assert (out / "runs" / run / "scores.csv").is_file()
    table = pd.read_csv(out / "tables" / "table5.csv")
    assert list(table["run_id"]) == runs
    assert table[["total", "throughput_fps"]].notna().all(axis=None)
    assert all((out / "tables" / f"table5.{kind}").stat().st_size for kind in ("md", "html", "tex"))
    assert set(pd.read_csv(out / "metrics.csv")["run_id"]) == set(runs)
    assert (out / "notebooks" / "table5.ipynb").is_file()
    assert len(list((out / "logs").rglob("*.log"))) == 4 + len(runs) + 5 + len(students_of("table5"))

    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file() and p.name != ".lock"}
    code, output = snakemake(tree, "table5", **SMOKE)
    assert code == 0 and "Nothing to be done" in output, output
    assert before == {p: p.stat().st_mtime_ns for p in before}

    quality = out / "runs" / runs[0] / "quality.json"
    log = out / "logs" / "evaluate" / f"{runs[0]}.log"
    numbers = quality.read_bytes()
    for path in (quality, log, out / "tables" / "table5.csv"):
        path.unlink()
    kill_when(tree, log)
    assert not quality.exists()
    code, output = snakemake(tree, "table5", **SMOKE)
    assert code == 0, output
    assert quality.read_bytes() == numbers
