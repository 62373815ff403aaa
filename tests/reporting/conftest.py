"""Synthetic records of the twelve runs of Table 5: known values, no model."""

import json

import numpy as np
import pandas as pd
import pytest

from repro.config import load_runs
from repro.reporting import tables
from repro.schedule import Schedule

CHUNKS, PROMPTS = 7, 12
LATENCY = {"diagonal": 0.2, "self": 0.4}
GAIN = {"temporal": 0.05, "frame": -0.05, "text": 0.0, "total": 0.02}
"""Diagonal minus Self: reproduced, contradicted, unresolved, reproduced."""


def write_run(folder, run, profile="smoke", prompts=PROMPTS, device="test device"):
    """quality.json, timing.json, scores.csv and frames.npz of one run."""
    folder.mkdir(parents=True)
    schedule = Schedule.parse(run.schedule, CHUNKS)
    common = {
        "run_id": run.run_id,
        "profile": profile,
        "seeds": [0],
        "metric_version": "1",
        "code": "c",
        "weights": {"judge": "j"},
        "device": device,
        "versions": {"python": "3"},
    }

    def record(metric, value, low, high, n, unit):
        return common | {"metric": metric, "value": value, "low": low, "high": high, "n": n, "unit": unit}

    # The same noise a prompt in both modes, and a little of their own, as with shared noise and prompts.
    shared = np.random.default_rng(int(run.schedule)).normal(0, 0.02, (prompts, len(GAIN)))
    own = np.random.default_rng([int(run.schedule), run.cache == "self"]).normal(0, 0.004, shared.shape)
    # Antithetic: the mean of each column is exactly the one written here.
    own = own - own.mean(0)
    sign = 0.5 if run.cache == "diagonal" else -0.5
    scores = pd.DataFrame(0.7 + shared + own + sign * np.array(list(GAIN.values())), columns=list(GAIN))
    scores.insert(0, "prompt", np.arange(prompts))
    scores.insert(0, "seed", 0)
    scores.to_csv(folder / "scores.csv", index=False)
    quality = [
        record(m, scores[m].mean(), scores[m].mean() - 0.01, scores[m].mean() + 0.01, prompts, "score") for m in GAIN
    ]
    quality += [
        record("paper_nfe", schedule.paper_nfe, None, None, 1, "forwards"),
        record("forwards", schedule.forwards(run.cache), None, None, 1, "forwards"),
    ]
    latency = LATENCY[run.cache]
    timing = [
        record("in_flight_latency_s", latency, latency - 0.01, latency + 0.01, 10, "s"),
        record("throughput_fps", 4 / latency, 3.9 / latency, 4.1 / latency, 10, "frame/s"),
    ]
    (folder / "quality.json").write_text(json.dumps(quality))
    (folder / "timing.json").write_text(json.dumps(timing))
    frames = np.random.default_rng(0).integers(0, 255, (3, 6, 8, 12, 3), dtype=np.uint8)
    captions = np.array([f"caption {i}" for i in range(3)])
    np.savez_compressed(folder / "frames.npz", frames=frames, captions=captions, index=np.arange(0, 81, 16))


def write_runs(folder, **changes):
    for run in load_runs().values():
        if "table5" in run.rows:
            write_run(folder / run.run_id, run, **changes)
    return folder


@pytest.fixture
def runs_dir(tmp_path):
    """`tmp_path/runs` with every run of Table 5, free to be damaged."""
    return write_runs(tmp_path / "runs")


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A results folder with runs, metrics and Table 5, to read only."""
    folder = tmp_path_factory.mktemp("results")
    tables.build(5, "smoke", write_runs(folder / "runs"), folder)
    return folder


@pytest.fixture
def edit_records():
    """Change every record of one file in place."""

    def edit(path, change):
        path.write_text(json.dumps([change(r) for r in json.loads(path.read_text())]))

    return edit
