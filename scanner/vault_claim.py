"""Which master key a home has: another one is refused before anything is sealed with it."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, select, update

from crawler.catalog.engine import make_tables
from scanner.key_change import KeyChanges
from scanner.tables import insert_into
from scanner.vault import VARIABLE, Vault, VaultError

metadata = MetaData()
master_key = Table(
    "master_key",
    metadata,
    Column("one", Integer, primary_key=True),
    Column("fingerprint", String(8), nullable=False),
)


def claimed(engine: Engine) -> str | None:
    """Fingerprint of the key of this database's home; None for a new one."""
    with engine.begin() as db:
        make_tables(db, metadata.sorted_tables)
        return db.execute(select(master_key.c.fingerprint)).scalar_one_or_none()


def claim(engine: Engine, vault: Vault) -> None:
    """Take a key for this home, or see that it is the one that was taken.

    Raises:
        VaultError: it is another one.
    """
    with engine.begin() as db:
        first = insert_into(master_key, engine).values(one=1, fingerprint=vault.fingerprint)
        db.execute(first.on_conflict_do_nothing())
        found = db.execute(select(master_key.c.fingerprint)).scalar_one()
    if found != vault.fingerprint:
        until = KeyChanges(engine).earlier().get(vault.fingerprint)
        before = f"; it was this home's key until it was changed on {until[:10]}" if until else ""
        raise VaultError(
            f"{vault.origin}: is another key (fingerprint {vault.fingerprint}) than this home's "
            f"({found}){before}; set {VARIABLE} or key_file to the key {found}, or use another --home"
        )


def hand_over(db: Connection, later: str) -> None:
    """Make the key of this fingerprint the home's, in the caller's transaction."""
    db.execute(update(master_key).values(fingerprint=later))
