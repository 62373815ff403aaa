"""The schedule search: enumeration, halving, fronts and verdicts against hand-made ones; plumbing at toy size."""

import itertools

import numpy as np
import pandas as pd
import pytest

from repro.config import Profile, Search
from repro.evaluation import search, step_effects
from repro.reporting import search as report
from repro.reporting import search_figures


def test_the_enumeration_is_complete_and_within_its_budget():
    found = search.enumerate_schedules((2, 1, 3), 4, 8)
    assert len(found) == len(set(found)) == sum(sum(s) <= 8 for s in itertools.product((1, 2, 3), repeat=4))
    assert "3221" in found and "3331" not in found
    assert len(search.enumerate_schedules(range(1, 6), 7, 28)) == 76_465


def test_the_papers_schedules_are_read_from_its_tables():
    found = search.paper_schedules(7)
    assert len(found) == 14 and {"4322222", "3233343", "4444444"} <= set(found)


@pytest.mark.parametrize(
    ("schedule", "monotone", "forwards"),
    [("4322222", True, 17), ("2222222", True, 14), ("4343232", False, 21), ("2222221", True, 14)],
)
def test_kind_and_cost(run, schedule, monotone, forwards):
    row = search.describe([schedule], run).iloc[0]
    assert (row["monotone"], row["forwards"]) == (monotone, forwards)


def test_the_best_of_each_kind_at_each_cost_survive(run):
    table = search.describe(["4222222", "3322222", "2222224", "2242222", "5222222"], run)
    scores = pd.Series({"4222222": 0.5, "3322222": 0.6, "2222224": 0.1, "2242222": 0.2, "5222222": 0.4})
    assert search.survivors(table, scores, 1) == ["2242222", "3322222", "4222222", "5222222"]
    assert len(search.survivors(table, scores, 2)) == 5


def test_rungs_must_halve(smoke):
    given = smoke.studies.search.model_dump()
    with pytest.raises(ValueError, match="no more schedules"):
        Search(**given | {"rungs": [{"prompts": 2, "keep": given["probes"]["keep"] + 1}]})
    with pytest.raises(ValueError, match="each with more prompts than the one before"):
        Search(**given | {"rungs": [{"prompts": 2, "keep": 1}, {"prompts": 2, "keep": 1}]})


def test_nobody_on_the_front_is_dominated():
    cost, score = np.array([1.0, 1, 2, 3, 3]), np.array([0.5, 0.4, 0.5, 0.7, 0.7])
    assert list(report.on_front(cost, score)) == [True, False, False, True, True]


def finalists(totals, prompts=40, noise=0.002):
    """A search in which every schedule has a known mean Total."""
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.05, prompts)
    own = rng.normal(0, noise, (len(totals), prompts))
    values = np.array([*totals.values()])[:, None] + shared + own - own.mean(1, keepdims=True)
    schedules = list(totals)
    table = pd.DataFrame({"schedule": schedules, "total": values.mean(1), "score": [*totals.values()]})
    table["forwards"] = [float(sum(map(int, s))) for s in schedules]
    table["mean_latency_s"] = table["forwards"] / 100
    table["monotone"] = table["schedule"].map(search.is_monotone)
    table["chosen"] = table["paper"] = True
    return report.Search(table, values, pd.DataFrame({"seed": 0, "prompt": range(prompts)}), table, pd.DataFrame(), ())


@pytest.mark.parametrize(("rival", "verdict"), [(0.95, "contradicted"), (0.85, "reproduced"), (0.9, "unresolved")])
def test_a_better_rival_as_cheap_speaks_against_the_papers_schedule(rival, verdict):
    found = finalists({"4322222": 0.9, "2222333": rival, "5555555": 0.99})
    rows = report.rivals(found)
    assert list(rows["schedule"]) == ["2222333"]  # the third one costs more
    assert rows["difference"][0] == pytest.approx(rival - 0.9, abs=1e-3)
    assert report.front_verdict(rows) == verdict
    on = report.fronts(found).set_index("schedule")
    if verdict != "unresolved":
        assert on.loc["4322222", "front_forwards"] == (verdict == "reproduced")
        assert on.loc["4322222", "often_forwards"] == float(verdict == "reproduced")


@pytest.mark.parametrize(
    ("others", "verdict"),
    [((0.85, 0.85), "reproduced"), ((0.85, 0.95), "contradicted"), ((0.9, 0.9), "unresolved")],
)
def test_one_better_other_schedule_contradicts_the_claim(others, verdict):
    found = finalists({"4322222": 0.9, "4222223": others[0], "4422222": 0.9, "4232223": others[1]})
    rows, (mean, draws) = report.kinds(found)
    assert list(rows["forwards"]) == [17, 18]
    assert mean == pytest.approx(0.9 - np.mean(others), abs=1e-3)
    assert mean == pytest.approx(draws.mean(), abs=0.003)
    assert report.kind_verdict(rows) == verdict


def test_a_kind_wins_by_one_that_is_better_than_every_other_kind():
    """The search's own other schedule is bad, the paper's as good as the best monotone one: nothing is shown."""
    totals = {"4443222": 0.9, "4433322": 0.85, "4222533": 0.8, "4532232": 0.9}
    (row,) = report.kinds(finalists(totals))[0].to_dict("records")
    assert (row["monotone"], row["pairs"], row["verdict"]) == ("4443222", 4, "unresolved")
    assert row["other"] == "4532232" and row["low"] <= 0 <= row["high"]
    (row,) = report.kinds(finalists(totals | {"4532232": 0.87}))[0].to_dict("records")
    assert row["verdict"] == "reproduced" and row["p_holm"] < 0.05


def probed(effect, schedules=80, prompts=12):
    """Random schedules whose Total is 0.5, something of the prompt's own, and `effect` of the steps and the prompt."""
    rng = np.random.default_rng(0)
    names = sorted({"".join(map(str, rng.integers(1, 6, 7))) for _ in range(schedules)})
    rows = [(s, p, 0.5 + 0.1 * p + effect([int(d) for d in s], p)) for s in names for p in range(prompts)]
    return pd.DataFrame(rows, columns=["schedule", "prompt", "total"])


def test_what_steps_are_worth_is_found_where_it_was_put():
    probes = probed(lambda steps, p: 0.02 * (steps[0] == 4) - 0.01 * steps[6])
    table = report.worth(report.Search(None, None, None, None, probes, ())).set_index(["chunk", "steps"])["worth"]
    assert table[1].to_numpy() == pytest.approx([-0.004, -0.004, -0.004, 0.016, -0.004], abs=1e-9)
    assert table[7].to_numpy() == pytest.approx([0.02, 0.01, 0, -0.01, -0.02], abs=1e-9)
    assert table[range(2, 7)].to_numpy() == pytest.approx(np.zeros(25), abs=1e-9)


def test_the_effects_of_steps_predict_schedules_that_were_not_made():
    probes = probed(lambda steps, p: 0.02 * (steps[0] == 4) - 0.01 * steps[6])
    told = step_effects.fit(probes).predict(["4111111", "5111115"])
    assert told == pytest.approx([0.5 + 0.55 + 0.02 - 0.01, 0.5 + 0.55 - 0.05], abs=1e-9)
    assert step_effects.explained(probes) == pytest.approx(1)


def test_favourites_of_one_prompt_are_not_taken_for_the_best():
    """Prompt 0 prefers two steps in the first chunk, the other eleven four: what misled a search by one prompt."""
    probes = probed(lambda steps, p: 0.05 * (steps[0] == (2 if p == 0 else 4)))
    predict = step_effects.fit(probes).predict
    assert np.argmax(predict([f"{c}222222" for c in range(1, 6)])) == 3
    alone = step_effects.fit(probes[probes["prompt"] == 0]).predict
    assert np.argmax(alone([f"{c}222222" for c in range(1, 6)])) == 1


def test_a_kind_is_compared_at_equal_steps_in_the_first_chunk():
    """A bad first chunk would stand for its kind."""
    found = finalists({"4322222": 0.9, "2222333": 0.5, "4222223": 0.9})
    (row,) = report.kinds(found)[0].to_dict("records")
    assert (row["first"], row["other"], row["pairs"], row["verdict"]) == (4, "4222223", 1, "unresolved")


def test_what_is_not_so_on_other_schedules_or_prompts_is_told_to_explain_nothing():
    rng, noise = np.random.default_rng(1), {}
    assert step_effects.explained(probed(lambda steps, p: noise.setdefault(tuple(steps), rng.normal()))) < 0.2
    favourites = rng.integers(1, 6, 12)
    assert step_effects.explained(probed(lambda steps, p: float(steps[0] == favourites[p]))) < 0.2
    few = probed(lambda steps, p: steps[0], schedules=9)
    assert np.isnan(step_effects.explained(few))


def test_a_search_stopped_goes_on_and_is_tabled(everything, smoke, run, tmp_path, monkeypatch):
    profile: Profile = smoke
    made, swept, enough, branch = [], [], 4, search.branch

    def stopped(*given):
        if len(made) == enough:
            raise KeyboardInterrupt
        made.append(given[1])
        return branch(*given)

    def make():
        search.measure(profile, run, everything / "prompts.safetensors", everything, tmp_path / "search", "cpu")

    monkeypatch.setattr(search, "branch", stopped)
    monkeypatch.setattr(search.shutil, "rmtree", swept.append)
    with pytest.raises(KeyboardInterrupt):
        make()
    parts = tmp_path / "search" / "parts"
    kept = {p.name: p.stat().st_mtime_ns for p in parts.iterdir()}
    assert len(kept) == enough and [p.name for p in (tmp_path / "search").iterdir()] == ["parts"]
    enough = -1
    make()
    after = {p.name: p.stat().st_mtime_ns for p in parts.iterdir()}
    assert after.items() >= kept.items() and len(after) == len(made) and swept == [parts]
    found = report.load(tmp_path / "search", "smoke")
    assert found.screened["finalist"].sum() < (found.screened["prompts"] > 0).sum() < len(found.screened)
    assert found.screened["score"].notna().equals(found.screened["prompts"] > 0)
    assert {*search.paper_schedules(7)} <= {*found.finalists["schedule"]}
    assert found.values_FN.shape == (len(found.finalists), profile.studies.search.prompts)
    assert found.finalists["total"].to_numpy() == pytest.approx(found.values_FN.mean(1), abs=1e-4)
    assert (found.finalists["mean_latency_s"] > 0).all()
    report.build(tmp_path / "search", "smoke", tmp_path)
    text = (tmp_path / "tables" / "search.md").read_text()
    assert "4322222" in text and "Below" not in text and "with fewer than 10 prompts" in text.lower()
    assert len(search_figures.front(found).axes) == 2 and len(search_figures.shape(found).axes) == 2
    assert "mean over" in report.answer_kinds(found) and "4322222" in report.answer_front(found)
