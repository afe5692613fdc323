"""Which master key a home was begun with: another one is refused before anything is sealed with it."""

from __future__ import annotations

from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, select

from crawler.catalog.engine import make_tables
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
    """Fingerprint of the key that this database's home was begun with; None for a new one."""
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
        raise VaultError(
            f"{vault.origin}: is another key (fingerprint {vault.fingerprint}) than the one that this home "
            f"was begun with ({found}); set {VARIABLE} or key_file to that one, or use another --home"
        )
