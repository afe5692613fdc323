"""The circuit breaker of one host (Nygard, Release It!): pure logic, its state kept in the shared budget."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crawler.guest.window import Delay

FAILURES = 5
"""Requests in a row that came to nothing, with all their attempts, before a host is left alone."""
COOL_DOWN = 60.0
"""Seconds that it is left alone for; then one request tries, and a failure of that one begins them anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """How a host has been answering. Times in seconds since the epoch."""

    failures: int = 0
    """Requests that failed since the last that was answered."""
    until: float = 0.0
    """When a host that is left alone may be tried; while it is being tried, when to try again if the one
    that tries is never heard of."""
    reason: str = ""
    next_start: float = 0.0
    """When the next request may leave, where the host wants an interval between them."""

    @property
    def broken(self) -> bool:
        """Whether the host is left alone, but for a trial."""
        return self.failures >= FAILURES

    def delay(self, now: float) -> Delay | None:
        """Why no request may leave; None when one may."""
        if self.broken and now < self.until <= now + COOL_DOWN:
            told = f"{self.failures} requests in a row failed, the last with {self.reason}"
            return Delay(until=self.until, reason=told, final=True)
        return None

    def pause(self, now: float, interval: float) -> Delay | None:
        """How long the interval since the last request still lasts; None when it is over."""
        if now < self.next_start <= now + interval:
            return Delay(until=self.next_start, reason="the interval between requests")
        return None

    def taken(self, now: float, interval: float) -> Circuit:
        """One request leaves; it is the trial if the host was left alone."""
        until = now + COOL_DOWN if self.broken else self.until
        return replace(self, until=until, next_start=now + interval)

    def failed(self, now: float, reason: str) -> Circuit:
        """A request came to nothing."""
        return replace(self, failures=self.failures + 1, until=now + COOL_DOWN, reason=reason)

    def recovered(self) -> Circuit:
        """The host answered."""
        return replace(self, failures=0, until=0.0, reason="")
