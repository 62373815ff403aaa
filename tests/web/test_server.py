"""The page: frames reach the client chunk by chunk, prompts change on the way, bad requests are refused by name."""

import base64
import io
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
from PIL import Image

from repro.config import ROOT, load_profile, load_runs
from repro.generation.studio import open_world
from repro.web.server import make_server

CHECKPOINTS = ROOT / "results" / "published" / "mini" / "checkpoints"
RED = "a large red square stays still over dots, flat style, still camera"
BLUE = "a large blue square stays still over dots, flat style, still camera"
SECONDS, CHUNKS, FRAMES = 2.0, 3, 33
"""Rounded up to three whole chunks."""


@pytest.fixture(scope="module")
def address():
    studio = open_world(load_profile("mini"), load_runs()["diagonal_4322222"], CHECKPOINTS, "cpu")
    server = make_server(studio, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def stream(address, **asked):
    """Lines of a stream, with the seconds after which each came."""
    query = urllib.parse.urlencode({"prompt": RED, "seconds": SECONDS, "schedule": "2", **asked})
    start = time.perf_counter()
    with urllib.request.urlopen(f"{address}/stream?{query}", timeout=60) as answer:
        for line in answer:
            yield time.perf_counter() - start, json.loads(line)


def pictures(line):
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(f)))) for f in line["frames"]]


def refused(address, **asked):
    with pytest.raises(urllib.error.HTTPError) as error:
        list(stream(address, **asked))
    assert error.value.code == 400
    return json.loads(error.value.read())["error"]


def test_frames_come_chunk_by_chunk_while_the_video_is_made(address):
    times, lines = zip(*stream(address), strict=True)
    assert [line.get("chunk") for line in lines] == [None, 0, 1, 2, None]
    assert (lines[0]["width"], lines[0]["height"], lines[0]["chunks"], lines[-1]) == (112, 64, CHUNKS, {"done": True})
    frames = [f for line in lines[1:-1] for f in pictures(line)]
    assert len(frames) == FRAMES and frames[0].shape == (64, 112, 3)
    # Each chunk is sent when it is decoded: the first comes well before the last.
    assert times[1] < 0.7 * times[3]


def test_a_prompt_changes_from_the_next_chunk_on(address):
    def redness(line):
        r, _, b = pictures(line)[-1].reshape(-1, 3).astype(float).T
        return ((r > 150) & (b < 90)).sum() - ((b > 150) & (r < 90)).sum()

    seen, running = [], ""
    for _, line in stream(address, seconds=5):
        running = line.get("id", running)
        if line.get("chunk") == 0:
            body = json.dumps({"id": running, "prompt": BLUE}).encode()
            urllib.request.urlopen(urllib.request.Request(f"{address}/prompt", body), timeout=10)
        seen += [redness(line)] if "frames" in line else []
    assert len(seen) == 7 and seen[0] > 200
    assert seen[-1] < seen[0] - 200


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"prompt": "a huge star"}, "does not know 'huge'"),
        ({"prompt": " "}, "prompt is empty"),
        ({"seconds": "soon"}, "seconds 'soon' must be a number from 0 to 600"),
        ({"seconds": "1e9"}, "seconds '1e9' must be a number from 0 to 600"),
        ({"seed": "-1"}, "seed '-1'"),
        ({"schedule": "0"}, "'0' is not a step count"),
        ({"schedule": "22222222"}, "longer than the video"),
    ],
)
def test_bad_requests_are_refused_by_name(address, asked, message):
    assert message in refused(address, **asked)


def test_one_video_at_a_time_and_one_that_is_left_stops(address):
    running = stream(address, seconds=60)
    next(running), next(running)
    assert "another video is being made" in refused(address)
    running.close()
    for _ in range(100):
        try:
            assert list(stream(address))[-1][1] == {"done": True}
            return
        except urllib.error.HTTPError:
            time.sleep(0.1)
    pytest.fail("the video that nobody watches is still being made")


def test_a_prompt_for_no_video_is_refused(address):
    with pytest.raises(urllib.error.HTTPError) as error:
        body = json.dumps({"id": "old", "prompt": BLUE}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{address}/prompt", body), timeout=10)
    assert error.value.code == 400 and b"not running any more" in error.value.read()


def test_the_page_shows_the_video_in_a_browser(address, browser, tmp_path):
    page = browser.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.fill("#prompt", RED)
    page.fill("#schedule", "2")
    page.fill("#seconds", str(SECONDS))
    page.click("#start")
    # Frames are drawn while later chunks are still to come.
    page.wait_for_function("Number(canvas.dataset.drawn) > 0 && Number(canvas.dataset.chunks) < 3", timeout=30_000)
    assert page.is_enabled("#change") and not page.is_enabled("#start")
    page.wait_for_function("canvas.dataset.state === 'shown'", timeout=30_000)
    assert page.evaluate("[canvas.width, canvas.height, Number(canvas.dataset.drawn)]") == [112, 64, FRAMES]
    pixels = np.array(page.evaluate("Array.from(pen.getImageData(0, 0, 112, 64).data)")).reshape(64, 112, 4)
    assert ((pixels[..., 0] > 150) & (pixels[..., 2] < 90)).sum() > 200  # a large red square
    assert "done: 3 chunks" in page.inner_text("#status")
    page.fill("#prompt", "a huge star")
    page.click("#start")
    page.wait_for_selector("#status.error")
    assert "does not know 'huge'" in page.inner_text("#status")
    page.screenshot(path=str(tmp_path / "page.png"))
    page.close()
    assert errors == []
