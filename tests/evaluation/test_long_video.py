"""Long videos: segments, slopes against hand-made ones, pace, tables; plumbing with random weights."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from repro.config import CONFIG_DIR, load_long
from repro.errors import ReproError
from repro.evaluation import long_video, metrics, pace
from repro.reporting import long_figures
from repro.reporting import long_video as report


@pytest.fixture(scope="module")
def long_run():
    return load_long()["diagonal"]


def test_segments_are_as_long_as_the_videos_of_training(smoke):
    geometry = smoke.geometry
    assert long_video.frames_of(smoke, 45) == 753 and long_video.frames_of(smoke, 81 / 16) == geometry.frames
    assert [long_video.start_of(smoke, s) for s in range(3)] == [0.0, 81 / 16, (81 + 84) / 16]


def made_up(smoke, slope_of, clips=6, segments=5, seed=0):
    """Scores whose Total falls by `slope_of(clip)` a minute, exactly; and features of pure noise."""
    rows = []
    for clip in range(clips):
        for segment in range(segments):
            minute = long_video.start_of(smoke, segment) / 60
            values = dict.fromkeys(long_video.MEASURES, 0.5) | {"total": 0.9 + slope_of(clip) * minute}
            rows.append({"roll": 20.0, "seed": 0, "prompt": clip, "segment": segment} | values)
    features = np.random.default_rng(seed).normal(size=(clips * segments, 8))
    return pd.DataFrame(rows), features


def test_a_slope_is_that_of_the_line_and_its_interval_that_of_the_clips(smoke):
    scores, features = made_up(smoke, lambda clip: -0.3 if clip % 2 else -0.1)
    curves, drift = long_video.describe(smoke, scores, features, features)
    total = drift.set_index("measure").loc["total"]
    assert total["slope"] == pytest.approx(-0.2) and -0.3 <= total["low"] < -0.2 < total["high"] <= -0.1
    assert total["n"] == 6 and total["p"] < 0.05
    flat = drift.set_index("measure").loc["text"]
    assert [flat["slope"], flat["low"], flat["high"]] == pytest.approx([0, 0, 0], abs=1e-12)
    first = curves[(curves["measure"] == "total") & (curves["segment"] == 0)].iloc[0]
    assert first["value"] == pytest.approx(0.9) and first["start_s"] == 0
    # Six clips stand for no distribution.
    assert long_video.DISTANCE not in set(drift["measure"])


@pytest.mark.parametrize("middle, resolved", [(-0.2, True), (0.0, False)])
def test_a_steep_slope_stays_resolved_among_many(smoke, middle, resolved):
    """What one measurement drew would not survive Holm over so many slopes."""
    scores, features = made_up(smoke, lambda clip: middle + 0.1 * (-1) ** clip, clips=12)
    curves, drift = long_video.describe(smoke, scores, features, features)
    tables = [
        pd.concat([table.assign(system=f"system {i}") for i in range(30)], ignore_index=True)
        for table in (drift, curves, scores)
    ]
    assert drift["p"].min() * len(tables[0]) > 0.05
    of_totals = pd.Series(report._resolved(*tables))[tables[0]["measure"] == "total"]
    assert ((of_totals * len(tables[0]) < 0.05) == resolved).all()


def test_the_distance_to_real_clips_drifts_with_the_features(smoke):
    clips, segments = long_video.DISTANCE_CLIPS, 4
    scores, features = made_up(smoke, lambda _: 0.0, clips, segments)
    real = np.random.default_rng(1).normal(size=(300, 8))
    moving = features + scores["segment"].to_numpy()[:, None]
    still = long_video.describe(smoke, scores, features, real)[1].set_index("measure").loc["kernel_distance"]
    moved = long_video.describe(smoke, scores, moving, real)[1].set_index("measure").loc["kernel_distance"]
    assert still["low"] < 0 < still["high"] and moved["low"] > 0


def test_measures_of_pixels():
    gray, red = np.full((1, 9, 3, 32, 48), 128, np.uint8), np.zeros((1, 9, 3, 32, 48), np.uint8)
    red[:, :, 0] = 200
    import torch

    assert metrics.saturation(torch.from_numpy(gray)).item() == 0
    assert metrics.saturation(torch.from_numpy(red)).item() == 1


@pytest.mark.parametrize(("change", "expected"), [(0.0, 0.0), (0.5, 0.5)])
def test_the_trend_is_the_change_over_the_video_and_no_outlier_moves_it(change, expected):
    chunks = np.arange(104)
    seconds = 1 + change * (chunks - 54) / 100
    seconds[[20, 60, 61]] = 30
    table = pd.DataFrame({"chunk": chunks, "seconds": seconds})
    value, low, high = pace.trend(table, "seconds", 4)
    assert value == pytest.approx(expected, abs=0.03) and low <= value <= high


def test_a_system_is_rolled_on_clocked_and_tabled(everything, smoke, long_run, tmp_path):
    folder = tmp_path / "long"
    long_video.measure(smoke, long_run, everything, folder / "diagonal", "cpu")
    long_video.measure(smoke, load_long()["real"], everything, folder / "real", "cpu")
    pace.measure(smoke, [long_run], everything, folder, "cpu")
    long_video.measure(smoke, long_run, everything, tmp_path / "again", "cpu")
    for name in ("scores.csv.gz", "curves.csv", "drift.csv"):
        assert (folder / "diagonal" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    scores = pd.read_csv(folder / "diagonal" / "scores.csv.gz")
    roll = smoke.studies.rolls[0]
    assert len(scores) == roll.prompts * 3 and scores[list(long_video.MEASURES)].notna().all(axis=None)
    clock = pd.read_csv(folder / "pace.csv")
    assert len(clock) == 21 and (clock["seconds"] > 0).all() and list(clock["steps"][:4]) == [4, 3, 2, 2]
    named = {r["metric"]: r for r in json.loads((folder / "diagonal" / "long.json").read_text())}
    assert named["total_slope_12s"]["unit"] == "per minute" and named["total_slope_12s"]["n"] == roll.prompts

    report.build(folder, "smoke", tmp_path)
    text = (tmp_path / "tables" / "long.md").read_text()
    assert "too few" in text and "Not measured, for want of a checkpoint: self, " in text
    long = report.load(folder, "smoke")
    assert long.systems == ["diagonal"] and "no drift resolved" in report.drifts(long, 12.0)
    assert "not measured" in report.cyclic(report.compared(long))
    lines = long_figures.against_time(long).axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["diagonal, 1 training seed", "real clips"]
    other = long.curves[long.curves["measure"] != "text"].assign(roll=24.0)
    both = {"curves": pd.concat([long.curves, other]), "drift": pd.concat([long.drift, long.drift.assign(roll=24.0)])}
    figure = long_figures.against_time(replace(long, **both))
    told = [[t.get_text() for t in axis.texts] for axis in figure.axes]
    assert told.count(["not measured"]) == 1 and told.count([]) == len(told) - 1
    assert len(long_figures.stills(folder, ["diagonal"]).axes) == roll.prompts
    assert len(long_figures.pace(long).axes) == 2


def paired(tmp_path, shift, clips=20):
    """Two systems whose Totals differ by `shift`; 20 clips of two trainings, so that a verdict is given."""
    rng = np.random.default_rng(0)
    rows = [
        {"system": s, "roll": 45.0, "seed": c % 2, "prompt": c, "segment": g, "total": 0.8 + 0.01 * rng.normal() + up}
        for s, up in (("diagonal", shift), ("self", 0.0))
        for c in range(clips)
        for g in range(3)
    ]
    drift = pd.DataFrame({"roll": [45.0]})
    curves = pd.DataFrame({"system": ["diagonal", "self"]})
    return report.Long(curves, drift, pd.DataFrame(rows), pd.DataFrame(), {}, (), ())


@pytest.mark.parametrize(("shift", "verdict"), [(0.05, "higher"), (-0.05, "lower"), (0.0, "unresolved")])
def test_pairs_are_judged_over_the_same_videos(tmp_path, shift, verdict):
    row = report.compared(paired(tmp_path, shift)).iloc[0]
    assert (row["system"], row["reference"], row["measure"], row["n"]) == ("diagonal", "self", "total", 20)
    assert row["difference"] == pytest.approx(shift, abs=0.01)
    judged = report.told(row["difference"], row["p_holm"], row["n"], row["seeds"], ("higher", "lower"))
    assert judged == verdict
    assert report.told(row["difference"], row["p_holm"], row["n"], 1, ("higher", "lower")) == "one seed"


def test_a_folder_without_systems_is_refused(tmp_path):
    with pytest.raises(ReproError, match=r"holds no system of long\.csv"):
        report.load(tmp_path, "smoke")


@pytest.mark.parametrize(
    ("row", "message"),
    [("x,no_run,,false", "names run 'no_run'"), ("x,diagonal_4322222,nobody,false", "names student 'nobody'")],
)
def test_bad_rows_are_refused(tmp_path, row, message):
    for name in ("runs.csv", "students.csv"):
        (tmp_path / name).write_text((CONFIG_DIR / name).read_text())
    (tmp_path / "long.csv").write_text(f"system,run,student,cycle\n{row}\n")
    with pytest.raises(ReproError, match=message):
        load_long(tmp_path)
