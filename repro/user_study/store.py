"""The collector's SQLite file: design, plan, keys of the participants, and what they sent, chained by hashes.

Each submission carries an HMAC of its text under the participant's key, which only their link holds. Each stored row
carries a hash over the row before it: a database changed later is refused when it is read.
"""

import hashlib
import hmac
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from repro.errors import ReproError
from repro.user_study.design import Design
from repro.user_study.questions import MAX_TEXT

SCHEMA = """
CREATE TABLE study (design TEXT NOT NULL);
CREATE TABLE plan (participant TEXT NOT NULL, position INTEGER NOT NULL, task TEXT PRIMARY KEY, part TEXT NOT NULL,
  kind TEXT NOT NULL, prompt TEXT NOT NULL, left TEXT NOT NULL, right TEXT NOT NULL, repeats TEXT NOT NULL);
CREATE TABLE links (participant TEXT PRIMARY KEY, page TEXT NOT NULL UNIQUE, key TEXT NOT NULL);
CREATE TABLE submissions (number INTEGER PRIMARY KEY, participant TEXT NOT NULL UNIQUE, received TEXT NOT NULL,
  payload TEXT NOT NULL, mac TEXT NOT NULL, chain TEXT NOT NULL);
"""
START = "0" * 64
MAX_SECONDS = 86_400
HALVES = re.compile("[\ud800-\udfff]")
"""Halves of characters: a text with one is no UTF-8 and could not be exported."""


class Refused(Exception):
    """A submission that is not accepted: HTTP status and a sentence for the participant."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


class Store:
    """One open database; used from one process, each call from the thread that opened it."""

    def __init__(self, connection: sqlite3.Connection):
        self.db = connection
        self.design = Design(**json.loads(self.db.execute("SELECT design FROM study").fetchone()[0]))

    @classmethod
    def create(cls, path: Path, design: Design, plan: pd.DataFrame, links: pd.DataFrame) -> None:
        """Write a database without submissions. `links`: participant, page (opaque name), key."""
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(SCHEMA)
            db.execute("INSERT INTO study VALUES (?)", [design.model_dump_json()])
            plan.to_sql("plan", db, if_exists="append", index=False)
            links.to_sql("links", db, if_exists="append", index=False)
        db.close()

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator["Store"]:
        """Raises ReproError for a file that is missing or no database of a study."""
        if not Path(path).is_file():
            raise ReproError(f"{path} is missing: make it with `python -m repro user-study survey`")
        db = sqlite3.connect(path, timeout=30)
        try:
            yield cls(db)
        except (sqlite3.DatabaseError, TypeError) as error:
            raise ReproError(
                f"{path} is no database of a user study ({error}): give the survey's study.sqlite"
            ) from error
        finally:
            db.close()

    def tasks(self, participant: str) -> list[dict]:
        names = ("position", "task", "part", "kind", "prompt", "left", "right", "repeats")
        rows = self.db.execute(
            f"SELECT {', '.join(names)} FROM plan WHERE participant = ? ORDER BY position", [participant]
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def links(self) -> list[tuple[str, str, str]]:
        """(participant, page, key) of everyone."""
        return self.db.execute("SELECT participant, page, key FROM links ORDER BY participant").fetchall()

    def count(self) -> int:
        return self.db.execute("SELECT count(*) FROM submissions").fetchone()[0]

    def submit(self, page: str, payload: str, mac: str, received: str) -> None:
        """Keep a participant's answers. Raises Refused where they are unknown, altered, incomplete or a second time."""
        link = self.db.execute("SELECT participant, key FROM links WHERE page = ?", [page]).fetchone()
        if link is None:
            raise Refused(403, "This link is not one of the study's.")
        participant, key = link
        if not hmac.compare_digest(sign(key, payload).encode(), mac.encode()):
            raise Refused(403, "The answers were altered after the page signed them.")
        check(payload, page, self.tasks(participant), self.design)
        try:
            with self.db:
                # The write lock is taken before the last row is read: no two rows follow the same one.
                self.db.execute("BEGIN IMMEDIATE")
                last = self.db.execute("SELECT chain FROM submissions ORDER BY number DESC LIMIT 1").fetchone()
                chain = link_hash(last[0] if last else START, participant, received, payload, mac)
                row = [participant, received, payload, mac, chain]
                self.db.execute(
                    "INSERT INTO submissions (participant, received, payload, mac, chain) VALUES (?, ?, ?, ?, ?)", row
                )
        except sqlite3.IntegrityError as error:
            raise Refused(409, "The answers of this link have been received before.") from error

    def answers(self) -> Iterator[dict]:
        """Every answer as a row of `responses.COLUMNS`. Raises ReproError where a row was changed after its arrival."""
        chain, keys = START, {participant: key for participant, _, key in self.links()}
        rows = self.db.execute("SELECT participant, received, payload, mac, chain FROM submissions ORDER BY number")
        for participant, received, payload, mac, kept in rows.fetchall():
            chain = link_hash(chain, participant, received, payload, mac)
            if chain != kept or mac != sign(keys.get(participant, ""), payload):
                raise ReproError(
                    f"the submission of participant {participant!r} was changed after it arrived, or one before it was "
                    "removed: restore the database from a copy"
                )
            sent = {a["task"]: a for a in json.loads(payload)["answers"]}
            for task in self.tasks(participant):
                common = {k: v for k, v in task.items() if k != "position"} | {"participant": participant}
                for question, answer in sent[task["task"]]["values"].items():
                    yield common | {"question": question, "answer": answer, "seconds": sent[task["task"]]["seconds"]}


def sign(key: str, payload: str) -> str:
    """HMAC-SHA-256, hexadecimal; the page computes the same."""
    return hmac.new(key.encode(), payload.encode(), hashlib.sha256).hexdigest()


def link_hash(before: str, *fields: str) -> str:
    return hashlib.sha256(json.dumps([before, *fields]).encode()).hexdigest()


def check(payload: str, page: str, tasks: list[dict], design: Design) -> None:
    """Does a payload answer the plan's tasks, all of them and nothing else? Raises Refused saying what is wrong."""
    try:
        sent = json.loads(payload)
        named, answers = sent["page"], sent["answers"]
        given = {a["task"]: (a["values"], float(a["seconds"])) for a in answers}
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise Refused(400, "The answers are not in the form that the page sends.") from error
    if named != page or len(given) != len(answers) or set(given) != {t["task"] for t in tasks}:
        raise Refused(400, "The answers are not those to this link's tasks.")
    for task in tasks:
        values, seconds = given[task["task"]]
        questions = {q.key: q for q in design.parts[task["part"]].questions}
        if not isinstance(values, dict) or set(values) != set(questions):
            raise Refused(400, f"Task {task['position']} has other questions than were asked.")
        for key, value in values.items():
            options = questions[key].values
            text = isinstance(value, str) and len(value) <= MAX_TEXT and not HALVES.search(value)
            fine = value in options if options else text
            if not fine:
                raise Refused(400, f"Task {task['position']}: {value!r} is no answer to {key}.")
        if not 0 <= seconds <= MAX_SECONDS:
            raise Refused(400, f"Task {task['position']}: {seconds} s is no possible time.")
