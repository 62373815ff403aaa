"""Table 5 from synthetic records whose differences, ratios and verdicts are known."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from repro.config import CONFIG_DIR, load_runs
from repro.errors import ReproError
from repro.reporting import comparisons, readme, tables
from repro.reporting.records import Record
from repro.reporting.render import escape, signed, significant

FILES = ("table5.csv", "table5.md", "table5.html", "table5.tex", "table5_pairs.csv", "table5_ratios.csv")


def read(folder, name):
    return pd.read_csv(folder / "tables" / name, dtype={"schedule": str})


def test_main_table_joins_ours_with_the_papers(built):
    table = read(built, "table5.csv").set_index("run_id")
    assert list(table.index) == [r.run_id for r in load_runs().values() if "table5" in r.rows]
    row = table.loc["self_4444444"]
    assert (row["paper_nfe"], row["forwards"], table.loc["diagonal_4444444", "forwards"]) == (56, 35, 28)
    assert (row["text_paper"], row["in_flight_latency_s_paper_tolerance"]) == (29.3, 0.02)
    quality = json.loads((built / "runs" / "self_4444444" / "quality.json").read_text())
    temporal = next(r for r in quality if r["metric"] == "temporal")
    ours = [row["temporal"], row["temporal_low"], row["temporal_high"]]
    assert ours == pytest.approx([100 * temporal[k] for k in ("value", "low", "high")], rel=1e-5)
    assert [row["in_flight_latency_s"], row["throughput_fps"]] == [0.4, 10]


def test_ratios_stand_beside_the_papers(built):
    ratios = read(built, "table5_ratios.csv").set_index(["schedule", "metric"])
    latency = ratios.loc[("4322222", "in_flight_latency_s")]
    assert latency["ratio"] == 0.5
    assert latency["paper_ratio"] == pytest.approx(0.23 / 0.43, rel=1e-5)
    assert [latency["low"], latency["high"]] == pytest.approx([0.19 / 0.41, 0.21 / 0.39], rel=1e-5)
    assert ratios.loc[("4444444", "throughput_fps"), "paper_ratio"] == pytest.approx(21.5 / 17, rel=1e-5)
    assert set(ratios["verdict"]) == {"reproduced"}


@pytest.mark.parametrize(
    ("low", "high", "higher", "verdict"),
    [
        (0.4, 0.6, False, "reproduced"),
        (0.4, 0.6, True, "contradicted"),
        (1.1, 1.3, True, "reproduced"),
        (1.1, 1.3, False, "contradicted"),
        (0.9, 1.1, True, "unresolved"),
    ],
)
def test_ratio_verdict(low, high, higher, verdict):
    assert comparisons.ratio_verdict(low, high, higher) == verdict


def test_paired_differences_and_holm_verdicts(built):
    pairs = read(built, "table5_pairs.csv")
    assert len(pairs) == 24
    expected = {"temporal": (5, "reproduced"), "frame": (-5, "contradicted"), "text": (0, "unresolved")}
    for metric, (difference, verdict) in (expected | {"total": (2, "reproduced")}).items():
        rows = pairs[pairs["metric"] == metric]
        assert rows["difference"].to_numpy() == pytest.approx(np.full(6, difference), abs=1e-6)
        assert set(rows["verdict"]) == {verdict}
        assert ((rows["low"] <= difference) & (difference <= rows["high"])).all()
    # Holm's step-down rule, written out.
    p = np.sort(pairs["p"].to_numpy())
    stepped = np.minimum(1, np.maximum.accumulate(p * (24 - np.arange(24))))
    assert np.sort(pairs["p_holm"].to_numpy()) == pytest.approx(stepped, rel=1e-4)
    paper = pairs.set_index(["schedule", "metric"])["paper_difference"]
    assert paper["4444444", "text"] == pytest.approx(-0.7)
    assert np.isnan(paper["4444444", "total"])


def test_enough_resamples_for_a_verdict():
    """One comparison in 24 can pass Holm, whatever number the profile asks for."""
    n = comparisons.resamples(200, 24)
    assert 24 * 2 / (n + 1) < comparisons.ALPHA
    assert comparisons.resamples(90_000, 24) == 90_000


def test_every_form_tells_scale_prompts_seeds_device_and_reading(built):
    for name in FILES:
        text = (built / "tables" / name).read_text()
        for told in ("smoke", "12", "test device", "compared with nothing"):
            assert told in text, (name, told)
    assert set(read(built, "table5.csv")["prompts"]) == {12}
    markdown = (built / "tables" / "table5.md").read_text()
    assert "12 held-out prompts, 1 training seed (0)" in markdown
    assert "speak against its claim in: 4444444 text" in markdown
    assert "| 0.69 ± 0.02 " in markdown
    assert r"0.69 $\pm$ 0.02" in (built / "tables" / "table5.tex").read_text()


def test_mini_is_read_in_direction(runs_dir, tmp_path, edit_records, monkeypatch):
    monkeypatch.setattr(comparisons, "resamples", lambda requested, comparisons: 10)
    for path in runs_dir.glob("*/*.json"):
        edit_records(path, lambda r: r | {"profile": "mini"})
    tables.build(5, "mini", runs_dir, tmp_path)
    assert "in direction, not in value" in (tmp_path / "tables" / "table5.md").read_text()


def test_metrics_hold_every_record(built):
    metrics = pd.read_csv(built / "metrics.csv")
    files = [p for p in (built / "runs").glob("*/*.json")]
    assert len(metrics) == sum(len(json.loads(p.read_text())) for p in files) > 0
    assert list(metrics.columns) == list(Record.model_fields)


def test_same_records_same_bytes(built, tmp_path):
    shutil.copytree(built / "runs", tmp_path / "elsewhere")
    tables.build(5, "smoke", tmp_path / "elsewhere", tmp_path / "out")
    for name in ("metrics.csv", *(f"tables/{n}" for n in FILES)):
        assert (tmp_path / "out" / name).read_bytes() == (built / name).read_bytes(), name


@pytest.mark.parametrize("name, rule", [("quality.json", "evaluate"), ("timing.json", "time"),
                                        ("scores.csv", "evaluate")])  # fmt: skip
def test_a_missing_file_is_named_with_its_rule(runs_dir, tmp_path, name, rule):
    (runs_dir / "self_5333333" / name).unlink()
    with pytest.raises(ReproError, match=rf"self_5333333/{name} is missing.*rule `{rule}`"):
        tables.build(5, "smoke", runs_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unreadable_records_are_named(runs_dir, tmp_path):
    (runs_dir / "self_5333333" / "quality.json").write_text('[{"run_id": ')
    with pytest.raises(ReproError, match=r"self_5333333/quality\.json"):
        tables.build(5, "smoke", runs_dir, tmp_path)


@pytest.mark.parametrize("damage", [lambda s: s.drop(columns="text"), lambda s: s.mask(s["prompt"] == 3)])
def test_scores_with_gaps_are_refused(runs_dir, tmp_path, damage):
    """No quiet mean over what is left."""
    path = runs_dir / "self_5333333" / "scores.csv"
    damage(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(ReproError, match=r"self_5333333/scores\.csv (lacks column text|has a gap in column seed)"):
        tables.build(5, "smoke", runs_dir, tmp_path)


@pytest.mark.parametrize(
    "file, change, told",
    [
        ("timing.json", {"device": "another device"}, "differ in timing device"),
        ("quality.json", {"weights": {"judge": "other"}}, "differ in judge"),
        ("quality.json", {"seeds": [3]}, "differ in training seeds"),
        ("quality.json", {"profile": "mini"}, "profile 'mini'"),
        ("timing.json", {"run_id": "self_4322222"}, "run 'self_4322222'"),
        ("timing.json", {"low": None}, "no interval"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(
    runs_dir, tmp_path, edit_records, monkeypatch, file, change, told
):
    monkeypatch.setattr(comparisons, "resamples", lambda requested, comparisons: 2)
    edit_records(runs_dir / "self_5333333" / file, lambda r: r | change)
    with pytest.raises(ReproError, match=told):
        tables.build(5, "smoke", runs_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_records_of_an_older_schedule_are_refused(runs_dir, tmp_path, edit_records):
    def older(record):
        return record | ({"value": 40} if record["metric"] == "paper_nfe" else {})

    edit_records(runs_dir / "diagonal_4322222" / "quality.json", older)
    with pytest.raises(ReproError, match="diagonal_4322222: schedule 4322222 has a paper NFE of 34"):
        tables.build(5, "smoke", runs_dir, tmp_path)


def test_other_tables_have_verbs_of_their_own(tmp_path):
    with pytest.raises(ReproError, match="table 4 has a verb of its own: windows-table"):
        tables.build(4, "smoke", tmp_path, tmp_path)


def test_a_table_without_pairs_and_a_run_without_a_partner(runs_dir, tmp_path, monkeypatch):
    """A specification is data: Table 4 prints one mode only."""
    config = tmp_path / "config"
    shutil.copytree(CONFIG_DIR, config)
    text = (config / "runs.csv").read_text()
    (config / "runs.csv").write_text(text.replace("diagonal_4322222,table5;", "diagonal_4322222,table5;table4;"))
    spec = tables.Spec(4, "Steps", ("temporal",), ("throughput_fps",), None)
    monkeypatch.setitem(tables.SPECS, 4, spec)
    tables.build(4, "smoke", runs_dir, tmp_path / "out", config)
    assert sorted(p.name for p in (tmp_path / "out" / "tables").iterdir()) == [
        f"table4.{suffix}" for suffix in ("csv", "html", "md", "tex")
    ]
    paired = tables.Spec(4, "Steps", ("temporal",), ("throughput_fps",), ("diagonal", "self"))
    monkeypatch.setitem(tables.SPECS, 4, paired)
    with pytest.raises(ReproError, match="schedule 4322222 has no run with cache self"):
        tables.build(4, "smoke", runs_dir, tmp_path / "out", config)


def test_number_forms():
    assert [significant(v) for v in (0.00512345, 0.2, 1234.5, 9.996)] == ["0.00512", "0.200", "1234", "10.0"]
    assert [signed(v) for v in (1.234, -0.5, -0.0001)] == ["+1.23", "-0.50", "0.00"]
    assert escape("5% of a_b ± 1") == r"5\% of a\_b $\pm$ 1"


MARKED = "# Title\n\n<!-- table5:begin -->\nold\n<!-- table5:end -->\n\nEnd\n"


def published(folder):
    (folder / "mini" / "tables").mkdir(parents=True)
    (folder / "mini" / "tables" / "table5.md").write_text("| a |\n")


@pytest.fixture
def one_table(monkeypatch):
    monkeypatch.setattr(readme, "TABLES", {"table5": "mini"})


def test_readme_takes_the_table_once(tmp_path, one_table):
    (tmp_path / "README.md").write_text(MARKED)
    published(tmp_path)
    arguments = (tmp_path / "README.md", tmp_path)
    assert readme.update(*arguments, check=True)
    assert (tmp_path / "README.md").read_text() == MARKED
    assert readme.update(*arguments)
    assert (tmp_path / "README.md").read_text() == MARKED.replace("old", "\n| a |\n")
    assert not readme.update(*arguments)
    assert not readme.update(*arguments, check=True)


@pytest.mark.parametrize("broken", [MARKED.replace(":begin", ":start"), MARKED + "<!-- table5:end -->",
                                    "<!-- table5:end --><!-- table5:begin -->"])  # fmt: skip
def test_readme_without_its_markers_is_refused(tmp_path, one_table, broken):
    (tmp_path / "README.md").write_text(broken)
    published(tmp_path)
    with pytest.raises(ReproError, match="table5:begin"):
        readme.update(tmp_path / "README.md", tmp_path)
    assert (tmp_path / "README.md").read_text() == broken


def test_readme_needs_the_published_table(tmp_path, one_table):
    (tmp_path / "README.md").write_text(MARKED)
    with pytest.raises(ReproError, match=r"table5\.md cannot be read"):
        readme.update(tmp_path / "README.md", tmp_path)


@pytest.mark.skipif(not readme.PUBLISHED.is_dir(), reason="no table is published yet")
def test_readme_is_current():
    assert not readme.update(check=True), "run `python -m repro readme`"
