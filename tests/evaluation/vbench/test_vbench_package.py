"""The real package, in its own environment, on real MP4s of the sprite world. CI builds the environment first."""

import re

import pytest
import torch

from repro.config import ROOT, load_profile, load_runs
from repro.errors import ReproError
from repro.evaluation.metrics import temporal_flickering
from repro.evaluation.vbench.check import read_clip
from repro.evaluation.vbench.package import Package
from repro.evaluation.vbench.score import Job, custom_info, score
from repro.generation.film import Cue, film
from repro.generation.studio import open_world
from repro.training.data import split_scenes

CHECKPOINTS = ROOT / "results" / "published" / "mini" / "checkpoints"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two videos of the shipped student, as `python -m repro generate` writes them."""
    folder, profile, run = tmp_path_factory.mktemp("clips"), load_profile("mini"), load_runs()["diagonal_4322222"]
    studio = open_world(profile, run, CHECKPOINTS, "cpu")
    for i, scene in enumerate(split_scenes("prompts", profile, 2)):
        film(studio, [Cue(0, scene.caption)], folder / f"clip-{i}.mp4", frames=profile.geometry.frames, seed=i, scale=2)
    return folder


def scored(package, clips, tmp_path, dimension, **options):
    job = Job(package, tmp_path / "cache", tmp_path / "out", "cpu", "short", static_filter=False, **options)
    return score(job, (dimension,), lambda d: custom_info(clips, d), lambda _: None)[0]


def test_temporal_flickering_is_ours(real, clips, tmp_path):
    found = scored(real, clips, tmp_path, "temporal_flickering")
    assert len(found.videos) == 2 and found.vbench == "0.1.5"
    for video in found.videos:
        frames = torch.from_numpy(read_clip(clips / video.file).copy())[None]
        ours = float(temporal_flickering(frames)[0])
        assert video.score == pytest.approx(ours, abs=1e-6) and 0.9 < ours < 1
    assert found.score == pytest.approx(sum(v.score for v in found.videos) / 2, abs=1e-12)


def test_what_fails_inside_is_told(real, clips, tmp_path):
    """A weight file that is none: the end of VBench's own output, and where the rest is."""
    broken = tmp_path / "cache" / "amt_model" / "amt-s.pth"
    broken.parent.mkdir(parents=True)
    broken.write_text("not weights")
    with pytest.raises(
        ReproError, match=r"VBench failed on motion_smoothness; .*short_motion_smoothness\.log"
    ) as error:
        scored(real, clips, tmp_path, "motion_smoothness")
    assert re.search(r"Error", str(error.value)) and not (tmp_path / "out" / "short").exists()


def test_an_environment_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ReproError, match=r"is missing: build it with `snakemake --cores 1 vbench_env`"):
        Package(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    with pytest.raises(ReproError, match=r"has no vbench/VBench_full_info\.json: delete it and build it"):
        _ = Package(tmp_path).prompt_hash
