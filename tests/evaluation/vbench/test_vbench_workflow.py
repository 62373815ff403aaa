"""`snakemake table1 --config profile=wan weights=…`, from published files to the table, at a tiny size."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from published_tree import SCALE, write

from repro.config import ROOT
from repro.evaluation.vbench.package import ENVIRONMENT

SNAKEMAKE = Path(sys.executable).with_name("snakemake")
PARTS = ("rules", "profiles", "config", "envs", "repro")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The workflow, with a scale `wan` that a test can run."""
    folder = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "Snakefile", folder)
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "config" / "wan.yaml").write_text(yaml.safe_dump(SCALE))
    return folder


def snakemake(tree, *targets, **config):
    settings = [f"{k}={v}" for k, v in ({"profile": "wan"} | config).items()]
    done = subprocess.run(
        [SNAKEMAKE, "--cores", "2", *targets, "--config", *settings],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def test_missing_weights_are_named_before_any_job(tree, tmp_path):
    code, output = snakemake(tree, "table1", weights=tmp_path)
    assert code != 0 and f"weights for wan2_1 are missing in {tmp_path}. Fetch them:" in output
    assert "Job stats" not in output
    code, output = snakemake(tree, "table1", weights=tmp_path, systems="magi_1")
    assert code != 0 and "config key systems names 'magi_1': vbench_systems.csv has wan2_1, causvid" in output
    code, output = snakemake(tree, "table1", weights=tmp_path, profile="smoke")
    assert code != 0 and "config key weights is for published weights: add profile=wan" in output


def test_shards_are_jobs_of_their_own_on_a_cluster(tree, slurm_plan, tmp_path):
    weights = write(tmp_path / "weights", diffusers_layout=False)
    jobs = slurm_plan(tree, "table1", profile="wan", weights=weights, systems="longlive", shards=3)
    made = jobs["vbench_generate"]
    assert sorted(job["shard"] for job in made) == ["0", "1", "2"]
    assert {(job["gpu"], job["mem_mb"], job["threads"]) for job in made} == {("1", "64000", "4")}
    assert len(jobs["vbench_check"]) == 1 and {job["gpu"] for job in jobs["vbench_score"]} == {"1"}


@pytest.mark.slow
def test_published_files_become_table_1(tree, real, tmp_path):
    """Plan, generate in two shards, check, score whole and in clips by the real package, report, table; and again."""
    (tree / ENVIRONMENT).symlink_to(real.root)
    weights = write(tmp_path / "weights", diffusers_layout=False)
    options = {
        "weights": weights,
        "systems": "longlive",
        "dimensions": "temporal_flickering",
        "static_filter": "false",
        "first": 1,
        "samples": 2,
        "shards": 2,
    }
    code, output = snakemake(tree, "table1", **options)
    assert code == 0, output
    out = tree / "results" / "wan"
    assert len(list((out / "vbench" / "videos" / "longlive").glob("*.mp4"))) == 2
    table = pd.read_csv(out / "tables" / "vbench_longlive.csv").set_index(["protocol", "metric"])
    for protocol in ("short", "long"):
        assert 0 < table.loc[(protocol, "temporal_flickering"), "value"] < 1
        assert "overall_consistency" in table.loc[(protocol, "total"), "gap"]
    text = (out / "tables" / "vbench_longlive.md").read_text()
    assert "A TRIAL: a part of the prompts or samples" in text and '"system": "longlive"' in text
    # One of sixteen dimensions is no total, and the table says so.
    table = pd.read_csv(out / "tables" / "table1.csv")
    assert table["ours"].isna().all() and (table["lacks"].str.split().str.len().max()) == 15
    assert set(table["system"].dropna()) == {"longlive"}

    code, output = snakemake(tree, "table1", **options)
    assert code == 0 and "Nothing to be done" in output, output
    # A video that was lost is missed, by name, and nothing is scored.
    lost = next((out / "vbench" / "videos" / "longlive").glob("*.mp4"))
    lost.unlink()
    code, output = snakemake(tree, "table1", "--forcerun", "vbench_check", **options)
    assert code != 0 and f"missing: {lost.name}" in output, output
