"""Small working stand-ins that several test modules share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(slots=True)
class Answer:
    """What a loopback server says."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    """Close the connection after so many bytes of a body whose length was announced whole."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that a loopback server has seen."""

    path: str
    headers: Mapping[str, str]


Reply = Callable[[Asked], Answer]


@dataclass(slots=True)
class Loopback:
    """A real HTTP server on a free port of 127.0.0.1, whose answers a test gives as a function."""

    url: str
    seen: list[Asked]


@contextmanager
def loopback(reply: Reply) -> Iterator[Loopback]:
    """Serve `reply` in a thread of its own until the block ends."""
    seen: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()})
            seen.append(asked)
            answer = reply(asked)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[: answer.cut])
            self.close_connection = answer.cut is not None

        do_HEAD = do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield Loopback(f"http://127.0.0.1:{server.server_port}", seen)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ranged(body: bytes, etag: str = '"v1"') -> Reply:
    """A server of one file that honours Range and If-Range, as storage hosts do."""

    def reply(asked: Asked) -> Answer:
        wanted = asked.headers.get("range")
        if wanted is None or asked.headers.get("if-range", etag) != etag:
            return Answer(body, headers={"ETag": etag})
        start = int(wanted.removeprefix("bytes=").split("-")[0])
        if start >= len(body):
            return Answer(status=416, headers={"Content-Range": f"bytes */{len(body)}"})
        place = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return Answer(body[start:], status=206, headers={"ETag": etag, "Content-Range": place})

    return reply
