"""Scoring with a stand-in: what VBench is given, what is kept, what is refused; VBench-Long; the tables."""

import pandas as pd
import pytest

from repro.errors import ReproError
from repro.evaluation.dimensions import DIMENSIONS
from repro.evaluation.vbench import report
from repro.evaluation.vbench.check import probe
from repro.evaluation.vbench.clips import cuts, split
from repro.evaluation.vbench.plan import make_plan
from repro.evaluation.vbench.score import Job, custom_info, planned_info, score
from repro.evaluation.vbench.weights import lacking


def job(package, tmp_path, protocol="short", **options):
    return Job(package, tmp_path / "cache", tmp_path / "out", "cpu", protocol, **options)


@pytest.fixture
def videos(fake, small, tmp_path, write_mp4):
    """The stand-in's flickering prompt and its action, two samples each; a flickering one may be static."""
    _, entries = make_plan(fake, small, dimensions=("temporal_flickering", "human_action"), samples=6)
    for i, entry in enumerate(entries):
        write_mp4(tmp_path / "videos" / entry.file, seed=i)
    return entries, tmp_path / "videos"


def flickering(fake, videos, tmp_path, **options):
    made = job(fake, tmp_path, **options)
    return score(made, ("temporal_flickering",), lambda d: planned_info(fake, *videos, made, d), lambda _: None)[0]


def test_vbench_gets_each_prompt_with_its_videos_and_their_number(fake, videos, tmp_path):
    found = flickering(fake, videos, tmp_path, static_filter=False)
    (row,) = fake.jobs[0]["info"]
    assert row["prompt_en"] == "a still lamp on a desk"
    assert [p.rsplit("-", 1)[1] for p in row["video_list"]] == [f"{i}.mp4" for i in range(5)]
    assert found.score == pytest.approx(0.2) and len(found.videos) == 5 and found.static is None


def test_the_filter_sees_all_samples_and_needs_its_weights(fake, videos, tmp_path):
    with pytest.raises(ReproError, match=r"static_filter needs .*raft-things.pth: put raft-things.pth of .*models.zip"):
        flickering(fake, videos, tmp_path)
    weight = tmp_path / "cache" / "raft_model" / "models" / "raft-things.pth"
    weight.parent.mkdir(parents=True)
    weight.touch()
    fake.answer = lambda job: {
        "score": 0.9,
        "videos": [{"video_path": p, "video_results": 0.9} for p in job["info"][0]["video_list"][:2]],
        "static": {"a still lamp on a desk": 2},
    }
    found = flickering(fake, videos, tmp_path)
    assert len(fake.jobs[0]["info"][0]["video_list"]) == 6 and fake.jobs[0]["static_filter"]
    assert found.static == {"a still lamp on a desk": 2} and list(found.weights) == ["raft"]
    fake.answer = lambda job: {"score": 0.9, "videos": [], "static": {"a still lamp on a desk": 0}}
    (tmp_path / "out" / "short" / "temporal_flickering.json").unlink()
    with pytest.raises(ReproError, match="no static video among the samples of 1 prompts, such as 'a still lamp"):
        flickering(fake, videos, tmp_path)


def test_what_did_not_change_is_not_scored_again(fake, videos, tmp_path, write_mp4):
    first = flickering(fake, videos, tmp_path, static_filter=False)
    assert flickering(fake, videos, tmp_path, static_filter=False) == first and len(fake.jobs) == 1
    write_mp4(videos[1] / videos[0][0].file, seed=77)
    flickering(fake, videos, tmp_path, static_filter=False)
    assert len(fake.jobs) == 2


def test_a_video_that_comes_back_without_score_is_named(fake, videos, tmp_path):
    fake.answer = lambda job: {"score": 1.0, "videos": [], "static": None}
    with pytest.raises(ReproError, match=r"gave no score for 5 videos, such as .*a still lamp on a desk-0\.mp4"):
        flickering(fake, videos, tmp_path, static_filter=False)
    assert not (tmp_path / "out" / "short").exists()


def test_missing_weights_are_told_before_anything_starts(fake, videos, tmp_path):
    made = job(fake, tmp_path, static_filter=False)
    with pytest.raises(ReproError) as error:
        score(made, ("temporal_flickering", "human_action"), lambda d: planned_info(fake, *videos, made, d))
    assert "human_action needs" in str(error.value) and "OpenGVLab/VBench_Used_Models" in str(error.value)
    assert fake.jobs == []


def test_every_dimension_but_flickering_needs_something_and_says_where_it_is(fake, tmp_path):
    for name in DIMENSIONS:
        needs = lacking(name, fake, tmp_path)
        assert bool(needs) == (name != "temporal_flickering")
        assert all("https://" in remedy for remedy in needs.values())
    assert any("detectron2" in what for what in lacking("color", fake, tmp_path))


def test_annotated_dimensions_refuse_other_videos(tmp_path):
    with pytest.raises(ReproError, match="color needs VBench's own prompts"):
        custom_info(tmp_path, "color")
    with pytest.raises(ReproError, match=r"holds no \.mp4 video"):
        custom_info(tmp_path, "temporal_flickering")


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (81, [(0, 32), (32, 64), (49, 81)]),
        (64, [(0, 32), (32, 64)]),
        (31, [(0, 31)]),
        (33, [(0, 32), (1, 33)]),
    ],
)
def test_clips_are_cut_as_vbench_long_does(frames, expected):
    assert [(r.start, r.stop) for r in cuts(frames, 32)] == expected


def test_vbench_long_averages_clips_then_videos(fake, tmp_path, write_mp4):
    """Two videos, of two clips and of one: each video counts once, each clip in its video."""
    for name, frames in (("a", 20), ("b", 8)):
        write_mp4(tmp_path / "videos" / f"{name}.mp4", frames=frames, fps=8, seed=frames)
    made = job(fake, tmp_path, "long")
    found = score(made, ("temporal_flickering",), lambda d: custom_info(tmp_path / "videos", d), lambda _: None)[0]
    clips = [p.rsplit("/", 1)[1] for row in fake.jobs[0]["info"] for p in row["video_list"]]
    assert clips == ["a_000.mp4", "a_001.mp4", "b_000.mp4"]
    assert {v.file: v.score for v in found.videos} == {"a.mp4": pytest.approx(0.05), "b.mp4": pytest.approx(0.2)}
    assert found.score == pytest.approx(0.125)
    part = split(tmp_path / "videos" / "a.mp4", 2, tmp_path / "out" / "clips")
    assert [probe(p).frames for p in part] == [16, 16]


def test_tables_hold_what_was_scored_and_name_what_was_not(fake, videos, tmp_path):
    flickering(fake, videos, tmp_path, static_filter=False)
    paths = report.build(tmp_path / "out", None, "toy", tmp_path / "tables")
    table = pd.read_csv(tmp_path / "tables" / "toy.csv").set_index("metric")
    assert table.loc["temporal_flickering", "value"] == pytest.approx(0.2)
    assert table["value"].count() == 1 and table.loc["color", "gap"] == "not scored"
    assert table.loc["frame", "gap"] == "lacks aesthetic_quality, imaging_quality"
    assert "VBench's static filter was not applied" in paths[1].read_text()
    cells = report.table1({"toy": "self_forcing"}, {"toy": tmp_path / "out"}, "short", tmp_path / "tables")
    text = cells[1].read_text()
    assert "| toy" in text and "lacks 15" in text and "84.31" in text
    assert "prints 84.48 as the total of diagdistill; by VBench's rule its Quality and Semantic give 84.55" in text
    with pytest.raises(ReproError, match="holds no scores"):
        report.read_scores(tmp_path / "nothing")
