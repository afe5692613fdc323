"""A hub of 100,000 models that changes while it is walked: a full walk and an increment find all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fakes_catalog import Clock
from huggingface_hub import HfApi
from sqlalchemy import select

from crawler.catalog import Catalog, tables
from crawler.catalog.engine import open_engine
from crawler.checkpoint import Base, Hub, Skip, SkipReason
from crawler.civitai import Civitai
from crawler.crawl import CrawlSummary, crawl
from crawler.guest.client import civitai_client, hub_api
from crawler.huggingface import HuggingFace
from crawler.settings import CrawlerSettings
from crawler.source import Mode, Source
from leaksweep.hub import Limits, LocalHub, Schedule, Synthetic

RECORDS = 100_000
TYPES = ("Checkpoint", "LORA", "LoCon", "DoRA", "TextualInversion")
_SHOWN = "nsfw=true&archived=true&" + "&".join(f"types={name}" for name in TYPES)


def serving(records: int, **changes: int) -> LocalHub:
    """A synthetic hub that makes these changes after every listing request, for half of the full walk."""
    schedule = Schedule(every=1, times=records // 2000, seed=5, **changes)
    limits = Limits(api=10**7, resolvers=10**7, pages=10**7)
    return LocalHub(
        synthetic=Synthetic(repos=records, models=records, seed=7), schedule=schedule, limits=limits
    )


def settings_for(hub: LocalHub) -> CrawlerSettings:
    return CrawlerSettings(
        huggingface_url=hub.url,
        civitai_url=hub.civitai_url,
        include=("diffusers",),
        list_by_base=False,
        civitai_types=TYPES,
        civitai_interval_seconds=0.0,
        page_size=1000,
        headroom=0.0,
        look_inside=False,
        contact="tests@example.org",
    )


@contextmanager
def opened(path: Path, clock: Clock) -> Iterator[Catalog]:
    engine = open_engine(f"sqlite:///{path}/catalog.db")
    catalog = Catalog(engine, clock=clock)
    catalog.create()
    yield catalog
    engine.dispose()


def no_base(repo: str) -> Base | Skip:
    reason = SkipReason.UNREACHABLE
    return Skip(hub=Hub.CIVITAI, repo=repo, revision="", path="", reason=reason, detail="not asked for")


def walked(source: Source, catalog: Catalog, settings: CrawlerSettings, mode: Mode) -> CrawlSummary:
    summary = crawl([source], catalog, settings, resolve_base=no_base)
    assert summary.complete, summary.sources[0].reason
    assert summary.sources[0].mode is mode
    return summary


def numbers(catalog: Catalog) -> set[str]:
    """What the catalog holds. The number is the key, so that nothing can be there twice."""
    with catalog.engine.connect() as db:
        return set(db.scalars(select(tables.repository.c.number)))


@pytest.mark.slow
def test_hugging_face_under_changes(tmp_path: Path) -> None:
    with serving(RECORDS, insert=20, edit=20, delete=10, rename=5, gate=5) as hub:
        settings = settings_for(hub)
        newest = {"sort": "lastModified", "limit": "1", "expand": "lastModified"}
        row = httpx.get(f"{hub.url}/api/models", params=newest).json()[0]
        clock = Clock(datetime.fromisoformat(row["lastModified"]))
        with opened(tmp_path, clock) as catalog:
            source = HuggingFace(hub_api(settings, None), settings, catalog.asked)
            walked(source, catalog, settings, Mode.FULL)
            clock.move(hours=1)
            increment = walked(source, catalog, settings, Mode.INCREMENT)
            changes, found = hub.repo_changes, numbers(catalog)
            throughout = set(changes.throughout("filter=diffusers"))
            assert len(throughout) > 0.9 * RECORDS
            assert throughout <= found
            assert found - throughout <= changes.identities("insert", "delete", "gate", "take_down")
            assert {model._id for model in HfApi(hub.url).list_models(filter="diffusers")} <= found
            assert increment.sources[0].listed < RECORDS / 2


@pytest.mark.slow
def test_civitai_under_changes(tmp_path: Path) -> None:
    with serving(RECORDS, insert=20, edit=20, delete=10, take_down=5) as hub:
        settings = settings_for(hub)
        with (
            opened(tmp_path, clock := Clock(latest(hub))) as catalog,
            civitai_client(settings, None) as client,
        ):
            source = Civitai(client, settings, catalog.asked)
            walked(source, catalog, settings, Mode.FULL)
            clock.move(hours=1)
            walked(source, catalog, settings, Mode.INCREMENT)
            changes, found = hub.model_changes, numbers(catalog)
            throughout = set(changes.throughout(_SHOWN))
            assert len(throughout) > 0.5 * RECORDS
            assert throughout <= found
            assert found - throughout <= changes.identities("insert", "delete", "take_down")
        plain = newest_by_a_plain_client(hub)
        assert len(throughout - plain) > 10  # what the order loses at the ends of its pages


def latest(hub: LocalHub) -> datetime:
    """When the newest version of the hub was published."""
    query = {"sort": "Newest", "limit": "1", "nsfw": "true", "archived": "true"}
    (model,) = httpx.get(f"{hub.civitai_url}/api/v1/models", params=query).json()["items"]
    times = [version["publishedAt"] for version in model["modelVersions"]]
    return max(map(datetime.fromisoformat, times)).astimezone(UTC) + timedelta(seconds=1)


def newest_by_a_plain_client(hub: LocalHub) -> set[str]:
    """What a client that trusts the cursor finds by the newest first."""
    found: set[str] = set()
    query = [("sort", "Newest"), ("nsfw", "true"), ("archived", "true"), *(("types", name) for name in TYPES)]
    cursor = None
    with httpx.Client(base_url=hub.civitai_url) as client:
        while True:
            page = client.get(
                "/api/v1/models", params=[*query, *([("cursor", cursor)] if cursor else [])]
            ).json()
            found |= {str(model["id"]) for model in page["items"]}
            cursor = page["metadata"].get("nextCursor")
            if cursor is None:
                return found
