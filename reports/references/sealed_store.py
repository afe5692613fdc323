"""Sets on the disk: their rows, their sealed blocks, and who may write them when."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import lancedb
import pyarrow as pa

from reports.finding import ReportError
from reports.references.blocks import (
    BlockWriter,
    drop_tables,
    opened_seals,
    read_blocks,
    reseal_blocks,
    seals,
)
from reports.references.rows import ReferenceSet
from reports.references.sets import SetTable
from reports.tables import hold, lock_of
from scanner.vault import Vault

_CACHE = 8 << 20
"""Bytes."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class SealedStore:
    """The sets in one folder, written by one process at a time.

    Raises:
        ReportError: it was made by another version of leaksweep, or cannot be made.
    """

    def __init__(self, path: Path, vault: Vault) -> None:
        self._path = path
        self._vault = vault
        self._lock = lock_of(path, "references")
        try:
            path.mkdir(parents=True, exist_ok=True)
            # Lance would keep every block that is read: once more the size of all sets.
            session = lancedb.Session(index_cache_size_bytes=_CACHE, metadata_cache_size_bytes=_CACHE)
            self._store = lancedb.connect(path, session=session)
            self.sets = SetTable(self._store, vault)
        except (OSError, RuntimeError) as error:
            raise ReportError(
                f"{path}: the reference store cannot be opened; give a folder that may be read and written, "
                "or mend its permissions"
            ) from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the store for writing; may be nested.

        Raises:
            ReportError: another process writes to it, or it is read-only.
        """
        # The lock lies beside the folder.
        for folder in (self._path, self._path.parent):
            if not os.access(folder, os.W_OK):
                raise ReportError(
                    f"{folder}: is read-only, so reference sets cannot change; make it writable"
                )
        with hold(self._lock, self._path):
            yield

    @contextmanager
    def new_blocks(self, name: str, *, instead_of: ReferenceSet | None = None) -> Iterator[BlockWriter]:
        """Give what writes the blocks of a new set, or of the next edition of one. Hold the store meanwhile.

        At the end, all blocks that belong to no set are dropped: those of the older edition where
        `sets.put` was reached, else the new ones. After a kill, the next call does it.

        Raises:
            ReportError: the name is not allowed, or taken.
        """
        if not _NAME.fullmatch(name):
            raise ReportError(
                f"{name!r} cannot name a reference set; use letters, digits, dot, dash and underscore, "
                "64 at most"
            )
        if instead_of is None and name in self.sets.editions():
            raise ReportError(
                f'reference set "{name}" exists already; remove it first: leaksweep refs remove {name}'
            )
        self.sweep()
        edition = instead_of.edition + 1 if instead_of else 1
        try:
            yield BlockWriter(self._store, name, edition, self._vault)
        except ReportError:
            self.sweep()
            raise
        self.sweep()

    def read(self, one: ReferenceSet, kind: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield a set's rows of a kind; see `read_blocks`."""
        return read_blocks(self._store, one, kind, self._vault, columns)

    def named(self, names: Iterable[str]) -> tuple[ReferenceSet, ...]:
        """Return sets by name.

        Raises:
            ReportError: one of them does not exist, or was sealed with another key.
        """
        known, wanted = self.sets.all(), tuple(names)
        for name in wanted:
            check_known(name, known)
        return tuple(known[name] for name in wanted)

    def drop(self, name: str) -> None:
        """Erase a set from the disk, or what a kill left of it. Needs no key."""
        self.sets.drop(name)
        self.sweep()

    def seals(self, name: str) -> Iterator[bytes]:
        """Yield what each sealed block of a set begins with. Needs no key.

        Raises:
            ReportError: there is no such set.
        """
        tables = self.sets.blocks()
        check_known(name, tables)
        return seals(self._store, tables[name])

    def opened_seals(self) -> Iterator[bytes]:
        """Open everything of all sets, and yield each seal.

        Raises:
            ReportError: another key sealed one, or it is damaged or missing; the message names the set.
        """
        for one in self.sets.all().values():
            yield from opened_seals(self._store, one, self._vault)
        yield from self.sets.seals()

    def reseal(self) -> None:
        """Seal all sets anew, one after the other, and take what was sealed before from the disk.

        A set that the vault's own key sealed stays as it is, so that after a kill this goes on where it was.

        Raises:
            ReportError: as `opened_seals`; or another process writes, or the store is read-only.
        """
        with self.writing():
            self.sweep()
            for one in self.sets.all().values():
                if one.key != self._vault.fingerprint:
                    blocks = reseal_blocks(self._store, one, self._vault)
                    self.sets.put(replace(one, blocks=blocks, key=self._vault.fingerprint))
                    self.sweep()
            self.sets.forget_past()

    def sweep(self) -> None:
        """Drop blocks of sets that were removed or replaced, or whose adding was cut off or failed."""
        drop_tables(self._store, frozenset(self.sets.blocks().values()))


def check_known(name: str, known: Mapping[str, object]) -> None:
    """Look whether a set is among those that there are, given by name.

    Raises:
        ReportError: it is not.
    """
    if name not in known:
        there_are = ", ".join(known) or "none"
        raise ReportError(f'reference set "{name}" does not exist; there are: {there_are}')
