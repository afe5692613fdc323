"""The guard before the page: no request passes that has no right to, no answer leaves without a policy.

It stands outside of the framework, so that a route that is added later is guarded too.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reports.review.session import Door, Session

LARGEST_FORM = 256 * 1024
"""Bytes: a note that is far too long still comes back to be shortened."""

ASSETS = "/assets/"
ENTER = "/enter"
_OPEN = (ENTER, "/favicon.ico")

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
_FORM = "application/x-www-form-urlencoded"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not "no-referrer": with that, browsers send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""On every answer that does not set its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Where the page is served."""

    known_host: Callable[[str], bool]
    """Whether a name is this machine's: a stranger's name that was made to lead here is not."""
    scheme: str
    """"http" or "https"."""
    cookie: str
    """The session cookie's name."""


def hosts(names: Iterable[str], *, any_address: bool) -> Callable[[str], bool]:
    """What tells our own names from others.

    Args:
        any_address: take any IP address for ours. No name leads there, so nobody can have bent it.
    """
    known = {name.lower().strip("[]") for name in names}

    def ours(name: str) -> bool:
        return name in known or (any_address and _is_address(name))

    return ours


Refuse = Callable[[int, str, str, str], Response]
"""From status, message, the path that was asked for, and a note that came with it, to a page."""


class Guard:
    """ASGI: checks host, origin, token and form, and puts `session` and `form` into the request's state."""

    def __init__(self, app: ASGIApp, door: Door, rules: Rules, *, refuse: Refuse) -> None:
        self._app = app
        self._door = door
        self._rules = rules
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            answer = await self._judge(scope, receive)
            await (answer or self._app)(scope, receive, _with_headers(send))

    async def _judge(self, scope: Scope, receive: Receive) -> Response | None:
        """The refusal of a request; None lets it pass."""
        headers = Headers(scope=scope)
        host = _HOST.fullmatch(headers.get("host", ""))
        if host is None or not self._rules.known_host(host[1].lower().strip("[]")):
            return PlainTextResponse(
                "this is not a name of this page; open the address as it was printed", 400
            )
        if scope["method"] not in {"GET", "HEAD", "POST"}:
            return self._refuse(405, "there is no such method here", "", "")
        session = self._door.session(
            cookie=cookie_parser(headers.get("cookie", "")).get(self._rules.cookie),
            authorization=headers.get("authorization"),
        )
        state = scope.setdefault("state", {})
        state.update(session=session, form={})
        path = scope["path"]
        if scope["method"] != "POST":
            open_ = path in _OPEN or path.startswith(ASSETS)
            return None if session or open_ else self._refuse(401, "", path, "")
        return await self._judge_post(headers, path, session, state, receive)

    async def _judge_post(
        self, headers: Headers, path: str, session: Session | None, state: dict[str, object], receive: Receive
    ) -> Response | None:
        if not self._from_our_page(headers, session):
            said = "this form was not sent by a page of ours; open the finding and try again"
            return self._refuse(403, said, path, "")
        if headers.get("content-type", _FORM).partition(";")[0].strip() != _FORM:
            return self._refuse(415, "only forms are taken here", path, "")
        body = await _body(receive)
        if body is None:
            said = f"a form has at most {LARGEST_FORM} bytes here; shorten the note"
            return self._refuse(413, said, path, "")
        form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        note = form.get("note", "")
        if path != ENTER:
            if session is None:
                return self._refuse(401, "", path, note)
            if not session.knows(form.get("csrf", "")):
                said = "this form belongs to another session; open the finding and try again"
                return self._refuse(403, said, path, note)
        state["form"] = form
        return None

    def _from_our_page(self, headers: Headers, session: Session | None) -> bool:
        """Browsers name a form's origin; what sends the token itself needs to name none."""
        origin = headers.get("origin")
        if origin is None:
            return session is not None and session.by_header
        return origin.lower() == f"{self._rules.scheme}://{headers['host'].lower()}"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None when it is larger than a form may be, or was broken off."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > LARGEST_FORM:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
