"""The audit log holds what was added, in order, and tells when it does not."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fakes_writers import append_many
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from crawler.catalog.engine import open_engine
from reports.custody.audit import GENESIS, AuditLog, audit
from reports.finding import ReportError

pytest_plugins = ("fakes_postgres",)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def a_log(engine: Engine, entries: int = 5) -> AuditLog:
    ticks = count()
    log = AuditLog(engine, clock=lambda: f"2026-11-24T03:00:{next(ticks):02d}+00:00")
    for number in range(entries):
        log.append("ann", "label", f"finding-{number}", {"label": "confirmed", "note": "a 'ä' \0"})
    return log


def tamper(engine: Engine, *statements: Any) -> None:
    """What somebody with rights on the database can do."""
    with engine.begin() as db:
        if engine.dialect.name == "postgresql":
            db.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        else:
            for name in ("no_update", "no_delete", "no_replace"):
                db.execute(text(f"DROP TRIGGER IF EXISTS audit_{name}"))
        for statement in statements:
            db.execute(statement)


def test_entries_come_back_as_they_were_added(engine: Engine) -> None:
    log = a_log(engine, 3)
    last = log.append("ben\0\ud800", "reveal", "finding-1", {"score": 0.5})
    assert [one.subject for one in log.entries()] == ["finding-0", "finding-1", "finding-2", "finding-1"]
    assert [one.who for one in log.entries("finding-1")] == ["ann", "ben??"]
    assert log.head() == last
    assert last.details() == {"score": 0.5}
    first, *_ = log.entries()
    assert first.previous == GENESIS
    check = log.verify()
    assert (check.whole, check.entries, check.head) == (True, 4, last.digest)


def test_an_empty_log_is_whole(engine: Engine) -> None:
    log = AuditLog(engine)
    assert log.head() is None
    assert log.verify().whole
    assert log.verify(GENESIS).whole


def test_opening_again_changes_nothing(engine: Engine) -> None:
    a_log(engine)
    assert AuditLog(engine).verify().entries == 5


@pytest.mark.parametrize(
    "statement",
    [
        update(audit).values(who="nobody"),
        update(audit).where(audit.c.seq == 2).values(seq=99),
        delete(audit),
        delete(audit).where(audit.c.seq == 5),
    ],
)
def test_the_database_refuses_to_change_or_delete_an_entry(engine: Engine, statement: Any) -> None:
    log = a_log(engine)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as db:
        db.execute(statement)
    assert log.verify().entries == 5


def test_sqlite_refuses_to_put_an_entry_in_anothers_place(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'a.db'}")
    log = a_log(engine)
    with engine.connect() as db:
        row = dict(db.execute(select(audit).where(audit.c.seq == 2)).mappings().one())
    for changed in ({"who": "eve"}, {"seq": 99}):
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as db:
            db.execute(insert(audit).prefix_with("OR REPLACE").values(**(row | changed)))
    assert log.verify().entries == 5
    engine.dispose()


def test_postgresql_refuses_to_empty_the_table(postgres: str, database_url: str) -> None:
    if database_url.startswith("sqlite"):
        return
    engine = open_engine(database_url)
    log = a_log(engine)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as db:
        db.execute(text("TRUNCATE audit"))
    assert log.verify().entries == 5
    engine.dispose()


@pytest.mark.parametrize("column", [name.name for name in audit.columns])
def test_a_changed_field_is_found(engine: Engine, column: str) -> None:
    log, seq = a_log(engine), 3
    with engine.connect() as db:
        stored = db.scalar(select(audit.c[column]).where(audit.c.seq == seq))
    other: Any = stored + 100 if isinstance(stored, int) else f"{stored}x"[-64:]
    tamper(engine, update(audit).where(audit.c.seq == seq).values({column: other}))
    check = log.verify()
    assert check.fault is not None
    assert check.fault.kind in {"changed", "missing"}
    assert check.fault.seq == seq or column == "seq"


@pytest.mark.parametrize(("gone", "kind"), [(1, "missing"), (3, "missing")])
def test_a_missing_entry_is_named(engine: Engine, gone: int, kind: str) -> None:
    log = a_log(engine)
    tamper(engine, delete(audit).where(audit.c.seq == gone))
    fault = log.verify().fault
    assert fault is not None
    assert (fault.kind, fault.seq) == (kind, gone)
    assert f"entry {gone} is missing" in fault.text


def test_two_entries_that_changed_places_are_found(engine: Engine) -> None:
    log = a_log(engine)
    swap = [
        update(audit).where(audit.c.seq == old).values(seq=new) for old, new in ((2, 90), (3, 2), (90, 3))
    ]
    tamper(engine, *swap)
    fault = log.verify().fault
    assert fault is not None
    assert fault.seq == 2


def test_an_entry_of_another_log_is_found(engine: Engine, tmp_path: Path) -> None:
    """Right in itself, but not what followed here."""
    log = a_log(engine)
    elsewhere = open_engine(f"sqlite:///{tmp_path / 'other.db'}")
    theirs = AuditLog(elsewhere)
    for number in range(3):
        other = theirs.append("eve", "erase", str(number))
    elsewhere.dispose()
    values = {name.name: getattr(other, name.name) for name in audit.columns}
    tamper(engine, update(audit).where(audit.c.seq == 3).values(**values))
    fault = log.verify().fault
    assert fault is not None
    assert (fault.kind, fault.seq) == ("out of order", 3)


def test_a_cut_at_the_end_shows_against_an_anchor_alone(engine: Engine) -> None:
    log = a_log(engine)
    head = log.head()
    assert head is not None
    log.append("ann", "reveal", "finding-9")
    assert log.verify(head.digest).whole
    tamper(engine, delete(audit).where(audit.c.seq >= 5))
    assert log.verify().whole
    fault = log.verify(head.digest).fault
    assert fault is not None
    assert (fault.kind, fault.seq) == ("cut off", 5)


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('audit') / 'a.db'}")
    a_log(engine)
    tamper(engine)
    yield engine
    engine.dispose()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_single_change_of_a_stored_byte_is_found(chained: Engine, data: st.DataObject) -> None:
    """SQLite keeps whatever bytes it is given, text or not."""
    seq = data.draw(st.integers(1, 5))
    column = data.draw(st.sampled_from([one.name for one in audit.columns if one.name != "seq"]))
    with closing(chained.raw_connection()) as raw:
        db = raw.cursor()
        (stored,) = db.execute(f"SELECT CAST({column} AS BLOB) FROM audit WHERE seq = ?", (seq,)).fetchone()
        place = data.draw(st.integers(0, len(stored) - 1))
        byte = data.draw(st.integers(0, 255).filter(lambda value: value != stored[place]))
        changed = stored[:place] + bytes([byte]) + stored[place + 1 :]
        put = f"UPDATE audit SET {column} = CAST(? AS TEXT) WHERE seq = ?"
        db.execute(put, (changed, seq))
        raw.commit()
        check = AuditLog.verify(_without_triggers(chained))
        db.execute(put, (stored, seq))
        raw.commit()
    assert check.fault is not None
    assert check.fault.seq == seq
    assert AuditLog.verify(_without_triggers(chained)).whole


def _without_triggers(engine: Engine) -> AuditLog:
    """A log that is opened for reading, as its constructor would put the triggers back."""
    log = AuditLog.__new__(AuditLog)
    log._engine = engine
    return log


def test_an_entry_shares_the_fate_of_the_transaction_it_is_part_of(engine: Engine) -> None:
    log = a_log(engine, 1)
    with engine.begin() as db:
        log.append("ann", "label", "finding-7", db=db)
        db.rollback()
    with engine.begin() as db:
        log.append("ann", "label", "finding-8", db=db)
        log.append("ann", "reveal", "finding-8", db=db)
    assert [one.subject for one in log.entries()] == ["finding-0", "finding-8", "finding-8"]
    assert log.verify().whole


@pytest.mark.parametrize("detail", [{"score": float("nan")}, {"picture": b"\x89PNG"}])
def test_what_is_no_json_is_no_detail(engine: Engine, detail: Any) -> None:
    log = AuditLog(engine)
    with pytest.raises(ReportError, match="detail of an audit entry"):
        log.append("ann", "reveal", "finding-1", detail)
    assert log.head() is None


def test_processes_that_append_at_once_keep_one_chain(engine: Engine, database_url: str) -> None:
    log = AuditLog(engine)
    spawn = multiprocessing.get_context("spawn")
    begin = spawn.Barrier(2)
    names = ("ann", "ben")
    writers = [spawn.Process(target=append_many, args=(database_url, name, begin)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    check = log.verify()
    assert (check.whole, check.entries) == (True, 40)
    for name in names:
        assert [one.subject for one in log.entries() if one.who == name] == [str(n) for n in range(20)]
