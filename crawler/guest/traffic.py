"""What was asked of each hub: counted on the wire, for a crawl's summary."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from crawler.guest.budget import Bucket

NO_ANSWER = 0
"""Stands for a status where the connection broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one bucket of one host was asked by this process."""

    host: str
    bucket: str
    requests: int
    """Every attempt counts, redirects too."""
    answers: tuple[tuple[int, int], ...]
    """Status and how often, in order of status; `NO_ANSWER` for broken connections."""
    bytes_received: int
    """Of bodies as they came, compressed or not; without headers."""
    waited_seconds: float
    """Slept for the hub's sake, summed over threads."""

    def __str__(self) -> str:
        waited = f", waited {self.waited_seconds:,.0f} s" if self.waited_seconds >= 0.5 else ""
        failures = sum(count for status, count in self.answers if not 200 <= status < 400)
        failed = f" ({failures:,} without success)" if failures else ""
        volume = _bytes(self.bytes_received)
        return f"{self.host} {self.bucket}: {self.requests:,} requests{failed}, {volume}{waited}"


@dataclass(slots=True)
class _Count:
    requests: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    bytes_received: int = 0
    waited_seconds: float = 0.0


class Traffic:
    """Counts for all clients that it is given to, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], _Count] = {}

    def answered(self, bucket: Bucket, status: int) -> None:
        """One request was sent, and this came of it."""
        with self._lock:
            count = self._of(bucket)
            count.requests += 1
            count.answers[status] += 1

    def received(self, bucket: Bucket, size: int) -> None:
        """So many bytes of a body came."""
        with self._lock:
            self._of(bucket).bytes_received += size

    def waited(self, bucket: Bucket, seconds: float) -> None:
        """So long was slept."""
        with self._lock:
            self._of(bucket).waited_seconds += seconds

    def spent(self) -> tuple[Spent, ...]:
        """Everything so far, in order of hosts and buckets."""
        with self._lock:
            return tuple(
                Spent(
                    host=host,
                    bucket=bucket,
                    requests=count.requests,
                    answers=tuple(sorted(count.answers.items())),
                    bytes_received=count.bytes_received,
                    waited_seconds=count.waited_seconds,
                )
                for (host, bucket), count in sorted(self._counts.items())
            )

    def _of(self, bucket: Bucket) -> _Count:
        return self._counts.setdefault((bucket.host, bucket.name), _Count())


def _bytes(size: int) -> str:
    for unit, power in (("GB", 3), ("MB", 2), ("kB", 1)):
        if size >= 1000**power:
            return f"{size / 1000**power:,.1f} {unit}"
    return f"{size} bytes"
