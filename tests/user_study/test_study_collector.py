"""Collector and store: what is kept is what was sent; what was sent twice or altered is refused."""

import http.client
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pandas as pd
import pytest
from typer.testing import CliRunner

from repro.errors import ReproError
from repro.user_study import cli, collect, responses
from repro.user_study.store import Store, sign

TEXT = 'It "flickers", <b>badly</b>;\n=SUM(1), naïve — 猫 🎬'


def keys(study):
    """(page, key) of a participant, by participant."""
    return [link.rpartition("#")[2].split(".") for link in study.links()]


def answers_of(study, page):
    tasks = json.loads((study.folder / "page" / "tasks" / f"{page}.json").read_text())
    told = [
        {
            "task": task["task"],
            "values": {q.key: q.values[0] if q.options else TEXT for q in study.design.parts[task["part"]].questions},
            "seconds": 12.5,
        }
        for task in tasks
    ]
    return {"page": page, "answers": told}


def sealed(page, key, payload):
    payload = payload if isinstance(payload, str) else json.dumps(payload)
    return json.dumps({"page": page, "payload": payload, "mac": sign(key, payload)})


def ask(study, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(urlsplit(study.address).netloc, timeout=10)
    connection.request(method, path, body, headers or {})
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, body


def post(study, body):
    status, text = ask(study, "POST", "/responses", body)
    return status, json.loads(text)["message"]


def kept(study):
    with Store.open(study.folder / "study.sqlite") as store:
        return store.count()


def test_what_is_exported_is_what_was_posted(study, tmp_path):
    sent = {}
    for number, (page, key) in enumerate(keys(study), 1):
        payload = answers_of(study, page)
        for answer in payload["answers"]:
            for question, value in answer["values"].items():
                sent[f"p{number:03}", answer["task"], question] = value
        assert post(study, sealed(page, key, payload))[0] == 201
    out = tmp_path / "answers.csv"
    ran = CliRunner().invoke(
        cli.app,
        ["export", "--responses", str(study.folder / "study.sqlite"), "--out", str(out)],
        catch_exceptions=False,
    )
    assert ran.exit_code == 0 and f"{len(sent)} answers" in ran.output
    _, rows = responses.rows_of(out, study.design)
    assert {(r["participant"], r["task"], r["question"]): r["answer"] for r in rows} == sent
    assert {float(r["seconds"]) for r in rows} == {12.5}
    assert TEXT in sent.values()
    with Store.open(study.folder / "study.sqlite") as store:
        stored = pd.DataFrame(store.answers())
    assert stored.astype(str).to_dict("records") == pd.DataFrame(rows)[stored.columns].to_dict("records")
    assert set(stored["left"]) >= {"diagdistill", "causvid"}


def test_the_database_uses_wal(study):
    with sqlite3.connect(study.folder / "study.sqlite") as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_a_second_submission_is_refused_and_the_first_kept(study):
    (page, key), _ = keys(study)
    first = answers_of(study, page)
    assert post(study, sealed(page, key, first))[0] == 201
    first["answers"][0]["seconds"] = 99.0
    status, message = post(study, sealed(page, key, first))
    assert status == 409 and "received before" in message
    with Store.open(study.folder / "study.sqlite") as store:
        assert store.count() == 1 and {r["seconds"] for r in store.answers()} == {12.5}


def test_of_many_at_once_one_is_kept(study):
    (page, key), _ = keys(study)
    body = sealed(page, key, answers_of(study, page))
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: post(study, body)[0], range(8)))
    assert sorted(statuses) == [201] + [409] * 7 and kept(study) == 1


def without_a_task(sent):
    sent["answers"].pop()


def task_twice(sent):
    sent["answers"][1] = sent["answers"][0]


def unknown_task(sent):
    sent["answers"][0]["task"] = "0123456789ab"


def unknown_answer(sent):
    sent["answers"][0]["values"] = sent["answers"][0]["values"] | {"background": "wizard"}


def other_question(sent):
    sent["answers"][0]["values"] = {"age": "7"}


def too_long(sent):
    sent["answers"][-1]["values"]["suggestions"] = "x" * 2001


def half_a_character(sent):
    sent["answers"][-1]["values"]["suggestions"] = "\ud83c"


def negative_time(sent):
    sent["answers"][0]["seconds"] = -1


def no_number(sent):
    sent["answers"][0]["seconds"] = float("nan")


def enormous_time(sent):
    sent["answers"][0]["seconds"] = 10**400


def other_page(sent):
    sent["page"] = "0123456789abcdef"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without_a_task, "not those to this link"), (task_twice, "not those to this link"),
        (unknown_task, "not those to this link"), (other_page, "not those to this link"),
        (unknown_answer, "'wizard' is no answer to background"), (other_question, "other questions"),
        (too_long, "is no answer to suggestions"), (half_a_character, "is no answer to suggestions"),
        (negative_time, "no possible time"), (no_number, "no possible time"), (enormous_time, "not in the form"),
    ],
)  # fmt: skip
def test_signed_answers_that_do_not_fit_the_plan_are_refused(study, change, told):
    (page, key), _ = keys(study)
    sent = answers_of(study, page)
    change(sent)
    status, message = post(study, sealed(page, key, sent))
    assert status == 400 and told in message and kept(study) == 0


def test_tampered_submissions_are_refused(study):
    (page, key), (other, other_key) = keys(study)
    body = sealed(page, key, answers_of(study, page))
    altered = body.replace("12.5", "13.5", 1)
    assert altered != body and post(study, altered)[0] == 403
    assert post(study, sealed(page, other_key, answers_of(study, page)))[0] == 403
    assert post(study, json.dumps(json.loads(body) | {"page": other}))[0] == 403
    assert post(study, json.dumps(json.loads(body) | {"page": "unknown"}))[0] == 403
    assert kept(study) == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"[1]", b'{"page": 1, "payload": "", "mac": ""}', b'{"page": "a", "payload": "b"}', b"\xff\xfe",
     b'{"page": "a", "payload": "\\ud800", "mac": "b"}', b'{"page": "\\ud800", "payload": "a", "mac": "b"}',
     b"[" * 200_000],
    ids=lambda body: ascii(body[:12]),
)  # fmt: skip
def test_what_is_no_submission_is_refused(study, body):
    status, message = post(study, body)
    assert status == 400 and "page, payload and mac" in message and kept(study) == 0


def test_sizes_and_places_are_bounded(study):
    status, _ = ask(study, "POST", "/responses", headers={"Content-Length": str(collect.MAX_BYTES + 1)})
    assert status == 413
    assert ask(study, "POST", "/elsewhere", "{}")[0] == 404
    for path in ("/tasks/", "/videos", "/../study.sqlite", "/%2e%2e/links.csv", "/study.sqlite", "/links.csv"):
        assert ask(study, "GET", path)[0] in (301, 404), path
    assert ask(study, "GET", "/videos/")[0] == 404


@pytest.mark.parametrize(
    ("span", "wanted"),
    [("bytes=0-3", slice(0, 4)), ("bytes=10-", slice(10, None)), ("bytes=-5", slice(-5, None)), ("bytes=0-99999999",
     slice(None)), ("bytes=99999999-", None), ("bytes=x-y", None), ("bytes=5-2", None)],
)  # fmt: skip
def test_byte_ranges(study, span, wanted):
    video = next((study.folder / "page" / "videos").iterdir())
    status, body = ask(study, "GET", f"/videos/{video.name}", headers={"Range": span})
    assert (status, body) == ((416, b"") if wanted is None else (206, video.read_bytes()[wanted]))


def rewrite(study, statement):
    with sqlite3.connect(study.folder / "study.sqlite") as db:
        db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE submissions SET payload = replace(payload, '12.5', '13.5') WHERE number = 1",
        "UPDATE submissions SET received = '2020' WHERE number = 1",
        "DELETE FROM submissions WHERE number = 1",
        "UPDATE submissions SET participant = CASE participant WHEN 'p001' THEN 'p003' ELSE 'p001' END",
    ],
)
def test_a_database_changed_later_is_refused(study, statement):
    for page, key in keys(study):
        post(study, sealed(page, key, answers_of(study, page)))
    rewrite(study, statement)
    with pytest.raises(ReproError, match=r"participant 'p00.' was changed after it arrived"):
        responses.read(study.folder / "study.sqlite", study.design)


def test_an_exported_file_is_added_once(study, tmp_path):
    (page, key), _ = keys(study)
    path = tmp_path / "mine.json"
    path.write_text(sealed(page, key, answers_of(study, page)))
    command = ["collect", "--survey", str(study.folder), "--add", str(path)]
    assert CliRunner().invoke(cli.app, command).exit_code == 0 and kept(study) == 1
    again = CliRunner().invoke(cli.app, command)
    assert isinstance(again.exception, ReproError) and "received before" in str(again.exception)
    with pytest.raises(ReproError, match=r"none.json cannot be read"):
        collect.add_file(study.folder, tmp_path / "none.json")


def test_no_database_of_a_study(study, tmp_path):
    (tmp_path / "study.sqlite").write_text("text")
    with pytest.raises(ReproError, match="no database of a user study"), Store.open(tmp_path / "study.sqlite"):
        pass
    sqlite3.connect(tmp_path / "other.sqlite").close()
    with pytest.raises(ReproError, match="no database of a user study"):
        responses.rows_of(tmp_path / "other.sqlite", study.design)
    with pytest.raises(ReproError, match="hold no answer"):
        responses.read(study.folder / "study.sqlite", study.design)


def test_a_taken_port_is_named(study):
    port = urlsplit(study.address).port
    with pytest.raises(ReproError, match=f"cannot listen on 127.0.0.1:{port}.*--port"):
        collect.server(study.folder, "127.0.0.1", port)
