"""The collector: one small process that serves the page and keeps what is sent to it in SQLite."""

import json
import logging
import threading
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from repro.errors import ReproError
from repro.files import locked
from repro.user_study.store import Refused, Store

log = logging.getLogger(__name__)
MAX_BYTES = 4_000_000
"""Of one submission: 1,000 tasks with long free text are half of it."""


class Handler(SimpleHTTPRequestHandler):
    """GET serves the page's folder, with byte ranges so that videos can be wound; POST /responses submits."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def __init__(self, *arguments, database: Path, **keywords):
        self.database = database
        super().__init__(*arguments, **keywords)

    def end_headers(self):
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def list_directory(self, path):
        """No listings: whoever guesses folders learns nothing."""
        self.send_error(404)

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        span = self.headers.get("Range")
        if not span or not path.is_file():
            return super().do_GET()
        size = path.stat().st_size
        try:
            first, last = span.removeprefix("bytes=").split("-")
            start = int(first) if first else max(0, size - int(last))
            stop = min(int(last) if first and last else size - 1, size - 1)
        except ValueError:
            start, stop = size, 0
        if not 0 <= start <= stop:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        with path.open("rb") as handle:
            handle.seek(start)
            body = handle.read(stop - start + 1)
        self.send_response(206)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Range", f"bytes {start}-{stop}/{size}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        try:
            page = self._submit()
            log.info("answers of %s kept", page)
            self._reply(201, "Thank you. Your answers have arrived.")
        except Refused as refusal:
            log.warning("refused: %s", refusal.reason)
            self._reply(refusal.status, refusal.reason)
        except ReproError:
            log.exception("not kept")
            self._reply(500, "The answers could not be kept. Export them as a file and tell who invited you.")

    def _submit(self) -> str:
        if self.path != "/responses":
            raise Refused(404, "Answers are sent to /responses.")
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or int(size) > MAX_BYTES:
            # The body is left unread, so the connection cannot be used again.
            self.close_connection = True
            raise Refused(413, f"A submission has a length of at most {MAX_BYTES} bytes.")
        page, payload, mac = unpack(self.rfile.read(int(size)))
        with Store.open(self.database) as store:
            store.submit(page, payload, mac, datetime.now(UTC).isoformat(timespec="seconds"))
        return page

    def _reply(self, status: int, message: str) -> None:
        body = json.dumps({"message": message}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        log.debug(format, *arguments)


def unpack(body: bytes) -> tuple[str, str, str]:
    """(page, payload, mac) of what the page posts or exports. Raises Refused for anything else."""
    try:
        sent = json.loads(body)
        page, payload, mac = sent["page"], sent["payload"], sent["mac"]
        # Text that is not UTF-8 (half a character) can be neither signed nor kept.
        "".join((page, payload, mac)).encode()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused(400, "A submission is JSON with the texts page, payload and mac.") from error
    return page, payload, mac


def server(folder: Path, host: str, port: int) -> ThreadingHTTPServer:
    """A server for a folder that `survey.build` wrote; port 0 takes a free one."""
    folder = Path(folder)
    with Store.open(folder / "study.sqlite"):
        pass
    handler = partial(Handler, directory=str(folder / "page"), database=folder / "study.sqlite")
    try:
        return ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise ReproError(f"cannot listen on {host}:{port} ({error.strerror}): choose another --port") from error


def serve(folder: Path, host: str, port: int) -> None:
    """Serve until interrupted. Raises ReproError where another collector has the folder."""
    with locked(folder), server(folder, host, port) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        log.info("serving on http://%s:%s, answers go to %s", host, running.server_port, Path(folder) / "study.sqlite")
        try:
            thread.join()
        except KeyboardInterrupt:
            running.shutdown()


def add_file(folder: Path, path: Path) -> None:
    """Submit a file that a participant exported. Raises ReproError saying why it is refused."""
    try:
        page, payload, mac = unpack(Path(path).read_bytes())
        with locked(folder), Store.open(Path(folder) / "study.sqlite") as store:
            store.submit(page, payload, mac, datetime.now(UTC).isoformat(timespec="seconds"))
    except OSError as error:
        raise ReproError(
            f"{path} cannot be read ({error.strerror}): give a file that a participant exported"
        ) from error
    except Refused as refusal:
        raise ReproError(f"{path} is refused: {refusal.reason}") from refusal
