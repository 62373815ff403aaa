"""A small study: three methods, a page of test cards, and a collector on a free port."""

import csv
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from repro.user_study import plan, simulate, survey, testcards
from repro.user_study.collect import server
from repro.user_study.design import Design

METHODS = ("diagdistill", "causvid", "magi_1")
SMALL = {
    "name": "small", "title": "Which video is better?", "methods": METHODS, "participants": 2, "prompts": 3,
    "dynamic_prompts": 1, "video_seconds": 45, "comparisons": 1, "repeats": 1, "checks": 1, "quality_videos": 1,
    "consistency_videos": 1, "dynamic_videos": 1, "bootstrap": 200,
}  # fmt: skip
STRENGTH = dict(zip(METHODS, (0.0, -0.9, 0.0), strict=True))


@dataclass(frozen=True)
class Study:
    design: Design
    folder: Path
    address: str

    def links(self) -> list[str]:
        with (self.folder / "links.csv").open(newline="") as handle:
            return [self.address + row["link"][row["link"].index("/#") :] for row in csv.DictReader(handle)]


@pytest.fixture(scope="session")
def cards(tmp_path_factory):
    """Design, folder of videos, prompts."""
    design, folder = Design(**SMALL), tmp_path_factory.mktemp("cards") / "cards"
    testcards.write(design, folder, seconds=1.0)
    return design, folder / "videos", folder / "prompts.csv"


@pytest.fixture
def study(cards, tmp_path):
    design, videos, prompts = cards
    survey.build(design, prompts, videos, tmp_path / "survey", "http://127.0.0.1")
    with server(tmp_path / "survey", "127.0.0.1", 0) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield Study(design, tmp_path / "survey", f"http://127.0.0.1:{running.server_port}")
        running.shutdown()


@pytest.fixture(scope="session")
def larger():
    """A design big enough to analyse, and its plan."""
    design = Design(**SMALL | {"participants": 24, "prompts": 12, "comparisons": 12, "repeats": 4, "checks": 4})
    return design, plan.make(design)


@pytest.fixture(scope="session")
def answers(larger):
    """Simulated answers of the larger study; never human data."""
    design, planned = larger
    rng = np.random.default_rng(0)
    return simulate.respondents(design, planned, STRENGTH, rng, rater_sd=0.5, prompt_sd=0.3, side_bias=0.2)
