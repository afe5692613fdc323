"""Kill -9 at random points of a crawl of the real sources: the end is that of an undisturbed crawl."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes_crawl import content, crawl_once, rows, settings_for

from crawler.settings import CrawlerSettings
from leaksweep.hub import Limits, LocalHub

KILLS = 50
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["crawler.crawl", "crawler.huggingface", "crawler.civitai"])


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with LocalHub(content(), limits=Limits(api=10**6, resolvers=10**6, pages=10**6)) as hub:
        yield hub


def listings_asked(hub: LocalHub, since: int) -> Counter[tuple[str, str]]:
    """Pages of full walks. A hub that was done before a kill is asked for its changes, as on any day."""
    lists, increments = ("/api/models", "/api/v1/models"), ("sort=lastModified", "sort=Newest")
    return Counter(
        (one.path, one.query)
        for one in list(hub.requests)[since:]
        if one.path in lists and not any(mark in one.query for mark in increments)
    )


@pytest.mark.slow
def test_fifty_kills_cost_a_page_each_and_nothing_else(hub: LocalHub, tmp_path: Path) -> None:
    settings, calm = settings_for(hub), tmp_path / "calm.db"
    begun = time.monotonic()
    crawl_once(calm, settings)
    whole, expected, needed = time.monotonic() - begun, rows(calm), listings_asked(hub, 0)
    draws, kills, crawls = random.Random(11), 0, 0
    while kills < KILLS:
        path, first, deaths = tmp_path / f"killed-{crawls}.db", len(hub.requests), 0
        while (code := life(path, settings, draws.uniform(0.1, 0.6 * whole))) == -signal.SIGKILL:
            deaths += 1
        assert code == 0
        assert rows(path) == expected
        again = listings_asked(hub, first) - needed
        assert again.total() <= deaths, again
        kills, crawls = kills + deaths, crawls + 1


def life(path: Path, settings: CrawlerSettings, seconds: float) -> int | None:
    """Crawl in a process of its own, which is killed after so long; its exit code."""
    child = CONTEXT.Process(target=crawl_once, args=(path, settings))
    child.start()
    child.join(seconds)
    child.kill()
    child.join()
    return child.exitcode
