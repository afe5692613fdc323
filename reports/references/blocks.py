"""A set's rows on the disk: sealed blocks in a table of the set's own.

A table of its own, because dropping it is the one way in which LanceDB lets go of all its bytes at once:
deleted rows stay until their file is compacted, which would read every other set into memory.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import lancedb
import pyarrow as pa

from reports.finding import ReportError
from reports.references.rows import ReferenceSet
from reports.tables import open_table, schema
from scanner.vault import HEAD, UNCOMPRESSED, Vault, VaultError

ROWS = 65_536
"""In a block, at most."""
BYTES = 32 << 20
"""In a block, about: descriptors are large."""

BLOCKS = schema(
    pa.field("id", pa.string()),
    pa.field("set_name", pa.string()),
    pa.field("part", pa.int32()),
    pa.field("kind", pa.string()),
    pa.field("count", pa.int32()),
    pa.field("sealed", pa.large_binary(), metadata=UNCOMPRESSED),
    key="id",
)
_PREFIX = "reference_blocks-"


class BlockWriter:
    """Writes blocks into a new table. Until the set's row names the table, it belongs to nothing."""

    def __init__(self, store: lancedb.DBConnection, set_name: str, edition: int, vault: Vault) -> None:
        self.table = _new_table(store)
        self.parts: Counter[str] = Counter()
        self._store = store
        self.set_name = set_name
        self.edition = edition
        self.key = vault.fingerprint
        self._vault = vault
        self._waiting: dict[str, pa.Table] = {}

    def put(self, kind: str, rows: pa.Table) -> None:
        """Take rows of a kind; they are written when there are enough for a block."""
        waiting = self._waiting.pop(kind, None)
        rows = pa.concat_tables([waiting, rows]) if waiting is not None else rows
        while len(rows) >= ROWS or rows.nbytes >= BYTES:
            size = ROWS if rows.nbytes < BYTES else max(1, min(ROWS, len(rows) * BYTES // rows.nbytes))
            self._write(kind, rows.slice(0, size))
            rows = rows.slice(size)
        if len(rows):
            self._waiting[kind] = rows

    def close(self) -> Mapping[str, int]:
        """Write what still waits; return how many blocks of each kind there are."""
        for kind, rows in self._waiting.items():
            self._write(kind, rows)
        self._waiting.clear()
        return dict(self.parts)

    def _write(self, kind: str, rows: pa.Table) -> None:
        part = self.parts[kind]
        data = _packed(rows)
        block = {
            "id": _id(kind, part),
            "set_name": self.set_name,
            "part": part,
            "kind": kind,
            "count": len(rows),
            "sealed": self._vault.seal(data, _about(self.set_name, self.edition, kind, part)),
        }
        _add(self._store, self.table, block)
        self.parts[kind] += 1


def read_blocks(
    store: lancedb.DBConnection, one: ReferenceSet, kind: str, vault: Vault, columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """Yield a set's rows of a kind, a block at a time, in the order in which they were written.

    Raises:
        ReportError: a block is missing or damaged, or another process replaced the set meanwhile.
    """
    for block in sealed_blocks(store, one, kind):
        yield _unpacked(_opened(block, one, vault), columns)


def reseal_blocks(store: lancedb.DBConnection, one: ReferenceSet, vault: Vault) -> str:
    """Write a set's blocks into a new table, sealed anew, one at a time; return the table's name.

    Until the set's row names the table, it belongs to nothing.

    Raises:
        ReportError: as `read_blocks`.
    """
    name = _new_table(store)
    for kind in one.parts:
        for block in sealed_blocks(store, one, kind):
            sealed = vault.seal(
                _opened(block, one, vault), _about(one.name, one.edition, kind, block["part"])
            )
            _add(store, name, {**block, "sealed": sealed})
    return name


def opened_seals(store: lancedb.DBConnection, one: ReferenceSet, vault: Vault) -> Iterator[bytes]:
    """Open all blocks of a set, and yield each as it lies in the table; errors as for `read_blocks`."""
    for kind in one.parts:
        for block in sealed_blocks(store, one, kind):
            _opened(block, one, vault)
            yield block["sealed"]


def sealed_blocks(store: lancedb.DBConnection, one: ReferenceSet, kind: str) -> Iterator[dict[str, Any]]:
    """Yield a set's blocks of a kind as they lie in the table, in order; errors as for `read_blocks`."""
    try:
        table = store.open_table(one.blocks)
        ids = table.search().select(["id"]).with_row_id(True).to_arrow()
        row_of = dict(zip(ids["id"].to_pylist(), ids["_rowid"].to_pylist(), strict=True))
        for part in range(one.parts.get(kind, 0)):
            if _id(kind, part) not in row_of:
                raise ReportError(f"{_what(one, kind, part)} is missing; {_remedy(one)}")
            # One at a time: a scan of them all would hold many blocks at once.
            found = table.take_row_ids([row_of[_id(kind, part)]]).select(BLOCKS.names).to_arrow()
            yield found.to_pylist()[0]
    except (OSError, RuntimeError, ValueError) as error:
        # What Lance raises for a table, or a file of it, that is not there any more.
        raise ReportError(
            f'reference set "{one.name}": its blocks cannot be read: another process replaced or removed it '
            "meanwhile, or files are missing; try again"
        ) from error


def seals(store: lancedb.DBConnection, blocks: str) -> Iterator[bytes]:
    """Yield what each block in a table begins with, to look for it once the set is erased. Needs no key."""
    table = store.open_table(blocks)
    for name in table.search().select(["id"]).to_arrow()["id"].to_pylist():
        found = table.search().where(f"id = '{name}'").select(["sealed"]).limit(1).to_arrow()
        yield bytes(found["sealed"][0].as_py()[:HEAD])


def drop_tables(store: lancedb.DBConnection, keep: frozenset[str]) -> None:
    """Drop all tables of blocks but these, and with them their bytes on the disk."""
    for name in store.list_tables().tables:
        if name.startswith(_PREFIX) and name not in keep:
            store.drop_table(name)


def _new_table(store: lancedb.DBConnection) -> str:
    name = f"{_PREFIX}{secrets.token_hex(8)}"
    open_table(store, name, BLOCKS)
    return name


def _add(store: lancedb.DBConnection, table: str, block: dict[str, Any]) -> None:
    store.open_table(table).add(pa.Table.from_pylist([block], schema=BLOCKS))


def _opened(block: dict[str, Any], one: ReferenceSet, vault: Vault) -> bytes:
    kind, part = block["kind"], block["part"]
    try:
        return vault.open(block["sealed"], _about(one.name, one.edition, kind, part))
    except VaultError as error:
        raise ReportError(f"{_what(one, kind, part)} is damaged; {_remedy(one)}") from error


def _packed(rows: pa.Table) -> bytes:
    rows = rows.unify_dictionaries().combine_chunks()
    out = pa.BufferOutputStream()
    # Most columns of most lists are empty, and shrink to nothing.
    with pa.ipc.new_stream(out, rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_table(rows)
    return out.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _unpacked(data: bytes, columns: list[str] | None) -> pa.Table:
    with pa.ipc.open_stream(data) as stream:
        fields = [stream.schema.get_field_index(name) for name in columns] if columns else None
    options = pa.ipc.IpcReadOptions(included_fields=fields) if fields else None
    with pa.ipc.open_stream(data, options=options) as stream:
        return stream.read_all()


def _id(kind: str, part: int) -> str:
    return f"{kind}/{part}"


def _about(set_name: str, edition: int, kind: str, part: int) -> str:
    # The edition too, so that no block of an older one can stand in for it.
    return f"{set_name}/{edition}/{kind}/{part}"


def _what(one: ReferenceSet, kind: str, part: int) -> str:
    return f'reference set "{one.name}": block {part} of its {kind}'


def _remedy(one: ReferenceSet) -> str:
    return f"remove the set and add it again: leaksweep refs remove {one.name}"
