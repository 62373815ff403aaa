"""Several GPUs: jobs of one machine never share a card, and what the Slurm profile asks a cluster for."""

import json
import logging
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file

from repro.config import ROOT
from repro.device import take_card
from repro.errors import ReproError

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))

FAKE_WORKFLOW = """
include: {common!r}

rule all:
    input: expand("{{job}}.json", job=range(4))

rule fake:
    output: "{{job}}.json"
    resources: gpu=GPU
    shell: "python {job!r} {{output}}"
"""

# Two cards where there is none; otherwise what every verb on a GPU does first.
FAKE_JOB = """
import json, sys, time
from types import SimpleNamespace
import torch

taken, cuda = [], torch.cuda
cuda.is_available, cuda.device_count, cuda.set_device = lambda: True, lambda: 2, taken.append
cuda.get_device_properties = lambda i: SimpleNamespace(uuid=f"test-{token}-{{i}}")
from repro.device import for_child, prepare

prepare(1, "cuda")
taken += [for_child()]
start = time.time()
time.sleep(1.5)
with open(sys.argv[1], "w") as file:
    json.dump({{"card": taken[0], "child": taken[1], "start": start, "end": time.time()}}, file)
"""


def test_four_jobs_on_two_cards_never_share_one(tmp_path):
    """The workflow's own settings, resource and card picker; jobs that log when they had which card."""
    job, workflow = tmp_path / "job.py", tmp_path / "Snakefile"
    job.write_text(FAKE_JOB.format(token=tmp_path.parent.name))
    workflow.write_text(FAKE_WORKFLOW.format(common=str(ROOT / "rules" / "common.smk"), job=str(job)))
    limits = ["--cores", "4", "--resources", "gpu=2"]
    config = ["profile=smoke", "device=cuda", f"results={tmp_path / 'results'}"]
    command = [SNAKEMAKE, "-s", workflow, "-d", tmp_path, "--workflow-profile", "none", *limits, "--config", *config]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    logs = [json.loads((tmp_path / f"{i}.json").read_text()) for i in range(4)]

    def overlap(a, b):
        return a["start"] < b["end"] and b["start"] < a["end"]

    assert {log["card"] for log in logs} == {0, 1}
    for log in logs:
        assert log["child"] == {"CUDA_VISIBLE_DEVICES": f"GPU-test-{tmp_path.parent.name}-{log['card']}"}
    together = [(a, b) for a, b in combinations(logs, 2) if overlap(a, b)]
    assert together and all(a["card"] != b["card"] for a, b in together)


def test_more_jobs_than_cards_are_told_how_many_there_are(tmp_path):
    names = ["a", "b"]
    assert [take_card(names, 1, tmp_path, 0) for _ in names] == [0, 1]
    with pytest.raises(ReproError, match=r"all 2 GPUs have 1 .* each.*--resources gpu=2\)"):
        take_card(names, 1, tmp_path, 0)


def test_cards_are_shared_evenly_by_as_many_jobs_as_may(tmp_path):
    names = ["a", "b"]
    assert [take_card(names, 2, tmp_path, 0) for _ in range(4)] == [0, 1, 0, 1]
    with pytest.raises(ReproError, match=r"all 2 GPUs have 2 .* each.*--resources gpu=4\)"):
        take_card(names, 2, tmp_path, 0)


def test_training_on_a_cluster_asks_for_a_gpu_memory_and_time(slurm_plan):
    jobs = slurm_plan(ROOT, "table5", profile="smoke")
    student, table, timed = (jobs[name][0] for name in ("train_student", "table", "time"))
    assert (student["gpu"], student["mem_mb"], student["runtime"]) == ("1", "16000", "1440")
    assert "gpu" not in table and (table["mem_mb"], table["runtime"]) == ("16000", "120")
    assert timed["gpu"] == "1"


def test_without_a_gpu_none_is_asked_for(slurm_plan):
    jobs = slurm_plan(ROOT, "table5", profile="smoke", device="cpu")
    assert len(jobs) > 8 and {job.get("gpu", "0") for rule in jobs.values() for job in rule} == {"0"}


def test_partitions_take_the_jobs_that_fit(tmp_path):
    """By the executor's own choice, from partitions.yaml as shipped."""
    partitions = read_partition_file(ROOT / "profiles" / "slurm" / "partitions.yaml")

    def chosen(**resources):
        job = SimpleNamespace(name="job", threads=resources.pop("threads", 1), resources=resources)
        return get_best_partition(partitions, job, logging.getLogger())

    assert chosen(mem_mb=16000, runtime=120) == "cpu"
    assert chosen(mem_mb=64000, runtime=1440, gpu=1, threads=4) == "gpu"
    assert chosen(mem_mb=1000, runtime=100000) is None
