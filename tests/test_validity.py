"""The validity study: its sheet, and the smoke profile from corrupted clips to the notebook (plumbing, no quality)."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from repro.config import CONFIG_DIR, ROOT, Validity, check_all, load_expectations, load_profile
from repro.errors import ReproError
from repro.evaluation import validity as study
from repro.evaluation.dimensions import CORRUPTIONS, DIMENSIONS, DISTANCE
from repro.models import weights
from repro.reporting import notebooks, records
from repro.reporting import validity as report
from repro.training.data import split_scenes
from repro.world.judge import FEATURES, Judge
from repro.world.render import render

CELLS = (len(DIMENSIONS) + 1) * len(CORRUPTIONS)


# The sheet.


def test_every_cell_has_an_expectation_and_a_reason():
    rows = load_expectations()
    assert len(rows) == CELLS and all(row.reason for row in rows.values())
    # Every measure must answer something, and be asked to stay where nothing happened.
    for name in (*DIMENSIONS, DISTANCE):
        told = {row.expectation for row in rows.values() if row.dimension == name}
        assert told & {"flat", "same"} and told & {"falls", "rises"}, name


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("scene,blur,flat", "scene,blur,sinks", "expectation = 'sinks': Input should be 'falls', 'rises', 'flat'"),
        ("scene,blur,flat", "scenery,blur,flat", "dimension = 'scenery': Input should be 'subject_consistency'"),
        ("scene,blur,flat", "scene,blurr,flat", "corruption = 'blurr': Input should be 'blur', 'noise'"),
        ("scene,blur,flat", "scene,noise,flat", r"\('scene', 'noise'\) appears twice"),
        ("scene,blur,flat,what the caption says is still there\n", "", "says nothing of scene under blur: add a row"),
    ],
)  # fmt: skip
def test_a_bad_sheet_is_refused_before_any_job(tmp_path, old, new, says):
    folder = shutil.copytree(CONFIG_DIR, tmp_path / "config")
    sheet = folder / "validity.csv"
    assert f"\n{old}" in sheet.read_text()
    sheet.write_text(sheet.read_text().replace(f"\n{old}", f"\n{new}", 1))
    with pytest.raises(ReproError, match=says):
        check_all(load_profile("smoke"), folder)


@pytest.mark.parametrize("severities", [(0, 1), (0.1, 0.5, 1), (0, 0.5, 1.5), (0, 0.5, 0.5), (0, 1, 0.5)])
def test_severities_rise_from_zero_to_one(severities):
    with pytest.raises(ValueError, match="at least three severities that rise from 0 to at most 1"):
        Validity(clips=2, judged=2, batch=1, severities=severities)


def test_more_clips_than_there_are_is_refused(smoke):
    greedy = smoke.model_copy(update={"validity": smoke.validity.model_copy(update={"judged": 25})})
    with pytest.raises(ReproError, match=r"smoke\.yaml: validity\.judged = 25 is more than the 24"):
        check_all(greedy)


# The clips.


@pytest.mark.parametrize("kind", [k for k in CORRUPTIONS if k != study.WORDS])
def test_a_clip_is_spoilt_the_same_in_any_batch(smoke, kind):
    clips = render(split_scenes("prompts", smoke, 3), smoke.geometry).numpy()
    whole = study.spoil(clips, range(3), kind, 0.5, 0)
    assert np.array_equal(whole[2:], study.spoil(clips[2:], [2], kind, 0.5, 0)) and not np.array_equal(whole, clips)
    assert np.array_equal(study.spoil(clips, range(3), kind, 0.0, 0), clips)


# The whole.


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder of the smoke profile under a judge with random weights."""
    folder = tmp_path_factory.mktemp("results")
    torch.manual_seed(0)
    weights.save(folder / "judge.safetensors", Judge(), {})
    weights.save(folder / "real.safetensors", {"features": torch.randn(200, FEATURES)}, {}, dtype=None)
    study.measure(load_profile("smoke"), folder, folder / "validity", "cpu")
    report.build(folder / "validity", "smoke", folder)
    return folder


def test_the_study_writes_every_cell_and_what_it_rests_on(results, smoke):
    folder, size = results / "validity", smoke.validity
    steps = len(size.severities)
    scores, cells, points = (pd.read_csv(folder / f"{n}.csv") for n in ("scores", "cells", "curves"))
    assert len(scores) == size.clips * (1 + len(CORRUPTIONS) * (steps - 1))
    assert len(cells) == CELLS and len(points) == CELLS * steps
    assert ((cells["low"] - 1e-9 <= cells["trend"]) & (cells["trend"] <= cells["high"] + 1e-9)).all()
    assert (points.loc[points["severity"] == 0, ["change", "change_low", "change_high"]] == 0).all(axis=None)
    # Words reach no measure of the pixels, whatever the judge.
    told = cells[(cells["corruption"] == study.WORDS) & (cells["expectation"] == "same")]
    assert len(told) == 8 and (told["trend"].abs() < 1e-9).all() and set(told["verdict"]) == {"held"}
    # The formulas need no judge: independent noise makes frames flicker.
    by_cell = cells.set_index(["dimension", "corruption"])
    assert by_cell.loc[("temporal_flickering", "noise"), "trend"] < -0.1
    rows = {(r.run_id, r.metric): r for r in records.read(folder / "validity.json")}
    assert len(rows) == CELLS + 2 * 8
    assert rows["noise", "scene"].value == pytest.approx(by_cell.loc[("scene", "noise"), "trend"], rel=1e-4)
    assert rows["judge", "motion_kappa"].weights.keys() == {"judge", "real"}


def test_the_tables_hide_no_verdict(results):
    cells = pd.read_csv(results / "tables" / "validity.csv")
    text = (results / "tables" / "validity.md").read_text()
    opened = cells["verdict"].isin(["violated", "unresolved"])
    assert opened.any() and set(cells["profile"]) == {"smoke"}
    for row in cells[opened].itertuples():
        line = f"|{report.plain(row.dimension)}|{report.plain(row.corruption)}|{row.expectation}: {row.reason}|"
        assert line.replace(" ", "") in text.replace(" ", "")


def test_the_notebook_draws_it_and_says_the_counts(results, tmp_path):
    out = tmp_path / "validity.ipynb"
    notebooks.execute(ROOT / "notebooks" / "validity.py", out, {"results": str(results), "profile": "smoke"})
    cells = json.loads(out.read_text())["cells"]
    outputs = [o for c in cells for o in c.get("outputs", [])]
    text = "".join("".join(o.get("text", "")) for o in outputs)
    assert report.verdicts(report.load(results / "validity", "smoke")) in text
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 4
    assert len(list((results / "figures").glob("validity_*.png"))) == 4


def test_another_profile_and_a_missing_file_are_named(results, tmp_path):
    with pytest.raises(ReproError, match="holds profile 'smoke', not 'mini'"):
        report.load(results / "validity", "mini")
    with pytest.raises(ReproError, match=r"validity\.json are missing: make them with snakemake --cores all validity"):
        report.load(tmp_path, "mini")


def test_too_few_clips_are_refused_by_name(smoke):
    names = {d: [0.5, 0.5] for d in DIMENSIONS} | {"multiple_objects": [0.5, np.nan]}
    conditions = study.conditions(smoke.validity.severities)
    scores = pd.concat([pd.DataFrame(names).assign(corruption=k, severity=s) for k, s in conditions])
    features = dict.fromkeys(conditions, np.random.default_rng(0).normal(size=(2, 4)))
    with pytest.raises(ReproError, match=r"multiple_objects is defined for 1 of 2 clips: raise validity\.clips"):
        study.measure_curves(smoke, scores, features, np.random.default_rng(1).normal(size=(9, 4)), 50)
