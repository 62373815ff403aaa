"""Headroom's tables: quantities against hand-computed ones, verdicts, refusals."""

import numpy as np
import pandas as pd
import pytest

from repro.config import CONFIG_DIR, Target, load_systems, load_targets
from repro.errors import ReproError
from repro.evaluation.metrics import AGGREGATES, DIMENSIONS, DISTANCES
from repro.reporting import headroom, headroom_figures, records
from repro.reporting.records import Record

FRECHET = {"real": 100.0, "teacher_50": 150.0, "teacher_2": 400.0, "diagonal_4322222": 200.0}


@pytest.fixture
def folder(tmp_path):
    """Systems with known distances, draws that spread by 1 around them, and scores that hardly vary."""
    rng = np.random.default_rng(0)
    for i, system in enumerate(load_systems()):
        place = tmp_path / system
        place.mkdir()
        value = FRECHET.get(system, 300.0)
        scores = pd.DataFrame({"seed": 0, "prompt": range(40)})
        for name in (*DIMENSIONS, *AGGREGATES):
            scores[name] = 0.9 - 0.01 * i + 0.001 * rng.normal(size=40)
        scores.to_csv(place / "scores.csv", index=False)
        draws = pd.DataFrame({n: value + rng.normal(size=50) for n in DISTANCES})
        draws.to_csv(place / "draws.csv", index=False)
        common = {"run_id": system, "profile": "mini", "seeds": [0], "metric_version": "2", "weights": {}}
        common |= records.provenance("cpu")
        rows = [
            Record(metric=n, value=value, low=value - 2, high=value + 2, n=40, unit="", **common) for n in DISTANCES
        ]
        for name in (*DIMENSIONS, *AGGREGATES):
            mean = scores[name].mean()
            rows.append(Record(metric=name, value=mean, low=mean, high=mean, n=40, unit="score", **common))
        records.write(place / "headroom.json", rows)
    return tmp_path


def target(quantity, system, reference, **bound):
    return Target(quantity=quantity, system=system, reference=reference, **bound)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (target("floors", "teacher_50", "real", at_most=2), 1.5),
        (target("multiple", "teacher_2", "teacher_50", at_least=4), 6.0),
        (target("recovered", "diagonal_4322222", "teacher_2", at_least=0.75), 0.8),
    ],
)
def test_distances_are_counted_from_the_floor(folder, given, expected):
    value, drawn = headroom.quantity(headroom.load(folder, "mini"), given)
    assert value == pytest.approx(expected)
    assert drawn.mean() == pytest.approx(expected, rel=0.05) and drawn.std() > 0


def test_scores_are_ratios_of_the_same_prompts(folder):
    measured = headroom.load(folder, "mini")
    share, drawn = headroom.quantity(measured, target("share", "teacher_50", "real", at_least=0.9))
    change, _ = headroom.quantity(measured, target("change", "teacher_50", "real", at_most=0.1))
    assert share == pytest.approx(0.88 / 0.9, abs=1e-3) and change == pytest.approx(0.02 / 0.9, abs=1e-3)
    assert drawn.std() < 1e-3


def test_verdicts_follow_the_interval(folder):
    bounds = {"met": 5.0, "open": 6.0, "missed": 7.0}
    targets = [target("multiple", "teacher_2", "teacher_50", at_least=b) for b in bounds.values()]
    targets += [target("floors", "teacher_50", "real", at_most=b) for b in (2.0, 1.0)]
    found = headroom.judged(headroom.load(folder, "mini"), targets)
    assert list(found["verdict"]) == [*bounds, "met", "missed"]
    assert "3 missed" not in (told := headroom.verdicts(found)) and "2 met, 2 missed, 1 open" in told


def test_tables_and_figures_are_written(folder, tmp_path):
    headroom.build(folder, "mini", tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "tables" / "headroom.csv").set_index("system")
    assert table.loc["teacher_2", "above_floor"] == pytest.approx(300)
    text = (tmp_path / "out" / "tables" / "headroom.md").read_text()
    assert all(system in text for system in load_systems()) and "floor" in text
    measured = headroom.load(folder, "mini")
    ticks = [t.get_text() for t in headroom_figures.distance_bars(measured).axes[0].get_yticklabels()]
    assert ticks == measured.systems
    assert len(headroom_figures.target_forest(headroom.judged(measured, load_targets())).axes) == 1


def test_what_is_missing_or_of_another_profile_is_named(folder):
    with pytest.raises(ReproError, match=r"'mini'.*'smoke'"):
        headroom.load(folder, "smoke")
    (folder / "real" / "draws.csv").unlink()
    with pytest.raises(ReproError, match=r"real/draws.csv is missing.*snakemake --cores all headroom"):
        headroom.load(folder, "mini")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("share,teacher_50,reel,0.9,", "'reel'.*headroom.csv lacks"),
        ("share,teacher_50,real,0.9,2", "give one of at_least and at_most"),
        ("shore,teacher_50,real,0.9,", "quantity = 'shore'"),
    ],
)
def test_bad_targets_are_refused(tmp_path, row, message):
    (tmp_path / "headroom.csv").write_text((CONFIG_DIR / "headroom.csv").read_text())
    (tmp_path / "headroom_targets.csv").write_text(f"quantity,system,reference,at_least,at_most\n{row}\n")
    with pytest.raises(ReproError, match=message):
        load_targets(tmp_path)
