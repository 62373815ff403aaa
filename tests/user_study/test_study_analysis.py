"""From plan to tables on the command line, with simulated participants; and what the tables say of planted effects."""

import csv
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats
from typer.testing import CliRunner

from repro.__main__ import main
from repro.errors import ReproError
from repro.reporting.render import DASH
from repro.user_study import cli, coding, ordinal, preference, reliability, report_responses, responses


@pytest.fixture(scope="module")
def found(answers, larger):
    return responses.accept(answers, larger[0], "simulated")


@pytest.fixture(scope="module")
def rates(found):
    return preference.rates(found).set_index("second")


def user_study(*arguments):
    ran = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    if ran.exception and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    assert ran.exit_code == 0, ran.output
    return ran.output


@pytest.fixture(scope="module")
def folder(larger, tmp_path_factory):
    """A study from plan to analysis through the command line."""
    folder = tmp_path_factory.mktemp("study")
    design = folder / "design.yaml"
    design.write_text(yaml.safe_dump(larger[0].model_dump(mode="json")))
    both = ("--design", design)
    said = {"plan": user_study("plan", *both, "--out", folder / "plan.csv")}
    said["cards"] = user_study("test-cards", *both, "--out", folder / "cards")
    said["survey"] = user_study("survey", *both, "--prompts", folder / "cards" / "prompts.csv", "--videos",
                                folder / "cards" / "videos", "--out", folder / "survey")  # fmt: skip
    said["simulate"] = user_study("simulate", *both, "--out", folder / "answers.csv", "--strengths", "causvid=-2")
    said["analyse"] = user_study("analyse", *both, "--responses", folder / "answers.csv", "--out", folder / "out")
    said["code"] = user_study("code", *both, "--responses", folder / "answers.csv", "--out", folder / "sheet.csv")
    (folder / "said.yaml").write_text(yaml.safe_dump(said))
    return folder


def test_every_step_says_what_it_made(folder, larger):
    said, planned = yaml.safe_load((folder / "said.yaml").read_text()), pd.read_csv(folder / "plan.csv")
    assert "24 participants" in said["plan"] and len(planned) == len(larger[1])
    assert "simulated answers" in said["simulate"] and "not human data" in said["simulate"]
    with (folder / "survey" / "links.csv").open(newline="") as handle:
        links = list(csv.DictReader(handle))
    assert [row["participant"] for row in links] == sorted(planned["participant"].unique())
    assert len({row["link"] for row in links}) == 24
    cards = list((folder / "cards" / "videos").rglob("*.mp4"))
    assert f"{len(cards)} test cards" in said["cards"]
    assert f"{len(list((folder / 'survey' / 'page' / 'videos').iterdir()))} videos" in said["survey"]


def test_tables_and_figures_are_there_and_marked_as_simulated(folder):
    tables = folder / "out" / "tables"
    stem = "user_study_responses"
    for kind in ("md", "html", "tex"):
        assert "SIMULATED PARTICIPANTS: these are not human data" in (tables / f"{stem}.{kind}").read_text()
    names = ("rates", "aspects", "anova", "ranking", "agreement", "likert", "decay", "people", "excluded")
    frames = {name: pd.read_csv(tables / f"{stem}_{name}.csv") for name in names}
    assert not [name for name in names[:-1] if frames[name].empty]
    beaten = frames["rates"].set_index("second").loc["causvid"]
    assert beaten["rate"] > 0.7 and beaten["p_holm"] < 0.01
    figures = {path.name for path in (folder / "out" / "figures").iterdir()}
    assert {f"{stem}_rates.png", f"{stem}_ranking.png", f"{stem}_decay.png"} <= figures
    assert all(path.stat().st_size > 5000 for path in (folder / "out" / "figures").iterdir())


def test_figures_say_simulated(monkeypatch, folder, tmp_path):
    from repro.user_study import figures

    texts = []

    def keep(figure, path):
        texts.append(" ".join(axis.get_title() for axis in figure.axes) + str(figure.get_suptitle()))
        return path

    monkeypatch.setattr(figures, "save", keep)
    figures.draw_responses(folder / "out", True)
    figures.draw_responses(folder / "out", False)
    marked, plain = texts[: len(texts) // 2], texts[len(texts) // 2 :]
    assert marked and all("simulated" in text.lower() for text in marked)
    assert not any("simulated" in text.lower() for text in plain)


def test_coding_from_sheet_to_counts(folder, tmp_path):
    sheet = pd.read_csv(folder / "sheet.csv", keep_default_na=False)
    assert list(sheet) == list(coding.COLUMNS) and len(sheet) > 10
    suggested = dict(zip(sheet["text"], sheet["suggested"], strict=True))
    assert suggested["Colours look too saturated."] == "saturation" and suggested["Some flicker."] == "flicker"
    with pytest.raises(ReproError, match="line 2: coder_1 wrote ''"):
        user_study("code", "--coded", folder / "sheet.csv", "--out", tmp_path / "themes.csv")
    filled = sheet.assign(coder_1=sheet["suggested"].replace("", "none"))
    filled["coder_2"] = filled["coder_1"]
    flickers = filled.index[filled["coder_1"] == "flicker"]
    filled.loc[flickers[0], "coder_2"] = "none"
    filled.to_csv(tmp_path / "filled.csv", index=False)
    user_study("code", "--coded", tmp_path / "filled.csv", "--out", tmp_path / "themes.csv")
    themes = pd.read_csv(tmp_path / "themes.csv").set_index("theme")
    assert themes.loc["flicker", "either"] == len(flickers) == themes.loc["flicker", "both"] + 1
    assert 0.8 < themes.loc["flicker", "kappa"] < themes.loc["saturation", "kappa"] == 1
    filled.assign(coder_2="boredom").to_csv(tmp_path / "filled.csv", index=False)
    with pytest.raises(ReproError, match="coder_2 wrote 'boredom'"):
        user_study("code", "--coded", tmp_path / "filled.csv", "--out", tmp_path / "themes.csv")
    with pytest.raises(ReproError, match="one of --responses"):
        user_study("code", "--out", tmp_path / "themes.csv")


def test_bad_strengths_are_named(tmp_path):
    with pytest.raises(ReproError, match="'sora'"):
        user_study("simulate", "--strengths", "sora=1", "--out", tmp_path / "a.csv")
    with pytest.raises(ReproError, match="'causvid=strong'"):
        user_study("simulate", "--strengths", "causvid=strong", "--out", tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()


def test_an_error_is_one_line_and_an_exit_code(monkeypatch, capsys, tmp_path):
    command = ["repro", "user-study", "analyse", "--responses", str(tmp_path / "none.csv"), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "none.csv do not exist" in line and not list(tmp_path.iterdir())


def test_truth_and_power_verbs_write_what_is_asked(tmp_path):
    common = "participants,prompts,comparisons,rater_sd,prompt_sd,studies"
    (tmp_path / "t.csv").write_text(f"scenario,log_odds,side_bias,{common}\nsmall,0.5,0.1,8,6,6,0.5,0.5,4\n")
    user_study("truth", "--scenarios", tmp_path / "t.csv", "--out", tmp_path / "truth.csv")
    found = pd.read_csv(tmp_path / "truth.csv")
    assert len(found) == 7 and (found["studies"] == 4).all() and found["coverage"].between(0, 1).all()
    (tmp_path / "p.csv").write_text(f"{common}\n8,6,6,0.5,0.5,20\n")
    assert "finds" in user_study("power", "--sizes", tmp_path / "p.csv", "--out", tmp_path / "power.csv")
    assert pd.read_csv(tmp_path / "power.csv")["two_way"].between(0, 1).all()
    (tmp_path / "t.csv").write_text(f"scenario,log_odds,side_bias,{common}\nsmall,0.5,0.1,1,6,6,0.5,0.5,4\n")
    with pytest.raises(ReproError, match="participants = '1'"):
        user_study("truth", "--scenarios", tmp_path / "t.csv", "--out", tmp_path / "truth.csv")


def test_rates_find_what_is_planted(rates):
    beaten, equal = rates.loc["causvid"], rates.loc["magi_1"]
    assert beaten["mixed_log_odds_low"] < 0.9 < beaten["mixed_log_odds_high"] and beaten["p_holm"] < 0.01
    assert equal["mixed_low"] < 0.5 < equal["mixed_high"] and equal["p_holm"] > 0.05
    assert beaten["p_holm"] == pytest.approx(2 * beaten["mixed_p"])
    # The bias for the left side is planted as well, and is not taken for a preference.
    assert (rates["side_log_odds"] > 0).all()
    widths = {m: rates[f"{m}_high"] - rates[f"{m}_low"] for m in ("wilson", "bootstrap_both", "mixed")}
    assert (widths["wilson"] < widths["mixed"]).all() and (widths["wilson"] < widths["bootstrap_both"]).all()


def test_rates_count_votes_as_they_stand(found, rates):
    for second, row in rates.iterrows():
        frame = found.frame[(found.frame["kind"] == "main") & (found.frame["question"] == "overall")]
        own = frame[frame[["left", "right"]].isin([second]).any(axis=1)]
        for_first = (own["left"] == "diagdistill") == own["answer"].str.endswith("_a")
        assert row["votes"] == len(own) and row["rate"] == pytest.approx(for_first.mean())


def test_an_undecided_vote_counts_for_neither(answers, larger):
    design = larger[0].model_copy(update={"neutral": True})
    frame = answers.copy()
    rows = frame.index[(frame["kind"] == "main") & (frame["question"] == "overall")][::5]
    frame.loc[rows, "answer"] = "neutral"
    found = responses.accept(frame, design, "simulated")
    votes, table = preference.votes(found), preference.rates(found)
    undecided = votes["won"].isna().sum()
    assert table["undecided"].sum() == undecided > 50 and table["votes"].sum() == len(votes)
    assert table.loc[0, "rate_undecided_half"] == pytest.approx(
        votes[votes["second"] == "causvid"]["won"].fillna(0.5).mean()
    )


def test_a_pair_won_by_all_votes_has_no_p_rather_than_one_of_1(answers, larger):
    frame = answers.copy()
    rows = (
        (frame["kind"] == "main")
        & (frame["question"] == "overall")
        & (frame[["left", "right"]] == "causvid").any(axis=1)
    )
    frame.loc[rows, "answer"] = np.where(frame.loc[rows, "left"] == "diagdistill", "strongly_a", "strongly_b")
    found = responses.accept(frame, larger[0], "simulated")
    table = preference.rates(found).set_index("second")
    assert table.loc["causvid", "rate"] == 1 and table.loc["causvid", "wilson_p"] < 1e-20
    assert table.loc["causvid", ["mixed_p", "p_holm"]].isna().all() and table.loc["magi_1", "p_holm"] > 0
    row = report_responses._rates(table.reset_index()).rows[0]
    assert "1.0000" not in row and row.count(DASH) >= 4


def test_anova_is_that_of_scipy(found):
    votes = preference.votes(found).dropna(subset="won")
    groups = [own["won"] for _, own in votes.groupby("second")]
    table = preference.anova(found).set_index("test")
    same = stats.f_oneway(*groups)
    assert table.loc["one way, votes", "F"] == pytest.approx(same.statistic)
    assert table.loc["one way, votes", "p"] == pytest.approx(same.pvalue)
    # Of two pairs, repeated measures are a paired t over raters, F = t².
    wide = votes.groupby(["participant", "second"])["won"].mean().unstack()
    t = stats.ttest_rel(wide["causvid"], wide["magi_1"])
    assert table.loc["repeated measures, raters", "F"] == pytest.approx(t.statistic**2)
    assert table.loc["repeated measures, raters", "p"] == pytest.approx(t.pvalue)


def test_aspects_follow_the_preference(found):
    table = preference.aspects(found)
    assert len(table) == 6 and table["equal"].between(0.1, 0.3).all()
    assert (table.loc[table["second"] == "causvid", "low"] > 0.5).all()
    assert (table["p_holm"] >= table["p"]).all()


def test_agreement_rests_on_votes_of_several_raters(found):
    table = reliability.agreement(found)
    assert (table["n"] > 0).all() and table["value"].between(-0.5, 1).all()
    again = table[table["of"] == "same rater again"].iloc[0]
    assert again["n"] == found.frame["participant"].nunique() * 4


def test_likert_and_decay_follow_the_strengths(found):
    likert = ordinal.likert(found)
    assert (likert["low"] <= likert["mean"]).all() or likert["raters"].min() < 2
    means = likert[likert["part"] == "quality"].groupby("method")["mean"].mean()
    assert means["causvid"] < means["diagdistill"]
    frame = found.frame[(found.frame["part"] == "quality") & (found.frame["left"] == "causvid")]
    own = frame[frame["question"] == "visual_realism"]["answer"].astype(float)
    row = likert[(likert["question"] == "visual_realism") & (likert["method"] == "causvid")].iloc[0]
    assert row["mean"] == pytest.approx(own.mean()) and row["raters"] == len(own)
    assert (row["low"], row["high"]) == pytest.approx(stats.t.interval(0.95, len(own) - 1, own.mean(), stats.sem(own)))
    decay = ordinal.decay(found)
    assert decay["mean"].between(0, 2).all() and decay["p_rises"].between(0, 1).all()
    people = ordinal.people(found)
    assert people.groupby("question")["share"].sum().to_numpy() == pytest.approx(1)
