"""The log of requests: what went over which wire, to the byte, so that it can be shown what did not."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MOST_BODY = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One request and how it was answered."""

    host: str
    """"huggingface", "civitai", "storage" or "foreign"."""
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    """As they came, names in lower case."""
    body: bytes
    """As far as it was read when the answer began, and 64 KiB at most."""
    status: int

    def header(self, name: str) -> str | None:
        """The first header of a name, given in lower case."""
        return next((value for known, value in self.headers if known == name), None)

    @property
    def authorized(self) -> bool:
        """Whether an Authorization header came along."""
        return self.header("authorization") is not None

    @property
    def user_agent(self) -> str:
        """Empty when there was none."""
        return self.header("user-agent") or ""

    @property
    def range(self) -> str | None:
        return self.header("range")

    def holds(self, secret: str) -> bool:
        """Tell whether the request's bytes, from the path to the body, have a text in them."""
        values = (self.path, self.query, *(f"{name}: {value}" for name, value in self.headers))
        return any(secret in value for value in values) or secret.encode() in self.body


class Traffic:
    """The requests so far, in the order of the answers.

    Args:
        most: how many are remembered, the latest ones; all when it is None.
    """

    def __init__(self, most: int | None = None) -> None:
        self._entries: deque[Logged] = deque(maxlen=most)
        self.counts: Counter[tuple[str, int]] = Counter()
        """All requests ever, by host and status of the answer."""

    def __iter__(self) -> Iterator[Logged]:
        return iter(tuple(self._entries))

    def add(self, entry: Logged) -> None:
        """Write a request down."""
        self._entries.append(entry)
        self.counts[entry.host, entry.status] += 1


def hosts_that_saw(secret: str, entries: Iterable[Logged]) -> set[str]:
    """Return the hosts to which a text, such as a token, went."""
    return {entry.host for entry in entries if entry.holds(secret)}


class Log:
    """ASGI middleware that writes down each request before its answer leaves."""

    def __init__(self, app: ASGIApp, host: str, traffic: Traffic) -> None:
        self._app = app
        self._host = host
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()

        async def receive_and_keep() -> Message:
            message = await receive()
            body.extend(message.get("body", b"")[: _MOST_BODY - len(body)])
            return message

        async def log_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._traffic.add(self._entry(Request(scope), bytes(body), message["status"]))
            await send(message)

        await self._app(scope, receive_and_keep, log_and_send)

    def _entry(self, request: Request, body: bytes, status: int) -> Logged:
        return Logged(
            host=self._host,
            method=request.method,
            path=request.url.path,
            query=request.url.query,
            headers=tuple(request.headers.items()),
            body=body,
            status=status,
        )
