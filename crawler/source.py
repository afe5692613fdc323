"""What a hub looks like to the crawl: independent listings, each walked page by page from a stored cursor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from crawler.checkpoint import Checkpoint, CrawlError, Hub, Page, Skip

UNAVAILABLE = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses that say "not now": worth another run, unlike the rest of the errors."""


class SourceError(CrawlError):
    """A hub's listing cannot be read on. What was committed stays; a new crawl goes on from there."""


class Source(Protocol):
    """A place that publishes checkpoints."""

    hub: Hub

    def shards(self) -> Sequence[str]:
        """Names of the listings to walk. They may overlap; a checkpoint's id says what is the same."""
        ...

    def pages(self, shard: str, cursor: str | None) -> Iterator[Page]:
        """Yield the pages after `cursor`, or all of them when it is None; the last has no cursor.

        Raises:
            SourceError: the hub does not answer, or not as documented, after retries.
        """
        ...


class HeaderCache(Protocol):
    """Safetensors headers by the SHA-256 of their file, so that a header is asked for once."""

    def header(self, digest: str) -> bytes | None:
        """The file's leading bytes, length prefix included; None when it was never read."""
        ...

    def put_header(self, digest: str, data: bytes) -> None: ...


class NoCache:
    """Remembers nothing."""

    def header(self, digest: str) -> bytes | None:
        return None

    def put_header(self, digest: str, data: bytes) -> None:
        return None


def opted_out(opt_out: Sequence[str], *names: str) -> bool:
    """Whether one of the names, such as a repository and its owner, is on the list; case does not count."""
    refused = {name.casefold() for name in opt_out}
    return any(name.casefold() in refused for name in names)


def tally(rows: Sequence[Checkpoint | Skip], **more: int) -> dict[str, int]:
    """Counters for a page's notes: checkpoints, skips, and what the caller adds, without the zeros."""
    found = sum(isinstance(row, Checkpoint) for row in rows)
    counts = {"checkpoints": found, "skips": len(rows) - found, **more}
    return {name: count for name, count in counts.items() if count}
