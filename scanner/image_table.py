"""The pictures of extractions, sealed, in a LanceDB table of their own: put, read, truly erased. No torch.

A picture without its key (`scanner.picture_keys`) is noise wherever its bytes still lie; they are erased all
the same. The table may never be tagged: a tag keeps old versions.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import lancedb.table
import pyarrow as pa

from scanner.job import ScanError
from scanner.vault import UNCOMPRESSED, Vault, heads, heads_in

IMAGE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("picture", pa.large_binary(), nullable=False, metadata=UNCOMPRESSED),
        pa.field("control", pa.large_binary(), nullable=False, metadata=UNCOMPRESSED),
    ]
)
"""PNG files, each sealed with the picture's own key."""

_CHUNK = 128
"""Ids in one query: a picture of 1024 px takes about 2 MB."""


class EraseError(ScanError):
    """Erased pictures may still be on the disk."""


class ImageTable:
    """Pictures by extraction id. For one writer at a time; `ExtractionStore` sees to that."""

    def __init__(self, table: lancedb.table.LanceTable, folder: Path) -> None:
        self._table = table
        self._folder = folder

    def put(self, pngs: Mapping[str, tuple[bytes, bytes]], keys: Mapping[str, bytes]) -> None:
        """Seal and write pictures, given with their controls by extraction id, in place of older ones."""
        rows = [
            {
                "id": name,
                "picture": _sealed(png, keys[name], name),
                "control": _sealed(control, keys[name], name),
            }
            for name, (png, control) in pngs.items()
        ]
        table = pa.Table.from_pylist(rows, schema=IMAGE_SCHEMA)
        self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(table)

    def ids(self, job_id: str | None = None) -> frozenset[str]:
        """Ids of all rows, or of a job's, with or without a key."""
        query = self._table.search().select(["id"])
        if job_id is not None:
            query = query.where(f"starts_with(id, '{job_id}-')")
        return frozenset(query.to_arrow().column("id").to_pylist())

    def read(self, ids: Sequence[str], keys: Mapping[str, bytes]) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield (id, PNG, control's PNG) in the order of `ids`, but nothing for those without row or key."""
        for name, picture, control in self._rows([name for name in ids if name in keys]):
            yield name, _opened(picture, keys[name], name), _opened(control, keys[name], name)

    def sealed(self, ids: Sequence[str]) -> list[bytes]:
        """Pictures and controls as they lie in the table."""
        return [one for _, *both in self._rows(ids) for one in both]

    def _rows(self, ids: Sequence[str]) -> Iterator[tuple[str, bytes, bytes]]:
        """As they lie in the table: sealed."""
        for start in range(0, len(ids), _CHUNK):
            part = ids[start : start + _CHUNK]
            found = {
                row["id"]: row for row in self._table.search().where(among("id", part)).to_arrow().to_pylist()
            }
            for name in part:
                if name in found:
                    yield name, found[name]["picture"], found[name]["control"]

    def erase(self, ids: Collection[str]) -> int:
        """Erase pictures from the table and from the disk, with all older versions; return how many.

        What was replaced or deleted before goes from the disk too. Nothing else may have the table open.

        Raises:
            EraseError: looking at the files afterwards found one of the pictures, or could not have.
        """
        gone = sorted(self.ids().intersection(ids))
        wanted = heads(self.sealed(gone))
        if self._on_disk(wanted) != wanted:
            raise EraseError(
                f"{self._folder}: pictures cannot be recognised on the disk, so erasing them could not be "
                "checked; nothing was erased. Delete the folder to be rid of all pictures"
            )
        # Compaction leaves a file alone while under a tenth of its rows are deleted, so the others move out.
        # They go first: after a kill, deleted rows name no file any more, and who would know what to move?
        neighbours = self._neighbours(frozenset(gone))
        for start in range(0, len(neighbours), _CHUNK):
            self._table.update(where=among("id", neighbours[start : start + _CHUNK]), values_sql={"id": "id"})
        for start in range(0, len(gone), _CHUNK):
            self._table.delete(among("id", gone[start : start + _CHUNK]))
        drop_past(self._table)
        left = self._on_disk(wanted)
        if left:
            raise EraseError(
                f"{self._folder}: {len(left)} erased pictures are still on the disk; close whatever else has "
                "the store open and run again, or delete the folder to be rid of all pictures"
            )
        return len(gone)

    def _on_disk(self, wanted: frozenset[bytes]) -> set[bytes]:
        """Which of these seals' heads lie in the table's files."""
        if not wanted:
            return set()
        files = (path for path in self._folder.rglob("*") if path.is_file())
        return set().union(*(heads_in(path, wanted) for path in files))

    def _neighbours(self, gone: frozenset[str]) -> list[str]:
        """Ids that share a data file with one that goes. The upper half of a row id numbers the file."""
        rows = self._table.search().select(["id"]).with_row_id(True).to_arrow()
        pairs = list(zip(rows.column("id").to_pylist(), rows.column("_rowid").to_pylist(), strict=True))
        files = {row_id >> 32 for name, row_id in pairs if name in gone}
        return [name for name, row_id in pairs if name not in gone and row_id >> 32 in files]


def among(column: str, values: Collection[str]) -> str:
    """Return what a query asks for rows whose `column` is one of `values`: for a few hundred, not for all."""
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in sorted(values))
    return f"{column} IN ({quoted})" if quoted else "false"


def drop_past(table: lancedb.table.LanceTable) -> None:
    """Take from the disk what is in older versions of a table only."""
    with warnings.catch_warnings():
        # Older versions fail for whoever still reads them, which is what erasing means.
        warnings.filterwarnings("ignore", r"optimize\(cleanup_older_than=0\)", UserWarning)
        table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)


def rewrite(table: lancedb.table.LanceTable) -> None:
    """Write a table anew, so that no file holds deleted rows beside others, and drop its past."""
    table.update(where="true", values_sql={"id": "id"})
    drop_past(table)


def _sealed(png: bytes, key: bytes, name: str) -> bytes:
    return Vault(key).seal(png, name)


def _opened(sealed: bytes, key: bytes, name: str) -> bytes:
    return Vault(key, origin="its own key").open(sealed, name)
