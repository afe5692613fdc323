"""The catalog: one truth a checkpoint, one transaction a page."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DatabaseError
from sqlalchemy.schema import CreateTable

from crawler.catalog import Catalog, CatalogError, tables
from crawler.catalog.catalog import MAX_FAILURES
from crawler.catalog.engine import open_engine
from crawler.checkpoint import (
    Base,
    BaseClaim,
    Checkpoint,
    Grade,
    Hub,
    Kind,
    Layout,
    Page,
    Prompt,
    PromptOrigin,
    RemoteFile,
    Skip,
    SkipReason,
    Training,
)

HF, CIVITAI = Hub.HUGGINGFACE, Hub.CIVITAI


def checkpoint(
    repo: str = "a/lora", revision: str = "r1", path: str = "x.safetensors", hub: Hub = HF
) -> Checkpoint:
    return Checkpoint(
        hub=hub,
        repo=repo,
        revision=revision,
        path=path,
        kind=Kind.LORA,
        layout=Layout.FILE,
        family="sd1",
        files=(RemoteFile(path=path, url=f"https://hub.test/{repo}/{path}", size=3, sha256="ab" * 32),),
        claims=(
            BaseClaim(repo=None, family="sd1", source="header digest", grade=Grade.DIGEST),
            BaseClaim(repo="a/base", family="sd1", source="card", grade=Grade.DECLARED),
        ),
        prompts=(Prompt(text="a photo of sks dog; 犬 '", origin=PromptOrigin.INSTANCE_PROMPT),),
        training=Training(images=5, steps=100, resolution=64, source="header"),
        title="=cmd|' /C calc'!A0",
        downloads=7,
    )


def skip(repo: str = "a/lora", revision: str = "r1", path: str = "", hub: Hub = HF) -> Skip:
    return Skip(
        hub=hub, repo=repo, revision=revision, path=path, reason=SkipReason.GATED, detail="ask for access"
    )


def page(*rows: Checkpoint | Skip, cursor: str | None = None) -> Page:
    return Page(rows=rows, cursor=cursor)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """SQLite, or the database that LEAKSWEEP_TEST_DATABASE names, emptied."""
    named = os.environ.get("LEAKSWEEP_TEST_DATABASE")
    engine = open_engine(named or f"sqlite:///{tmp_path / 'new' / 'catalog.db'}")
    tables.metadata.drop_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def catalog(engine: Engine) -> Catalog:
    days = (f"2026-01-{day:02d}" for day in itertools.count(1))
    catalog = Catalog(engine, clock=lambda: next(days))
    catalog.create()
    catalog.start_crawl({HF: ["lora"], CIVITAI: ["LORA"]})
    return catalog


def test_records_come_back_as_they_were(catalog: Catalog) -> None:
    rows = [checkpoint(), replace(checkpoint(path="y.safetensors"), claims=(), prompts=(), downloads=None)]
    catalog.commit(HF, "lora", page(*rows, skip(repo="b/gated")))
    assert list(catalog.checkpoints()) == rows
    assert list(catalog.skips()) == [skip(repo="b/gated")]
    assert list(catalog.checkpoints(key=rows[1].key)) == [rows[1]]
    assert list(catalog.checkpoints(hub=CIVITAI)) == []
    assert list(catalog.checkpoints(hub=HF, repo="a/lora", kind=Kind.LORA, family="sd1")) == rows
    assert catalog.skip_counts() == {SkipReason.GATED: 1}
    assert catalog.counts()["checkpoints"] == 2


def test_what_can_be_queried_stands_in_columns(catalog: Catalog, engine: Engine) -> None:
    catalog.commit(HF, "lora", page(checkpoint()))
    with engine.connect() as connection:
        row = connection.execute(select(tables.checkpoint)).mappings().one()
    assert row["key"] == checkpoint().key
    assert (row["base_repo"], row["base_grade"]) == ("a/base", 2)
    assert row["sha256"] == "ab" * 32
    assert row["first_seen"] == row["last_seen"]


def test_text_that_no_database_holds_is_replaced(catalog: Catalog) -> None:
    broken = Prompt(text="a \x00 b \ud83d", origin=PromptOrigin.TRIGGER_WORDS)
    catalog.commit(HF, "lora", page(replace(checkpoint(), title="\ud800\x00", prompts=(broken,))))
    (found,) = catalog.checkpoints()
    assert (found.title, found.prompts[0].text) == ("??", "a ? b ?")
    assert found.id == checkpoint().id


def test_cursor_and_rows_go_together(catalog: Catalog) -> None:
    assert catalog.cursor(HF, "lora") is None
    catalog.commit(HF, "lora", page(checkpoint(), cursor="next"))
    assert catalog.cursor(HF, "lora") == "next"
    assert not catalog.finished(HF, "lora")
    catalog.commit(HF, "lora", page())
    assert catalog.cursor(HF, "lora") is None
    assert catalog.finished(HF, "lora")
    assert [(row.pages, row.checkpoints) for row in catalog.shards(HF)] == [(2, 1)]


def test_a_page_that_cannot_be_written_leaves_nothing(catalog: Catalog, engine: Engine) -> None:
    with engine.begin() as connection:
        tables.skip.drop(connection)
    with pytest.raises(DatabaseError, match="skip"):
        catalog.commit(HF, "lora", page(checkpoint(), skip(repo="b/lora"), cursor="next"))
    assert list(catalog.checkpoints()) == []
    assert catalog.cursor(HF, "lora") is None


def test_seen_again_is_no_second_row(catalog: Catalog, engine: Engine) -> None:
    catalog.commit(HF, "lora", page(checkpoint()))
    catalog.commit(HF, "lora", page(replace(checkpoint(), downloads=8), replace(checkpoint(), downloads=9)))
    assert [found.downloads for found in catalog.checkpoints()] == [9]
    with engine.connect() as connection:
        row = connection.execute(select(tables.checkpoint)).mappings().one()
    assert row["first_seen"] < row["last_seen"]


def test_a_new_revision_supersedes_the_old_one(catalog: Catalog) -> None:
    catalog.commit(HF, "lora", page(checkpoint(), checkpoint(path="gone.safetensors")))
    catalog.commit(HF, "lora", page(checkpoint(revision="r2")))
    assert list(catalog.checkpoints()) == [checkpoint(revision="r2")]
    assert len(list(catalog.checkpoints(superseded=True))) == 3
    assert catalog.counts()["superseded"] == 2


def test_versions_of_a_civitai_model_stand_side_by_side(catalog: Catalog) -> None:
    old, new = (checkpoint("12", version, hub=CIVITAI) for version in ("100", "101"))
    catalog.commit(CIVITAI, "LORA", page(old))
    catalog.commit(CIVITAI, "LORA", page(new))
    assert list(catalog.checkpoints()) == [old, new]
    catalog.commit(CIVITAI, "LORA", page(skip("12", "100", hub=CIVITAI)))
    assert list(catalog.checkpoints()) == [new]
    catalog.commit(CIVITAI, "LORA", page(skip("12", "", hub=CIVITAI)))
    assert list(catalog.checkpoints()) == []
    assert list(catalog.skips()) == [skip("12", "", hub=CIVITAI)]
    catalog.commit(CIVITAI, "LORA", page(old, new))
    assert list(catalog.checkpoints()) == [old, new]
    assert list(catalog.skips()) == []


def test_gated_later_and_open_again_leave_one_truth(catalog: Catalog) -> None:
    catalog.commit(HF, "lora", page(checkpoint()))
    catalog.commit(HF, "lora", page(skip()))
    assert list(catalog.checkpoints()) == []
    assert list(catalog.skips()) == [skip()]
    catalog.commit(HF, "lora", page(checkpoint()))
    assert list(catalog.checkpoints()) == [checkpoint()]
    assert list(catalog.skips()) == []


def test_a_repository_may_hold_checkpoints_and_skips_at_once(catalog: Catalog) -> None:
    for _ in range(2):
        catalog.commit(HF, "lora", page(skip(), checkpoint(), skip(path="x.ckpt")))
    assert list(catalog.checkpoints()) == [checkpoint()]
    assert list(catalog.skips()) == [skip(), skip(path="x.ckpt")]


def test_an_interrupted_crawl_goes_on_and_a_closed_one_begins_anew(catalog: Catalog) -> None:
    shards = {HF: ["lora"], CIVITAI: ["LORA"]}
    catalog.commit(HF, "lora", page(checkpoint()))
    catalog.commit(CIVITAI, "LORA", page(cursor="next"))
    assert catalog.start_crawl(shards)
    assert catalog.finished(HF, "lora")
    assert catalog.cursor(CIVITAI, "LORA") == "next"
    catalog.close_crawl()
    assert not catalog.start_crawl(shards)
    assert not catalog.finished(HF, "lora")
    assert [row.pages for row in catalog.shards(HF)] == [0]
    assert catalog.cursor(CIVITAI, "LORA") == "next"  # it failed last time, and goes on
    assert list(catalog.checkpoints()) == [checkpoint()]


def test_listings_come_and_go_with_the_settings(catalog: Catalog) -> None:
    catalog.start_crawl({HF: ["lora", "diffusers", "lora"], CIVITAI: []})
    assert [(row.hub, row.shard) for row in catalog.shards()] == [(HF, "diffusers"), (HF, "lora")]


def test_a_cursor_that_keeps_failing_is_given_up(catalog: Catalog) -> None:
    shards = {HF: ["lora"]}
    catalog.commit(HF, "lora", page(checkpoint(), cursor="expired"))
    for attempt in range(MAX_FAILURES):
        assert catalog.cursor(HF, "lora") == "expired", attempt
        catalog.fail(HF, "lora", "status 400")
        assert catalog.shards(HF)[0].error == "status 400"
        catalog.close_crawl()
        catalog.start_crawl(shards)
    assert catalog.cursor(HF, "lora") is None
    assert catalog.shards(HF)[0].checkpoints == 0


def test_bases_are_looked_up_once_a_crawl(catalog: Catalog) -> None:
    catalog.commit(HF, "lora", page(checkpoint()))
    base = Base(repo="a/base-renamed", revision="r", family="sd1", files=checkpoint().files)
    assert catalog.wanted_bases() == ["a/base"]
    assert catalog.base("a/base") is None
    catalog.put_base(base, repo="a/base")
    assert catalog.wanted_bases() == []
    assert catalog.base("a/base") == base
    catalog.close_crawl()
    catalog.start_crawl({HF: ["lora"]})
    assert catalog.wanted_bases() == ["a/base"]
    missing = replace(skip(repo="a/base"), reason=SkipReason.UNREACHABLE)
    catalog.put_base(missing)
    assert catalog.base("a/base") is None
    assert catalog.missing_bases() == {"a/base": missing}
    assert catalog.counts()["missing_bases"] == 1


def test_headers_are_kept_by_digest(catalog: Catalog) -> None:
    assert catalog.header("ab") is None
    catalog.put_header("ab", b"\x00{}")
    catalog.put_header("ab", b"\x00{}")
    assert catalog.header("ab") == b"\x00{}"


def test_create_twice_changes_nothing(catalog: Catalog) -> None:
    catalog.commit(HF, "lora", page(checkpoint()))
    catalog.create()
    assert list(catalog.checkpoints()) == [checkpoint()]


def test_a_catalog_of_a_newer_version_is_left_alone(catalog: Catalog, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(tables.schema_version).values(version=tables.SCHEMA_VERSION + 1))
    with pytest.raises(CatalogError, match=r"schema 2, this version of leaksweep knows schema 1; install"):
        Catalog(engine).create()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    path.write_text("not a database, but long enough to look at" * 30)
    engine = open_engine(f"sqlite:///{path}")
    with pytest.raises(CatalogError, match=r"catalog\.db: cannot be used as a catalog"):
        Catalog(engine).create()
    engine.dispose()


def test_sqlite_is_opened_for_readers_beside_a_writer(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'deep' / 'catalog.db'}", busy_timeout=2.0)
    with engine.connect() as connection:
        names = ("journal_mode", "foreign_keys", "busy_timeout")
        pragmas = [connection.scalar(text(f"PRAGMA {name}")) for name in names]
    engine.dispose()
    assert pragmas == ["wal", 1, 2000]


def test_the_tables_are_known_to_postgresql() -> None:
    for table in tables.metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))
