"""Published studies, damaged file by file: each table refuses with one error that names the file or the record."""

import json
import shutil

import pandas as pd
import pytest

from repro.config import ROOT
from repro.errors import ReproError
from repro.reporting import codecs, headroom, long_video, scaling, search, story, validity, windows

PUBLISHED = ROOT / "results" / "published"
STUDIES = {
    "mini/codecs": (lambda f, out: codecs.build(f, "mini", out), "codecs.json", "psnr"),
    "mini/windows": (lambda f, out: windows.build(f, "mini", out), "windows.json", "cache_bytes"),
    "mini/headroom": (lambda f, out: headroom.build(f, "mini", out), "teacher_50/headroom.json", "frechet"),
    "mini/story": (lambda f, out: story.build(f, "mini", out), "story.json", "text"),
    "mini/search": (lambda f, out: search.build(f, "mini", out), "search.json", "kernel_distance"),
    "mini/validity": (lambda f, out: validity.build(f, "mini", out), "validity.json", None),
    "mini/long": (lambda f, out: long_video.build(f, "mini", out), "self/long.json", None),
    "wan-h100/scaling": (scaling.build, "iteration_2.json", "videos_per_gpu"),
}
"""Folder → what makes its table, a file of records, and a metric that it cannot do without."""


@pytest.fixture(params=list(STUDIES))
def study(request, tmp_path):
    build, name, metric = STUDIES[request.param]
    folder = tmp_path / "study"
    shutil.copytree(PUBLISHED / request.param, folder, ignore=shutil.ignore_patterns("*.mp4"))
    return build, folder, folder / name, metric


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{}", "cannot be read .*valid array"),
        (b"[]", "holds no records"),
        (b"[{}]", r"cannot be read \(0\.run_id: Field required"),
        (b"\xff\xfe\x00", "is no text in UTF-8"),
        (b'[{"run_id": ', "cannot be read .*Invalid JSON"),
    ],
)
def test_damaged_records_are_refused(study, content, says, tmp_path):
    build, folder, path, _ = study
    path.write_bytes(content)
    with pytest.raises(ReproError, match=says) as error:
        build(folder, tmp_path / "out")
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("study", [name for name, (*_, metric) in STUDIES.items() if metric], indirect=True)
def test_a_record_that_is_missing_is_named(study, tmp_path):
    build, folder, path, metric = study
    path.write_text(json.dumps([r for r in json.loads(path.read_text()) if r["metric"] != metric]))
    with pytest.raises(ReproError, match=f"no record of {metric}"):
        build(folder, tmp_path / "out")


TABLES = [
    ("mini/windows", "scores.csv.gz", "total"),
    ("mini/headroom", "real/scores.csv", "total"),
    ("mini/headroom", "real/draws.csv", "frechet"),
    ("mini/story", "scores.csv.gz", "text"),
    ("mini/search", "probes.csv.gz", "total"),
    ("mini/search", "scores.csv.gz", "total"),
    ("mini/validity", "cells.csv", "clean"),
    ("mini/validity", "agreement.csv", "kappa"),
    ("mini/long", "self/curves.csv", "value"),
    ("mini/long", "pace.csv", "seconds"),
]


DAMAGES = [(*t, d) for t in TABLES for d in ("gap", "text", "lost", "doubled")]
KEYLESS = ("real/draws.csv", "pace.csv")
"""Rows of these may be alike."""


@pytest.mark.parametrize(
    ("name", "file", "column", "damage"), [d for d in DAMAGES if d[3] != "doubled" or d[1] not in KEYLESS]
)
def test_damaged_tables_are_refused(name, file, column, damage, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(PUBLISHED / name, folder, ignore=shutil.ignore_patterns("*.mp4"))
    table = pd.read_csv(folder / file, dtype=str, keep_default_na=False)
    match damage:
        case "gap":
            table.loc[3, column] = ""
        case "text":
            table.loc[3, column] = "high"
        case "lost":
            table = table.drop(columns=column)
        case "doubled":
            table = pd.concat([table, table.tail(1)])
    table.to_csv(folder / file, index=False)
    with pytest.raises(ReproError, match="again") as error:
        STUDIES[name][0](folder, tmp_path / "out")
    assert str(folder / file) in str(error.value)
