"""Descriptors of extractions as they lie on the disk: sealed with the master key. No torch.

A descriptor may be a picture: that of `thumbnail` is one of 16 by 16 pixels. It outlives the picture and its
key, so that a new list can be matched with old extractions, and is therefore sealed as their hashes are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from scanner.vault import UNCOMPRESSED, Vault

VECTORS = ("descriptor", "control_descriptor")


def stored(schema: pa.Schema) -> pa.Schema:
    """The schema of the table on the disk, of one whose descriptors are lists of floats."""
    fields = [
        pa.field(one.name, pa.binary(), nullable=False, metadata=UNCOMPRESSED) if one.name in VECTORS else one
        for one in schema
    ]
    return pa.schema(fields, metadata=schema.metadata)


def sealed(rows: pa.Table, vault: Vault) -> pa.Table:
    """Seal the descriptors of rows that have ids."""
    ids = rows["id"].to_pylist()
    for name in _in(rows):
        seals = [
            vault.seal(np.asarray(vector, "<f4").tobytes(), _about(name, one))
            for one, vector in zip(ids, rows[name].to_pylist(), strict=True)
        ]
        rows = _with(rows, name, pa.array(seals, pa.binary()))
    return rows


def opened(rows: pa.Table, vault: Vault) -> pa.Table:
    """Open those descriptors that the rows, which have ids, hold.

    Raises:
        VaultError: another master key sealed one, or it is damaged.
    """
    ids = rows["id"].to_pylist() if _in(rows) else []
    for name in _in(rows):
        found = [
            vault.open(one, _about(name, of)) for of, one in zip(ids, rows[name].to_pylist(), strict=True)
        ]
        ends = np.cumsum([0, *(len(one) // 4 for one in found)]).astype(np.int32)
        values = np.frombuffer(b"".join(found), "<f4")
        rows = _with(rows, name, pa.ListArray.from_arrays(pa.array(ends), pa.array(values)))
    return rows


def resealed(rows: pa.Table, vault: Vault) -> pa.Table:
    """Open the descriptors with whichever key the vault knows, and seal them anew.

    Raises:
        VaultError: a key that it does not know sealed one, or it is damaged.
    """
    ids = rows["id"].to_pylist()
    for name in _in(rows):
        anew = [
            vault.reseal(one, _about(name, of)) for of, one in zip(ids, rows[name].to_pylist(), strict=True)
        ]
        rows = _with(rows, name, pa.array(anew, pa.binary()))
    return rows


def seals(rows: pa.Table) -> Iterator[bytes]:
    """Yield all seals of rows as they lie in the table."""
    for name in _in(rows):
        yield from rows[name].to_pylist()


def _in(rows: pa.Table) -> list[str]:
    return [name for name in VECTORS if name in rows.column_names]


def _with(rows: pa.Table, name: str, column: pa.Array) -> pa.Table:
    at = rows.column_names.index(name)
    return rows.set_column(at, pa.field(name, column.type, nullable=False), column)


def _about(column: str, extraction_id: str) -> str:
    return f"{column} of extraction {extraction_id}"
