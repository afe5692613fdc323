"""Kill -9 at random points of a crawl of the real sources: the end is that of an undisturbed crawl."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from crawler.catalog import Catalog, tables
from crawler.catalog.engine import open_engine
from crawler.civitai import Civitai
from crawler.crawl import crawl
from crawler.guest.client import civitai_client, hub_api
from crawler.huggingface import HuggingFace
from crawler.settings import CrawlerSettings
from leaksweep.hub import CivitaiFile, CivitaiModel, CivitaiVersion, HubContent, HubRepo, Limits, LocalHub
from leaksweep.hub.__main__ import example

KILLS = 50
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["crawler.crawl", "crawler.huggingface", "crawler.civitai"])
_TIMES = {"first_seen", "last_seen", "started_at", "ended_at", "asked_at", "at", "probed_at"}
_RUN = {"walk", "looked"}


def content() -> HubContent:
    """A base model, and many small repositories and models that name it."""
    weights = example().repos[1].files["cat.safetensors"]
    repos = [
        HubRepo(
            id=f"someone/lora-{index:03d}",
            files={"lora.safetensors": weights},
            card={"base_model": "stable-diffusion-v1-5/stable-diffusion-v1-5", "tags": ["lora"]},
            created_at=f"2024-01-01T00:{index // 60:02d}:{index % 60:02d}.000Z",
            gated="auto" if index % 10 == 0 else False,
        )
        for index in range(120)
    ]
    models = [
        CivitaiModel(
            id=number,
            name=f"model {number}",
            type="LORA",
            downloads=number,
            versions=(
                CivitaiVersion(
                    id=1000 + number,
                    name="v1",
                    base_model="SD 1.5",
                    files=(CivitaiFile(id=2000 + number, name="a.safetensors", content=weights),),
                    trained_words=(f"word {number}",),
                    published_at=f"2024-01-01T00:{number // 60:02d}:{number % 60:02d}.000Z",
                ),
            ),
        )
        for number in range(1, 121)
    ]
    return HubContent(repos=tuple(repos), civitai=tuple(models))


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with LocalHub(content(), limits=Limits(api=10**6, resolvers=10**6, pages=10**6)) as hub:
        yield hub


def settings_for(hub: LocalHub) -> CrawlerSettings:
    return CrawlerSettings(
        huggingface_url=hub.url,
        civitai_url=hub.civitai_url,
        include=("lora", "diffusers"),
        list_by_base=False,
        civitai_types=("LORA",),
        civitai_interval_seconds=0.0,
        page_size=10,
        headroom=0.0,
        contact="tests@example.org",
    )


def crawl_once(path: Path, settings: CrawlerSettings) -> None:
    engine = open_engine(f"sqlite:///{path}")
    catalog = Catalog(engine)
    catalog.create()
    with civitai_client(settings, None) as client:
        hugging_face = HuggingFace(hub_api(settings, None), settings, catalog.asked)
        sources = [hugging_face, Civitai(client, settings, catalog.asked)]
        summary = crawl(sources, catalog, settings, resolve_base=hugging_face.resolve_base)
    engine.dispose()
    assert summary.complete, summary


def rows(path: Path) -> dict[str, list[Any]]:
    """What the catalog holds, without times and without the numbers of walks."""
    engine = open_engine(f"sqlite:///{path}")
    with engine.connect() as db:
        found = {
            table.name: sorted(
                repr([value for name, value in row.items() if name not in _TIMES | _RUN])
                for row in db.execute(select(table)).mappings()
            )
            for table in tables.metadata.sorted_tables
            if table not in (tables.walk, tables.shard)
        }
    engine.dispose()
    return found


def listings_asked(hub: LocalHub, since: int) -> Counter[tuple[str, str]]:
    """Pages of full walks. A hub that was done before a kill is asked for its changes, as on any other day."""
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
