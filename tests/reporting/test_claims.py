"""Claims: every verdict on synthetic data, and the sheet against what it names."""

import shutil

import numpy as np
import pandas as pd
import pytest

from repro.config import CONFIG_DIR, ROOT, Evaluation, load_profile
from repro.errors import ReproError
from repro.reporting import claim_answers, claim_tests, claims, printed, records
from repro.reporting.claims import Claim
from repro.reporting.records import Record
from repro.reporting.verdicts import CONTRADICTED, NOT_MEASURED, ONE_SEED, REPRODUCED, UNRESOLVED

PROMPTS = 24
FEW = load_profile("smoke").evaluation.model_copy(update={"bootstrap": 200})
COLUMNS = list(Claim.model_fields)


def claim(**values) -> dict:
    given = {"claim": "c", "statement": "s", "where": "Table 1", "scale": "mini", "test": "paired"}
    return given | {"pairs": "full_4322222:diagonal_4322222", "metrics": "total", "expectation": "better"} | values


def timed(**values) -> dict:
    given = {"scale": "wan", "test": "value", "pairs": "diagonal_4322222", "metrics": "throughput_fps"}
    given |= {"expectation": "at least", "bound": "T1.diagdistill.throughput_fps", "records": "wan-h100/speed"}
    return claim(**given | values)


@pytest.fixture
def published(tmp_path):
    """Writes scores of two runs, the first better by `gain` points, or one timing record; none by default."""

    def write(gain=0.0, seeds=3, noise=0.01, fps=None):
        folder, rng = tmp_path / "published", np.random.default_rng(0)
        for run, level in {"full_4322222": 0.8 + gain / 100, "diagonal_4322222": 0.8}.items():
            index = pd.MultiIndex.from_product([range(seeds), range(PROMPTS)], names=["seed", "prompt"])
            own = rng.normal(0, noise, len(index))
            table = pd.DataFrame({"total": level + own - own.mean()}, index=index).reset_index()
            out = folder / "mini" / "runs" / run
            out.mkdir(parents=True, exist_ok=True)
            table.to_csv(out / "scores.csv", index=False)
        if fps:
            common = {"profile": "wan", "metric_version": "1", "code": "c", "weights": {}, "device": "d"}
            common |= {"versions": {}, "unit": "frame/s", "n": 10, "seeds": [0], "metric": "throughput_fps"}
            low, value, high = fps
            row = Record(run_id="diagonal_4322222", value=value, low=low, high=high, **common)
            (folder / "wan-h100" / "speed").mkdir(parents=True)
            records.write(folder / "wan-h100" / "speed" / "table3.json", [row])
        return folder

    return write


@pytest.fixture
def sheet(tmp_path):
    """A configuration whose claims are the given rows."""

    def write(*rows):
        folder = tmp_path / "config"
        shutil.copytree(CONFIG_DIR, folder, dirs_exist_ok=True)
        pd.DataFrame(rows, columns=COLUMNS).to_csv(folder / "claims.csv", index=False)
        return folder

    return write


def judged(published, config, settings: Evaluation = FEW):
    return claim_tests.judge(published, "mini", config, settings)


@pytest.mark.parametrize(
    ("gain", "seeds", "row", "verdict"),
    [
        (2.0, 3, claim(), REPRODUCED),
        (-2.0, 3, claim(), CONTRADICTED),
        (0.01, 3, claim(), UNRESOLVED),
        (2.0, 1, claim(), ONE_SEED),
        (-0.5, 3, claim(expectation="no worse", margin=1.5), REPRODUCED),
        (-2.5, 3, claim(expectation="no worse", margin=1.5), CONTRADICTED),
        (-0.01, 3, claim(expectation="no worse"), UNRESOLVED),
        (-0.5, 3, claim(expectation="no worse"), CONTRADICTED),
        (2.0, 3, claim(pairs="full_4322222:flow_raw_4322222"), NOT_MEASURED),
        (2.0, 3, claim(metrics="text"), NOT_MEASURED),
    ],
)
def test_every_verdict_on_scores(published, sheet, gain, seeds, row, verdict):
    (found,) = judged(published(gain, seeds), sheet(row))
    assert found.verdict == verdict
    if verdict == NOT_MEASURED:
        assert found.missing in ("run flow_raw_4322222", "text of full_4322222, diagonal_4322222")
        assert found.deciding.told == "–"
    else:
        assert found.deciding.value == pytest.approx(gain, abs=1e-9)
        assert found.deciding.low <= gain <= found.deciding.high


def test_a_comparison_and_its_mirror_are_one_test(published, sheet):
    """Each had a p of its own, and the two fell on different sides of 0.05."""
    mirror = claim(claim="mirror", pairs="diagonal_4322222:full_4322222")
    one, two = (found.deciding for found in judged(published(0.05), sheet(claim(), mirror)))
    assert (two.value, two.low, two.high) == pytest.approx((-one.value, -one.high, -one.low))
    assert 0 < two.p == one.p == one.p_holm == two.p_holm < 1


@pytest.mark.parametrize(
    ("fps", "expectation", "verdict"),
    [
        ((32, 33, 34), "at least", REPRODUCED),
        ((20, 21, 22), "at least", CONTRADICTED),
        ((30, 31, 32), "at least", UNRESOLVED),
        ((20, 21, 22), "at most", REPRODUCED),
        ((32, 33, 34), "at most", CONTRADICTED),
        (None, "at least", NOT_MEASURED),
    ],
)
def test_every_verdict_on_records(published, sheet, fps, expectation, verdict):
    (found,) = judged(published(fps=fps), sheet(timed(expectation=expectation)))
    assert found.verdict == verdict
    assert found.missing == ("" if fps else "throughput_fps of diagonal_4322222 in one file of wan-h100/speed")


def test_only_rows_of_one_process_are_divided(published, sheet):
    """A clock that ran slower for all rows of one process would pass for a difference between the rows."""
    folder = published(fps=(32, 33, 34)) / "wan-h100" / "speed"
    row = timed(test="ratio", pairs="diagonal_4322222:self_4444444", bound="1")
    (mine,) = records.read(folder / "table3.json")
    other = mine.model_copy(update={"run_id": "self_4444444", "value": 10.0, "low": 10.0, "high": 10.0})
    records.write(folder / "another.json", [other])
    (found,) = judged(folder.parents[1], sheet(row))
    assert found.verdict == NOT_MEASURED and "self_4444444 in one file" in found.missing
    slow = mine.model_copy(update={"value": 20.0, "low": 20.0, "high": 20.0})
    records.write(folder / "another.json", [other, slow])
    (found,) = judged(folder.parents[1], sheet(row))
    assert found.verdict == REPRODUCED and found.deciding.value == 2.0


def test_one_comparison_against_a_claim_is_enough(published, sheet):
    """And what is missing keeps the others from reproducing it."""
    pairs = "full_4322222:diagonal_4322222 diagonal_4322222:full_4322222"
    (found,) = judged(published(2.0), sheet(claim(pairs=pairs)))
    assert [p.verdict for p in found.parts] == [REPRODUCED, CONTRADICTED] and found.verdict == CONTRADICTED
    assert found.deciding.what == "total, diagonal_4322222 − full_4322222"
    (found,) = judged(published(2.0), sheet(claim(pairs="full_4322222:diagonal_4322222 full_4322222:magi_1")))
    assert found.verdict == NOT_MEASURED


def test_a_comparison_of_two_claims_is_one_test(published, sheet):
    one, two = judged(published(0.35, noise=0.02), sheet(claim(), claim(claim="d")))
    (alone,) = judged(published(0.35, noise=0.02), sheet(claim()))
    assert one.parts[0].p_holm == two.parts[0].p_holm == pytest.approx(alone.parts[0].p_holm)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (claim(pairs="full_4322222:nobody"), "names row 'nobody', which runs.csv lacks"),
        (claim(metrics="beauty"), "names metric 'beauty': choose from"),
        (claim(pairs="full_4322222"), "names 1 rows; test paired takes pairs"),
        (claim(paper="T1.diagdistill.totl"), "claim 'c', paper: .*no number 'T1.diagdistill.totl'"),
        (claim(expectation="at least"), "expects better or no worse, not at least"),
        (claim(expectation="better", margin=1.0), "a margin goes with"),
        (timed(pairs="diagonal_9999999"), "names row 'diagonal_9999999', which speed.csv lacks"),
        (timed(bound=None), "needs pairs, metrics, bound: fill in bound"),
        (timed(records=None), "records goes with ratio and value"),
        (claim(test="drift", pairs="nobody", expectation="falls"), "which long.csv lacks"),
        (claim(test="none", pairs=None, metrics=None, expectation=None), "fill in missing"),
    ],
)
def test_a_row_that_names_nothing_is_refused(sheet, row, told):
    with pytest.raises(ReproError, match=told):
        claims.load(sheet(row))


def test_long_videos_are_judged_by_their_intervals():
    part = claims.Part(Claim(**claim(test="drift", pairs="self", expectation="falls")), "total")
    part.seeds, part.n, part.p_holm, part.low, part.high = 3, 30, 0.01, -2.0, -1.0
    assert claim_tests._decided(part, part.claim) == REPRODUCED
    rising = part.claim.model_copy(update={"expectation": "rises"})
    assert claim_tests._decided(part, rising) == CONTRADICTED
    stable = part.claim.model_copy(update={"expectation": "no worse", "margin": 0.5})
    assert claim_tests._decided(part, stable) == CONTRADICTED
    part.n = 3
    assert claim_tests._decided(part, part.claim) == UNRESOLVED
    part.seeds = 1
    assert claim_tests._decided(part, part.claim) == ONE_SEED


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The sheet's claims against what is published, with few resamples of scores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claim_tests.comparisons, "resamples", lambda requested, size: 100)
        judged = claim_tests.judge(ROOT / "results" / "published")
    out = tmp_path_factory.mktemp("claims")
    claims.build(judged, out)
    return judged, claim_answers.load(out)


def test_every_claim_of_the_paper_is_judged(found):
    judged, results = found
    assert len(judged) >= 30 and len(results.claims) == len(judged)
    assert set(results.claims["verdict"]) <= set(claims.VERDICTS)
    assert results.parts["claim"].nunique() == len(judged)
    for j in judged:
        assert bool(j.missing) == any(p.verdict == NOT_MEASURED for p in j.parts), j.claim.claim
    decided = results.claims[results.claims["verdict"].isin([REPRODUCED, CONTRADICTED])]
    assert decided["value"].notna().all() and (decided["ours"] != "–").all()


def test_the_scorecard_counts_what_it_lists(found):
    judged, results = found
    (row,) = [r for r in claims.counted(judged).rows if r[0] == "all"]
    assert int(row[1]) == len(judged) == sum(map(int, row[2:]))
    assert len(claims.listed(judged, printed.load()).rows) == len(judged)
    assert claim_answers.counted(results).startswith(f"{len(judged)} claims: {row[2]} reproduced")
    assert "tested differences of scores are decided" in claim_answers.resolved(results)
    assert len(claim_answers.forest(results.claims).axes[0].get_yticks()) >= 10


def test_published_claims_are_those_of_the_sheet():
    published = pd.read_csv(ROOT / "results" / "published" / "paper" / "tables" / "claims.csv")
    sheet = claims.load()
    assert list(published["claim"]) == [c.claim for c in sheet], "run snakemake claims"
    assert list(published["statement"]) == [c.statement for c in sheet]


def test_a_folder_where_nothing_was_published_is_refused(tmp_path):
    with pytest.raises(ReproError, match="has no folder mini"):
        claim_tests.judge(tmp_path)
