"""What the paper's printed rates can bear: counts and intervals computed here a second time, from the definition."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint
from typer.testing import CliRunner

from repro.errors import ReproError
from repro.user_study import cli, paper, population
from repro.user_study.design import FOLDER

PUBLISHED = "results/published/user_study"


@pytest.fixture(scope="module")
def printed():
    return paper.load()


def test_the_printed_numbers(printed):
    assert printed.rates == pytest.approx(
        {"causvid": 0.661, "wan2_1": 0.627, "skyreels_v2": 0.579, "magi_1": 0.542, "self_forcing": 0.593}
    )
    assert (printed.participants, printed.comparisons, printed.prompts, printed.kappa) == (93, 150, 50, 0.78)
    assert printed.readings == {"all": 150, "each": 13950}
    for question in ("background", "experience"):
        assert sum(v for (q, _), v in printed.shares.items() if q == question) == pytest.approx(1)


@pytest.mark.parametrize(
    ("cut", "put", "told"),
    [
        ("causvid,66.1", "causvid,most", "line 2.*value = 'most'"),
        ("kappa,cohen,0.78,kappa,appendix H.6\n", "", "kappa"),
    ],
)
def test_a_bad_file_is_named(tmp_path, cut, put, told):
    path = tmp_path / "paper.csv"
    path.write_text((FOLDER / "paper.csv").read_text().replace(cut, put))
    with pytest.raises(ReproError, match=told):
        paper.load(path)


def test_percentages_against_whole_counts_by_trying_all(printed):
    found = paper.counts(printed).set_index(["what", "of"])
    for votes in (93, 150, 13950):
        for baseline, rate in printed.rates.items():
            tried = [k for k in range(votes + 1) if abs(1000 * k / votes - 1000 * rate) <= 0.5 + 1e-6]
            row = found.loc[(baseline, votes)]
            assert row["counts"] == len(tried)
            assert not tried or (row["from"], row["to"]) == (tried[0], tried[-1])
    # 94 of 150 is 62.67%, 89 is 59.33%; 81 is 54.00% and 82 is 54.67%, so that 54.2% cannot be.
    assert found.loc[("wan2_1", 150), "from"] == 94 and found.loc[("self_forcing", 150), "from"] == 89
    assert (found.loc[[("magi_1", 150), ("causvid", 150), ("skyreels_v2", 150)], "counts"] == 0).all()
    assert (found.xs(93, level="of").loc[list(printed.rates), "counts"] == 0).all()


@pytest.mark.parametrize(
    ("rate", "votes", "found"), [(0.5, 2, [1]), (0.333, 3, [1]), (0.334, 3, []), (1.0, 7, [7]), (0.0, 7, [0]),
                                 (0.063, 16, [1]), (0.062, 16, [1])],
)  # fmt: skip
def test_whole_counts(rate, votes, found):
    assert paper.whole_counts(rate, votes) == found


def test_sizes_at_which_every_rate_is_a_whole_count(printed):
    sizes = paper.possible_sizes(printed)
    for size in sizes[:3]:
        assert all(
            any(abs(100 * k / size - 100 * r) <= 0.05 + 1e-6 for k in range(size + 1)) for r in printed.rates.values()
        )
    assert 150 not in sizes and 93 not in sizes


def test_intervals_and_p_values(printed):
    table = paper.intervals(printed)
    for row in table.itertuples():
        assert (row.low, row.high) == pytest.approx(
            proportion_confint(row.rate * row.votes, row.votes, method="wilson")
        )
        assert row.p == pytest.approx(stats.binomtest(round(row.rate * row.votes), row.votes).pvalue)
    by = table.set_index(["reading", "baseline"])
    assert by.loc[("all", "magi_1"), "low"] < 0.5 and by.loc[("all", "magi_1"), "p"] > 0.01
    assert by.loc[("each", "magi_1"), "low"] > 0.5 and by.loc[("each", "magi_1"), "p"] < 1e-20
    smallest = by.loc["all"].sort_values("p").iloc[0]
    assert smallest["p_holm"] == pytest.approx(5 * smallest["p"])


def test_p_fails_beyond_the_largest_spread(printed):
    for of, other_prompts in (("raters", False), ("prompts", True)):
        limit = paper.largest_sd(printed, 0.542, 13950, of)
        for factor, below in ((0.98, True), (1.02, False)):
            sds = (factor * limit, 0.0) if of == "raters" else (0.0, factor * limit)
            p = paper.p_value(printed, 0.542, 13950, *sds, other_prompts=other_prompts)
            assert (p < 0.01) == below
    assert np.isnan(paper.largest_sd(printed, 0.542, 150, "raters"))
    assert paper.largest_sd(printed, 0.661, 13950, "raters") == np.inf


def test_p_to_expect_is_that_of_simulated_studies(printed):
    """93 raters with 150 votes each on 50 prompts, an SD of 0.66: the median t test is about the p that is told."""
    rng = np.random.default_rng(0)
    centre = population.log_odds_of(0.542, 0.66)
    share = 1 / (1 + np.exp(-(centre + 0.66 * rng.normal(size=(4000, 93)))))
    own = rng.binomial(150, share) / 150
    p = stats.ttest_1samp(own, 0.5, axis=1).pvalue
    told = paper.p_value(printed, 0.542, 13950, 0.66, 0.0, other_prompts=False)
    assert np.median(p) == pytest.approx(told, rel=0.15)


def test_a_kappa_leaves_so_many_prompts(printed):
    table = paper.kappa_means(printed).set_index("baseline")
    row = table.loc["magi_1"]
    chance = 0.542**2 + 0.458**2
    assert (row["agreement"] - chance) / (1 - chance) == pytest.approx(0.78)
    assert row["error"] == pytest.approx(np.sqrt(0.78 * 0.542 * 0.458 / 50))
    assert row["p"] > 0.01 and row["low"] < 0.5 < row["high"]
    # At the limit of κ, and at the rate needed, p is α.
    at_limit = np.sqrt(row["kappa_limit"] * 0.542 * 0.458 / 50)
    assert population.t_test(0.542, at_limit, 49) == pytest.approx(0.01)
    needed = row["needed"]
    assert population.t_test(needed, np.sqrt(0.78 * needed * (1 - needed) / 50), 49) == pytest.approx(0.01)


def test_what_a_study_needs_is_enough_and_one_fewer_is_not(printed):
    row = paper.needs(printed).set_index("baseline").loc["self_forcing"]
    parts = population.variance_parts(0.593, 0.5, 0.5)

    def power(raters):
        return population.power(0.593, *population.expected_error(parts, raters, 50, raters * 6, other_prompts=True))

    assert power(row["prompts_50"]) >= 0.8 > power(row["prompts_50"] - 1)
    assert np.isnan(paper.needs(printed).set_index("baseline").loc["magi_1", "prompts_20"])


def test_hours_of_watching(printed):
    hours = paper.hours(printed)
    assert hours["each"] == pytest.approx(5 * 150 * 45 / 3600) and hours["all"] == pytest.approx(hours["each"] / 93)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What the verb `paper` writes from the published simulations."""
    folder = tmp_path_factory.mktemp("paper")
    command = ["paper", "--power", f"{PUBLISHED}/power/power.csv", "--truth", f"{PUBLISHED}/truth/truth.csv"]
    ran = CliRunner().invoke(cli.app, [*command, "--out", str(folder)], catch_exceptions=False)
    assert ran.exit_code == 0
    return folder / "tables"


@pytest.mark.parametrize("key", ["intervals", "counts", "limits", "kappa", "needs", "grid", "power", "truth"])
def test_published_tables_are_those_that_the_verb_writes(written, key):
    made, kept = (pd.read_csv(folder / f"user_study_{key}.csv") for folder in (written, Path(f"{PUBLISHED}/tables")))
    pd.testing.assert_frame_equal(made, kept, rtol=1e-4)


def test_the_report_says_where_its_numbers_are_from(written):
    for kind in ("md", "html", "tex"):
        text = (written / f"user_study.{kind}").read_text()
        assert "54.2" in text and "there is no human data of ours" in text


def test_a_missing_measurement_is_named(tmp_path):
    command = ["paper", "--power", str(tmp_path / "none.csv"), "--truth", "x.csv", "--out", str(tmp_path)]
    with pytest.raises(ReproError, match=r"none.csv is missing: make it with .*user-study power"):
        CliRunner().invoke(cli.app, command, catch_exceptions=False)
