"""The crawl: interrupted anywhere, the end is that of an undisturbed one."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import httpx
import pytest
from fakes_catalog import CIVITAI, HF, Clock, checkpoint, listing, skip
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from crawler.catalog import Catalog, tables
from crawler.catalog.changes import changes
from crawler.catalog.engine import open_engine
from crawler.checkpoint import (
    Base,
    Checkpoint,
    CrawlError,
    Hub,
    Listing,
    Page,
    Presence,
    Probe,
    Skip,
    SkipReason,
)
from crawler.crawl import CrawlSummary, crawl
from crawler.settings import CrawlerSettings
from crawler.source import Enough, Mode, SourceError

pytest_plugins = ("fakes_postgres",)

PAGES = 4
SETTINGS = CrawlerSettings()


class Killed(BaseException):
    """Stands for a kill inside one process."""


class Fake:
    """A hub of a few pages for each of its shards, with two repositories to look into on each.

    `fail_at` breaks its last shard after so many pages, for ever.
    """

    rules = ""

    def __init__(
        self,
        hub: Hub,
        shards: Sequence[str] = ("one", "two"),
        *,
        fail_at: int | None = None,
        error: BaseException | None = None,
        allowance: int = 1000,
        hidden: Sequence[str] = (),
    ) -> None:
        self.hub = hub
        self._shards = shards
        self._fail_at = fail_at
        self._error = error or SourceError(f"{hub}: status 503 after retries")
        self._allowance = allowance
        self._hidden = hidden
        self.modes: list[Mode] = []
        self.asked: list[tuple[str, str | None]] = []
        self.looked: list[str] = []
        self.probed: list[str] = []

    def shards(self, mode: Mode) -> Sequence[str]:
        self.modes.append(mode)
        return self._shards

    def pages(self, shard: str, cursor: str | None, since: datetime | None) -> Iterator[Page]:
        self.asked.append((shard, cursor))
        for number in range(int(cursor or 0), PAGES):
            if self._fail_at == number and shard == self._shards[-1]:
                raise self._error
            following = str(number + 1) if number + 1 < PAGES else None
            yield self._page(shard, number, following)

    def look(self, listing: Listing, rows: Sequence[Checkpoint]) -> Sequence[Checkpoint | Skip]:
        if len(self.looked) == self._allowance:
            raise Enough("that is enough for tonight")
        self.looked.append(listing.repo)
        return [checkpoint(listing.repo, hub=self.hub)]

    def probe(self, listings: Sequence[Listing]) -> Sequence[Probe]:
        self.probed += [listing.repo for listing in listings]
        away = Presence.UNREACHABLE
        return [Probe(number=one.number, presence=away, detail="404", proof=True) for one in listings]

    def _page(self, shard: str, number: int, cursor: str | None) -> Page:
        """The first repository is shown by every shard; the third is gated."""
        names = [name for name in (f"all/{number}", f"{shard}/{number}") if name not in self._hidden]
        listings = [listing(name, name, hub=self.hub, look=True, downloads=None) for name in names]
        gated = f"gated/{number}"
        listings.append(listing(gated, gated, presence=Presence.GATED, hub=self.hub, downloads=None))
        return Page(rows=(skip(gated, hub=self.hub),), listings=tuple(listings), cursor=cursor)


def resolve(repo: str) -> Base | Skip:
    return Base(repo=repo, revision="r", family="sd1", files=())


def opened(url: str, clock: Clock | None = None) -> tuple[Engine, Catalog]:
    engine = open_engine(url)
    catalog = Catalog(engine, clock=clock or Clock())
    catalog.create()
    return engine, catalog


def content(engine: Engine) -> dict[str, list[Any]]:
    """Every row of every table, but for the walks themselves: a hub that was done is walked once more."""
    with engine.connect() as db:
        return {
            table.name: sorted(
                repr([value for name, value in row.items() if name not in ("walk", "looked")])
                for row in db.execute(select(table)).mappings()
            )
            for table in tables.metadata.sorted_tables
            if table is not tables.walk
        }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[CrawlSummary, dict[str, list[Any]]]:
    """Summary and rows of a crawl that nothing interrupts."""
    engine, catalog = opened(f"sqlite:///{tmp_path_factory.mktemp('undisturbed') / 'catalog.db'}")
    summary = crawl([Fake(HF), Fake(CIVITAI)], catalog, SETTINGS, resolve_base=resolve)
    found = content(engine)
    engine.dispose()
    return summary, found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(database_url: str, clock: Clock) -> Iterator[Catalog]:
    engine, catalog = opened(database_url, clock)
    yield catalog
    engine.dispose()


def test_everything_is_read_looked_into_and_counted(catalog: Catalog) -> None:
    told: list[tuple[Hub, str, int]] = []
    summary = crawl(
        [Fake(HF), Fake(CIVITAI)],
        catalog,
        SETTINGS,
        resolve_base=resolve,
        progress=lambda hub, what, found: told.append((hub, what, found)),
    )
    assert summary.complete
    for one in summary.sources:
        assert (one.mode, one.resumed, one.reason) == (Mode.FULL, False, "")
        assert (one.pages, one.listed, one.looked, one.waiting) == (8, 24, 12, 0)
        assert (one.checkpoints, one.skips) == (12, 4)
        assert one.changes == {"new": 16}
    assert (summary.bases, summary.missing_bases) == (1, 0)
    assert len(told) == 2 * (8 + 12)
    assert sum(found for _, _, found in told) == 24
    assert catalog.bases.get("a/base") == resolve("a/base")


def _crawl_and_die(url: str, steps: int) -> None:
    """Crawl, and be killed while what comes after so many commits is being fetched."""
    left = [steps]

    def progress(hub: Hub, what: str, found: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    _, catalog = opened(url)
    crawl([Fake(HF), Fake(CIVITAI)], catalog, SETTINGS, resolve_base=resolve, progress=progress)


def test_kill_9_loses_nothing(
    database_url: str, undisturbed: tuple[CrawlSummary, dict[str, list[Any]]]
) -> None:
    context = multiprocessing.get_context("spawn")
    for steps in (3, 9, 12):
        child = context.Process(target=_crawl_and_die, args=(database_url, steps))
        child.start()
        child.join(120)
        assert child.exitcode == -signal.SIGKILL
    engine, catalog = opened(database_url)
    crawl([Fake(HF), Fake(CIVITAI)], catalog, SETTINGS, resolve_base=resolve)
    found = content(engine)
    engine.dispose()
    assert found == undisturbed[1]


@given(deaths=st.lists(st.integers(1, 40), max_size=4))
@settings(max_examples=12, deadline=None)
def test_any_interruptions_end_as_an_undisturbed_crawl(
    tmp_path_factory: pytest.TempPathFactory,
    undisturbed: tuple[CrawlSummary, dict[str, list[Any]]],
    deaths: list[int],
) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('crawl') / 'killed.db'}"
    for steps in [*deaths, None]:
        engine, catalog = opened(url)
        left = None if steps is None else iter(range(steps))

        def progress(hub: Hub, what: str, found: int, left: Iterator[int] | None = left) -> None:
            if left is not None and next(left, None) is None:
                raise Killed

        try:
            crawl([Fake(HF), Fake(CIVITAI)], catalog, SETTINGS, resolve_base=resolve, progress=progress)
        except Killed:
            continue
        finally:
            found = content(engine)
            engine.dispose()
        break  # it came to its end: the next would be a new crawl
    assert found == undisturbed[1]


def test_ctrl_c_leaves_a_catalog_that_can_be_gone_on_with(catalog: Catalog) -> None:
    stopped = Fake(HF, fail_at=2, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        crawl([stopped], catalog, SETTINGS, resolve_base=resolve)
    assert catalog.walks.cursor(HF, "two") == "2"
    again = Fake(HF)
    summary = crawl([again], catalog, SETTINGS, resolve_base=resolve)
    assert again.asked == [("two", "2")]
    assert summary.sources[0].resumed
    assert summary.sources[0].pages == 8


def test_the_next_night_asks_for_changes_and_looks_into_nothing_again(catalog: Catalog, clock: Clock) -> None:
    crawl([Fake(HF)], catalog, SETTINGS, resolve_base=resolve)
    clock.move(days=1)
    again = Fake(HF)
    summary = crawl([again], catalog, SETTINGS, resolve_base=resolve)
    assert again.modes == [Mode.INCREMENT]
    assert again.asked == [("one", None), ("two", None)]
    assert again.looked == []
    assert summary.sources[0].changes == {}
    assert summary.sources[0].checkpoints == 12


def test_what_no_listing_shows_is_asked_for(catalog: Catalog, clock: Clock) -> None:
    for hidden in ([], ["one/1"], ["one/1"]):
        source = Fake(HF, hidden=hidden)
        crawl([source], catalog, SETTINGS, resolve_base=resolve)
        clock.move(days=7)
    assert source.probed == ["one/1"]
    assert [(one.what, one.repo) for one in changes(catalog.engine, "2026-01-02")] == [
        ("unreachable", "one/1")
    ]


def test_an_allowance_that_is_spent_is_no_failure(catalog: Catalog, clock: Clock) -> None:
    summary = crawl([Fake(HF, allowance=5)], catalog, SETTINGS, resolve_base=resolve)
    assert summary.complete
    assert (summary.sources[0].looked, summary.sources[0].waiting) == (5, 7)
    clock.move(days=1)
    summary = crawl([Fake(HF)], catalog, SETTINGS, resolve_base=resolve)
    assert (summary.sources[0].looked, summary.sources[0].waiting) == (7, 0)


def test_listing_alone(catalog: Catalog) -> None:
    source = Fake(HF)
    crawl([source], catalog, CrawlerSettings(look_inside=False), resolve_base=resolve)
    assert source.looked == []
    assert catalog.counts()["unlooked"] == 12


@pytest.mark.parametrize(
    "error", [SourceError("hub: status 503"), httpx.ConnectError("hub: refused"), CrawlError("hub: no list")]
)
def test_a_hub_that_is_down_does_not_lose_the_other(catalog: Catalog, error: Exception) -> None:
    broken = Fake(HF, fail_at=1, error=error)
    summary = crawl([broken, Fake(CIVITAI)], catalog, SETTINGS, resolve_base=resolve)
    assert not summary.complete
    assert [source.complete for source in summary.sources] == [False, True]
    assert summary.sources[0].reason == str(error)
    assert summary.sources[0].pages == 5
    assert summary.sources[1].pages == 8
    well, other = Fake(HF), Fake(CIVITAI)
    summary = crawl([well, other], catalog, SETTINGS, resolve_base=resolve)
    assert well.asked == [("two", "1")]
    assert (well.modes, other.modes) == ([Mode.FULL], [Mode.INCREMENT])
    assert summary.complete
    assert summary.sources[0].pages == 8


def test_a_hub_that_goes_away_while_it_is_looked_into(catalog: Catalog) -> None:
    class Away(Fake):
        def look(self, listing: Listing, rows: Sequence[Checkpoint]) -> Sequence[Checkpoint | Skip]:
            if len(self.looked) == 3:
                raise httpx.ReadTimeout("hub: no answer")
            return super().look(listing, rows)

    summary = crawl([Away(HF)], catalog, SETTINGS, resolve_base=resolve)
    assert (summary.complete, summary.sources[0].looked) == (False, 3)
    again = Fake(HF)
    summary = crawl([again], catalog, SETTINGS, resolve_base=resolve)
    assert again.asked == []
    assert len(again.looked) == 9
    assert summary.sources[0].looked == 12


def test_a_repository_that_cannot_be_had_now_is_tried_once_a_night(catalog: Catalog, clock: Clock) -> None:
    class Broken(Fake):
        def look(self, listing: Listing, rows: Sequence[Checkpoint]) -> Sequence[Checkpoint | Skip]:
            super().look(listing, rows)
            reason = SkipReason.DOWNLOAD_FAILED
            return [Skip(hub=HF, repo=listing.repo, revision="r1", path="", reason=reason, detail="503")]

    first = Broken(HF)
    crawl([first], catalog, SETTINGS, resolve_base=resolve)
    assert len(first.looked) == 12
    clock.move(days=1)
    second = Fake(HF)
    crawl([second], catalog, SETTINGS, resolve_base=resolve)
    assert len(second.looked) == 12
    assert catalog.counts()["skips"] == 4


def test_a_hub_that_cannot_name_its_listings_is_incomplete(catalog: Catalog) -> None:
    class Silent(Fake):
        def shards(self, mode: Mode) -> Sequence[str]:
            raise SourceError("civitai: no listings")

    summary = crawl([Silent(CIVITAI), Fake(HF)], catalog, SETTINGS, resolve_base=resolve)
    assert [source.complete for source in summary.sources] == [False, True]


def test_a_base_that_cannot_be_looked_up_now_is_tried_again(catalog: Catalog) -> None:
    def down(repo: str) -> Base | Skip:
        raise SourceError("huggingface: status 503")

    summary = crawl([Fake(HF)], catalog, SETTINGS, resolve_base=down)
    assert not summary.complete
    assert summary.sources[0].reason == "huggingface: status 503"
    assert crawl([Fake(HF)], catalog, SETTINGS, resolve_base=resolve).bases == 1


def test_each_base_is_looked_up_once(catalog: Catalog) -> None:
    asked: list[str] = []

    def remember(repo: str) -> Base | Skip:
        asked.append(repo)
        return resolve(repo)

    for _ in range(2):
        crawl([Fake(HF), Fake(CIVITAI)], catalog, SETTINGS, resolve_base=remember)
    assert asked == ["a/base"]


def test_a_limit_ends_the_crawl(catalog: Catalog) -> None:
    first, second = Fake(HF), Fake(CIVITAI)
    summary = crawl([first, second], catalog, SETTINGS, resolve_base=resolve, limit=5)
    assert [(source.pages, source.looked) for source in summary.sources] == [(3, 5), (0, 0)]
    assert summary.complete
    assert second.asked == []
    again = Fake(HF)
    crawl([again, Fake(CIVITAI)], catalog, SETTINGS, resolve_base=resolve, limit=5)
    assert again.modes == [Mode.FULL]  # a limited walk has not read the hub whole
    assert len(again.looked) == 5  # five more
