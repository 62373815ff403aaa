"""The audit: intervals of printed digits, formulas, and the paper's own numbers."""

import shutil
from decimal import Decimal

import pandas as pd
import pytest

from repro.config import CONFIG_DIR, ROOT
from repro.errors import ReproError
from repro.reporting import audit, audit_answers, printed
from repro.reporting.printed import Formula, Number

SHEET = {
    "T1.a_12.total": Number(value=Decimal("84.48")),
    "T1.b_21.total": Number(value=Decimal("84.5"), tolerance=Decimal("0.02")),
    "T1.a_12.chunks": Number(value=Decimal("7"), unit="chunks"),
}


def relation(**values) -> audit.Relation:
    given = {"relation": "r", "kind": "matters", "where": "Table 1", "statement": "s"}
    given |= {"recomputed": "T1.a_12.total", "sign": "=", "printed": "T1.b_21.total"} | values
    return audit.Relation(**given)


@pytest.mark.parametrize(
    ("value", "unit", "low", "high"),
    [
        ("84.48", "%", 84.475, 84.485),
        ("17.0", "frame/s", 16.95, 17.05),
        ("103", "s", 102.5, 103.5),
        ("7", "chunks", 7, 7),
    ],
)
def test_a_printed_number_is_all_that_rounds_to_it(value, unit, low, high):
    found = printed.ends(printed.rounded(Number(value=Decimal(value), unit=unit)))
    assert found == pytest.approx((low, high), abs=1e-12)


def test_formulas_keep_every_possibility():
    low, high = printed.ends(Formula("(4 * T1.a_12.total - T1.b_21.total) / 2", SHEET).value)
    assert (low, high) == pytest.approx(((4 * 84.475 - 84.55) / 2, (4 * 84.485 - 84.45) / 2))
    assert printed.ends(Formula('pm("T1.b_21.total")', SHEET).value) == pytest.approx((84.43, 84.57))
    assert printed.ends(Formula("T1.a_12.chunks * 3", SHEET).value) == (21, 21)
    assert Formula("T1.b_21.total", SHEET).printed == "84.5 ± 0.02"
    assert Formula("T1.b_21.total + 0", SHEET).printed is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("T1.a_12.totl", "no number 'T1.a_12.totl'"),
        ("T1.a_12.total +", "position"),
        ("__import__('os')", "not understood"),
        ("ours.nothing", "no fact 'nothing'"),
        ('highest("T9.*")', "matches no printed number"),
        ("nfe(T1.a_12.total)", "nfe cannot take"),
    ],
)
def test_a_wrong_formula_is_refused_by_name(text, told):
    with pytest.raises(ReproError, match=told):
        Formula(text, SHEET)


@pytest.mark.parametrize(
    ("sign", "left", "right", "result"),
    [
        ("=", "84.55", "T1.b_21.total", audit.WITHIN),
        ("=", "84.56", "T1.b_21.total", audit.OUTSIDE),
        ("<", "84.54", "T1.b_21.total", audit.WITHIN),
        ("<", "84.55", "T1.a_12.total", audit.OUTSIDE),
        (">", "84.46", "T1.b_21.total", audit.WITHIN),
        (">", "84.45", "T1.a_12.total", audit.OUTSIDE),
    ],
)
def test_rounding_alone_is_never_a_finding(sign, left, right, result):
    (found,) = audit.check(relation(recomputed=left, sign=sign, printed=right), SHEET)
    assert found.result == result


def test_a_relation_is_checked_for_every_cell_it_names():
    found = audit.check(relation(over="T1.*.total", recomputed='total_steps("{steps}")', printed="{cell}"), SHEET)
    assert [printed.ends(c.left)[0] for c in found] == [1 + 2 * 6, 2 + 1 * 6]
    assert [c.name for c in found] == ["T1.a_12.total", "T1.b_21.total"]


@pytest.mark.parametrize(("kind", "left"), [("holds", "85"), ("misprint", "84.5")])
def test_a_class_that_the_numbers_contradict_is_refused(kind, left):
    with pytest.raises(ReproError, match=f"classed '{kind}', but the numbers are"):
        audit.check(relation(kind=kind, recomputed=left), SHEET)


def test_a_sheet_that_names_a_missing_row_is_refused(tmp_path):
    shutil.copytree(CONFIG_DIR, tmp_path / "config")
    path = tmp_path / "config" / "audit.csv"
    path.write_text(path.read_text().replace("T1.self_forcing.speedup", "T1.self_forced.speedup"))
    with pytest.raises(ReproError, match=r"relation 'speedup_of_speedups'.*no number 'T1.self_forced.speedup'"):
        audit.run(tmp_path / "config")


def test_a_half_relation_is_refused(tmp_path):
    (tmp_path / "audit.csv").write_text(
        "relation,kind,where,statement,over,recomputed,sign,printed,note\nr,holds,w,s,,1,,,\n"
    )
    with pytest.raises(ReproError, match=r"line 2.*go together"):
        audit.load(tmp_path)


@pytest.fixture(scope="module")
def checks():
    return audit.run()


def test_the_papers_own_numbers(checks):
    """What is known of them by hand."""
    found = {(c.relation.relation, c.name): c for c in checks}
    total = found["total_of_diagdistill", "T1.diagdistill.total"]
    assert printed.ends(total.left) == pytest.approx((84.549, 84.559), abs=1e-6) and total.result == audit.OUTSIDE
    assert found["memory_slope", "T4.window_27.memory_gb"].result == audit.WITHIN
    assert printed.ends(found["full_decoder", ""].left)[0] == pytest.approx(73.295603)
    assert len({c.relation.relation for c in checks}) >= 60
    assert {c.relation.kind for c in checks} == set(audit.CLASSES)


def test_the_published_audit_is_current(checks, tmp_path):
    audit.build(tmp_path)
    for suffix in (".csv", ".md"):
        published = ROOT / "results" / "published" / "paper" / "tables" / f"audit{suffix}"
        assert published.read_text() == (tmp_path / "tables" / f"audit{suffix}").read_text(), "run snakemake audit"
    table = pd.read_csv(tmp_path / "tables" / "audit.csv")
    assert len(table) == len(checks) and table["result"].notna().all()


def test_the_notebooks_sentences_speak_of_the_checks(checks):
    assert audit_answers.speedup(checks).startswith(
        "277.3 is a ratio of first-frame latencies; by throughput it is 39."
    )
    assert "5433333 against 5333333" in audit_answers.rising(checks)
    assert audit_answers.table(checks, "misprint").count("\n|") - 2 >= 9
    assert audit_answers.pace().axes[0].get_ylabel().endswith("s")
