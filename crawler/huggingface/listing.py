"""The Hugging Face Hub as a source: its listings, walked from a stored cursor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from huggingface_hub import HfApi

from crawler.checkpoint import Base, Checkpoint, Hub, Page, Skip
from crawler.huggingface.bases import Bases
from crawler.huggingface.files import Files, HubError
from crawler.huggingface.repos import Repositories
from crawler.huggingface.rows import EXPAND, read_row
from crawler.settings import CrawlerSettings
from crawler.source import HeaderCache, NoCache, SourceError, tally

_ORDER = "createdAt"
"""Dates of creation never change: no row moves while a listing is walked. New ones come at its head."""


class HuggingFace:
    """Checkpoints of the Hugging Face Hub.

    Args:
        api: client with the endpoint and the token; the library's session carries all requests.
        headers: remembers the headers of weights files between crawls.
    """

    hub = Hub.HUGGINGFACE

    def __init__(self, api: HfApi, settings: CrawlerSettings, headers: HeaderCache | None = None) -> None:
        self._api = api
        self._settings = settings
        self._files = Files(api)
        self._bases = Bases(api, self._files)
        self._repositories = Repositories(settings, headers or NoCache(), self._files, self._bases)
        self._seen: set[str] = set()

    def shards(self) -> Sequence[str]:
        """One listing a tag; an entry with "=" is taken as a query, such as "author=someone"."""
        entries = self._settings.include
        return [entry if "=" in entry else urlencode({"filter": entry}, safe=":/") for entry in entries]

    def pages(self, shard: str, cursor: str | None) -> Iterator[Page]:
        """Yield the pages after `cursor`. A repository that another listing had already is left out."""
        while True:
            listed, cursor = self._list(shard, cursor)
            fresh = [row for row in listed if _identity(row) not in self._seen]
            rows = [found for row in fresh for found in self._look(row)]
            yield Page(
                rows=tuple(rows), cursor=cursor, notes=tally(rows, seen_twice=len(listed) - len(fresh))
            )
            # The page is committed once the next one is asked for; before that it may have to come again.
            self._seen.update(map(_identity, listed))
            if cursor is None:
                return

    def resolve_base(self, repo: str) -> Base | Skip:
        """The diffusers folder of a base model at its current commit, or why it cannot be had."""
        return self._bases.resolve(repo)

    def _look(self, row: Any) -> Sequence[Checkpoint | Skip]:
        listed = read_row(row, self._settings.opt_out)
        return [listed] if isinstance(listed, Skip) else self._repositories.rows(listed)

    def _list(self, shard: str, cursor: str | None) -> tuple[list[Any], str | None]:
        """One page of a listing, and the cursor of the next.

        A cursor is what the hub's link to the next page adds to our own query. Without the host and without
        our parameters it outlives a change of endpoint, of page size and of the fields that are asked for.
        """
        query = [*parse_qsl(shard), ("sort", _ORDER), ("limit", str(self._settings.page_size))]
        query += [("expand", field) for field in EXPAND]
        url = f"{self._api.endpoint}/api/models"
        try:
            response = self._files.get(url, [*query, *parse_qsl(cursor or "")])
            rows = response.json()
        except (HubError, ValueError) as error:
            message = f"{url}, listing {shard!r}: {error}; crawl again, it goes on from this page"
            raise SourceError(message) from error
        if not isinstance(rows, list):
            raise SourceError(f"{url}, listing {shard!r}: no list; check crawler.huggingface_url")
        following = response.links.get("next", {}).get("url")
        ours = {name for name, _ in query}
        added = [pair for pair in parse_qsl(urlsplit(following or "").query) if pair[0] not in ours]
        if following and not added:
            raise SourceError(f"{url}, listing {shard!r}: the link to the next page has no cursor")
        return rows, urlencode(added) or None


def _identity(row: Any) -> str:
    """A repository at a commit, so that a new commit counts as new."""
    return f"{row.get('id')}@{row.get('sha')}" if isinstance(row, dict) else repr(row)
