"""One key for each picture, in the SQL store: to drop it is to erase the picture, wherever copies lie.

LanceDB keeps old versions of what was deleted, and so does every back-up. Pictures are therefore encrypted
with keys that live elsewhere, in a database that can forget: a dropped key is overwritten, not just unlinked.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    select,
    text,
    update,
)
from sqlalchemy.exc import OperationalError

from crawler.catalog.engine import BYTEWISE, make_tables, upsert
from scanner.vault import KEY_BYTES, Vault

logger = logging.getLogger(__name__)

metadata = MetaData()
pictures = Table(
    "picture_key",
    metadata,
    Column("extraction_id", BYTEWISE, primary_key=True),
    Column("sealed_key", LargeBinary),
    Column("made_at", Text, nullable=False),
    Column("matched", Boolean),
    Column("run", Integer),
    Column("dropped_at", Text),
    Column("dropped_why", String(32)),
    Index("picture_key_by_drop", "dropped_at"),
)
"""`sealed_key` is null once dropped; `matched` is null before the first matching, `run` is its number."""

_AT_ONCE = 500
"""Ids in one statement; SQLite takes 32,766 parameters at most."""

_PATIENCE = 10
"""Seconds that PostgreSQL waits for those who read the table of keys before it is written anew."""
_LOCK_NOT_AVAILABLE = "55P03"
_OTHERS_LOOK_BACK = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL"
)
"""Sessions that may still see the database as it was, so that old rows have to stay for them."""
_STATISTICS = (
    "SELECT attstattarget FROM pg_attribute "
    "WHERE attrelid = CAST('picture_key' AS regclass) AND attname = 'sealed_key'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFate:
    """What became of a picture."""

    extraction_id: str
    made_at: str
    """ISO 8601, UTC; likewise the next."""
    matched: bool | None
    dropped_at: str | None
    dropped_why: str | None


class PictureKeys:
    """The keys, themselves sealed with the home's master key."""

    def __init__(self, engine: Engine, vault: Vault) -> None:
        self.engine = engine
        self.vault = vault
        with engine.begin() as db:
            make_tables(db, metadata.sorted_tables)
            _keep_out_of_statistics(db)

    def make(self, ids: Iterable[str], now: datetime) -> dict[str, bytes]:
        """Give each picture a new key, in place of what an earlier attempt left; return the keys."""
        keys = {name: os.urandom(KEY_BYTES) for name in ids}
        rows = [
            {
                "extraction_id": name,
                "sealed_key": self.vault.seal(key, _about(name)),
                "made_at": _stamp(now),
                "matched": None,
                "run": None,
                "dropped_at": None,
                "dropped_why": None,
            }
            for name, key in keys.items()
        ]
        with self._writing() as db:
            upsert(db, pictures, rows)
        return keys

    def of(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The keys of those pictures that have one.

        Raises:
            VaultError: they were sealed with another master key.
        """
        found: dict[str, bytes] = {}
        with self.engine.connect() as db:
            for part in _parts(ids):
                query = select(pictures.c.extraction_id, pictures.c.sealed_key).where(
                    pictures.c.extraction_id.in_(part), pictures.c.sealed_key.is_not(None)
                )
                found |= {name: self.vault.open(sealed, _about(name)) for name, sealed in db.execute(query)}
        return found

    def sealed(self, ids: Collection[str]) -> list[bytes]:
        """Keys as they lie in the database."""
        query = select(pictures.c.sealed_key).where(pictures.c.sealed_key.is_not(None))
        with self.engine.connect() as db:
            return [
                key
                for part in _parts(sorted(ids))
                for key in db.scalars(query.where(pictures.c.extraction_id.in_(part)))
            ]

    def opened_seals(self) -> Iterator[bytes]:
        """Open all keys, and yield each as it lies in the database.

        Raises:
            VaultError: another master key sealed one, or it is damaged.
        """
        for part in self._all():
            for name, sealed in part:
                self.vault.open(sealed, _about(name))
                yield sealed

    def reseal(self) -> None:
        """Seal all keys anew, and overwrite what was sealed before. Killed anywhere, it can be done again.

        Raises:
            VaultError: a key that the vault does not know sealed one of them.
        """
        for part in self._all():
            with self._writing() as db:
                for name, sealed in part:
                    anew = self.vault.reseal(sealed, _about(name))
                    db.execute(
                        update(pictures).where(pictures.c.extraction_id == name).values(sealed_key=anew)
                    )
        self.scrub()

    def _all(self) -> Iterator[list[tuple[str, bytes]]]:
        """Ids and sealed keys of all pictures that have one, in parts, by id."""
        query = (
            select(pictures.c.extraction_id, pictures.c.sealed_key)
            .where(pictures.c.sealed_key.is_not(None))
            .order_by(pictures.c.extraction_id)
            .limit(_AT_ONCE)
        )
        last = ""
        while True:
            with self.engine.connect() as db:
                part = [(name, key) for name, key in db.execute(query.where(pictures.c.extraction_id > last))]
            if not part:
                return
            yield part
            last = part[-1][0]

    def held(self, job_id: str | None = None) -> frozenset[str]:
        """Ids of all pictures, or of a job's, that have a key."""
        query = select(pictures.c.extraction_id).where(pictures.c.sealed_key.is_not(None))
        if job_id is not None:
            query = query.where(pictures.c.extraction_id.startswith(f"{job_id}-", autoescape=True))
        with self.engine.connect() as db:
            return frozenset(db.scalars(query))

    def fates(self) -> Iterator[PictureFate]:
        """What became of every picture that ever had a key, by id."""
        columns = [pictures.c[name] for name in PictureFate.__slots__]
        with self.engine.connect() as db:
            for row in db.execute(select(*columns).order_by(pictures.c.extraction_id)).mappings():
                yield PictureFate(**row)

    def settle(self, db: Connection, run: int, matched: Collection[str], unmatched: Collection[str]) -> None:
        """Record in the caller's transaction what a matching says of each picture; drops nothing."""
        for verdict, ids in ((True, matched), (False, unmatched)):
            for part in _parts(sorted(ids)):
                rows = pictures.c.extraction_id.in_(part)
                db.execute(update(pictures).where(rows).values(matched=verdict, run=run))

    def drop(self, db: Connection, ids: Collection[str], why: str, now: datetime) -> int:
        """Overwrite keys in the caller's transaction; return how many were there.

        Call `scrub` after it: until then a write-ahead log may still hold them.
        """
        dropped = 0
        for part in _parts(sorted(ids)):
            query = update(pictures).where(
                pictures.c.extraction_id.in_(part), pictures.c.sealed_key.is_not(None)
            )
            values = {"sealed_key": None, "dropped_at": _stamp(now), "dropped_why": why}
            dropped += db.execute(query.values(values)).rowcount
        return dropped

    def scrub(self) -> None:
        """Take dropped keys out of the database's files: its write-ahead log, and pages that it has freed.

        On PostgreSQL this writes the table anew; the server's write-ahead log and its back-ups keep what they
        keep. Where others are in the way, a warning says so, and the next matching does it.
        """
        rewrite = _scrub_sqlite if self.engine.dialect.name == "sqlite" else _scrub_postgresql
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            if not rewrite(db):
                logger.warning(
                    "the database is being read, so dropped keys stay in its files until the next matching"
                )

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self.engine.begin() as db:
            overwriting(db)
            yield db


def overwriting(db: Connection) -> None:
    """Have this connection's database overwrite with zeros what is deleted or replaced."""
    if db.dialect.name == "sqlite":
        db.execute(text("PRAGMA secure_delete = ON")).all()


def _scrub_sqlite(db: Connection) -> bool:
    # SQLite answers with a first column of 1 when another connection is in the way.
    return not db.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()[0]


def _scrub_postgresql(db: Connection) -> bool:
    """Whether nobody was in the way. A mere VACUUM frees the room of old rows, and leaves the bytes there."""
    others = db.scalar(text(_OTHERS_LOOK_BACK))
    db.execute(text(f"SET lock_timeout = '{_PATIENCE}s'"))
    try:
        db.execute(text("VACUUM (FULL) picture_key"))
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        return False
    finally:
        db.execute(text("RESET lock_timeout"))
    return not others


def _keep_out_of_statistics(db: Connection) -> None:
    """PostgreSQL copies some of each column's values to where nothing of ours could erase them."""
    if db.dialect.name != "postgresql":
        return
    if db.scalar(text(_STATISTICS)) != 0:
        db.execute(text("ALTER TABLE picture_key ALTER COLUMN sealed_key SET STATISTICS 0"))


def _about(extraction_id: str) -> str:
    return f"key of picture {extraction_id}"


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds")


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]
