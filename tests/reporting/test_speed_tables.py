"""Tables of speed: the paper's number, ours, their ratio; nothing from half a table."""

import json
import shutil

import pandas as pd
import pytest

from repro.config import ROOT, load_scale
from repro.errors import ReproError
from repro.evaluation.speed import write_measured
from repro.evaluation.speed_rows import rows_of
from repro.reporting import scaling, speed, speed_answers, speedups

PUBLISHED = ROOT / "results" / "published" / "wan-h100"


@pytest.fixture(scope="module")
def measured():
    return speed.load(PUBLISHED / "speed")


def test_ratio_is_ours_divided_by_the_papers(measured):
    row = speed.frame(measured, "table5").set_index("row").loc["diagonal_4322222"]
    assert row["throughput_fps_paper"] == 31.0
    assert row["throughput_fps_ratio"] == row["throughput_fps"] / 31.0
    assert row["forwards"] == 17 and row["paper_nfe"] == 34


def test_a_row_of_two_files_comes_with_its_peers(measured):
    """Schedules of Tables 5 and 6 were timed in either process: a table's ratios are of rows timed in turns."""
    files = {table: set(measured.sources(table).values()) for table in ("table3", "table5", "table6")}
    assert files == {"table3": {"table3_table5"}, "table5": {"table3_table5"}, "table6": {"table6"}}
    totals = [measured.records(table)["diagonal_4322222"]["total_s"] for table in ("table5", "table6")]
    assert totals[0].value != totals[1].value
    assert list(measured.sources("table1")) == [r.row for r in rows_of(["table1"])]


def test_gain_is_over_the_rung_before(measured):
    ladder = speed.ladder_frame(measured)
    assert ladder["gain"].iloc[0] == 1
    whole = ladder["total_s"].iloc[0] / ladder["total_s"].iloc[-1]
    assert ladder["gain"].prod() == pytest.approx(whole)


def test_an_engine_may_be_called_as_a_rung_is(measured):
    assert "fp8_attention" in set(speed.numerics_frame(measured)["engine"]) & set(measured.sources("ladder"))


def test_published_tables_are_those_of_the_published_records(tmp_path):
    made = speed.build(PUBLISHED / "speed", tmp_path)
    assert made
    scaling.build(PUBLISHED / "scaling", tmp_path)
    made += tmp_path.glob("tables/scaling.*")
    for path in made:
        published = PUBLISHED / path.relative_to(tmp_path)
        assert path.read_text() == published.read_text(), published.name
    assert {p.name for p in (PUBLISHED / "tables").iterdir()} == {p.name for p in made}


def test_a_table_with_a_row_missing_is_not_written(tmp_path, measured):
    folder = tmp_path / "speed"
    shutil.copytree(PUBLISHED / "speed", folder)
    records = json.loads((folder / "table4.json").read_text())
    (folder / "table4.json").write_text(json.dumps([r for r in records if r["run_id"] != "window_9"]))
    assert not any("table4" in p.name for p in speed.build(folder, tmp_path))


@pytest.fixture(scope="module")
def systems(tmp_path_factory):
    """Table 1's rows, timed on this machine in two processes' worth of files."""
    folder = tmp_path_factory.mktemp("systems") / "speed"
    scale = load_scale("smoke")
    scale = scale.model_copy(update={"flow": scale.flow.model_copy(update={"teacher_steps": 2})})
    for name, rows in {"first": ["wan2_1", "causvid", "self_forcing", "diagdistill"], "second": None}.items():
        chosen = rows_of(["table1"], rows or ["skyreels_v2", "magi_1"])
        write_measured(scale, chosen, "eager", folder / f"{name}.json", "cpu")
    return folder


def test_gains_are_over_the_model_of_many_steps(systems):
    data = speed.frame(speed.load(systems), "table1").set_index("row")
    base, method = data.loc["wan2_1"], data.loc["diagdistill"]
    assert base["speedup"] == base["throughput_gain"] == 1 and pd.isna(base["speedup_low"])
    gain = base["first_frame_latency_s"] / method["first_frame_latency_s"]
    assert method["speedup"] == gain and method["speedup_low"] <= gain <= method["speedup_high"]
    assert method["speedup_paper"] == 277.3 and method["speedup_ratio"] == gain / 277.3
    assert method["throughput_gain_paper"] == pytest.approx(31 / 0.78)
    assert data.loc["magi_1", "mode"] == "staircase, lag 13" and set(data["engine"]) == {"eager"}


def test_a_table_of_two_processes_says_who_was_timed_beside_whom(systems, tmp_path):
    speed.build(systems, tmp_path)
    text = (tmp_path / "tables" / "table1.md").read_text()
    assert "in a process each: wan2_1, causvid, self_forcing, diagdistill; skyreels_v2, magi_1" in text
    assert "MAGI-1-style" in text
    told = speedups.told(speed.frame(speed.load(systems), "table1"), "table1")
    assert len(told.splitlines()) == 5 and "(paper 277.3×)" in told
    (systems.parent / "half").mkdir()
    shutil.copy(systems / "first.json", systems.parent / "half")
    assert speed.build(systems.parent / "half", tmp_path / "half") == []


def test_devices_are_not_mixed(tmp_path):
    shutil.copytree(PUBLISHED / "speed", tmp_path, dirs_exist_ok=True)
    records = json.loads((tmp_path / "table4.json").read_text())
    (tmp_path / "table4.json").write_text(json.dumps([r | {"device": "another"} for r in records]))
    with pytest.raises(ReproError, match=r"mixes devices.*another"):
        speed.load(tmp_path)


def test_no_records_is_one_clear_error(tmp_path):
    with pytest.raises(ReproError, match="holds no records"):
        speed.load(tmp_path)


def test_targets_are_said_to_be_met_or_missed():
    columns = ["rung", "engine", "total_s", "throughput_fps", "in_flight_latency_s", "first_frame_latency_s"]
    rows = [
        ("a", "eager", 2.0, 40, 0.3, 0.3),
        ("overlapped_decoding", "fast", 1.0, 90, 0.1, 0.2),
        ("b", "fp8", 0.5, 160, 0.1, 0.1),
    ]
    ladder = pd.DataFrame(rows, columns=columns).assign(memory_gb=8.0, share_of_peak=0.5, gain=[1, 2, 2])
    said = speed_answers.ladder(ladder)
    assert "throughput_fps 90 (missed: at least 100)" in said
    assert "in_flight_latency_s 0.1 (met: at most 0.125)" in said
    assert "fp8: throughput_fps 160 (met: at least 130)" in said


def test_a_straight_line_has_no_departure(measured):
    lines = speed.linearity(measured)
    assert lines["memory_gb_paper"].slope == pytest.approx((21.8 - 14.9) / 24, rel=0.02)
    assert 0 <= lines["in_flight_latency_s_ours"].worst < 0.2


def test_how_straight_a_line_is_has_the_range_of_its_rows(measured):
    low, high = speed.departures(measured, "in_flight_latency_s")
    assert 0 <= low <= speed.linearity(measured)["in_flight_latency_s_ours"].worst <= high and low < high
