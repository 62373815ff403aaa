"""The survey in a headless Chromium, from opening the link to the answers in the database."""

import json
import os
import re
import sqlite3
import time

import pytest

from repro.user_study import collect
from repro.user_study.store import Store

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport=DESKTOP, accept_downloads=True)
    context.set_default_timeout(10_000)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.errors = errors
    yield page
    context.close()


def tasks_left(page) -> tuple[int, int]:
    here, total = re.search(r"Task (\d+) of (\d+)", page.locator("#place").inner_text()).groups()
    return int(here), int(total)


def until(page, expression: str, seconds: float = 10) -> None:
    """Wait until JavaScript says true; playwright's own wait needs the eval that the page's policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never true: {expression}"
        time.sleep(0.02)


def answer(page) -> None:
    """Take the second option of every question, write into every text box."""
    for box in page.locator("fieldset").all():
        if box.locator("textarea").count():
            box.locator("textarea").fill('The colours <b>flicker</b>, and "drift".')
        else:
            box.locator("label").nth(1).click()


def answer_all(page) -> None:
    while page.locator("#place").inner_text() != "All tasks answered":
        answer(page)
        page.get_by_role("button", name="Next").click()


def test_open_answer_reload_finish_export(study, page, tmp_path):
    page.goto(study.links()[0])
    page.get_by_role("button", name="Begin").click()
    for _ in range(3):
        answer(page)
        page.get_by_role("button", name="Next").click()
    assert tasks_left(page)[0] == 4
    answer(page)
    page.reload()
    # Progress, and the answers of the task that was not finished, are as they were.
    assert tasks_left(page)[0] == 4
    questions = page.locator("fieldset").count()
    assert page.locator("input[type=radio]:checked").count() == questions
    page.get_by_role("button", name="Back").click()
    assert tasks_left(page)[0] == 3 and page.locator("input:checked").count() == page.locator("fieldset").count()
    page.get_by_role("button", name="Next").click()
    answer_all(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export").click()
    exported = tmp_path / "answers.json"
    waiting.value.save_as(exported)
    page.get_by_role("button", name="Send").click()
    page.get_by_role("heading", name="Your answers have been sent").wait_for()
    assert page.locator("#status").inner_text() == "Thank you. Your answers have arrived."
    page.reload()
    page.get_by_role("heading", name="Your answers have been sent").wait_for()
    assert not page.errors

    with Store.open(study.folder / "study.sqlite") as store:
        rows = list(store.answers())
        tasks = store.tasks("p001")
    asked = sum(len(study.design.parts[t["part"]].questions) for t in tasks)
    assert len(rows) == asked and {r["participant"] for r in rows} == {"p001"}
    told = {(r["task"], r["question"]): r["answer"] for r in rows}
    for task in tasks:
        for question in study.design.parts[task["part"]].questions:
            wanted = question.values[1] if question.options else 'The colours <b>flicker</b>, and "drift".'
            assert told[task["task"], question.key] == wanted
    assert json.loads(json.loads(exported.read_text())["payload"])["answers"]
    with pytest.raises(Exception, match="have been received before"):
        collect.add_file(study.folder, exported)


def test_a_question_left_open_is_named_and_focused(study, page):
    page.goto(study.links()[0])
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("button", name="Next").click()
    assert "Please answer: Background, Experience level" in page.get_by_role("alert").inner_text()
    assert page.evaluate("document.activeElement.name") == "background"
    assert tasks_left(page)[0] == 1


def test_the_keyboard_alone_is_enough(study, page):
    page.goto(study.links()[0])
    page.get_by_role("button", name="Begin").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")  # Back cannot be used on the first task
    page.keyboard.press("Enter")
    assert tasks_left(page)[0] == 2
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Play"
    page.keyboard.press("Space")
    until(page, "document.querySelector('video').currentTime > 0.2")


def test_two_videos_play_in_step(study, page):
    page.goto(study.links()[0])
    page.get_by_role("button", name="Begin").click()
    while page.locator("video").count() < 2:
        answer(page)
        page.get_by_role("button", name="Next").click()
    until(page, "[...document.querySelectorAll('video')].every((v) => v.readyState > 2)")
    times = "[...document.querySelectorAll('video')].map((v) => v.currentTime)"
    page.get_by_role("slider").fill("500")
    until(page, "[...document.querySelectorAll('video')].every((v) => !v.seeking)")
    a, b = page.evaluate(times)
    assert a == b == pytest.approx(0.5, abs=0.15)
    page.get_by_role("button", name="Play").click()
    until(page, "document.querySelector('video').currentTime > 0.7")
    page.get_by_role("button", name=re.compile("Pause|Play")).click()
    a, b = page.evaluate(times)
    assert abs(a - b) < 0.2
    page.evaluate("document.querySelectorAll('video')[1].currentTime = 0")
    page.get_by_role("slider").fill("200")
    page.get_by_role("button", name="Play").click()
    until(page, "document.querySelector('video').ended")
    a, b = page.evaluate(times)
    assert abs(a - b) < 0.2


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_of_task_passes_axe_and_fits(study, browser, size, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    context = browser.new_context(viewport=size, color_scheme=scheme)
    page = context.new_page()
    page.goto(study.links()[1])
    page.get_by_role("button", name="Begin").click()
    seen = set()
    while page.locator("#place").inner_text() != "All tasks answered":
        part = page.locator("h2").inner_text()
        if part not in seen:
            seen.add(part)
            # The page's policy forbids foreign scripts; axe is injected past it.
            found = axe.Axe().run(page).response["violations"]
            assert not found, [(v["id"], [n["html"] for n in v["nodes"]]) for v in found]
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/{len(seen)}-{size['width']}-{scheme}.png", full_page=True)
        answer(page)
        page.get_by_role("button", name="Next").click()
    assert len(seen) == 6
    context.close()


def test_what_is_wrong_is_said(study, page):
    page.goto(study.address)
    assert "This link is not complete" in page.get_by_role("alert").inner_text()
    page.goto(f"{study.address}/#0123456789abcdef.key")
    page.get_by_text("could not be loaded").wait_for()
    # A key that is not the link's: the answers are refused, kept, and can still be exported.
    link = study.links()[0]
    page.goto("about:blank")
    page.goto(link.rpartition(".")[0] + ".wrong")
    page.get_by_role("button", name="Begin").click()
    answer_all(page)
    page.get_by_role("button", name="Send").click()
    page.get_by_text("altered after the page signed them").wait_for()
    assert page.get_by_role("button", name="Export").is_visible()
    with sqlite3.connect(study.folder / "study.sqlite") as db:
        assert db.execute("SELECT count(*) FROM submissions").fetchone() == (0,)
    db.close()


def test_answers_wait_while_the_collector_is_down(study, page):
    page.goto(study.links()[0])
    page.get_by_role("button", name="Begin").click()
    answer_all(page)
    page.route("**/responses", lambda route: route.abort())
    page.get_by_role("button", name="Send").click()
    page.get_by_text("could not be sent").wait_for()
    page.unroute("**/responses")
    page.reload()
    page.get_by_role("button", name="Send").click()
    page.get_by_role("heading", name="Your answers have been sent").wait_for()
