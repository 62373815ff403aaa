"""Answers with something wrong: one clear error that names the value, or an exclusion that the report counts."""

import pandas as pd
import pytest

from repro.errors import ReproError
from repro.user_study import report_responses, responses
from repro.user_study.design import DEGRADED
from repro.user_study.questions import FIRST, SECOND


@pytest.fixture
def read(answers, larger, tmp_path):
    """Write a changed copy of the answers, and read it."""

    def run(change=lambda frame: frame):
        path = tmp_path / "answers.csv"
        change(answers.copy()).to_csv(path, index=False)
        return responses.read(path, larger[0])

    return run


def first(frame, part, kind="main"):
    return frame.index[(frame["part"] == part) & (frame["kind"] == kind)][0]


def choices(frame, person=None):
    rows = (frame["part"] == "comparison") & (frame["question"] == "overall")
    return rows if person is None else rows & (frame["participant"] == person)


def with_cell(part, column, value, kind="main"):
    def change(frame):
        frame = frame.astype({column: object})
        frame.loc[first(frame, part, kind), column] = value
        return frame

    return change


def test_good_answers_are_accepted_whole(read, answers, larger):
    found = read()
    assert found.simulated and found.duplicates == 0 and found.participants == larger[0].participants
    left = answers[~answers["participant"].isin(found.excluded["participant"])]
    columns = ["participant", "task", "question", "answer"]
    pd.testing.assert_frame_equal(found.frame[columns], left[columns].reset_index(drop=True))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (with_cell("comparison", "left", "sora"), "unknown model 'sora': the design has diagdistill"),
        (with_cell("quality", "left", DEGRADED), f"unknown model '{DEGRADED}'"),
        (with_cell("comparison", "left", ""), "shows 2 videos, but left, right name 1"),
        (with_cell("comparison", "right", "causvid", "check"), "a check shows one video beside"),
        (with_cell("comparison", "answer", "left"), "answer 'left' to overall: choose one of strongly_a"),
        (with_cell("comparison", "answer", "neutral"), "answer 'neutral' to overall"),
        (with_cell("quality", "answer", "6"), "answer '6' to visual_realism"),
        (with_cell("comparison", "question", "beauty"), "part comparison has no question 'beauty'"),
        (with_cell("comparison", "seconds", "fast"), "seconds = 'fast'"),
        (with_cell("comparison", "seconds", -4.0), "seconds = '-4.0'"),
        (with_cell("comparison", "seconds", "inf"), "seconds = 'inf'"),
        (with_cell("comparison", "part", "epilogue"), "part = 'epilogue'"),
        (with_cell("comparison", "kind", "warmup"), "kind = 'warmup'"),
        (with_cell("comparison", "participant", "simulated 1"), "participant = 'simulated 1'"),
        (with_cell("comparison", "repeats", "", "repeat"), "a repeat must name"),
        (with_cell("feedback", "answer", "x" * 2001), "answer = 'xxx"),
        (lambda frame: frame.assign(mood="good"), "unknown key 'mood' (value 'good')"),
        (lambda frame: frame.drop(columns="answer"), "no column 'answer'"),
        (lambda frame: frame.iloc[:0], "hold no answer"),
    ],
)
def test_a_bad_row_is_named(read, change, told):
    with pytest.raises(ReproError) as error:
        read(change)
    assert told in str(error.value) and "answers.csv" in str(error.value)


def test_a_pair_that_is_not_compared_is_named(read):
    def change(frame):
        row = first(frame, "comparison")
        frame.loc[row, ["left", "right"]] = ["causvid", "magi_1"]
        return frame

    with pytest.raises(ReproError, match="causvid against magi_1 is no pair of the design"):
        read(change)


def test_the_line_is_that_of_the_file_and_many_bad_rows_are_counted(read, answers):
    at = first(answers, "comparison")
    with pytest.raises(ReproError, match=f"answers.csv, line {at + 2}: unknown model 'sora'"):
        read(with_cell("comparison", "left", "sora"))
    with pytest.raises(ReproError) as error:
        read(lambda frame: frame.assign(seconds=-1))
    lines = str(error.value).splitlines()
    assert len(lines) == responses.SHOWN + 2 and lines[-2] == f"and {len(answers) - responses.SHOWN} more"
    assert "Nothing was analysed" in lines[-1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "no column 'participant'"),
        (b"participant,task,part,question,answer,seconds\n", "hold no answer"),
        (b"participant,task,part,question,answer,seconds\na,b,about\n", "line 2: not as many values"),
        (b"participant,task,part,question,answer,seconds\na,b,about,background,other,1,2\n", "line 2: not as many"),
        (b"participant,task,part,question,answer,seconds\n\xff\n", "no CSV file in UTF-8"),
        (b'participant,task,part,question,answer,seconds\na,"b"c,x,y,z,1\n', "no CSV file in UTF-8"),
    ],
)
def test_a_file_that_is_no_table_of_answers(larger, tmp_path, text, told):
    path = tmp_path / "answers.csv"
    path.write_bytes(text)
    with pytest.raises(ReproError, match=told):
        responses.read(path, larger[0])
    with pytest.raises(ReproError, match=r"none.csv do not exist"):
        responses.read(tmp_path / "none.csv", larger[0])


def test_rows_said_twice_are_dropped_and_counted(read, answers):
    found = read(lambda frame: pd.concat([frame, frame.iloc[:7]]))
    assert found.duplicates == 7 and len(found.frame) == len(read().frame)
    assert "7 rows that repeated another" in " ".join(report_responses.response_notes(found))


def test_two_votes_that_contradict_each_other_are_refused(read, answers):
    row = answers.loc[first(answers, "comparison")]
    other = "slightly_b" if row["answer"] != "slightly_b" else "slightly_a"
    with pytest.raises(ReproError, match=f"'{row['participant']}' answers overall of task '{row['task']}' twice"):
        read(lambda frame: pd.concat([frame, pd.DataFrame([{**row, "answer": other}])]))


def test_a_task_that_shows_different_videos_is_refused(read, answers):
    row = answers.loc[first(answers, "comparison")]
    with pytest.raises(ReproError, match=f"task '{row['task']}' of '{row['participant']}' shows different videos"):
        read(with_cell("comparison", "prompt", "prompt_99"))


def test_simulated_answers_are_never_mixed_with_others(read, answers):
    def change(frame):
        own = frame["participant"] == frame["participant"].iloc[0]
        return frame.assign(participant=frame["participant"].where(~own, "anna"))

    with pytest.raises(ReproError, match=r"mixes .* simulated answers with others"):
        read(change)


def always_left(frame, person):
    frame.loc[choices(frame, person), "answer"] = FIRST[0]


def fails_checks(frame, person):
    for row in frame.index[choices(frame, person) & (frame["kind"] == "check")]:
        frame.loc[row, "answer"] = (FIRST if frame.loc[row, "left"] == DEGRADED else SECOND)[0]


def hurries(frame, person):
    frame.loc[choices(frame, person), "seconds"] = 2.9


def gives_up(frame, person):
    rows = frame.index[(frame["participant"] == person) & (frame["part"] == "comparison")]
    frame.drop(index=rows[len(rows) // 3 :], inplace=True)


@pytest.mark.parametrize(
    ("behave", "rule"),
    [(always_left, "one_side"), (fails_checks, "checks_passed"), (hurries, "seconds"), (gives_up, "completed")],
)
def test_who_misses_a_rule_is_excluded_and_counted(read, larger, behave, rule):
    before = read()
    person = before.frame["participant"].iloc[0]

    def change(frame):
        behave(frame, person)
        return frame

    found = read(change)
    own = found.excluded[found.excluded["participant"] == person].set_index("rule")
    assert rule in own.index and own.loc[rule, "limit"] == getattr(larger[0].exclusions, rule)
    assert person not in set(found.frame["participant"]) and found.participants == before.participants
    assert set(found.excluded["participant"]) == {*before.excluded["participant"], person}
    rows = dict((cells[0], cells[2]) for cells in report_responses._excluded(found).rows)
    assert rows[rule.replace("_", " ")] == str((found.excluded["rule"] == rule).sum())
    told = report_responses.response_notes(found)[1]
    assert f"{found.participants} participants, {found.excluded['participant'].nunique()} excluded" in told


def test_always_right_is_one_side_too_and_the_value_is_given(read):
    person = read().frame["participant"].iloc[0]

    def change(frame):
        frame.loc[choices(frame, person), "answer"] = SECOND[1]
        return frame

    row = read(change).excluded.set_index(["participant", "rule"]).loc[(person, "one_side")]
    assert row["value"] == 1.0 and row["limit"] == 0.9


def test_when_nobody_is_left_the_rules_are_named(read, larger):
    with pytest.raises(
        ReproError, match=f"leave none of {larger[0].participants} .*{larger[0].participants} by seconds"
    ):
        read(lambda frame: frame.assign(seconds=0.5))
