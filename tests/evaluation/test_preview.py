"""Previews: every source makes clips, a sheet and finite scores, and does what it says."""

import json

import cv2
import numpy as np
import pytest

from repro.errors import ReproError
from repro.evaluation.preview import SHEET_COLUMNS, clips_of, preview
from repro.evaluation.sampling import sample
from repro.training.data import split_scenes
from repro.world.render import render


@pytest.mark.parametrize("source", ["real", "reconstruction", "teacher", "diagonal-s0"])
def test_every_source_gives_a_sheet_and_scores(everything, smoke, run, tmp_path, source):
    scores = preview(smoke, source, run, everything, 3, 2, tmp_path / "sheet.png", "cpu")
    height, width = smoke.geometry.height, smoke.geometry.width
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (3 * height, SHEET_COLUMNS * width, 3)
    written = json.loads((tmp_path / "sheet.json").read_text())
    assert written["source"] == source and len(written["captions"]) == 3
    assert scores["clips"] == 3 and np.isfinite([scores["total"], scores["frechet"], scores["kernel_distance"]]).all()


def test_real_clips_are_those_of_the_prompts(smoke, run, tmp_path):
    clips, captions = clips_of(smoke, "real", run, tmp_path, 3, 2, "cpu")
    scenes = split_scenes("prompts", smoke, 3)
    assert captions == [s.caption for s in scenes]
    assert np.array_equal(clips, render(scenes, smoke.geometry).numpy())


def test_a_causal_preview_equals_the_run(everything, smoke, run):
    clips, _ = clips_of(smoke, "diagonal-s0", run, everything, smoke.evaluation.prompts, 2, "cpu")
    sampled, _ = sample(smoke, run, everything / "prompts.safetensors", everything, "cpu")
    assert np.abs(clips.astype(int) - sampled.astype(int)).max() <= 1


def test_more_steps_change_the_teachers_clips(everything, smoke, run):
    few, many = (clips_of(smoke, "teacher", run, everything, 2, steps, "cpu")[0] for steps in (1, 4))
    assert np.abs(few.astype(int) - many).max() > 2


def test_an_unknown_source_is_named(everything, smoke, run, tmp_path):
    with pytest.raises(ReproError, match=r"nobody\.safetensors is missing"):
        preview(smoke, "nobody", run, everything, 2, 2, tmp_path / "sheet.png", "cpu")
    assert not (tmp_path / "sheet.png").exists()
