"""Clips of a run → scores: batches, undefined cells, clips that do not fit."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from repro.config import load_runs
from repro.errors import ReproError
from repro.evaluation import metrics, quality
from repro.models import weights
from repro.world.judge import Judge
from repro.world.render import render
from repro.world.scene import sample

SCENES = [sample(3, i) for i in range(10)]
CAPTIONS = [s.caption for s in SCENES]


@pytest.fixture
def judge():
    torch.manual_seed(0)
    return Judge().requires_grad_(False).eval()


@pytest.fixture
def clips(smoke):
    return render(SCENES, smoke.geometry).numpy()


def test_scores_do_not_depend_on_the_judges_batch(judge, clips):
    whole, features = quality.judge_clips(judge, clips, CAPTIONS, "test", "cpu")
    assert len(whole) == 10 > quality.JUDGE_BATCH
    alone = [quality.judge_clips(judge, clips[i : i + 1], CAPTIONS[i : i + 1], "test", "cpu") for i in (1, 9)]
    expected = whole.loc[[1, 9]].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.concat([s for s, _ in alone], ignore_index=True), expected, atol=1e-5)
    np.testing.assert_allclose(features[[1, 9]], np.concatenate([f for _, f in alone]), atol=1e-5)


def scores(values, column) -> pd.DataFrame:
    return pd.DataFrame({"seed": 0, "prompt": range(len(values)), column: values})


def test_only_the_measures_of_pairs_may_leave_prompts_out():
    values = [0.2, np.nan, 0.4, np.nan]
    for column in quality.UNDEFINED_FOR_ONE_SPRITE:
        value, low, high, n = quality.interval(scores(values, column), column, np.random.default_rng(0), 200)
        assert value == pytest.approx(0.3) and n == 2 and low == pytest.approx(0.2) and high == pytest.approx(0.4)
    with pytest.raises(ReproError, match="4 values, 2 of them missing"):
        quality.interval(scores(values, "color"), "color", np.random.default_rng(0), 200)


@pytest.fixture
def folder(tmp_path, smoke, judge, clips, monkeypatch):
    """Six prompts, the checkpoints that an evaluation reads, and a sampler that gives rendered clips."""
    row = load_runs()["diagonal_4322222"]
    monkeypatch.setattr(quality, "sample", lambda *_: (clips[:6], {"forwards": 17, "paper_nfe": 34}))
    weights.save(tmp_path / "judge.safetensors", judge, {})
    weights.save(tmp_path / "prompts.safetensors", {"text": torch.zeros(6, 32, 32)}, {"captions": CAPTIONS[:6]})
    features = torch.from_numpy(quality.judge_clips(judge, clips, CAPTIONS, "test", "cpu")[1])
    weights.save(tmp_path / "real.safetensors", {"features": features}, {}, dtype=None)
    for name in (f"{row.student}-s0", "tiny", "text_encoder"):
        weights.save(tmp_path / f"{name}.safetensors", {"x": torch.zeros(1)}, {})
    return tmp_path


def test_an_evaluation_writes_every_measure_once_and_twice_the_same(smoke, folder, clips):
    row = load_runs()["diagonal_4322222"]
    for out in ("a", "b"):
        quality.evaluate(smoke, row, folder / "prompts.safetensors", folder, folder / out, "cpu")
    for name in ("quality.json", "scores.csv"):
        assert (folder / "a" / name).read_bytes() == (folder / "b" / name).read_bytes()
    rows = {r["metric"]: r for r in json.loads((folder / "a/quality.json").read_text())}
    names = {*metrics.DIMENSIONS, *metrics.MEASURES, *metrics.AGGREGATES, "kernel_distance", "forwards", "paper_nfe"}
    assert rows.keys() == names and rows["forwards"]["value"] == 17
    table = pd.read_csv(folder / "a/scores.csv")
    assert rows["total"]["value"] == pytest.approx(table["total"].mean(), abs=1e-6)
    assert all(rows[n]["low"] <= rows[n]["value"] <= rows[n]["high"] for n in metrics.DIMENSIONS)
    assert rows["spatial_relationship"]["n"] == sum(len(s.sprites) == 2 for s in SCENES[:6])
    frames = np.load(folder / "a/frames.npz")
    assert (
        np.array_equal(frames["frames"][1, -1], clips[1, -1].transpose(1, 2, 0))
        and list(frames["captions"]) == CAPTIONS[:3]
    )


def test_chunks_are_scored_alone_and_without_a_gap(smoke, judge, clips):
    """The frames of a chunk, and none beside them, decide its scores."""
    geometry = smoke.geometry
    table = quality.chunk_scores(judge, clips[:2], CAPTIONS[:2], geometry, "test", "cpu")
    assert table["chunk"].tolist() == [k for k in range(geometry.chunks) for _ in range(2)]
    first, last = geometry.video_frames(0, 3), geometry.video_frames(0, 6)
    spoilt = clips[:2].copy()
    spoilt[:, first:last] = 0
    other = quality.chunk_scores(judge, spoilt, CAPTIONS[:2], geometry, "test", "cpu")
    changed = (table[["total", "saturation"]] != other[["total", "saturation"]]).any(axis=1)
    assert changed.tolist() == (table["chunk"] == 1).tolist()


def test_chunks_of_one_frame_are_evaluated_like_chunks_of_three(smoke, everything):
    """21 chunks, whose schedule repeats its last digit; scored over the same spans of time as every other run."""
    row = load_runs()["frame_level_4322222"]
    for file in everything.glob("diagonal-s*.safetensors"):
        file.rename(file.with_name(file.name.replace("diagonal", row.student)))
    quality.evaluate(smoke, row, everything / "prompts.safetensors", everything, everything / "out", "cpu")
    rows = {r["metric"]: r["value"] for r in json.loads((everything / "out/quality.json").read_text())}
    assert rows["forwards"] == 4 + 3 + 2 * (smoke.geometry.latent_frames - 2)
    assert pd.read_csv(everything / "out/chunks.csv")["chunk"].nunique() == smoke.geometry.chunks
