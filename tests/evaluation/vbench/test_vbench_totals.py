"""The aggregates: VBench's published script, the paper's own columns, and no total of a part."""

import json
from pathlib import Path

import pytest

from repro.errors import ReproError
from repro.evaluation.dimensions import DIMENSIONS, FRAME, SEMANTIC, TEMPORAL
from repro.evaluation.vbench.dimensions import load_dimensions, parse
from repro.evaluation.vbench.totals import GROUPS, aggregate, lacks, normalised
from repro.reporting import paper

CASES = json.loads((Path(__file__).parent / "published_script.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_totals_equal_vbenchs_published_script(case):
    for name in ("quality", "semantic", "total"):
        assert aggregate(case["scores"], name) == pytest.approx(case[name], rel=1e-12, abs=1e-12)


def test_the_papers_aggregates_are_plain_means_of_normalised_scores():
    scores = CASES[1]["scores"]
    unit = normalised(scores)
    members = {"temporal": TEMPORAL, "frame": FRAME, "text": [d for d in SEMANTIC if d != "overall_consistency"]}
    for name, group in members.items():
        assert aggregate(scores, name) == pytest.approx(sum(unit[d] for d in group) / len(group))
    assert len(members["temporal"]) == 5 and len(members["text"]) == 8


@pytest.mark.parametrize("missing", DIMENSIONS)
def test_no_aggregate_of_a_part(missing):
    scores = {k: v for k, v in CASES[1]["scores"].items() if k != missing}
    for name in (*GROUPS, "total"):
        if missing in lacks(name, ()):
            with pytest.raises(ReproError, match=f"{name} needs {missing}, which was not scored"):
                aggregate(scores, name)
        else:
            assert aggregate(scores, name) == aggregate(CASES[1]["scores"], name)


def test_the_papers_totals_follow_from_its_columns_but_for_one():
    """Table 1 prints 84.48 for DiagDistill, where its own Quality and Semantic give 84.55."""
    cells = paper.table(1)
    off = {}
    for row in dict.fromkeys(r for r, _ in cells):
        quality, semantic, total = (float(cells[row, m].value) for m in ("quality", "semantic", "total"))
        if abs((4 * quality + semantic) / 5 - total) > 0.01:
            off[row] = round((4 * quality + semantic) / 5, 2)
    assert off == {"diagdistill": 84.55}


def test_the_sheet_has_all_dimensions_and_names_a_wrong_one(tmp_path):
    rows = load_dimensions()
    assert set(rows) == set(DIMENSIONS) and sum(rows[d].weight for d in TEMPORAL + FRAME) == 6.5
    assert parse("all") == DIMENSIONS and parse("color,dynamic_degree") == ("dynamic_degree", "color")
    with pytest.raises(ReproError, match="no dimension 'colour'"):
        parse("colour")
    (tmp_path / "vbench_dimensions.csv").write_text(
        "dimension,minimum,maximum,weight,clip_seconds,custom\ncolor,1.0,0.5,1,2,false\n"
    )
    with pytest.raises(ReproError, match=r"line 2.*minimum 1.0 must be below maximum 0.5"):
        load_dimensions(tmp_path)
