"""Quotas: how many requests a caller may send in a fixed window of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]
"""Seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Requests per window and caller. Hugging Face's own numbers for a free account, except where said."""

    api: int = 1000
    resolvers: int = 5000
    pages: int = 200
    window: int = 300
    """Seconds; every window starts at a multiple of this."""
    civitai_downloads: int | None = None
    """Downloads in any one window after which Civitai calls the amount unusual; None for no limit, as Civitai
    publishes none."""
    cursor_lifetime: int | None = None
    """Seconds that a cursor of a listing is good for; None for ever. Neither hub says how long."""
    url_lifetime: int = 3600
    """Seconds that a signed URL of the storage is good for."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands after a request."""

    bucket: str
    quota: int
    remaining: int
    reset: int
    """Seconds until the window ends."""
    window: int
    exceeded: bool

    def headers(self) -> dict[str, str]:
        """Return the two headers of the IETF draft, as Hugging Face writes them."""
        return {
            "RateLimit": f'"{self.bucket}";r={self.remaining};t={self.reset}',
            "RateLimit-Policy": f'"fixed window";"{self.bucket}";q={self.quota};w={self.window}',
        }


class Meter:
    """Counts each caller's requests in the present window."""

    def __init__(self, window: int, clock: Clock) -> None:
        self._window = window
        self._clock = clock
        self._spent: Counter[tuple[str, str, int]] = Counter()

    def spend(self, caller: str, bucket: str, quota: int) -> Standing:
        """Count one request and say where the caller stands."""
        now = self._clock()
        window = int(now // self._window)
        self._spent[caller, bucket, window] += 1
        spent = self._spent[caller, bucket, window]
        reset = max(1, round((window + 1) * self._window - now))
        return Standing(bucket, quota, max(0, quota - spent), reset, self._window, spent > quota)
