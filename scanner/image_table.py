"""The pictures of extractions, in a LanceDB table of their own: put, read and truly erased. No torch.

The table may never be tagged: a tag keeps old versions, and with them the bytes of erased pictures.
"""

from __future__ import annotations

import hashlib
import mmap
import warnings
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import lancedb.table
import pyarrow as pa

from scanner.job import ScanError

# A picture that Lance had compressed could not be looked for on the disk; PNG would not get smaller anyway.
_PLAIN = {"lance-encoding:compression": "none"}

IMAGE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("png", pa.large_binary(), nullable=False, metadata=_PLAIN),
        pa.field("control_png", pa.large_binary(), nullable=False, metadata=_PLAIN),
        pa.field("sha256", pa.string(), nullable=False),
    ]
)
"""sha256 is of `png`, in lower-case hex."""

_CHUNK = 128
"""Ids in one query: a picture of 1024 px takes about 2 MB."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = 96
"""Bytes by which a picture is looked up before its digest is taken."""


class EraseError(ScanError):
    """Erased pictures may still be on the disk."""


class ImageTable:
    """Pictures by extraction id. For one writer at a time; `ExtractionStore` sees to that."""

    def __init__(self, table: lancedb.table.LanceTable, folder: Path) -> None:
        self._table = table
        self._folder = folder

    def put(self, rows: pa.Table, job_id: str) -> None:
        """Put a job's pictures in place of those that an earlier attempt left.

        What it left is erased, so that every row that goes from this table goes by way of `erase`.
        """
        earlier = self._table.search().select(["id"]).where(f"starts_with(id, '{job_id}-')").to_arrow()
        if earlier.num_rows:
            self.erase(earlier.column("id").to_pylist())
        self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def ids(self) -> frozenset[str]:
        """Ids of all extractions whose pictures are kept."""
        return frozenset(self._table.search().select(["id"]).to_arrow().column("id").to_pylist())

    def read(self, ids: Sequence[str]) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield (id, PNG, control's PNG) in the order of `ids`, but nothing for those that are not kept."""
        for start in range(0, len(ids), _CHUNK):
            part = ids[start : start + _CHUNK]
            found = {
                row["id"]: row for row in self._table.search().where(_among(part)).to_arrow().to_pylist()
            }
            for name in part:
                if name in found:
                    yield name, found[name]["png"], found[name]["control_png"]

    def erase(self, ids: Collection[str]) -> int:
        """Erase pictures from the table and from the disk, with all older versions; return how many.

        What was replaced or deleted before goes from the disk too. Nothing else may have the table open.

        Raises:
            EraseError: looking at the files afterwards found one of the pictures, or could not have.
        """
        gone = sorted(self.ids().intersection(ids))
        pictures = _Pictures(self.read(gone))
        if pictures.seen_in(self._folder) != pictures.digests:
            raise EraseError(
                f"{self._folder}: pictures cannot be recognised on the disk, so erasing them could not be "
                "checked; nothing was erased. Delete the folder to be rid of all pictures"
            )
        neighbours = self._neighbours(frozenset(gone))
        for start in range(0, len(gone), _CHUNK):
            self._table.delete(_among(gone[start : start + _CHUNK]))
        # Compaction leaves a file alone while under a tenth of its rows are deleted: move the others out.
        for start in range(0, len(neighbours), _CHUNK):
            self._table.update(where=_among(neighbours[start : start + _CHUNK]), values_sql={"id": "id"})
        with warnings.catch_warnings():
            # Older versions fail for whoever still reads them, which is what erasing means.
            warnings.filterwarnings("ignore", r"optimize\(cleanup_older_than=0\)", UserWarning)
            self._table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
        left = pictures.seen_in(self._folder)
        if left:
            # One base, prompt and seed give the same control to many checkpoints: theirs may stay.
            left -= _Pictures(self.read(sorted(self.ids()))).digests
        if left:
            raise EraseError(
                f"{self._folder}: {len(left)} erased pictures are still on the disk; close whatever else has "
                "the store open and run again, or delete the folder to be rid of all pictures"
            )
        return len(gone)

    def _neighbours(self, gone: frozenset[str]) -> list[str]:
        """Ids that share a data file with one that goes. The upper half of a row id numbers the file."""
        rows = self._table.search().select(["id"]).with_row_id(True).to_arrow()
        pairs = list(zip(rows.column("id").to_pylist(), rows.column("_rowid").to_pylist(), strict=True))
        files = {row_id >> 32 for name, row_id in pairs if name in gone}
        return [name for name, row_id in pairs if name not in gone and row_id >> 32 in files]


class _Pictures:
    """Pictures that can be recognised in raw files, without being kept in memory."""

    def __init__(self, rows: Iterator[tuple[str, bytes, bytes]]) -> None:
        self.digests: set[bytes] = set()
        self._lengths: dict[bytes, set[int]] = {}
        for _, *pngs in rows:
            for png in pngs:
                self.digests.add(hashlib.sha256(png).digest())
                self._lengths.setdefault(png[:_HEAD], set()).add(len(png))

    def seen_in(self, folder: Path) -> set[bytes]:
        """Digests of those pictures that lie anywhere in the folder's files."""
        seen: set[bytes] = set()
        if not self.digests:
            return seen
        for path in folder.rglob("*"):
            if path.is_file() and path.stat().st_size:
                with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    seen.update(self._seen(content))
        return seen

    def _seen(self, content: mmap.mmap) -> Iterator[bytes]:
        at = content.find(_SIGNATURE)
        while at >= 0:
            # Short pictures have a head of their own length.
            for length in self._lengths.get(content[at : at + _HEAD], ()):
                digest = hashlib.sha256(content[at : at + length]).digest()
                if digest in self.digests:
                    yield digest
            at = content.find(_SIGNATURE, at + 1)


def _among(ids: Sequence[str]) -> str:
    quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in ids)
    return f"id IN ({quoted})"
