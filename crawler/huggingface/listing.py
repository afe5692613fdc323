"""The Hugging Face Hub as a source: its listings, looks into single repositories, and its base models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from huggingface_hub import HfApi

from crawler.checkpoint import Base, Checkpoint, Hub, Listing, Page, Probe, Skip
from crawler.evidence.header_facts import Observe
from crawler.huggingface.bases import Bases
from crawler.huggingface.files import Files
from crawler.huggingface.listed import Listed
from crawler.huggingface.probe import Prober
from crawler.huggingface.repos import Repositories
from crawler.huggingface.rows import read_row
from crawler.huggingface.selections import selections
from crawler.huggingface.walk import ListingWalk
from crawler.settings import CrawlerSettings
from crawler.source import AnswerCache, Mode, NoCache, rules_of, tally


class HuggingFace:
    """Checkpoints of the Hugging Face Hub.

    Args:
        api: client with the endpoint and the token; the library's session carries all requests.
        answers: remembers file lists, configs and headers between crawls.
        observe: finds what headers give away of people; None: nothing of that is kept.
    """

    hub = Hub.HUGGINGFACE

    def __init__(
        self,
        api: HfApi,
        settings: CrawlerSettings,
        answers: AnswerCache | None = None,
        observe: Observe | None = None,
    ) -> None:
        self._url = f"{api.endpoint}/api/models"
        self._settings = settings
        self._rules = hub_rules(settings)
        self._files = Files(api, answers or NoCache())
        self._bases = Bases(api, self._files)
        headers = answers or NoCache()
        self._repositories = Repositories(settings, headers, self._files, self._bases, observe)
        self._prober = Prober(self._files, self._url, settings.opt_out)

    @property
    def rules(self) -> str:
        return self._rules

    def shards(self, mode: Mode) -> Sequence[str]:
        """One listing a selection, in either mode: an increment reads only their heads."""
        return selections(self._settings)

    def pages(self, shard: str, cursor: str | None, since: datetime | None) -> Iterator[Page]:
        """Yield the pages of a listing. Its rows are repositories: their weights are told by `look`."""
        walk = ListingWalk(self._files, self._url, shard, self._settings.page_size, since)
        for page in walk.pages(cursor):
            yield read_page(page.rows, page.cursor, self._settings, **page.notes)

    def look(self, listing: Listing, rows: Sequence[Checkpoint]) -> Sequence[Checkpoint | Skip]:
        """Ask for the file list at the listed commit, and for configs and headers where they are needed."""
        return self._repositories.rows(Listed.of(listing))

    def probe(self, listings: Sequence[Listing]) -> Sequence[Probe]:
        """Ask for each repository by its last known name; a renamed one is found by its number."""
        return [probe for listing in listings if (probe := self._prober.ask(listing))]

    def resolve_base(self, repo: str) -> Base | Skip:
        """The diffusers folder of a base model at its current commit, or why it cannot be had."""
        return self._bases.resolve(repo)


def hub_rules(settings: CrawlerSettings) -> str:
    """16 hex digits over the version and the settings that decide what becomes of a listing."""
    return rules_of(settings, ("opt_out", "max_file_bytes", "base_models", "read_headers", "keep_leaks"))


def read_page(rows: Sequence[Any], cursor: str | None, settings: CrawlerSettings, **notes: int) -> Page:
    """A page's listings, and the skips that need no look."""
    read = [read_row(row, settings.opt_out) for row in rows]
    skips = tuple(skip for _, skip in read if skip)
    listings = tuple(listing for listing, _ in read if listing)
    return Page(rows=skips, cursor=cursor, listings=listings, notes=tally(skips, **notes))
