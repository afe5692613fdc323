"""Who may come in: a token and a ticket for each start, and sessions that end when nothing is asked.

Browsers write an address into their history before any script can take something out of it, and some send
their history elsewhere. So the token is never in one: the printed address holds a ticket, which is good once.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

TOKEN_BYTES = 32
_MOST_SESSIONS = 64


@dataclass(slots=True, kw_only=True)
class Session:
    """One browser that gave the token."""

    csrf: str
    """What each form of its pages holds, and no other site can know."""
    used_at: float
    by_header: bool = False
    """It sends the token with each request, which no other site can make a browser do."""
    warned: set[str] = field(default_factory=set)
    """Pictures of which it was told that they may be hard to look at."""
    softened: set[str] = field(default_factory=set)
    """Pictures that it was shown in grey or blurred."""

    def knows(self, form_token: str) -> bool:
        """Whether a form is one of this session's own."""
        return self.by_header or _same(form_token, self.csrf)


class Door:
    """Token, ticket and sessions of one start.

    Args:
        minutes: without a request for so long, a session ends.
        clock: seconds, never going back.
        token: opens the page again and again; for tests, else a random one of 256 bits.
    """

    def __init__(
        self, *, minutes: float, clock: Callable[[], float] = time.monotonic, token: str | None = None
    ) -> None:
        self.token = token or secrets.token_urlsafe(TOKEN_BYTES)
        self.ticket = secrets.token_urlsafe(TOKEN_BYTES)
        self._ticket_used = False
        self._idle = 60 * minutes
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._header = Session(csrf=secrets.token_urlsafe(TOKEN_BYTES), used_at=clock(), by_header=True)

    def enter(self, given: str) -> str | None:
        """Return a new session's secret, for a cookie; None without the token or an unused ticket."""
        secret = secrets.token_urlsafe(TOKEN_BYTES)
        with self._lock:
            if _same(given, self.ticket) and not self._ticket_used:
                self._ticket_used = True
            elif not _same(given, self.token):
                return None
            self._close_idle()
            while len(self._sessions) >= _MOST_SESSIONS:
                self._sessions.pop(min(self._sessions, key=lambda name: self._sessions[name].used_at))
            csrf = secrets.token_urlsafe(TOKEN_BYTES)
            self._sessions[_digest(secret)] = Session(csrf=csrf, used_at=self._clock())
        return secret

    def session(self, *, cookie: str | None, authorization: str | None) -> Session | None:
        """Return the session of a request, and take the request for a sign of life."""
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            known = scheme.lower() == "bearer" and _same(token.strip(), self.token)
            return self._header if known else None
        with self._lock:
            self._close_idle()
            found = self._sessions.get(_digest(cookie)) if cookie else None
            if found:
                found.used_at = self._clock()
            return found

    def leave(self, cookie: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_digest(cookie), None)

    def _close_idle(self) -> None:
        now = self._clock()
        idle = [name for name, one in self._sessions.items() if now - one.used_at > self._idle]
        for name in idle:
            del self._sessions[name]


def _digest(secret: str) -> str:
    """Sessions are looked up by digests, so that the time a look-up takes tells nothing of the secrets."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _same(given: str, known: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "replace"), known.encode())
