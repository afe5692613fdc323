"""The table of sets: one small row each, which is what makes a set be there."""

from __future__ import annotations

from typing import Any

import lancedb
import pyarrow as pa

from reports.finding import ReportError
from reports.references.rows import SETS, ReferenceSet
from reports.tables import erase_rows, open_table, put_anew, replace
from scanner.vault import VARIABLE, Vault

_TABLE = "reference_sets"


class SetTable:
    """Rows of sets. Each change is one commit: a reader, or a kill, sees the old rows or the new ones."""

    def __init__(self, store: lancedb.DBConnection, vault: Vault) -> None:
        """Open the table, making it where it is missing.

        Raises:
            ReportError: it was made by another version of leaksweep.
        """
        self._store = store
        self._vault = vault
        open_table(store, _TABLE, SETS)

    def all(self) -> dict[str, ReferenceSet]:
        """Return all sets, by name.

        Raises:
            ReportError: one of them was sealed with another key.
        """
        rows = self._rows()
        for row in rows:
            if not self._vault.holds(row["key"]):
                raise ReportError(
                    f'reference set "{row["name"]}" was sealed with the master key {row["key"]}, but '
                    f"{self._vault.origin} holds {self._vault.fingerprint}; set {VARIABLE} or key_file to "
                    f"that key, or give the set up: leaksweep refs remove {row['name']}"
                )
        return {row["name"]: ReferenceSet.of(row, self._vault) for row in rows}

    def editions(self) -> dict[str, int]:
        """Return the edition of each set, by name. Needs no key."""
        return {row["name"]: row["edition"] for row in self._rows()}

    def blocks(self) -> dict[str, str]:
        """Return the table of blocks of each set, by name. Needs no key."""
        return {row["name"]: row["blocks"] for row in self._rows()}

    def put(self, one: ReferenceSet) -> None:
        """Add a set, or put it in place of the one of its name."""
        others = [row for row in self._rows() if row["name"] != one.name]
        rows = [*others, one.row(self._vault)]
        replace(self._store, _TABLE, pa.Table.from_pylist(rows, schema=SETS))

    def seals(self) -> list[bytes]:
        """Return what is sealed of each set's row. Needs no key."""
        return [row["sealed"] for row in self._rows()]

    def forget_past(self) -> None:
        """Take from the disk what rows held before: `put` leaves the last hour's to those who still read."""
        put_anew(self._store, _TABLE, pa.Table.from_pylist(self._rows(), schema=SETS), SETS)

    def drop(self, name: str) -> None:
        """Erase a set's row. Needs no key."""
        erase_rows(self._store, _TABLE, SETS, "name", [name])

    def _rows(self) -> list[dict[str, Any]]:
        try:
            rows = self._store.open_table(_TABLE).search().to_arrow()
        except (OSError, RuntimeError, ValueError) as error:
            # What Lance raises for a file that went while it was read.
            raise ReportError(
                "the reference sets cannot be read: another process wrote to them meanwhile, or files are "
                "missing; try again"
            ) from error
        found: list[dict[str, Any]] = rows.sort_by("name").to_pylist()
        return found
