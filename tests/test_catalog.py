"""The catalog: one truth a repository, one transaction a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes_catalog import CIVITAI, DAY, HF, Clock, begun, checkpoint, listing, page, skip
from sqlalchemy import Engine, event, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DatabaseError
from sqlalchemy.schema import CreateTable

from crawler.catalog import Catalog, CatalogError, Walk, tables
from crawler.catalog.engine import DatabaseError as UnusableDatabase
from crawler.catalog.engine import open_engine
from crawler.checkpoint import Base, Grade, Kind, Presence, Prompt, PromptOrigin, SkipReason

pytest_plugins = ("fakes_postgres",)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(engine: Engine, clock: Clock) -> Catalog:
    catalog = Catalog(engine, clock=clock)
    catalog.create()
    return catalog


@pytest.fixture
def walk(catalog: Catalog) -> Walk:
    return begun(catalog, HF, "lora")


def test_records_come_back_as_they_were(catalog: Catalog, walk: Walk) -> None:
    rows = [checkpoint(), replace(checkpoint(path="y.safetensors"), claims=(), prompts=(), downloads=None)]
    assert catalog.commit(walk, "lora", page(*rows, skip(repo="b/gated"))) == 2
    assert list(catalog.checkpoints()) == rows
    assert list(catalog.skips()) == [skip(repo="b/gated")]
    assert list(catalog.checkpoints(key=rows[1].key)) == [rows[1]]
    assert list(catalog.checkpoints(hub=CIVITAI)) == []
    assert list(catalog.checkpoints(hub=HF, repo="a/lora", kind=Kind.LORA, family="sd1")) == rows
    assert list(catalog.checkpoints(sha256="ab" * 32)) == rows
    assert catalog.skip_counts() == {SkipReason.GATED: 1}
    assert catalog.counts(HF)["checkpoints"] == 2
    assert catalog.counts(CIVITAI)["checkpoints"] == 0


def test_what_can_be_queried_stands_in_columns(catalog: Catalog, walk: Walk, engine: Engine) -> None:
    catalog.commit(walk, "lora", page(checkpoint()))
    with engine.connect() as db:
        row = db.execute(select(tables.checkpoint)).mappings().one()
        claims = db.execute(select(tables.claim).order_by(tables.claim.c.place)).mappings().all()
    assert row["key"] == checkpoint().key
    assert (row["base_repo"], row["base_grade"]) == ("a/base", Grade.DECLARED)
    assert row["sha256"] == "ab" * 32
    assert row["first_seen"] == row["last_seen"]
    assert [claim["source"] for claim in claims] == ["header digest", "card"]
    assert {claim["checkpoint_id"] for claim in claims} == {checkpoint().id}


def test_text_that_no_database_holds_is_replaced(catalog: Catalog, walk: Walk) -> None:
    broken = Prompt(text="a \x00 b \ud83d", origin=PromptOrigin.TRIGGER_WORDS)
    row = replace(checkpoint(), title="\ud800\x00", prompts=(broken,))
    said = listing(facts="\x00\ud800", revision="\x00")
    for _ in range(2):
        catalog.commit(walk, "lora", page(row, listings=[said]))
    (found,) = catalog.checkpoints()
    assert (found.title, found.prompts[0].text) == ("??", "a ? b ?")
    assert found.id == checkpoint().id
    assert catalog.counts()["repositories"] == 1


def test_cursor_and_rows_go_together(catalog: Catalog, walk: Walk) -> None:
    assert catalog.walks.cursor(HF, "lora") is None
    catalog.commit(walk, "lora", page(checkpoint(), listings=[listing()], cursor="next"))
    assert catalog.walks.cursor(HF, "lora") == "next"
    assert [(row.finished, row.pages, row.listed) for row in catalog.walks.shards(HF)] == [(False, 1, 1)]
    catalog.commit(walk, "lora", page())
    assert catalog.walks.cursor(HF, "lora") is None
    assert [(row.finished, row.pages, row.listed) for row in catalog.walks.shards(HF)] == [(True, 2, 1)]


def test_a_page_that_cannot_be_written_leaves_nothing(catalog: Catalog, walk: Walk, engine: Engine) -> None:
    with engine.begin() as db:
        tables.skip.drop(db)
    with pytest.raises(DatabaseError, match="skip"):
        catalog.commit(
            walk, "lora", page(checkpoint(), skip(repo="b/lora"), listings=[listing()], cursor="n")
        )
    assert list(catalog.checkpoints()) == []
    with engine.connect() as db:
        assert db.execute(select(tables.repository)).all() == []
    assert catalog.walks.cursor(HF, "lora") is None


def test_a_listing_seen_twice_in_a_walk_is_one_row(catalog: Catalog, walk: Walk, engine: Engine) -> None:
    for _ in range(2):
        catalog.commit(walk, "lora", page(checkpoint(), listings=[listing(), listing()]))
    assert catalog.counts()["repositories"] == catalog.counts()["checkpoints"] == 1
    assert catalog.walks.counts(walk) == (0, 1)


def test_a_new_revision_supersedes_the_old_one(catalog: Catalog, walk: Walk) -> None:
    both = [checkpoint(), checkpoint(path="gone.safetensors")]
    catalog.commit(walk, "lora", page(*both, listings=[listing()]))
    catalog.commit(walk, "lora", page(checkpoint(revision="r2"), listings=[listing(revision="r2")]))
    assert list(catalog.checkpoints()) == [checkpoint(revision="r2")]
    assert len(list(catalog.checkpoints(superseded=True))) == 3
    assert catalog.counts()["superseded"] == 2


def test_what_has_not_changed_is_not_decided_again(catalog: Catalog, walk: Walk) -> None:
    catalog.commit(walk, "lora", page(checkpoint(), listings=[listing()]), "rules")
    again = replace(checkpoint(), title="read in another way")
    catalog.commit(walk, "lora", page(again, listings=[listing(downloads=8)]), "rules")
    assert list(catalog.checkpoints()) == [checkpoint()]
    catalog.commit(walk, "lora", page(again, listings=[listing()]), "other rules")
    assert list(catalog.checkpoints()) == [again]


def test_gated_later_and_open_again_leave_one_truth(catalog: Catalog, walk: Walk) -> None:
    open_, gated = listing(), listing(presence=Presence.GATED)
    catalog.commit(walk, "lora", page(checkpoint(), listings=[open_]))
    catalog.commit(walk, "lora", page(skip(), listings=[gated]))
    assert list(catalog.checkpoints()) == []
    assert list(catalog.skips()) == [skip()]
    catalog.commit(walk, "lora", page(checkpoint(), listings=[open_]))
    assert list(catalog.checkpoints()) == [checkpoint()]
    assert list(catalog.skips()) == []


def test_a_repository_may_hold_checkpoints_and_skips_at_once(catalog: Catalog, walk: Walk) -> None:
    for rules in ("", "other"):
        rows = skip(), checkpoint(), skip(path="x.ckpt")
        catalog.commit(walk, "lora", page(*rows, listings=[listing()]), rules)
    assert list(catalog.checkpoints()) == [checkpoint()]
    assert list(catalog.skips()) == [skip(), skip(path="x.ckpt")]


def test_a_renamed_repository_stays_one(catalog: Catalog, walk: Walk) -> None:
    catalog.commit(walk, "lora", page(checkpoint(), listings=[listing()]))
    catalog.commit(walk, "lora", page(checkpoint(repo="b/new"), listings=[listing(repo="b/new")]))
    assert [found.repo for found in catalog.checkpoints()] == ["b/new"]
    assert catalog.counts()["repositories"] == 1


def test_most_downloaded_is_looked_into_first_and_once_a_walk(catalog: Catalog, walk: Walk) -> None:
    wanted = [("1", None), ("2", 5), ("3", 9)]
    listings = [listing(number, f"a/{number}", look=True, downloads=many) for number, many in wanted]
    catalog.commit(walk, "lora", page(listings=[*listings, listing("4", "a/4")]))
    assert [one.number for one in catalog.pending(walk, 10)] == ["3", "2", "1"]
    assert [one.number for one in catalog.pending(walk, 1)] == ["3"]
    assert catalog.counts()["unlooked"] == 3
    later = replace(skip(repo="a/2"), reason=SkipReason.DOWNLOAD_FAILED)
    catalog.commit_look(walk, listings[2], [checkpoint("a/3")])
    catalog.commit_look(walk, listings[1], [later])
    assert [one.number for one in catalog.pending(walk, 10)] == ["1"]
    assert catalog.walks.counts(walk) == (2, 1)
    catalog.walks.end(walk, complete=True)
    assert [one.number for one in catalog.pending(begun(catalog), 10)] == ["2", "1"]


def test_what_a_look_told_stays_until_the_next_look(catalog: Catalog, walk: Walk) -> None:
    catalog.commit(walk, "lora", page(listings=[listing(look=True)]))
    catalog.commit_look(walk, listing(), [checkpoint()])
    catalog.commit(walk, "lora", page(listings=[listing(revision="r2", look=True)]))
    assert list(catalog.checkpoints()) == [checkpoint()]
    assert len(catalog.pending(walk, 10)) == 0  # looked into in this walk
    catalog.walks.end(walk, complete=True)
    (again,) = catalog.pending(begun(catalog), 10)
    assert again.revision == "r2"


def test_bases_are_looked_up_once_in_a_while(catalog: Catalog, walk: Walk, clock: Clock) -> None:
    catalog.commit(walk, "lora", page(checkpoint()))
    base = Base(repo="a/base-renamed", revision="r", family="sd1", files=checkpoint().files)
    assert catalog.bases.wanted(again_after=DAY) == ["a/base"]
    assert catalog.bases.get("a/base") is None
    catalog.bases.put(base, repo="a/base")
    assert catalog.bases.wanted(again_after=DAY) == []
    assert catalog.bases.get("a/base") == base
    clock.move(days=1)
    assert catalog.bases.wanted(again_after=DAY) == ["a/base"]
    missing = replace(skip(repo="a/base"), reason=SkipReason.UNREACHABLE)
    catalog.bases.put(missing)
    assert catalog.bases.get("a/base") is None
    assert catalog.bases.missing() == {"a/base": missing}
    assert catalog.counts()["missing_bases"] == 1


def test_headers_and_answers_are_kept(catalog: Catalog) -> None:
    asked = catalog.asked
    assert asked.header("ab") is None
    assert asked.answer("tree a/b@c") is None
    for _ in range(2):
        asked.put_header("ab", b"\x00{}")
        asked.put_answer("tree a/b@c", b"[]" * 1000)
    assert asked.header("ab") == b"\x00{}"
    assert asked.answer("tree a/b@c") == b"[]" * 1000


def test_create_twice_changes_nothing(catalog: Catalog, walk: Walk) -> None:
    catalog.commit(walk, "lora", page(checkpoint()))
    catalog.create()
    assert list(catalog.checkpoints()) == [checkpoint()]


def test_a_catalog_of_the_first_schema_is_emptied(catalog: Catalog, walk: Walk, engine: Engine) -> None:
    catalog.commit(walk, "lora", page(checkpoint()))
    with engine.begin() as db:
        db.execute(update(tables.schema_version).values(version=1))
    Catalog(engine).create()
    assert list(catalog.checkpoints()) == []
    Catalog(engine).create()


def test_a_catalog_of_a_newer_version_is_left_alone(catalog: Catalog, engine: Engine) -> None:
    with engine.begin() as db:
        db.execute(update(tables.schema_version).values(version=tables.SCHEMA_VERSION + 1))
    with pytest.raises(CatalogError, match=r"schema 3, this version of leaksweep knows schema 2; install"):
        Catalog(engine).create()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    path.write_text("not a database, but long enough to look at" * 30)
    engine = open_engine(f"sqlite:///{path}")
    with pytest.raises(UnusableDatabase, match=r"catalog\.db cannot be used: file is not a database; name"):
        Catalog(engine).create()
    engine.dispose()


def test_sqlite_is_opened_for_readers_beside_a_writer(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'deep' / 'catalog.db'}", busy_timeout=2.0)
    with engine.connect() as db:
        names = ("journal_mode", "foreign_keys", "busy_timeout")
        pragmas = [db.scalar(text(f"PRAGMA {name}")) for name in names]
    engine.dispose()
    assert pragmas == ["wal", 1, 2000]


def test_the_tables_are_known_to_postgresql() -> None:
    for table in tables.metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_what_waits_to_be_looked_into_is_found_without_reading_all(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/catalog.db")
    catalog, asked = Catalog(engine), []
    catalog.create()
    event.listen(engine, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
    catalog.pending(begun(catalog), 10)
    statement, parameters = asked[-1]
    with engine.connect() as db:
        plan = db.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    engine.dispose()
    assert "repository_pending" in str(plan)
    assert "TEMP B-TREE" not in str(plan)
