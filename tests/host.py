"""A web server on this machine for tests of downloads: real HTTP, with whatever goes wrong on the way."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Host:
    """A server whose files and tempers a test sets."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.headers: dict[str, dict[str, str]] = {}  # further ones, by path
        self.redirects: dict[str, str] = {}
        self.cuts: list[int] = []  # bytes after which the next answers end
        self.errors: list[int] = []  # statuses of the next answers
        self.ranges = True  # whether parts are sent
        self.stops_at: int | None = None  # then waits for `go`
        self.go = threading.Event()
        self.asked: list[tuple[str, str | None]] = []  # (path, Range)
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host.answer(self)

            def do_HEAD(self) -> None:
                host.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.asked.append((request.path, asked))
        further = self.headers.get(request.path, {})
        if self.errors:
            request.send_response(self.errors.pop(0))
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if request.path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[request.path])
            for name, value in {**further, "Content-Length": "0"}.items():
                request.send_header(name, value)
            request.end_headers()
            return
        if request.path not in self.files:
            request.send_response(404)
            for name, value in {**further, "Content-Length": "0"}.items():
                request.send_header(name, value)
            request.end_headers()
            return
        data, etag = self.files[request.path], self.etags.get(request.path)
        unchanged = request.headers.get("If-Range") in {None, etag}
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges and unchanged else 0
        if start >= len(data):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(data)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if etag:
            request.send_header("ETag", etag)
        for name, value in {**further, "Content-Length": str(len(data) - start)}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command == "HEAD":
            return
        end = start + self.cuts.pop(0) if self.cuts else len(data)
        if self.stops_at is not None and start < self.stops_at:
            request.wfile.write(data[start : self.stops_at])
            request.wfile.flush()
            self.go.wait(60)
            start = self.stops_at
        with contextlib.suppress(OSError):  # the one who asked may be gone
            request.wfile.write(data[start:end])
        request.close_connection = end < len(data)


@contextlib.contextmanager
def serving() -> Iterator[Host]:
    """A host that answers until the end."""
    running = Host()
    thread = threading.Thread(target=running.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield running
    finally:
        running.go.set()
        running.server.shutdown()
        running.server.server_close()
        thread.join()
