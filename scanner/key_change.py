"""The journal of changes of a home's master key: a kill half-way is found, and the change is ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
    select,
    update,
)

from crawler.catalog.engine import make_tables
from scanner.seal_marks import SealMarks
from scanner.vault import VaultError

metadata = MetaData()
changes = Table(
    "key_change",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("earlier", String(8), nullable=False),
    Column("later", String(8), nullable=False),
    Column("later_file", Text),
    Column("replaces", Text),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("begun_at", Text, nullable=False),
    Column("seals", LargeBinary, nullable=False),
    Column("receipt", Text),
    Column("ended_at", Text),
)

_TOLD = ("number", "earlier", "later", "later_file", "replaces", "who", "why", "begun_at", "receipt")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """One change, from the moment it is decided."""

    number: int
    earlier: str
    """Fingerprint of the key that goes; likewise the next, of the one that comes."""
    later: str
    later_file: str | None
    """Where the key that comes lies; None when it is given in the environment."""
    replaces: str | None
    """The key file whose place the later one takes at the end; None when none is touched."""
    who: str
    why: str
    begun_at: str
    """ISO 8601, UTC."""
    receipt: str | None
    """Signed by the later key, which is this home's from then on; None before."""


class KeyChanges:
    """All changes of a home's key."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        with engine.begin() as db:
            make_tables(db, metadata.sorted_tables)

    def begin(
        self,
        *,
        earlier: str,
        later: str,
        later_file: str | None,
        replaces: str | None,
        who: str,
        why: str,
        begun_at: str,
        seals: SealMarks,
    ) -> KeyChange:
        """Write down what is to change, before anything does; fields as in `KeyChange`."""
        row: dict[str, Any] = {
            "earlier": earlier,
            "later": later,
            "later_file": later_file,
            "replaces": replaces,
            "who": who,
            "why": why,
            "begun_at": begun_at,
        }
        with self.engine.begin() as db:
            number = db.scalar(insert(changes).values(**row, seals=seals.stored).returning(changes.c.number))
        return KeyChange(number=int(number or 0), **row, receipt=None)

    def under_way(self) -> KeyChange | None:
        """The change that was begun and not ended; None when there is none."""
        query = select(*(changes.c[name] for name in _TOLD)).where(changes.c.ended_at.is_(None))
        with self.engine.connect() as db:
            row = db.execute(query).mappings().one_or_none()
        return KeyChange(**row) if row else None

    def seals(self, number: int) -> SealMarks:
        """What the earlier key had sealed when the change was begun."""
        with self.engine.connect() as db:
            return SealMarks(
                db.execute(select(changes.c.seals).where(changes.c.number == number)).scalar_one()
            )

    def settle(self, db: Connection, number: int, receipt: str) -> None:
        """Write down, in the caller's transaction, that nothing is left of the earlier key."""
        db.execute(update(changes).where(changes.c.number == number).values(receipt=receipt, seals=b""))

    def end(self, number: int, ended_at: str) -> None:
        """Write down that the later key lies where it belongs."""
        with self.engine.begin() as db:
            db.execute(update(changes).where(changes.c.number == number).values(ended_at=ended_at))

    def earlier(self) -> dict[str, str]:
        """Fingerprints of the keys that were this home's, and until when (ISO 8601, UTC)."""
        query = select(changes.c.earlier, changes.c.ended_at).where(changes.c.ended_at.is_not(None))
        with self.engine.connect() as db:
            return {row.earlier: row.ended_at for row in db.execute(query)}

    def receipts(self) -> list[str]:
        """The receipts of all changes, as they were signed."""
        query = select(changes.c.receipt).where(changes.c.receipt.is_not(None)).order_by(changes.c.number)
        with self.engine.connect() as db:
            return [str(one) for one in db.scalars(query)]


def refuse_while_changing(engine: Engine) -> None:
    """See that no change of the key waits to be ended.

    Raises:
        VaultError: one does; the message says how to end it.
    """
    one = KeyChanges(engine).under_way()
    if one is not None:
        raise VaultError(
            f"the master key of this home is being changed from {one.earlier} to {one.later} (begun "
            f"{one.begun_at} by {one.who}), and that was cut off; end it first: leaksweep key rotate"
        )
