"""Figures show the numbers they are given, and the same bytes for the same numbers."""

import numpy as np
import pytest
from matplotlib.image import imread

from repro.errors import ReproError
from repro.reporting import answers, figures


def test_quality_latency_draws_the_table(built, tmp_path):
    table = answers.load(built, "smoke").table
    figure = figures.quality_latency(table)
    panel = figure.axes[0]
    drawn = np.concatenate([bar.lines[0].get_xydata() for bar in panel.containers])
    rows = table.sort_values("mode", kind="stable")
    assert drawn == pytest.approx(rows[["in_flight_latency_s", "temporal"]].to_numpy())
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("In-flight latency, s", "Temporal, %")
    assert "test device" in figure.get_suptitle()


def test_forest_shows_verdicts_and_the_papers_differences(built):
    figure = figures.paired_forest(answers.load(built, "smoke").pairs)
    text = figure.axes[2]
    by_label = {bar.get_label(): bar.lines[0].get_xdata() for bar in text.containers}
    assert [len(by_label[v]) for v in ("reproduced", "contradicted", "unresolved")] == [0, 0, 6]
    diamonds = text.collections[-1].get_offsets().data
    assert diamonds[:, 0] == pytest.approx([1.4, 0.9, 0.7, 0.5, 0.9, -0.7])


def test_film_strip_holds_the_frames(built, tmp_path):
    runs = ["diagonal_4322222", "self_4322222"]
    frames, captions, _ = figures.read_frames(built / "runs", runs[0])
    figure = figures.film_strip(built / "runs", runs)
    strips = [axis.get_images()[0].get_array() for part in figure.subfigs for axis in part.axes]
    assert len(strips) == len(captions) * len(runs)
    width = frames.shape[3]
    assert (strips[2][:, width + 1 : 2 * width + 1] == frames[1, 1]).all()
    assert (strips[2][:, width] == 255).all()
    assert [part.get_suptitle() for part in figure.subfigs] == [f"prompt {i}: {c}" for i, c in enumerate(captions)]
    first, second = (
        figures.save(figures.film_strip(built / "runs", runs[:1]), tmp_path / n).read_bytes()
        for n in ("a.png", "b.png")
    )
    assert first == second


def test_frames_missing_broken_or_of_other_prompts_are_refused(built, tmp_path):
    with pytest.raises(ReproError, match=r"self_x/frames\.npz is missing"):
        figures.film_strip(tmp_path, ["self_x"])
    for run, caption in (("a", "one"), ("b", "two")):
        (tmp_path / run).mkdir()
        np.savez(tmp_path / run / "frames.npz", frames=np.zeros((1, 1, 2, 2, 3), np.uint8),
                 captions=np.array([caption]), index=np.array([0]))  # fmt: skip
    with pytest.raises(ReproError, match="different prompts"):
        figures.film_strip(tmp_path, ["a", "b"])
    (tmp_path / "b" / "frames.npz").write_bytes(b"half")
    with pytest.raises(ReproError, match="cannot be read"):
        figures.film_strip(tmp_path, ["b"])


def test_contact_sheet_places_clips_and_times(tmp_path):
    clips = np.zeros((2, 5, 3, 4, 6), np.uint8)
    clips[:] = (np.arange(2)[:, None] * 100 + np.arange(5) * 10)[:, :, None, None, None]
    sheet = (imread(figures.contact_sheet(clips, tmp_path / "sheet.png", 3)) * 255).round()
    assert sheet.shape[:2] == (8, 18)
    assert sheet[::4, ::6, 0].tolist() == [[0, 20, 40], [100, 120, 140]]
    with pytest.raises(ReproError, match="6 columns"):
        figures.contact_sheet(clips, tmp_path / "sheet.png", 6)


def test_results_of_another_profile_are_refused(built, tmp_path):
    with pytest.raises(ReproError, match="holds profile smoke, not 'mini'"):
        answers.load(built, "mini")
    with pytest.raises(ReproError, match=r"table5\.csv is missing"):
        answers.load(tmp_path, "smoke")
