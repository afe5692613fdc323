"""Bases that headers name by a digest alone: found in the catalog, on Civitai, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fakes_catalog import CIVITAI, HF, Clock, begun, checkpoint, page

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine
from crawler.checkpoint import Base, BaseClaim, Checkpoint, Grade, RemoteFile, Skip
from crawler.crawl import crawl
from crawler.evidence.identity import Identity
from crawler.settings import CrawlerSettings
from crawler.source import SourceError

BASE, OTHER = "ba" * 32, "0f" * 32


def trained_on(digest: str, repo: str = "a/lora") -> Checkpoint:
    """A checkpoint whose header names its base by a digest that no table knows."""
    claim = BaseClaim(repo=None, family=None, source="header digest", grade=Grade.DIGEST, digest=digest)
    return replace(checkpoint(repo), claims=(claim,))


def holding(digest: str, repo: str = "b/mix") -> Checkpoint:
    """A checkpoint that is the file with this digest."""
    one = checkpoint(repo)
    file = RemoteFile(path=one.path, url="https://hub.test/mix", size=3, sha256=digest)
    return replace(one, files=(file,), claims=(), title="mix")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(tmp_path: Path, clock: Clock) -> Iterator[Catalog]:
    engine = open_engine(f"sqlite:///{tmp_path}/catalog.db")
    catalog = Catalog(engine, clock=clock)
    catalog.create()
    yield catalog
    engine.dispose()


class Civitai:
    """Knows one digest, and counts what it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[list[str]] = []
        self._error = error

    def __call__(self, digests: Sequence[str]) -> Mapping[str, Identity]:
        self.asked.append(list(digests))
        if self._error:
            raise self._error
        one = Identity(hub=CIVITAI, repo="12", revision="345", title="Some Mix", family="sd1")
        return {digest: one for digest in digests if digest == BASE}


def no_base(repo: str) -> Base | Skip:
    return Base(repo=repo, revision="r", family="sd1", files=())


def crawled(catalog: Catalog, civitai: Civitai | None) -> None:
    crawl([], catalog, CrawlerSettings(), resolve_base=no_base, identify=civitai)


def claim_of(catalog: Catalog, repo: str = "a/lora") -> BaseClaim:
    (found,) = catalog.checkpoints(repo=repo)
    return found.claims[0]


def test_a_digest_that_the_catalog_holds_names_its_repository(catalog: Catalog) -> None:
    catalog.commit(begun(catalog), "all", page(trained_on(BASE), holding(BASE)))
    civitai = Civitai()
    crawled(catalog, civitai)
    assert civitai.asked == []
    assert (claim_of(catalog).repo, claim_of(catalog).grade) == ("b/mix", Grade.DIGEST)
    assert catalog.bases.get("b/mix") is not None  # and is looked up as a base at once


def test_a_digest_that_only_civitai_knows_names_its_version(catalog: Catalog) -> None:
    catalog.commit(begun(catalog), "all", page(trained_on(BASE), trained_on(OTHER, "c/lora")))
    civitai = Civitai()
    crawled(catalog, civitai)
    assert civitai.asked == [[OTHER, BASE]]
    assert (claim_of(catalog).repo, claim_of(catalog).civitai_version) == (None, "345")
    assert "Some Mix" in claim_of(catalog).detail
    assert claim_of(catalog, "c/lora").base is None


def test_nobody_is_asked_twice_in_a_week(catalog: Catalog, clock: Clock) -> None:
    catalog.commit(begun(catalog), "all", page(trained_on(OTHER)))
    civitai = Civitai()
    for days in (1, 5, 1):
        crawled(catalog, civitai)
        clock.move(days=days)
    assert len(civitai.asked) == 1
    crawled(catalog, civitai)
    assert len(civitai.asked) == 2


def test_a_hub_that_is_away_is_asked_by_the_next_crawl(catalog: Catalog) -> None:
    catalog.commit(begun(catalog), "all", page(trained_on(BASE)))
    crawled(catalog, Civitai(SourceError("civitai: status 503")))
    assert claim_of(catalog).base is None
    crawled(catalog, Civitai())
    assert claim_of(catalog).civitai_version == "345"


def test_what_was_named_once_is_named_again_after_a_new_look(catalog: Catalog) -> None:
    walk = begun(catalog)
    catalog.commit(walk, "all", page(trained_on(BASE)))
    crawled(catalog, Civitai())
    catalog.commit(walk, "all", page(trained_on(BASE)))
    assert claim_of(catalog).base is None
    crawled(catalog, None)
    assert claim_of(catalog).civitai_version == "345"


def test_digests_of_superseded_checkpoints_are_nobody_s_business(catalog: Catalog) -> None:
    walk = begun(catalog, HF)
    catalog.commit(walk, "all", page(trained_on(BASE)))
    catalog.commit(walk, "all", page(replace(checkpoint(), claims=())))
    assert catalog.identities.unnamed(again_after=timedelta(days=7)) == []
