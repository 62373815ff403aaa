"""Attention windows: the grid, the byte model against the cache, videos that fill the window; plumbing, no quality."""

import json

import pandas as pd
import pytest
import torch

from repro.errors import ReproError
from repro.evaluation import windows
from repro.evaluation.windows import Window
from repro.models.kv_cache import KVCache, cache_bytes
from repro.models.presets import from_profile


def test_the_grid_has_the_papers_windows_and_each_with_a_sink_that_fits():
    rows = windows.grid()
    assert [w.frames for w in rows if not w.sink] == [3, 6, 9, 12, 15, 18, 21, 24, 27]
    assert [w.frames for w in rows if w.sink] == [6, 9, 12, 15, 18, 21, 24, 27]


@pytest.mark.parametrize("window", windows.grid(), ids=lambda w: w.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_byte_model_is_what_the_cache_allocates_with_and_without_a_sink(smoke, run, window, dtype):
    config, row = from_profile(smoke), window.of(run)
    kept = KVCache(config, smoke.geometry, 2, row.window_frames, row.sink_frames, device="meta", dtype=dtype)
    tensors = [t for t in vars(kept).values() if isinstance(t, torch.Tensor)]
    assert sum(t.numel() * t.element_size() for t in tensors) == kept.nbytes
    assert kept.nbytes == cache_bytes(config, smoke.geometry, window.frames, dtype, batch=2)


@pytest.fixture
def measured(everything, smoke, run, tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "WINDOWS", (3, 12, 21, 27))
    windows.measure(smoke, run, everything, tmp_path / "windows", "cpu")
    return tmp_path / "windows"


def test_every_window_is_scored_timed_and_weighed(measured, smoke, run):
    scores = (
        pd.read_csv(measured / "scores.csv.gz").set_index(["window", "sink", "segment", "prompt"])["total"].sort_index()
    )
    first = scores.xs(0, level="segment")
    # Within the length of training a window of 21 frames holds everything: a wider one changes nothing.
    assert first[21, 0].tolist() == pytest.approx(first[27, 0].tolist(), abs=1e-5)
    assert first[3, 0].tolist() != pytest.approx(first[27, 0].tolist(), abs=1e-5)
    assert scores[21, 0, 2].tolist() != pytest.approx(scores[27, 0, 2].tolist(), abs=1e-5)
    assert scores[12, 0, 2].tolist() != pytest.approx(scores[12, 3, 2].tolist(), abs=1e-5)
    clocked = pd.read_csv(measured / "latency.csv")
    # Only chunks that come when all windows are full, so that every window is timed on the same ones.
    assert set(clocked["chunk"]) == set(range(9, 21)) and set(clocked["steps"]) == {2}
    assert (clocked.groupby(["window", "sink"]).size() == 12 * smoke.studies.windows.timing.runs).all()
    rows = {(r["run_id"], r["metric"]): r["value"] for r in json.loads((measured / "windows.json").read_text())}
    names = {Window(f, s).name for f, s in ((3, 0), (12, 0), (21, 0), (27, 0), (12, 3), (21, 3), (27, 3))}
    assert {name for name, _ in rows} == names
    assert all(rows[n, "cache_bytes"] == rows[n, "cache_bytes_model"] for n in names)
    assert rows["window_12", "total_last"] == pytest.approx(scores[12, 0, 2].mean(), abs=1e-4)


def test_a_video_too_short_to_fill_the_widest_window_is_refused(everything, smoke, run, tmp_path):
    """In two segments of 21 latent frames a window of 27 still sees the first frame when the last one begins."""
    short = smoke.studies.windows.model_copy(update={"seconds": 10.0})
    profile = smoke.model_copy(update={"studies": smoke.studies.model_copy(update={"windows": short})})
    with pytest.raises(ReproError, match=r"windows.seconds is 10, too short .* 27 .* more than 10.3"):
        windows.measure(profile, run, everything, tmp_path / "windows", "cpu")
    assert not (tmp_path / "windows").exists()
