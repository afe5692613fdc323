"""What a hub looks like to the crawl: independent listings, each walked page by page from a stored cursor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from crawler.checkpoint import Checkpoint, CrawlError, Hub, Listing, Page, Probe, Skip
from crawler.guest.client import tool_version
from crawler.settings import CrawlerSettings

UNAVAILABLE = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses that say "not now": worth another run, unlike the rest of the errors."""


class SourceError(CrawlError):
    """A hub's listing cannot be read on. What was committed stays; a new crawl goes on from there."""


class Enough(SourceError):
    """What a hub may be asked for in one night has been asked for. No failure: the next crawl goes on."""


class Mode(StrEnum):
    """How much of a hub a pass reads."""

    FULL = "full"
    """All of it. Finds what is gone, and what a hub's dates do not show."""
    INCREMENT = "increment"
    """What has changed since the last pass, by the hub's own dates."""
    DUMP = "dump"
    """A published dump of a hub, in place of its answers."""


class Source(Protocol):
    """A place that publishes checkpoints."""

    hub: Hub

    @property
    def rules(self) -> str:
        """Changes with the settings and the version that decide what becomes of a listing: all is decided
        anew when it does."""
        ...

    def shards(self, mode: Mode) -> Sequence[str]:
        """Names of the listings to walk. They may overlap; a listing's number says what is the same.

        Raises:
            SourceError: the hub has to be asked for them, and does not answer.
        """
        ...

    def pages(self, shard: str, cursor: str | None, since: datetime | None) -> Iterator[Page]:
        """Yield the pages after `cursor`, or all of them when it is None; the last has no cursor.

        Args:
            since: of an increment, which ends where all is older; None in a full pass. With a zone.

        Raises:
            SourceError: the hub does not answer, or not as documented, after retries.
        """
        ...

    def look(self, listing: Listing, rows: Sequence[Checkpoint]) -> Sequence[Checkpoint | Skip]:
        """Ask for what the listing leaves open, and return all rows of the repository, which replace `rows`.

        What the hub refuses about this one repository is a Skip.

        Args:
            rows: the checkpoints that the listing alone gave.

        Raises:
            Enough: no more may be looked at in this crawl; the next one goes on.
            SourceError, or an error of the transport: the hub is away; asked again by the next crawl.
        """
        ...

    def probe(self, listings: Sequence[Listing]) -> Sequence[Probe]:
        """Ask for repositories that no listing showed any more. Those that got no clear answer are left out.

        Raises:
            SourceError, or an error of the transport: the hub is away.
        """
        ...


class HeaderCache(Protocol):
    """Safetensors headers by the SHA-256 of their file, so that a header is asked for once."""

    def header(self, digest: str) -> bytes | None:
        """The file's leading bytes, length prefix included; None when it was never read."""
        ...

    def put_header(self, digest: str, data: bytes) -> None: ...


class AnswerCache(HeaderCache, Protocol):
    """Answers that can never change, such as the file list of a commit: asked for once, kept for ever."""

    def answer(self, name: str) -> bytes | None:
        """What was kept under this name, such as "tree owner/name@commit"; None when nothing was."""
        ...

    def put_answer(self, name: str, data: bytes) -> None: ...


class NoCache:
    """Remembers nothing."""

    def header(self, digest: str) -> bytes | None:
        return None

    def put_header(self, digest: str, data: bytes) -> None:
        return None

    def answer(self, name: str) -> bytes | None:
        return None

    def put_answer(self, name: str, data: bytes) -> None:
        return None


def rules_of(settings: CrawlerSettings, names: Iterable[str]) -> str:
    """16 hex digits over the version and the settings of these names; for `Source.rules`."""
    decide = settings.model_dump(mode="json", include=set(names))
    text = json.dumps([tool_version(), decide], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def opted_out(opt_out: Sequence[str], *names: str) -> bool:
    """Whether one of the names, such as a repository and its owner, is on the list; case does not count."""
    refused = {name.casefold() for name in opt_out}
    return any(name.casefold() in refused for name in names)


def tally(rows: Sequence[Checkpoint | Skip], **more: int) -> dict[str, int]:
    """Counters for a page's notes: checkpoints, skips, and what the caller adds, without the zeros."""
    found = sum(isinstance(row, Checkpoint) for row in rows)
    counts = {"checkpoints": found, "skips": len(rows) - found, **more}
    return {name: count for name, count in counts.items() if count}
