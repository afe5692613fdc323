"""Custody on both databases: keys that go are gone, acts at once, and a whole night."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from fakes_home import opened_home
from fakes_matching import NOW, World, extraction, fill, picture, scan
from fakes_references import codes, csv_list
from fakes_scanner import VAULT
from killed import eraser
from sqlalchemy import Engine, text

from crawler.catalog.engine import open_engine
from leaksweep.erasing import expire
from reports.custody import receipt
from reports.custody.audit import AuditLog
from reports.custody.holds import Holds
from reports.finding import FindingState, ReportError
from reports.references.store import References
from reports.references.withdrawals import Withdrawals
from scanner import picture_keys
from scanner.picture_keys import PictureKeys

pytest_plugins = ("fakes_postgres",)

IDS = [f"job-{number:03d}" for number in range(200)]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def server_files(postgres: str) -> Path:
    """The server's own folder."""
    return Path(postgres.partition("?host=")[2]) / "data"


def at_once(url: str, act: Callable[[Engine, int], Any], count: int = 2) -> list[Any]:
    """What an act returns, or raises, of several processes that do it together: each has its own engine."""
    ready = Barrier(count)

    def one(number: int) -> Any:
        engine = open_engine(url)
        try:
            ready.wait(60)
            return act(engine, number)
        except ReportError as error:
            return error
        finally:
            engine.dispose()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def drop(engine: Engine, ids: list[str]) -> int:
    keys = PictureKeys(engine, VAULT)
    with engine.begin() as db:
        picture_keys.overwriting(db)
        dropped = keys.drop(db, ids, "unmatched", NOW)
    keys.scrub()
    return dropped


def test_a_dropped_key_is_in_none_of_the_servers_tables(
    server_files: Path, database_url: str, engine: Engine
) -> None:
    """Nor in the statistics that the server keeps of each column. Its write-ahead log is its own."""
    if engine.dialect.name != "postgresql":
        return
    keys = PictureKeys(engine, VAULT)
    keys.make(IDS, NOW)
    seals = keys.sealed(IDS[::3])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(text("ANALYZE picture_key"))
        assert drop(engine, IDS[::3]) == len(seals)
        db.execute(text("CHECKPOINT"))
    tables = [path.read_bytes() for path in (server_files / "base").rglob("*") if path.is_file()]
    assert not [seal for seal in seals if any(seal in table for table in tables)]
    assert all(any(seal in table for table in tables) for seal in keys.sealed(IDS[1::3]))


@pytest.mark.parametrize("statement", ["SELECT * FROM other", "LOCK TABLE picture_key IN ACCESS SHARE MODE"])
def test_who_looks_back_at_dropped_keys_is_told_of(
    engine: Engine,
    statement: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if engine.dialect.name != "postgresql":
        return
    monkeypatch.setattr(picture_keys, "_PATIENCE", 0.1)
    PictureKeys(engine, VAULT).make(IDS[:3], NOW)
    with engine.begin() as db:
        db.execute(text("CREATE TABLE other (id INTEGER)"))
    reader = engine.connect().execution_options(isolation_level="REPEATABLE READ")
    with reader, caplog.at_level(logging.WARNING):
        reader.execute(text(statement))
        assert drop(engine, IDS[:1]) == 1
    assert "dropped keys stay in its files until the next matching" in caplog.text
    caplog.clear()
    PictureKeys(engine, VAULT).scrub()
    assert caplog.text == ""


def test_keys_that_two_drop_at_once_are_dropped_once(database_url: str, engine: Engine) -> None:
    keys = PictureKeys(engine, VAULT)
    keys.make(IDS, NOW)
    dropped = at_once(database_url, lambda engine, number: drop(engine, IDS[50 * number : 50 * number + 100]))
    assert sum(dropped) == 150
    assert keys.held() == frozenset(IDS[150:])


def test_of_two_that_hold_one_thing_at_once_one_is_told(database_url: str, engine: Engine) -> None:
    holds = Holds(engine)

    def put(engine: Engine, number: int) -> None:
        with engine.begin() as db:
            Holds(engine).put(db, "x-000", f"person {number}", "court")

    told = at_once(database_url, put)
    assert sorted(str(one).partition(";")[0] for one in told) == ["None", "x-000: is held already"]
    with engine.begin() as db:
        holds.release(db, "x-000", "ann")
    assert holds.subjects() == frozenset()


def test_two_may_withdraw_the_same_at_once(database_url: str, engine: Engine) -> None:
    def put(engine: Engine, number: int) -> None:
        for name in map(str, range(20)):
            Withdrawals(engine).put("artist", name, who=f"person {number}", why="asked")

    assert at_once(database_url, put) == [None, None]
    assert len(Withdrawals(engine).all({})) == 20


def test_what_a_terminal_gives_need_be_no_text(tmp_path: Path, engine: Engine) -> None:
    references = References(tmp_path / "lance", VAULT, engine)
    references.add_list(
        "partner", csv_list(tmp_path / "list.csv", {"value": codes(1)[0].hex(), "ref_id": "犬"})
    )
    references.withdraw("partner", "犬", "ann\udcff", "why\0")
    (told,) = references.withdrawn().values()
    assert (told.ref_id, told.who, told.why) == ("犬", "ann?", "why?")
    holds = Holds(engine)
    with engine.begin() as db:
        holds.put(db, "x\udcff", "ann\udcff", "court\0")
    assert holds.subjects() == {"x?"}
    with engine.begin() as db:
        holds.release(db, "x\udcff", "ann\udcff")
    assert holds.subjects() == frozenset()


def test_a_night_from_end_to_end(
    tmp_path: Path, home_database: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    world = fill(home, home_database)
    scan(world.extractions, "dogs", extraction(0, picture(1), picture(30)))
    assert (world.match().erased, world.match().kept) == (2, 4)
    found = {one.match.ref_id: one for one in world.store.findings()}
    first, second = found["1.png"], found["2.png"]

    with world.engine.begin() as db:
        world.desk.holds.put(db, second.id, "ben", "court")
    with pytest.raises(ReportError, match="is under a legal hold"):
        eraser(world).erase_extractions("x", [second.match.extraction_id], who="ann", why="asked")

    world.references.withdraw("artist", "1.png", "ann", "asked by the artist")
    assert world.match().withdrawn >= 1
    assert {one.state for one in world.store.findings() if one.match.ref_id == "1.png"} == {
        FindingState.WITHDRAWN
    }

    done = eraser(world).erase_extractions("x", [first.match.extraction_id], who="ann", why="asked")
    told = receipt.check(done.receipt, VAULT)
    assert (told["found"], told["extraction_ids"]) == (0, [first.match.extraction_id])
    assert told["not_read"] == ([] if home_database is None else ["the database server's own files"])

    monkeypatch.setenv("LEAKSWEEP_KEY", "A" * 43 + "=")
    rules = {"reports__retention__pixels_days": 0, "reports__retention__hashes_days": 0}
    with opened_home(home, database=home_database, **rules) as stores:
        expired = expire(stores, datetime(2027, 11, 24, tzinfo=UTC))
        assert stores.extractions.image_ids() == {second.match.extraction_id}
    assert expired.pictures >= 1
    assert expired.held == 1
    world.engine.dispose()

    world = World(home, home_database)  # as the next command opens it
    with pytest.raises(ReportError, match="is under a legal hold"):
        eraser(world).erase_set("artist", who="ann", why="the agreement ended")
    with world.engine.begin() as db:
        world.desk.holds.release(db, second.id, "ben")
    eraser(world).erase_set("artist", who="ann", why="the agreement ended")
    assert world.extractions.image_ids() == frozenset()
    assert [one.name for one in world.references.sets()] == ["decoys"]
    log = AuditLog(world.engine)
    assert [one.act for one in log.entries()] == ["erase"] * 3
    assert log.verify().whole
    world.engine.dispose()
