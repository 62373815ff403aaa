"""Serves one page and one kind of stream: frames of a video, chunk by chunk, as they are decoded.

A stream is lines of JSON: `{"id", "fps", "width", "height", "chunks"}`, then for every chunk
`{"chunk", "seconds", "frames"}` with JPEG pictures in base64, at last `{"done"}`, or `{"error"}`.
"""

import base64
import io
import json
import secrets
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import torch
from PIL import Image

from repro.errors import ReproError
from repro.evaluation.sampling import to_uint8
from repro.generation.film import frames_for
from repro.generation.noise import prompt_noise
from repro.generation.studio import Studio
from repro.models.wan import TextContext

PAGE = Path(__file__).with_name("page.html")
MAX_SECONDS, MAX_BODY, MAX_SEED = 600, 10_000, 2**31
JPEG_QUALITY = 92


def jpeg(frame_3HW) -> str:
    memory = io.BytesIO()
    Image.fromarray(frame_3HW.transpose(1, 2, 0)).save(memory, format="JPEG", quality=JPEG_QUALITY)
    return base64.b64encode(memory.getvalue()).decode()


class Show:
    """One video at a time; its prompt may be changed from another thread."""

    def __init__(self, studio: Studio):
        self.studio, self.busy, self.id = studio, threading.Lock(), ""
        self.context: TextContext | None = None

    def say(self, prompt: str, show_id: str) -> None:
        """Change the prompt of the running video, from its next chunk on."""
        if not show_id or show_id != self.id:
            raise ReproError("that video is not running any more: start another one")
        self.context = self.studio.contexts([prompt])[0]

    def play(self, prompt: str, schedule: str, seconds: float, seed: int, recache: bool, send: Callable) -> None:
        """Make a video and `send` what the module's docstring tells. Raises ReproError before the first line."""
        scale = self.studio.scale
        geometry = scale.geometry.with_chunk_frames(self.studio.run.chunk_frames)
        geometry = geometry.resized(frames=frames_for(geometry, seconds))
        usual = self.studio.run.schedule[: geometry.chunks]
        generator = self.studio.generator(schedule=schedule or usual, frames=geometry.frames)
        if not self.busy.acquire(blocking=False):
            raise ReproError("another video is being made: wait until it has ended")
        try:
            self.context, self.id = self.studio.contexts([prompt])[0], secrets.token_hex(8)
            g = generator.geometry
            send({"id": self.id, "fps": g.fps, "width": g.width, "height": g.height, "chunks": g.chunks})
            mark = time.perf_counter()

            def on_frames(chunk: int, video: torch.Tensor) -> None:
                nonlocal mark
                pictures = [jpeg(frame) for frame in to_uint8(video[0])]
                now = time.perf_counter()
                send({"chunk": chunk, "seconds": round(now - mark, 4), "frames": pictures})
                mark = now

            noise = prompt_noise(seed, [0], g, self.studio.device)
            generator.stream(lambda _: self.context, noise, generator.cache(1), on_frames, recaches=recache)
            send({"done": True})
        finally:
            self.id = ""
            self.busy.release()


def number(asked: dict[str, str], name: str, default: float, low: float, high: float) -> float:
    """A number of the request. Raises ReproError that names it."""
    text = asked.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ReproError(f"{name} {text!r} must be a number from {low:g} to {high:g}")
    return value


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    show: Show

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        if place.path == "/":
            self._answer(HTTPStatus.OK, PAGE.read_bytes(), "text/html; charset=utf-8")
        elif place.path == "/stream":
            self._stream({key: values[-1] for key, values in parse_qs(place.query).items()})
        else:
            self._refuse(HTTPStatus.NOT_FOUND, f"no page {place.path!r}: the page is /")

    def do_POST(self) -> None:
        """`/prompt` with `{"id", "prompt"}`."""
        length = self.headers.get("Content-Length", "")
        if urlsplit(self.path).path != "/prompt" or not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            return self._refuse(HTTPStatus.BAD_REQUEST, "POST /prompt takes a short JSON object")
        try:
            asked = json.loads(self.rfile.read(int(length)))
            self.show.say(str(asked["prompt"]), str(asked["id"]))
        except (ValueError, KeyError, TypeError):
            return self._refuse(HTTPStatus.BAD_REQUEST, 'send {"id": …, "prompt": …}')
        except ReproError as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        return self._answer(HTTPStatus.OK, b"{}", "application/json")

    def _stream(self, asked: dict[str, str]) -> None:
        begun = False

        def send(line: dict) -> None:
            nonlocal begun
            if not begun:
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", "application/x-ndjson")
                self.send_header("Cache-Control", "no-store")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                begun = True
            data = json.dumps(line).encode() + b"\n"
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

        try:
            usual = self.show.studio.scale.geometry
            seconds = number(asked, "seconds", usual.frames / usual.fps, 0, MAX_SECONDS)
            seed = int(number(asked, "seed", 0, 0, MAX_SEED))
            prompt = asked.get("prompt", "").strip()
            if not prompt:
                raise ReproError("the prompt is empty: write one, such as 'a small red star moves left over stripes'")
            self.show.play(prompt, asked.get("schedule", ""), seconds, seed, asked.get("recache") == "on", send)
            self.wfile.write(b"0\r\n\r\n")
        except ReproError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the browser left: nothing more is made

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._answer(status, json.dumps({"error": why}).encode(), "application/json")

    def log_message(self, format: str, *args) -> None:
        """One line a request is more than a person at the terminal wants."""


def make_server(studio: Studio, host: str, port: int) -> ThreadingHTTPServer:
    """A server that is ready to serve; port 0 takes a free one. Raises ReproError where the port is taken."""
    handler = type("ShowHandler", (Handler,), {"show": Show(studio)})
    try:
        server = ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise ReproError(f"cannot serve at {host}:{port}: {error.strerror}. Choose another --port or --host") from error
    server.daemon_threads = True
    return server
