"""The report in a headless Chromium, from the file system: a page of every kind, both schemes, desktop and phone."""

import pytest

from repro.config import ROOT
from repro.reporting.site.build import build

SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 740}}
PAGES = (
    "index.html",
    "tables/table1.html",
    "tables/table5.html",
    "studies/wan-h100/ladder.html",
    "studies/mini/headroom.html",
    "notebooks/mini/table5.html",
    "notebooks/wan-h100/speed.html",
    "records/mini/runs/self_4444444/quality.html",
    "records/index.html",
    "gallery.html",
    "models.html",
    "method.html",
    "ethics.html",
)
COLOUR = ["color-contrast", "link-in-text-block"]
"""Rules of axe that the colour scheme bears on."""
CHECKED = {
    "desktop": [("light", {}), ("dark", {"runOnly": COLOUR})],
    "phone": [("light", {"rules": {rule: {"enabled": False} for rule in COLOUR}})],
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return build(ROOT / "results" / "published", tmp_path_factory.mktemp("report") / "site").parent.as_uri()


def opened(browser, **options):
    """A page without a network, and what it complains of and asks for."""
    context = browser.new_context(offline=True, **options)
    context.set_default_timeout(10_000)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda r: errors.append(r.url) if r.url.split(":")[0] not in ("file", "data") else None)
    return page, errors


@pytest.mark.parametrize("size", SIZES)
def test_pages_are_silent_fit_and_pass_axe(browser, address, size):
    """Every rule, but for what is the same: sizes share their colours, and schemes differ in nothing else."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page, errors = opened(browser, viewport=SIZES[size], color_scheme="light")
    for name in PAGES:
        page.emulate_media(color_scheme="light")
        page.goto(f"{address}/{name}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the {size}"
        loaded = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
        assert page.evaluate(loaded) == [], name
        for scheme, rules in CHECKED[size]:
            page.emulate_media(color_scheme=scheme)
            found = axe.Axe().run(page, options={"preload": False, **rules}).response["violations"]
            assert [(v["id"], v["nodes"][0]["html"][:120]) for v in found] == [], f"{name}, {scheme}"
    assert errors == []


def test_a_number_shows_its_record_and_the_keyboard_reaches_it(browser, address):
    page, errors = opened(browser, viewport=SIZES["phone"])
    page.goto(f"{address}/tables/table5.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    number = page.locator("a.number").first
    number.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    frame = page.frame_locator("dialog iframe")
    assert "AMD EPYC CPU" in frame.locator(".origin").first.inner_text()
    assert frame.locator("tr:target").inner_text().startswith("temporal")
    assert not frame.locator("header").is_visible()
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="hidden")
    assert page.evaluate("document.activeElement.className") == "number"
    assert errors == []


@pytest.mark.parametrize(("motion", "first"), [("reduce", "still"), ("no-preference", "gif")])
def test_videos_stop_and_go_on(browser, address, motion, first):
    page, errors = opened(browser, reduced_motion=motion)
    page.goto(f"{address}/gallery.html")
    video = page.locator("button.video").first
    source = lambda: video.locator("img").get_attribute("src").rsplit(".", 1)[1]  # noqa: E731
    kinds = {"gif": "gif", "still": "png"}
    assert source() == kinds[first]
    video.click()
    assert source() == kinds["gif" if first == "still" else "still"]
    page.get_by_role("button", name="Stop all").click()
    assert page.locator("button.video[aria-pressed=true]").count() == 0
    assert errors == []
