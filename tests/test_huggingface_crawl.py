"""Nights of a crawl: the Hugging Face source, the catalog and the local hub together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fakes_catalog import Clock
from fakes_repositories import BASE, KOHYA, folder, lora, weights

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine
from crawler.checkpoint import Checkpoint, Hub, SkipReason
from crawler.crawl import CrawlSummary, crawl
from crawler.guest.client import hub_api
from crawler.huggingface import HuggingFace
from crawler.settings import CrawlerSettings
from crawler.source import Mode
from leaksweep.hub.content import HubContent, HubRepo
from leaksweep.hub.faults import Faults, Strike
from leaksweep.hub.serve import LocalHub

FIRST = (
    replace(BASE, last_modified="2026-01-01T00:00:00.000Z"),
    lora("one", weights(KOHYA)),
    lora("two", instance_prompt="two"),
    replace(lora("three", instance_prompt="three"), last_modified="2020-01-01T00:00:00.000Z"),
    HubRepo(id="me/full", files=folder(_name_or_path="zoo/base")),
    HubRepo(id="me/pickle", files={"a.ckpt": b"\x80"}),
)


class Nights:
    """A catalog, a clock and a hub."""

    def __init__(self, path: Path, hub: LocalHub, clock: Clock, **settings: Any) -> None:
        self.hub, self.clock = hub, clock
        plain = {
            "retries": 0,
            "include": ["diffusers"],
            "list_by_base": False,
            "base_models": {"Zoo": "zoo/base"},
            "page_size": 1,
        }
        self.settings = CrawlerSettings(huggingface_url=hub.url, **plain, **settings)
        self.engine = open_engine(f"sqlite:///{path}")
        self.catalog = Catalog(self.engine, clock=clock)
        self.catalog.create()

    def crawl(self, **later: float) -> CrawlSummary:
        self.clock.move(**later)
        source = HuggingFace(hub_api(self.settings, None), self.settings, self.catalog.asked)
        return crawl([source], self.catalog, self.settings, resolve_base=source.resolve_base)

    def known(self) -> dict[str, Checkpoint]:
        return {row.repo: row for row in self.catalog.checkpoints(hub=Hub.HUGGINGFACE)}


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    with LocalHub(HubContent(repos=FIRST)) as hub:
        found = Nights(tmp_path / "catalog.db", hub, Clock(datetime(2026, 1, 1, 3, tzinfo=UTC)))
        yield found
        found.engine.dispose()


def test_the_first_night_finds_everything(nights: Nights) -> None:
    summary = nights.crawl()
    (told,) = summary.sources
    assert (told.mode, told.complete, told.waiting) == (Mode.FULL, True, 0)
    assert set(nights.known()) == {"me/one", "me/two", "me/three", "me/full"}
    assert {skip.repo: skip.reason for skip in nights.catalog.skips()}["me/pickle"] is SkipReason.PICKLE_ONLY
    assert summary.bases == 1
    assert nights.known()["me/one"].training.images == 6


def test_a_second_night_without_changes_asks_for_one_page_a_listing(nights: Nights) -> None:
    nights.crawl()
    before, count = nights.known(), len(nights.hub.requests)
    summary = nights.crawl(days=1)
    asked = [request.path for request in nights.hub.requests[count:]]
    assert summary.sources[0].mode is Mode.INCREMENT
    assert set(asked) == {"/api/models"}
    assert nights.known() == before


def test_what_has_changed_is_looked_into_again(nights: Nights) -> None:
    nights.crawl()
    today = "2026-01-02T01:00:00.000Z"
    changed = replace(lora("one", weights({**KOHYA, "ss_steps": "900"})), last_modified=today)
    renamed = replace(FIRST[2], id="me/second", renamed_from=("me/two",), last_modified=today)
    added = replace(lora("new"), last_modified=today)
    nights.hub.publish(HubContent(repos=(FIRST[0], changed, renamed, added, *FIRST[3:])))
    summary = nights.crawl(days=1)
    known = nights.known()
    assert set(known) == {"me/one", "me/second", "me/three", "me/full", "me/new"}
    assert known["me/one"].training.steps == 900
    assert summary.sources[0].looked == 3
    assert summary.sources[0].changes == {"new": 1, "renamed": 1, "changed": 2}


def test_what_no_date_shows_is_found_by_the_weekly_pass(nights: Nights) -> None:
    nights.crawl()
    gated = replace(FIRST[3], gated="manual")
    nights.hub.publish(HubContent(repos=(*FIRST[:3], gated, *FIRST[4:])))
    nights.crawl(days=1)
    assert "me/three" in nights.known()
    summary = nights.crawl(days=7)
    assert summary.sources[0].mode is Mode.FULL
    assert "me/three" not in nights.known()


def test_one_repository_at_which_the_hub_fails_keeps_no_other_waiting(tmp_path: Path) -> None:
    popular = replace(lora("broken"), downloads=10**6)
    faults = Faults(server_error=Strike(on="me/broken/tree"))
    with LocalHub(HubContent(repos=(*FIRST, popular)), faults=faults) as hub:
        nights = Nights(tmp_path / "catalog.db", hub, Clock(datetime(2026, 1, 1, 3, tzinfo=UTC)))
        for _ in range(2):
            summary = nights.crawl(days=1)
            assert summary.sources[0].complete
            assert summary.sources[0].waiting == 1
        assert set(nights.known()) == {"me/one", "me/two", "me/three", "me/full"}
        nights.engine.dispose()
