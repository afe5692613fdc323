"""The audit log: who looked at what, and who decided what. Entries are added, and nothing else.

Each entry holds the digest of the one before, so that none can be changed, taken out or moved without the
rest telling. Only a cut at the end leaves a whole chain: it shows against a head that was kept elsewhere
(`leaksweep audit head`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    CursorResult,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    Text,
    cast,
    insert,
    select,
    text,
)

from crawler.catalog.engine import make_tables
from crawler.catalog.rows import storable
from reports.custody.append_only import seal_table
from reports.finding import ReportError

GENESIS = "0" * 64
"""What stands for the digest before the first entry."""
_LOCK = 0x61756474
"""Held in PostgreSQL from the reading of the head to the end of the transaction: one writer at a time."""

metadata = MetaData()

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("who", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous", String(64), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),
)
"""`detail` is canonical JSON, kept as the text that was digested."""

_BROUGHT = [column for column in audit.columns if column.name != "seq"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One act."""

    seq: int
    """From 1, without a gap."""
    at: str
    """ISO 8601, UTC."""
    who: str
    act: str
    """Such as "reveal", "label", "erase"."""
    subject: str
    """What it was done to: the id of a finding or an extraction, the name of a set."""
    detail: str
    """Canonical JSON of an object. Never hashes, pixels or lists' members."""
    previous: str
    """Digest of the entry before."""
    digest: str

    def details(self) -> dict[str, Any]:
        """`detail` as an object."""
        found: dict[str, Any] = json.loads(self.detail)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The first entry at which the chain does not hold."""

    seq: int
    kind: str
    """"changed", "missing", "out of order" or "cut off"."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCheck:
    """What a reading of the whole log came to."""

    entries: int
    head: str
    """Digest of the last entry that was read."""
    fault: Fault | None

    @property
    def whole(self) -> bool:
        return self.fault is None


class AuditLog:
    """The log in the SQL database.

    Args:
        engine: from `crawler.catalog.engine.open_engine`.
        clock: the time that is written down, as ISO 8601, UTC.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], str] = lambda: datetime.now(UTC).isoformat(timespec="microseconds"),
    ) -> None:
        self._engine = engine
        self._clock = clock
        with engine.begin() as db:
            make_tables(db, metadata.sorted_tables)
            seal_table(db, audit)

    def append(
        self,
        who: str,
        act: str,
        subject: str,
        detail: Mapping[str, Any] | None = None,
        *,
        db: Connection | None = None,
    ) -> Entry:
        """Add an entry, and return it.

        Args:
            detail: what JSON can hold. Never hashes, pixels or lists' members.
            db: a transaction to take part in: the entry is then kept when that is, and not before.

        Raises:
            ReportError: the detail is no JSON.
        """
        brought = {
            "who": storable(who),
            "act": act,
            "subject": storable(subject),
            "detail": _json(detail or {}),
        }
        with nullcontext(db) if db is not None else self._engine.begin() as transaction:
            _hold_the_end(transaction)
            last = transaction.execute(
                select(audit.c.seq, audit.c.digest).order_by(audit.c.seq.desc()).limit(1)
            ).first()
            seq, previous = (last.seq + 1, last.digest) if last else (1, GENESIS)
            fields: dict[str, Any] = {"seq": seq, "at": self._clock(), **brought, "previous": previous}
            entry = Entry(**fields, digest=_digest(fields))
            transaction.execute(insert(audit).values(**asdict(entry)))
        return entry

    def entries(self, subject: str | None = None) -> Iterator[Entry]:
        """All entries in their order, or those about one subject."""
        statement = select(audit).order_by(audit.c.seq)
        if subject is not None:
            statement = statement.where(audit.c.subject == storable(subject))
        with self._engine.connect() as db, closing(_read(db, statement)) as rows:
            for row in rows.mappings():
                yield Entry(**row)

    def head(self) -> Entry | None:
        """The last entry; None when there is none yet."""
        with self._engine.connect() as db:
            row = db.execute(select(audit).order_by(audit.c.seq.desc()).limit(1)).mappings().first()
        return Entry(**row) if row else None

    def verify(self, anchor: str | None = None) -> AuditCheck:
        """Read the whole log, and find the first entry that was changed, taken out or moved.

        Args:
            anchor: digest of an entry as it was known before; when it is not in the log, its end was cut off.
        """
        last, previous, met = 0, GENESIS, anchor in {None, GENESIS}
        with self._engine.connect() as db, closing(_read(db, _as_stored(db))) as rows:
            for row in rows.mappings():
                fault = _fault(dict(row), last, previous)
                if fault:
                    return AuditCheck(entries=last, head=previous, fault=fault)
                last, previous = row["seq"], _text(row["digest"])
                met = met or previous == anchor
        if met:
            return AuditCheck(entries=last, head=previous, fault=None)
        said = f"the log ends with entry {last}, and the entry that was kept elsewhere is not in it"
        return AuditCheck(entries=last, head=previous, fault=Fault(seq=last + 1, kind="cut off", text=said))


def _read(db: Connection, statement: Select[Any]) -> CursorResult[Any]:
    """Rows as they come, so that a log of any length can be read."""
    return db.execution_options(yield_per=1000).execute(statement)


def _hold_the_end(db: Connection) -> None:
    """Let nobody else append until this transaction ends."""
    if db.dialect.name == "postgresql":
        db.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    # The driver begins a transaction at the first write only, which is after the head was read.
    elif not db.connection.in_transaction:
        db.exec_driver_sql("BEGIN IMMEDIATE")


def _json(value: Mapping[str, Any]) -> str:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ReportError(
            f"detail of an audit entry: {error}; give text, numbers, lists and objects"
        ) from error


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(_json({name: fields[name] for name in _DIGESTED}).encode()).hexdigest()


_DIGESTED = [column.name for column in audit.columns if column.name != "digest"]


def _as_stored(db: Connection) -> Select[Any]:
    """Every row, its texts as bytes where the database does not see to it that they are text."""
    if db.dialect.name == "postgresql":
        return select(audit).order_by(audit.c.seq)
    return select(
        audit.c.seq, *(cast(column, LargeBinary).label(column.name) for column in _BROUGHT)
    ).order_by(audit.c.seq)


def _text(stored: str | bytes) -> str:
    return stored.decode() if isinstance(stored, bytes) else stored


def _fault(row: Mapping[str, Any], last: int, previous: str) -> Fault | None:
    seq = row["seq"]
    try:
        fields = {name: _text(value) if name != "seq" else value for name, value in row.items()}
    except UnicodeDecodeError:
        return Fault(seq=seq, kind="changed", text=f"entry {seq} was changed: it is no text any more")
    if fields["digest"] != _digest(fields):
        return Fault(seq=seq, kind="changed", text=f"entry {seq} was changed: its digest is another one")
    if seq != last + 1:
        said = f"entry {last + 1} is missing: entry {seq} is the next"
        return Fault(seq=last + 1, kind="missing", text=said)
    if fields["previous"] != previous:
        said = f"entry {seq} does not follow the one before it: one of them was put in another's place"
        return Fault(seq=seq, kind="out of order", text=said)
    return None
