"""The crawl: interrupted anywhere, the end is that of an undisturbed one."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from crawler.catalog import Catalog, tables
from crawler.catalog.engine import open_engine
from crawler.checkpoint import (
    Base,
    BaseClaim,
    Checkpoint,
    CrawlError,
    Grade,
    Hub,
    Kind,
    Layout,
    Page,
    RemoteFile,
    Skip,
    SkipReason,
)
from crawler.crawl import CrawlSummary, crawl
from crawler.source import SourceError

HF, CIVITAI = Hub.HUGGINGFACE, Hub.CIVITAI
PAGES = 4


class Killed(BaseException):
    """Stands for a kill inside one process."""


class Listing:
    """A source of a few pages for each of its shards; `fail_at` breaks it after so many pages, for ever."""

    def __init__(
        self,
        hub: Hub,
        shards: Sequence[str] = ("one", "two"),
        *,
        fail_at: int | None = None,
        error: BaseException | None = None,
    ) -> None:
        self.hub = hub
        self._shards = shards
        self._fail_at = fail_at
        self._error = error or SourceError(f"{hub}: status 503 after retries")
        self.asked: list[tuple[str, str | None]] = []

    def shards(self) -> Sequence[str]:
        return self._shards

    def pages(self, shard: str, cursor: str | None) -> Iterator[Page]:
        self.asked.append((shard, cursor))
        for number in range(int(cursor or 0), PAGES):
            if self._fail_at == number and shard == self._shards[-1]:
                raise self._error
            following = str(number + 1) if number + 1 < PAGES else None
            yield Page(rows=tuple(rows(self.hub, shard, number)), cursor=following)


def rows(hub: Hub, shard: str, number: int) -> Iterator[Checkpoint | Skip]:
    """Two checkpoints and a skip; the first checkpoint is seen by every shard."""
    for repo in (f"all/{number}", f"{shard}/{number}"):
        yield Checkpoint(
            hub=hub,
            repo=repo,
            revision="r",
            path="x.safetensors",
            kind=Kind.LORA,
            layout=Layout.FILE,
            family="sd1",
            files=(RemoteFile(path="x.safetensors", url="https://hub.test/x", size=1, sha256=None),),
            claims=(BaseClaim(repo=f"base/{number % 2}", family=None, source="card", grade=Grade.DECLARED),),
        )
    gated = SkipReason.GATED
    yield Skip(hub=hub, repo=f"gated/{number}", revision="r", path="", reason=gated, detail=f"in {shard}")


def resolve(repo: str) -> Base | Skip:
    if repo == "base/0":
        return Base(repo=repo, revision="r", family="sd1", files=())
    return Skip(hub=HF, repo=repo, revision="", path="", reason=SkipReason.UNREACHABLE, detail="not there")


def opened(path: Path) -> tuple[Engine, Catalog]:
    engine = open_engine(f"sqlite:///{path}")
    catalog = Catalog(engine, clock=lambda: "2026-01-01")
    catalog.create()
    return engine, catalog


def content(engine: Engine) -> dict[str, list[Any]]:
    """Every row of every table but the crawls' own times."""
    with engine.connect() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in tables.metadata.sorted_tables
            if table is not tables.crawl
        }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[CrawlSummary, dict[str, list[Any]]]:
    """Summary and rows of a crawl that nothing interrupts."""
    engine, catalog = opened(tmp_path_factory.mktemp("undisturbed") / "catalog.db")
    summary = crawl([Listing(HF), Listing(CIVITAI)], catalog, resolve_base=resolve)
    found = content(engine)
    engine.dispose()
    return summary, found


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    engine, catalog = opened(tmp_path / "catalog.db")
    yield catalog
    engine.dispose()


def test_everything_is_read_and_counted(catalog: Catalog) -> None:
    seen: list[tuple[Hub, str]] = []
    summary = crawl(
        [Listing(HF), Listing(CIVITAI)],
        catalog,
        resolve_base=resolve,
        progress=lambda hub, shard, page: seen.append((hub, shard)),
    )
    assert summary.complete
    assert not summary.resumed
    counts = [(one.pages, one.checkpoints, one.skips, one.reason) for one in summary.sources]
    assert counts == [(8, 16, 8, "")] * 2
    assert (summary.bases, summary.missing_bases) == (1, 1)
    assert len(seen) == 16
    assert catalog.counts()["checkpoints"] == 24
    assert catalog.base("base/0") == resolve("base/0")


def _crawl_and_die(path: Path, pages: int) -> None:
    """Crawl, and be killed while the page after so many is being fetched."""
    left = [pages]

    def progress(hub: Hub, shard: str, page: Page) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    _, catalog = opened(path)
    crawl([Listing(HF), Listing(CIVITAI)], catalog, resolve_base=resolve, progress=progress)


def test_kill_9_between_pages_loses_nothing(
    tmp_path: Path, undisturbed: tuple[CrawlSummary, dict[str, list[Any]]]
) -> None:
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "killed.db"
    for pages in (3, 7):
        child = context.Process(target=_crawl_and_die, args=(path, pages))
        child.start()
        child.join(120)
        assert child.exitcode == -signal.SIGKILL
    engine, catalog = opened(path)
    summary = crawl([Listing(HF), Listing(CIVITAI)], catalog, resolve_base=resolve)
    found = content(engine)
    engine.dispose()
    expected_summary, expected = undisturbed
    assert found == expected
    assert summary.resumed
    assert summary.sources == expected_summary.sources


@given(deaths=st.lists(st.integers(1, 18), max_size=4))
@settings(max_examples=8, deadline=None)
def test_any_interruptions_end_as_an_undisturbed_crawl(
    tmp_path_factory: pytest.TempPathFactory,
    undisturbed: tuple[CrawlSummary, dict[str, list[Any]]],
    deaths: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("crawl")
    for pages in deaths:
        engine, catalog = opened(folder / "killed.db")
        left = iter(range(pages))

        def progress(hub: Hub, shard: str, page: Page, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Killed

        try:
            crawl([Listing(HF), Listing(CIVITAI)], catalog, resolve_base=resolve, progress=progress)
        except Killed:
            continue
        finally:
            engine.dispose()
        break  # it came to its end: the next would be a new crawl
    else:
        engine, catalog = opened(folder / "killed.db")
        crawl([Listing(HF), Listing(CIVITAI)], catalog, resolve_base=resolve)
        engine.dispose()
    engine, _ = opened(folder / "killed.db")
    found = content(engine)
    engine.dispose()
    assert found == undisturbed[1]


def test_ctrl_c_leaves_a_catalog_that_can_be_gone_on_with(catalog: Catalog) -> None:
    stopped = Listing(HF, fail_at=2, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        crawl([stopped], catalog, resolve_base=resolve)
    assert catalog.cursor(HF, "two") == "2"
    again = Listing(HF)
    summary = crawl([again], catalog, resolve_base=resolve)
    assert again.asked == [("two", "2")]
    assert summary.resumed
    assert summary.sources[0].pages == 8


def test_a_finished_crawl_begins_anew(catalog: Catalog) -> None:
    first = crawl([Listing(HF)], catalog, resolve_base=resolve)
    again = Listing(HF)
    second = crawl([again], catalog, resolve_base=resolve)
    assert again.asked == [("one", None), ("two", None)]
    assert not second.resumed
    assert first == second


@pytest.mark.parametrize(
    "error", [SourceError("hub: status 503"), httpx.ConnectError("hub: refused"), CrawlError("hub: no list")]
)
def test_a_hub_that_is_down_does_not_lose_the_other(catalog: Catalog, error: Exception) -> None:
    broken = Listing(HF, fail_at=1, error=error)
    summary = crawl([broken, Listing(CIVITAI)], catalog, resolve_base=resolve)
    assert not summary.complete
    assert [source.complete for source in summary.sources] == [False, True]
    assert summary.sources[0].reason == str(error)
    assert summary.sources[0].pages == 5
    assert summary.sources[1].pages == 8
    well, other = Listing(HF), Listing(CIVITAI)
    summary = crawl([well, other], catalog, resolve_base=resolve)
    assert well.asked == [("two", "1")]
    assert other.asked == [("one", None), ("two", None)]
    assert summary.complete
    assert summary.sources[0].pages == 8


def test_a_hub_that_cannot_name_its_listings_is_incomplete(catalog: Catalog) -> None:
    class Silent(Listing):
        def shards(self) -> Sequence[str]:
            raise SourceError("civitai: no listings")

    summary = crawl([Silent(CIVITAI), Listing(HF)], catalog, resolve_base=resolve)
    assert [source.complete for source in summary.sources] == [False, True]


def test_a_base_that_cannot_be_looked_up_now_is_tried_again(catalog: Catalog) -> None:
    def down(repo: str) -> Base | Skip:
        raise SourceError("huggingface: status 503")

    summary = crawl([Listing(HF)], catalog, resolve_base=down)
    assert not summary.complete
    assert summary.sources[0].reason == "huggingface: status 503"
    assert crawl([Listing(HF)], catalog, resolve_base=resolve).bases == 1


def test_each_base_is_looked_up_once(catalog: Catalog) -> None:
    asked: list[str] = []

    def remember(repo: str) -> Base | Skip:
        asked.append(repo)
        return resolve(repo)

    crawl([Listing(HF), Listing(CIVITAI)], catalog, resolve_base=remember)
    assert asked == ["base/0", "base/1"]


def test_a_limit_ends_the_crawl_after_a_page(catalog: Catalog) -> None:
    first, second = Listing(HF), Listing(CIVITAI)
    summary = crawl([first, second], catalog, resolve_base=resolve, limit=5)
    assert [(source.pages, source.checkpoints) for source in summary.sources] == [(3, 6), (0, 0)]
    assert summary.complete
    assert second.asked == []
    again = Listing(HF)
    crawl([again, Listing(CIVITAI)], catalog, resolve_base=resolve, limit=5)
    assert again.asked == [("one", None)]
