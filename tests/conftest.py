"""Shared fixtures: the smoke profile and untrained models of its size (plumbing, never quality)."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# Before PyTorch is imported, for it and for every process that a test starts: two threads each on cores that two
# workers share wait for each other, up to a hundred times as long as one computes.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

from repro.config import load_profile
from repro.training.loop import generator_for


@pytest.fixture(scope="session")
def smoke():
    return load_profile("smoke")


@pytest.fixture
def untrained(smoke):
    """A DiT with random weights, its output head included (the usual zero head would hide errors)."""
    from repro.models import presets
    from repro.models.wan import WanDiT

    model = WanDiT(presets.from_profile(smoke))
    model.init_weights(generator_for(0, 0))
    torch.nn.init.normal_(model.proj_out.weight, std=0.1, generator=generator_for(0, 1))
    return model


@pytest.fixture
def text(smoke):
    shape = (2, smoke.dit.text_tokens, smoke.dit.text_dim)
    return torch.randn(shape, generator=generator_for(0, 2))


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test installs it")
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium-headless-shell, or set CHROMIUM to its path")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def slurm_plan(tmp_path):
    """Plans a workflow with the Slurm profile: rule → for each job what the cluster is asked for.

    A copy of its rules without messages, in whose place Snakemake shows threads and resources.
    """

    def plan(tree: Path, *targets: str, **config) -> dict[str, list[dict[str, str]]]:
        folder = tmp_path / "plan"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for part in ("Snakefile", "profiles", "config", "envs", "repro", "notebooks"):
            if (tree / part).exists():
                (folder / part).symlink_to(tree / part)
        shutil.copytree(tree / "rules", folder / "rules")
        for path in (folder / "rules").iterdir():
            path.write_text(re.sub(r"\n +message:\n +.*", "", path.read_text()))
        options = ["-n", "--cores", "64", "--quiet", "host", "--workflow-profile", "profiles/slurm"]
        settings = [f"{k}={v}" for k, v in ({"results": tmp_path / "results", "device": "cuda"} | config).items()]
        command = [Path(sys.executable).with_name("snakemake"), *options, *targets, "--config", *settings]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
        jobs = {}
        for rule, text in re.findall(r"^rule (\w+):\n((?: +.*\n)+)", done.stdout, re.MULTILINE):
            said = dict(re.findall(r"^ +(threads|resources|wildcards): (.*)$", text, re.MULTILINE))
            pairs = ", ".join([said.get("resources", ""), said.get("wildcards", "")]).split(", ")
            asked = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
            jobs.setdefault(rule, []).append({"threads": said.get("threads", "1")} | asked)
        return jobs

    return plan
