"""Prompts that change: where parts begin, how a jump is counted, recaching against keeping; a story at toy size."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from repro.config import load_profile
from repro.errors import ReproError
from repro.evaluation import story
from repro.generation.film import Cue
from repro.models import text_encoder
from repro.reporting import story as report
from repro.world.scene import parse_caption


def test_the_story_has_ten_parts_in_the_worlds_words_that_begin_with_segments():
    cues = story.load_story(load_profile("mini"))
    assert len(cues) == 10 and all(parse_caption(cue.prompt).scene is not None for cue in cues)


def test_a_part_that_begins_elsewhere_is_refused(tmp_path, smoke):
    (tmp_path / "story.csv").write_text("0,a small red star\n4,a small red circle\n")
    with pytest.raises(ReproError, match=r"prompt at 4\.0 s must begin with a segment of 81 frames"):
        story.load_story(smoke, tmp_path)


def test_parts_follow_each_other(smoke):
    for way in story.WAYS:
        ends = [story.bounds(smoke, way, s) for s in range(3)]
        assert ends[0] == (0, 81) and all(a[1] == b[0] for a, b in pairwise(ends))
    assert story.bounds(smoke, "keep", 1) == (81, 165) and story.bounds(smoke, "fresh", 1) == (81, 162)


def test_chunks_meet_six_times_in_a_part(smoke):
    assert story.seams(smoke, "keep", 0) == story.seams(smoke, "fresh", 0) == [9, 21, 33, 45, 57, 69]
    assert story.seams(smoke, "recache", 1) == [81 + 12 * k for k in range(1, 7)]
    assert story.seams(smoke, "fresh", 1) == [81 + at for at in (9, 21, 33, 45, 57, 69)]


@pytest.mark.parametrize(("height", "expected"), [(1, 1.0), (7, 7.0)])
def test_a_jump_is_a_multiple_of_the_steps_around_it(height, expected):
    levels = np.concatenate([np.arange(20), 19 + height + np.arange(20)]).astype(np.uint8)
    video = np.broadcast_to(levels[:, None, None, None], (40, 3, 4, 4))
    assert story.jump(video, 20) == pytest.approx(expected)


def test_only_recaching_makes_more_forwards(checkpoints, smoke, run):
    cues = [Cue(0, "a small red star moves left over stripes"), Cue(5, "a small blue star moves left over stripes")]
    texts = text_encoder.load(smoke, checkpoints, "cpu")([cue.prompt for cue in cues]).detach()
    telling = story.Telling(smoke, run, 0, cues, texts, checkpoints, "cpu")
    calls = []
    for way in ("keep", "recache"):
        before = telling.long.forward.calls
        assert telling(way, range(2)).shape == (2, 165, 3, 32, 48)
        calls.append(telling.long.forward.calls - before)
    # The window holds the next chunk and three more.
    assert calls == [17 + 7 * 2, 17 + 7 * 2 + 3]


def test_a_story_is_told_three_ways_and_tabled(everything, smoke, run, tmp_path):
    told = tmp_path / "story"
    story.measure(smoke, [run], everything, told, "cpu")
    scores = pd.read_csv(told / "scores.csv.gz")
    stories, parts = smoke.studies.stories, 10
    assert scores.groupby("way").size().to_dict() == dict.fromkeys(story.WAYS, stories * parts)
    assert scores.loc[scores["segment"] == 0, "jump"].isna().all()
    assert scores.loc[(scores["segment"] > 0) & (scores["way"] != "fresh"), "jump"].notna().all()
    # All is alike until the prompt changes.
    first = scores[scores["segment"] == 0].pivot(index="prompt", columns="way", values="total")
    assert np.allclose(first["keep"], first["recache"]) and np.allclose(first["keep"], first["fresh"], atol=1e-3)
    report.build(told, "smoke", tmp_path)
    text = (tmp_path / "tables" / "story.md").read_text()
    assert "too few" in text and "the circle stays still and the star spins" in text
    loaded = report.load(told, "smoke")
    assert len(report.strip(loaded).axes) == 3 * parts and len(report.text_by_segment(loaded).axes) == 2
    assert f"{run.run_id}: Text" in report.answer(loaded)

    with pytest.raises(ReproError, match="holds profile 'smoke', not 'mini'"):
        report.load(told, "mini")
    (told / "frames.npz").unlink()
    with pytest.raises(ReproError, match=r"frames\.npz is missing: make it with"):
        report.load(told, "smoke")
