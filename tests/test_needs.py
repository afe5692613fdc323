"""What the ledger's jobs need stays in the store, and a scan gets through one that is too small for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from fakes import Answer, Loopback, loopback
from fakes_scanner import BASE, RECIPE, FakeWorker, extraction_store, lora
from fakes_weights import holding, remote, weights

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine, upsert
from crawler.catalog.rows import checkpoint_row
from crawler.catalog.tables import checkpoint as checkpoint_table
from crawler.checkpoint import Base, Hub, RemoteFile
from crawler.settings import CrawlerSettings
from crawler.store import Store, open_store
from crawler.store.shelves import file_name
from scanner.job import Outcome, State
from scanner.ledger import Ledger
from scanner.needs import needed_files
from scanner.scan import scan, write_plan
from scanner.settings import ScannerSettings

NAMES = ("a", "b", "c", "d", "e")


class Night:
    """A catalog of five LoRAs on one base, each file of 1,000 bytes, and a store."""

    def __init__(self, root: Path, server: Loopback) -> None:
        self.root = root
        self.server = server
        self.engine = open_engine(f"sqlite:///{root}/catalog.db")
        self.catalog = Catalog(self.engine)
        self.catalog.create()
        self.checkpoints = [holding(lora(name), self.file(name)) for name in NAMES]
        with self.engine.begin() as db:
            upsert(db, checkpoint_table, [checkpoint_row(one, "2026") for one in self.checkpoints])
        self.add_base(BASE)
        self.ledger = Ledger(self.engine)

    def file(self, name: str) -> RemoteFile:
        return remote(f"{self.server.url}/{name}", body_of(name))

    def add_base(self, repo: str) -> None:
        file = self.file(repo.replace("/", "-"))
        self.catalog.bases.put(Base(repo=repo, revision="r", family="sd1", files=(file,)))

    def needed(self) -> frozenset[str]:
        return needed_files(self.engine, self.catalog.bases.get)

    def store(self, budget: int) -> Store:
        settings = CrawlerSettings(huggingface_url=self.server.url, store_bytes=budget, retries=0)
        return open_store(settings, self.root / "store", {}, needed=self.needed)

    def scan(self, store: Store, **settings: int) -> dict[State, int]:
        scan(
            self.catalog,
            self.ledger,
            extraction_store(self.root / "extractions"),
            store,
            ScannerSettings(**settings),
            RECIPE,
            make_worker=partial(FakeWorker, self.root),
        )
        return self.ledger.counts(RECIPE.id)


def body_of(name: str) -> bytes:
    return weights(sum(name.encode()))


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    with loopback(lambda asked: Answer(body_of(asked.path[1:]), headers={"ETag": '"1"'})) as server:
        yield Night(tmp_path, server)


def test_what_queued_and_leased_jobs_need(night: Night) -> None:
    assert night.needed() == frozenset()
    write_plan(night.catalog, night.ledger, RECIPE)
    names = {file_name(night.file(name), Hub.HUGGINGFACE) for name in (*NAMES, BASE.replace("/", "-"))}
    assert night.needed() == names
    (job,) = night.ledger.lease(RECIPE.id, "me")
    assert night.needed() == names
    night.ledger.record(Outcome(job_id=job.id, state=State.DONE))
    gone = file_name(job.checkpoint.files[0], Hub.HUGGINGFACE)
    assert night.needed() == names - {gone}
    (job,) = night.ledger.lease(RECIPE.id, "me")
    night.ledger.record(Outcome(job_id=job.id, state=State.FAILED, reason="budget"))
    assert len(night.needed()) == len(names) - 2


def test_a_base_that_is_gone_needs_nothing(night: Night) -> None:
    write_plan(night.catalog, night.ledger, RECIPE)
    assert len(needed_files(night.engine, lambda repo: None)) == len(NAMES)


@pytest.mark.parametrize("prefetch", [1, 4])
def test_a_store_for_one_job_at_a_time_gets_through_the_night(night: Night, prefetch: int) -> None:
    store = night.store(budget=2000)
    assert night.scan(store, prefetch=prefetch)[State.DONE] == len(NAMES)
    assert store.usage() <= 2000
    # The base was there for all of them.
    assert len(night.server.seen) == len(NAMES) + 1


def test_a_store_that_is_too_small_for_a_job_says_so(night: Night) -> None:
    assert night.scan(night.store(budget=1500))[State.FAILED] == len(NAMES)
    assert {row.reason for row in night.ledger.rows()} == {"budget"}
    assert all("crawler.store_bytes" in row.detail for row in night.ledger.rows())


def test_bases_that_fill_the_store_do_not_block_it_for_good(night: Night) -> None:
    """Two bases that waiting jobs need, and no room left for any weights: the worst case."""
    night.add_base("other/sd")
    changed = [
        replace(one, claims=tuple(replace(claim, repo="other/sd") for claim in one.claims))
        for one in night.checkpoints[3:]
    ]
    with night.engine.begin() as db:
        upsert(db, checkpoint_table, [checkpoint_row(one, "2026") for one in changed])
    store = night.store(budget=2000)
    for name in ("base-sd", "other-sd"):
        store.fetch(night.file(name), Hub.HUGGINGFACE)
    done = [night.scan(store)[State.DONE] for _ in range(3)]
    assert done[0] >= 1
    assert done[-1] == len(NAMES)
    assert store.usage() <= 2000
