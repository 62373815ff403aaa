"""Answers, one row each, from a CSV or from a collector's SQLite file: read, checked, and exclusions applied."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field, ValidationError

from repro.config import Section, explain
from repro.errors import ReproError
from repro.user_study.design import DEGRADED, Design, Kind
from repro.user_study.questions import FIRST, MAX_TEXT, SECOND
from repro.user_study.simulate import MARK

SHOWN = 10
"""Bad rows that an error names."""


class Answer(Section):
    """One answer to one question; methods by name, so that a file of answers says all that the analysis needs."""

    participant: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    task: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    part: Literal["about", "quality", "comparison", "consistency", "dynamic", "feedback"]
    kind: Kind = "main"
    prompt: str = ""
    left: str = ""
    right: str = ""
    repeats: str = ""
    """Of a repeat: the task shown again."""
    question: str
    answer: str = Field("", max_length=MAX_TEXT)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    """Spent on the task."""


COLUMNS = tuple(Answer.model_fields)


@dataclass(frozen=True)
class Responses:
    """`frame`: accepted answers, `COLUMNS`; `duplicates`: rows that said the same again; `excluded`: why who is out."""

    frame: pd.DataFrame
    design: Design
    duplicates: int
    excluded: pd.DataFrame
    participants: int
    """Before exclusions."""

    @property
    def simulated(self) -> bool:
        return self.frame["participant"].str.startswith(MARK).any()


def read(path: Path, design: Design) -> Responses:
    """Read a `.csv`, or a collector's `.sqlite`, whose own design then counts.

    Raises ReproError naming lines and values for a bad row, an unknown model or question, answers that contradict
    each other, an empty file, and where the exclusion rules leave nobody.
    """
    design, rows = rows_of(path, design)
    name = Path(path).name
    if not rows:
        raise ReproError(f"responses {path} hold no answer: collect some first")
    return accept(pd.DataFrame(_checked(rows, design, name)), design, name)


def rows_of(path: Path, design: Design) -> tuple[Design, list[dict]]:
    """(design that counts, rows as they stand in the file)."""
    path = Path(path)
    if not path.is_file():
        raise ReproError(f"responses {path} do not exist: give the CSV or SQLite file that was collected")
    if path.suffix != ".sqlite":
        return design, _csv_rows(path)
    from repro.user_study.store import Store

    with Store.open(path) as store:
        return store.design, list(store.answers())


def _csv_rows(path: Path) -> list[dict]:
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle, strict=True)
            missing = [c for c in ("participant", "task", "part", "question", "answer", "seconds")
                       if c not in (reader.fieldnames or ())]  # fmt: skip
            if missing:
                raise ReproError(
                    f"{path.name} has no column {missing[0]!r}: its first line must name {', '.join(COLUMNS)}"
                )
            return list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ReproError(f"{path.name} is no CSV file in UTF-8 ({error}): export it again") from error


def _checked(rows: list[dict], design: Design, name: str) -> list[dict]:
    """Rows as `Answer`s. One error tells of the first bad ones, and of how many more there are."""
    good, problems = [], []
    for number, row in enumerate(rows, start=2):
        where = f"{name}, line {number}"
        if None in row or None in row.values():
            problems.append(f"{where}: not as many values as columns; quote values that hold a comma")
            continue
        try:
            answer = Answer(**row)
        except ValidationError as error:
            problems.append(str(explain(error, where)))
            continue
        problem = _problem(answer, design)
        if problem:
            problems.append(f"{where}: {problem}")
        good.append(answer.model_dump())
    if problems:
        more = f"\nand {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise ReproError("\n".join(problems[:SHOWN]) + more + f"\nNothing was analysed: correct {name}, or its design")
    return good


def _problem(answer: Answer, design: Design) -> str | None:
    """What the design has to say against an answer."""
    part = design.parts[answer.part]
    question = part.question(answer.question)
    if question is None:
        return (
            f"part {answer.part} has no question {answer.question!r}: it has {', '.join(q.key for q in part.questions)}"
        )
    if question.options and answer.answer not in question.values:
        return f"answer {answer.answer!r} to {answer.question}: choose one of {', '.join(question.values)}"
    shown = [m for m in (answer.left, answer.right) if m]
    if len(shown) != part.videos:
        return f"part {answer.part} shows {part.videos} videos, but left, right name {len(shown)}: {', '.join(shown)}"
    allowed = (*design.methods, DEGRADED) if answer.kind == "check" else design.methods
    for method in shown:
        if method not in allowed:
            return f"unknown model {method!r}: the design has {', '.join(design.methods)}"
    if answer.kind == "check" and (DEGRADED not in shown or len(set(shown)) != 2):
        return f"a check shows one video beside {DEGRADED!r}, not {', '.join(shown)}"
    if answer.part == "comparison" and answer.kind != "check" and pair_of(answer.left, answer.right, design) is None:
        return f"{answer.left} against {answer.right} is no pair of the design"
    if answer.kind == "repeat" and not answer.repeats:
        return "a repeat must name in `repeats` the task that it shows again"
    return None


def pair_of(left: str, right: str, design: Design) -> tuple[str, str] | None:
    """The design's pair of two methods, whichever side each was on."""
    return next((pair for pair in ((left, right), (right, left)) if pair in design.pairs), None)


def accept(frame: pd.DataFrame, design: Design, name: str) -> Responses:
    """Drop what is said twice, refuse what contradicts itself, apply the exclusion rules."""
    simulated = frame["participant"].str.startswith(MARK)
    if simulated.any() and not simulated.all():
        raise ReproError(f"{name} mixes {simulated.sum()} simulated answers with others: keep them apart")
    key = ["participant", "task", "question"]
    same = frame.duplicated([*key, "answer"])
    frame = frame[~same]
    again = frame[frame.duplicated(key, keep=False)]
    if len(again):
        first = again.iloc[0]
        raise ReproError(
            f"{name}: participant {first['participant']!r} answers {first['question']} of task {first['task']!r} twice "
            f"and differently ({', '.join(again['answer'].unique())}); {len(again)} such "
            "rows: keep one of each"
        )
    shown = frame.groupby(["participant", "task"])[["part", "kind", "prompt", "left", "right"]].nunique()
    odd = shown[(shown > 1).any(axis=1)]
    if len(odd):
        raise ReproError(f"{name}: task {odd.index[0][1]!r} of {odd.index[0][0]!r} shows different videos in its rows")
    excluded = exclusions(frame, design)
    kept = frame[~frame["participant"].isin(excluded["participant"])].reset_index(drop=True)
    if kept.empty:
        raise ReproError(
            f"{name}: the exclusion rules leave none of {frame['participant'].nunique()} participants "
            f"({', '.join(f'{n} by {rule}' for rule, n in excluded['rule'].value_counts().items())})"
        )
    return Responses(kept, design, int(same.sum()), excluded, frame["participant"].nunique())


def exclusions(frame: pd.DataFrame, design: Design) -> pd.DataFrame:
    """One row a participant and rule missed: participant, rule, value, limit. The rules are the design's."""
    rules = design.exclusions
    choices = frame[(frame["part"] == "comparison") & (frame["question"] == "overall")]
    planned = len(design.pairs) * design.comparisons + design.repeats + design.checks
    rows = []
    for person in frame["participant"].unique():
        own = choices[choices["participant"] == person]
        left = own["answer"].isin(FIRST)
        decided = left | own["answer"].isin(SECOND)
        checks = own[own["kind"] == "check"]
        passed = (checks["answer"].isin(FIRST) & (checks["right"] == DEGRADED)) | (
            checks["answer"].isin(SECOND) & (checks["left"] == DEGRADED)
        )
        one_side = max(left[decided].mean(), 1 - left[decided].mean()) if decided.sum() > 1 else 0.0
        values = {
            "checks_passed": (passed.mean() if len(checks) else 1.0, rules.checks_passed, False),
            "one_side": (one_side, rules.one_side, True),
            "seconds": (own["seconds"].median() if len(own) else 0.0, rules.seconds, False),
            "completed": (len(own) / planned, rules.completed, False),
        }
        for rule, (value, limit, too_high) in values.items():
            if value >= limit if too_high else value < limit:
                rows.append({"participant": person, "rule": rule, "value": float(value), "limit": limit})
    return pd.DataFrame(rows, columns=["participant", "rule", "value", "limit"])
