"""Table 4 from synthetic scores: a planted plateau is found, and no more is said than the scores can tell."""

import numpy as np
import pandas as pd
import pytest

from repro.evaluation.windows import grid
from repro.reporting import claim_tests, paper, window_figures, windows
from repro.reporting.claims import Claim
from repro.reporting.records import Record, write
from repro.reporting.verdicts import CONTRADICTED, NOT_MEASURED, ONE_SEED, REPRODUCED, UNRESOLVED

COMMON = {
    "profile": "smoke",
    "metric_version": "2.1",
    "code": "c",
    "weights": {"judge": "j", "diagonal-s0": "w"},
    "device": "d",
    "versions": {},
    "unit": "u",
}
PROMPTS = 8
PAPER_SAYS = {3: 3.0, 6: 3.0, 9: 2.0}
"""Points that these windows lose."""


def planted(folder, loss, seeds=3, prompts=PROMPTS, spread=0.2, sink_gain=1.0):
    """A folder of the verb: windows that lose `loss` points of the last segment, `sink_gain` more with a sink."""
    rng, rows, kept = np.random.default_rng(0), [], []
    easy = rng.normal(0, 5, (seeds, prompts))
    for w in grid():
        own = rng.normal(0, spread, (seeds, prompts))
        last = 80 + easy + own - own.mean() - loss.get(w.frames, 0.0) + sink_gain * (w.sink > 0)
        for segment, values in enumerate((80 + easy, last)):
            index = pd.MultiIndex.from_product([range(seeds), range(prompts)], names=["seed", "prompt"])
            table = pd.DataFrame({"total": values.ravel() / 100}, index=index).reset_index()
            rows.append(table.assign(segment=segment, window=w.frames, sink=w.sink))
        common = COMMON | {"run_id": w.name, "seeds": list(range(seeds))}
        for metric, value in (("total_first", 0.8), ("total_last", last.mean() / 100)):
            kept.append(Record(metric=metric, value=value, low=value - 0.01, high=value + 0.01, n=last.size, **common))
        latency = 0.01 * (1 + w.frames / 27)
        kept.append(Record(metric="in_flight_latency_s", value=latency, low=latency, high=latency, n=10, **common))
        for metric in ("cache_bytes", "cache_bytes_model"):
            kept.append(Record(metric=metric, value=1e6 * w.frames, n=1, **common))
    folder.mkdir()
    pd.concat(rows).to_csv(folder / "scores.csv.gz", index=False)
    write(folder / "windows.json", kept)
    return windows.load(folder, "smoke")


@pytest.mark.parametrize(
    ("loss", "seeds", "prompts", "start"),
    [
        (PAPER_SAYS, 3, PROMPTS, 12),
        ({}, 3, PROMPTS, 3),
        (PAPER_SAYS | {18: 2.0}, 3, PROMPTS, 21),
        ({9: -2.0}, 3, PROMPTS, 3),
        (PAPER_SAYS, 1, 2 * PROMPTS, 3),
        (PAPER_SAYS, 2, 2, 3),
    ],
)
def test_the_plateau_starts_behind_the_last_window_that_is_worse(tmp_path, loss, seeds, prompts, start):
    """Nothing is resolved by few videos, or by one training."""
    found = planted(tmp_path / "w", loss, seeds, prompts)
    assert windows.plateau(found) == start and f"starts at {start} without" in windows.where_it_starts(found)


def test_differences_are_paired_and_those_planted(tmp_path):
    """Prompts differ by five points, windows by two: only pairs can tell."""
    found = planted(tmp_path / "w", PAPER_SAYS)
    rows = found.pairs.set_index(["row", "against"])
    assert rows.loc[("window_9", "widest"), "difference"] == pytest.approx(-2)
    assert rows.loc[("window_9_sink_3", "widest"), "difference"] == pytest.approx(-2)
    assert rows.loc[("window_9_sink_3", "no sink"), "difference"] == pytest.approx(1)
    assert (rows.xs("no sink", level="against")["verdict"] == "better").all()
    assert len(rows) == 8 + 7 + 8 and ("window_27", "widest") not in rows.index
    assert "better in 8 of 8 windows and worse in 0; by +1.00 points" in windows.with_sink(found)


def test_the_table_has_the_papers_numbers_beside_ours(tmp_path):
    planted(tmp_path / "w", PAPER_SAYS)
    windows.build(tmp_path / "w", "smoke", tmp_path)
    text = (tmp_path / "tables" / "table4.md").read_text()
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    by_key = {tuple(r[:2]): r for r in rows if len(r) == 12}
    said = paper.table(4)["window_12", "in_flight_latency_s"].printed
    plain, sink = by_key["12", "–"], by_key["12", "3"]
    assert plain[2] == "84.3" and plain[7] in ("unresolved", "better", "worse") and plain[8] == said
    assert plain[10:] == ["17.5", "12.0"] and sink[2] == sink[8] == sink[10] == "–"
    assert by_key["9", "–"][7] == "worse" and by_key["27", "–"][5] == "–"
    assert "exactly what was allocated in 17 of 17 rows" in text
    assert "R² 1.000, largest departure 0% of the range" in text
    assert len(pd.read_csv(tmp_path / "tables" / "table4_pairs.csv")) == 23


def test_figures_show_every_window_with_and_without_a_sink(tmp_path):
    found = planted(tmp_path / "w", PAPER_SAYS)
    left, right = window_figures.total(found).axes
    assert [c.get_label() for c in right.containers] == ["no sink", "sink of 3"]
    np.testing.assert_allclose(left.containers[0].lines[0].get_xdata(), range(3, 28, 3))
    assert len(window_figures.cost(found).axes) == 2


@pytest.mark.parametrize(
    ("loss", "seeds", "narrow", "plateau"),
    [
        (PAPER_SAYS, 3, REPRODUCED, UNRESOLVED),
        (PAPER_SAYS | {12: 1.0}, 3, REPRODUCED, CONTRADICTED),
        ({9: -2.0}, 3, CONTRADICTED, UNRESOLVED),
        (PAPER_SAYS, 1, ONE_SEED, ONE_SEED),
    ],
)
def test_claims_of_windows(tmp_path, loss, seeds, narrow, plateau):
    """Without a margin, that nothing is lost cannot be shown: only a resolved loss decides."""
    published = claim_tests.Published("nowhere")
    published.__dict__["windows"] = planted(tmp_path / "w", loss, seeds, 2 * PROMPTS)
    common = {"claim": "c", "statement": "s", "where": "w", "scale": "mini", "test": "windowed", "metrics": "total"}
    cases = {"falls": ("window_9", narrow), "no worse": ("window_12", plateau)}
    for expectation, (window, verdict) in cases.items():
        claim = Claim(**common, pairs=window, expectation=expectation)
        (part,) = claim_tests.windowed(claim, published)
        assert part.verdict == verdict and part.low <= part.value <= part.high
    (part,) = claim_tests.windowed(claim, claim_tests.Published("nowhere"))
    assert part.verdict == NOT_MEASURED and part.missing == "mini/windows"
