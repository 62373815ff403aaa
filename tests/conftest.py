"""Shared fixtures: the smoke profile and untrained models of its size (plumbing, never quality)."""

import os
import shutil

import pytest
import torch

from repro.config import load_profile
from repro.training.loop import generator_for


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


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
