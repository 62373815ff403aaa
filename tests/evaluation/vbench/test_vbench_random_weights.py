"""The real code path of the dimensions that need weights, with random files in the cache. Scores are thrown away."""

import math
import subprocess
from pathlib import Path

import pytest

from repro.evaluation.vbench.package import Package
from repro.evaluation.vbench.plan import make_plan
from repro.evaluation.vbench.score import Job, custom_info, planned_info, score

WRITER = Path(__file__).with_name("random_weights.py")


@pytest.fixture(scope="module")
def cache(real: Package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    subprocess.run([real.python, WRITER, folder], check=True, capture_output=True)
    return folder


def scored(job, dimension, info_of):
    return score(job, (dimension,), info_of, lambda _: None)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dimension", "weights"),
    [
        ("motion_smoothness", {"amt"}),
        ("dynamic_degree", {"raft"}),
        ("imaging_quality", {"musiq"}),
        ("background_consistency", {"clip_b32"}),
        ("aesthetic_quality", {"clip_l14", "aesthetic"}),
    ],
)
def test_a_dimension_runs_from_its_weight_files(real, cache, write_mp4, tmp_path, dimension, weights):
    write_mp4(tmp_path / "videos" / "a.mp4", frames=5, height=128, width=192)
    job = Job(real, cache, tmp_path / "out", "cpu", "short")
    found = scored(job, dimension, lambda d: custom_info(tmp_path / "videos", d))
    assert [v.file for v in found.videos] == ["a.mp4"] and math.isfinite(found.score)
    assert set(found.weights) == weights and found.score == pytest.approx(found.videos[0].score)


@pytest.mark.slow
def test_the_static_filter_decides_what_flickering_is_scored_on(real, cache, small, write_mp4, tmp_path):
    plan = {"dimensions": ("temporal_flickering",), "first": 1, "samples": 2}
    _, entries = make_plan(real, small.resized(height=128, width=192), **plan)
    for i, entry in enumerate(entries):
        write_mp4(tmp_path / "videos" / entry.file, frames=3, height=128, width=192, seed=i)
    job = Job(real, cache, tmp_path / "out", "cpu", "short")
    info = planned_info(real, entries, tmp_path / "videos", job, "temporal_flickering")
    assert job.filters("temporal_flickering") and len(info[0]["video_list"]) == 2
    order = {"dimension": "temporal_flickering", "device": "cpu", "info": info, "static_filter": True}
    answer = real.score(order, cache, tmp_path / "log")
    # Which of the two a random network calls static is no matter; that only those are scored is.
    assert list(answer["static"]) == [entries[0].prompt]
    assert len(answer["videos"]) == answer["static"][entries[0].prompt] <= 2
