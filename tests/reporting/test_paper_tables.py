"""config/paper_tables.csv: complete, and consistent with itself and with the schedules it names."""

import shutil
from collections import Counter
from decimal import Decimal

import pytest

from repro.config import CONFIG_DIR, load_runs
from repro.errors import ReproError
from repro.reporting import paper
from repro.schedule import Schedule

CELLS = {1: 36, 2: 16, 3: 36, 4: 27, 5: 72, 6: 78, 7: 12, 8: 10, 9: 21}
ROWS = {1: 6, 2: 4, 3: 6, 4: 9, 5: 12, 6: 13, 7: 2, 8: 2, 9: 7}
FRAMES = 81


def value(number, row, metric):
    return paper.table(number)[row, metric].value


def test_every_cell_of_every_table_is_there():
    cells = paper.load()
    assert Counter(c.table for c in cells) == CELLS
    assert {n: len({c.row for c in cells if c.table == n}) for n in CELLS} == ROWS
    for number in CELLS:
        metrics = {r: {c.metric for c in cells if (c.table, c.row) == (number, r)} for r in
                   {c.row for c in cells if c.table == number}}  # fmt: skip
        assert len(set(map(frozenset, metrics.values()))) == 1, f"table {number} has uneven rows"


def test_table_5_has_the_runs_of_runs_csv():
    runs = {r.run_id for r in load_runs().values() if "table5" in r.rows}
    assert {row for row, _ in paper.table(5)} == runs
    assert len(runs) == 12


@pytest.mark.parametrize("number", [3, 5, 6])
def test_printed_nfe_is_that_of_the_schedule(number):
    rows = {row for row, _ in paper.table(number)}
    for row in rows:
        assert value(number, row, "paper_nfe") == Schedule.parse(row.split("_")[1], 7).paper_nfe, row


def test_tables_that_print_the_same_row_agree():
    third, fifth, sixth = (paper.table(n) for n in (3, 5, 6))
    for key, cell in third.items():
        assert cell.value == sixth[key].value, key
        if key in fifth:
            assert cell.value == fifth[key].value, key
    assert value(1, "diagdistill", "total") == value(2, "full_method", "total") == Decimal("84.48")
    for metric in ("temporal", "frame", "text"):
        assert value(2, "full_method", metric) == value(5, "diagonal_4322222", metric)
        assert value(9, "conv_diff", metric) == value(5, "diagonal_4322222", metric)
    for metric in ("throughput_fps", "first_frame_latency_s", "total", "quality", "semantic"):
        assert value(1, "diagdistill", metric) == value(7, "chunk_size_3", metric)
    assert value(1, "self_forcing", "throughput_fps") == value(5, "self_4444444", "throughput_fps")


def test_table_5_says_diagonal_is_faster_and_once_worse_in_quality():
    worse = []
    for schedule in {row.split("_")[1] for row, _ in paper.table(5)}:
        pair = f"diagonal_{schedule}", f"self_{schedule}"
        latency, throughput = ([value(5, r, m) for r in pair] for m in ("in_flight_latency_s", "throughput_fps"))
        assert latency[0] < latency[1] and throughput[0] > throughput[1], schedule
        worse += [(schedule, m) for m in ("temporal", "frame", "text") if value(5, pair[0], m) < value(5, pair[1], m)]
    assert worse == [("4444444", "text")]


def test_printed_total_is_four_parts_quality_one_part_semantic():
    for row in {row for row, _ in paper.table(1)}:
        total = (4 * value(1, row, "quality") + value(1, row, "semantic")) / 5
        assert abs(total - value(1, row, "total")) <= Decimal("0.2"), row


def test_directions_units_and_tolerances():
    for cell in paper.load():
        if cell.unit == "s":
            assert cell.higher_is_better is False
        if cell.unit in ("%", "frame/s"):
            assert cell.higher_is_better is True
        if cell.unit == "%":
            assert 0 < cell.value < 100
        assert (cell.tolerance is not None) == (cell.metric == "in_flight_latency_s")
        assert f"Table {cell.table}," in cell.source
    assert paper.table(5)["self_4444444", "in_flight_latency_s"].printed == "0.69 ± 0.02"
    assert paper.table(5)["diagonal_4322222", "throughput_fps"].printed == "31.0"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("5,self_4322222,frame,62.1", "5,self_4322222,temporal,62.1", "appears twice"),
        ("5,self_4322222,frame,62.1", "5,self_4322222,frame,sixty", "line"),
        ("5,self_4322222,frame,62.1", "11,self_4322222,frame,62.1", "line"),
    ],
)
def test_a_damaged_sheet_is_refused(tmp_path, old, new, told):
    shutil.copy(CONFIG_DIR / paper.FILE, tmp_path)
    text = (tmp_path / paper.FILE).read_text()
    assert old in text
    (tmp_path / paper.FILE).write_text(text.replace(old, new))
    with pytest.raises(ReproError, match=told):
        paper.load(tmp_path)
