"""What scans took out of checkpoints: extractions and their pictures, in LanceDB. No torch.

LanceDB is not safe to fork: processes that share a store are spawned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import lancedb
import lancedb.table
import pyarrow as pa
from filelock import FileLock, Timeout

from scanner.extraction_rows import EXTRACTION_SCHEMA, extraction_id, extraction_row, png
from scanner.image_table import IMAGE_SCHEMA, ImageTable, among, drop_past, rewrite
from scanner.job import Job, Outcome, ScanError
from scanner.picture_keys import PictureKeys, overwriting
from scanner.sealed_vectors import VECTORS, opened, resealed, sealed, seals, stored

VERSION = 4
"""Raised with every change of a table below."""

_VERSION_KEY = b"leaksweep.version"
_AT_ONCE = 500
"""Ids in one query."""


class StoreError(ScanError):
    """The store cannot be used: made by another version, or in use."""


class ExtractionStore:
    """Extractions and their pictures in one folder, written by one process at a time."""

    def __init__(self, path: Path, keys: PictureKeys, *, keep_pixels: bool = True) -> None:
        """Open the store, making the folder and its tables where they are missing.

        Args:
            keys: of the pictures; who has the folder alone has no picture.
            keep_pixels: False writes extractions without their pictures.

        Raises:
            StoreError: it was made by another version of leaksweep.
        """
        self.path = path
        self.keys = keys
        self._keep_pixels = keep_pixels
        path.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path.with_name(f"{path.name}.lock"), blocking=False)
        self._db = lancedb.connect(path)
        self._extractions = self._open("extractions", stored(EXTRACTION_SCHEMA))
        self._images = ImageTable(self._open("images", IMAGE_SCHEMA), path / "images.lance")

    def writing(self) -> AbstractContextManager[object]:
        """Hold the store for writing; may be nested. The system lets go of it when the process dies.

        Raises:
            StoreError: another process writes to the store.
        """
        try:
            return self._lock.acquire()
        except Timeout as error:
            raise StoreError(
                f"{self.path}: another process writes to this store; wait until it is done"
            ) from error

    def write(self, job: Job, outcome: Outcome, *, now: datetime | None = None) -> None:
        """Store a job's extractions and pictures in place of whatever an earlier attempt left.

        The pictures come first, so that an extraction that can be read has its picture.
        """
        now = now or datetime.now(UTC)
        rows = [extraction_row(job, outcome, extraction, now) for extraction in outcome.extractions]
        with self.writing():
            # First, so that no picture ever lies beside a key that is not its own.
            self.erase_images(self._images.ids(job.id) | self.keys.held(job.id), "replaced")
            if self._keep_pixels and outcome.extractions:
                pngs = {
                    extraction_id(job.id, one): (png(one.pixels), png(one.control_pixels))
                    for one in outcome.extractions
                }
                self._images.put(pngs, self.keys.make(pngs, now))
            table = sealed(pa.Table.from_pylist(rows, schema=EXTRACTION_SCHEMA), self.keys.vault)
            (
                self._extractions.merge_insert("id")
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(f"job_id = '{job.id}'")
                .execute(table.cast(stored(EXTRACTION_SCHEMA)))
            )

    def delete(self, ids: Collection[str]) -> int:
        """Delete extractions and their pictures, from the disk too; return how many there were.

        After a kill the same call ends what it began.
        """
        with self.writing():
            gone = sorted(set(self.rows(["id"]).column("id").to_pylist()).intersection(ids))
            self.erase_images(gone, "deleted")
            for start in range(0, len(gone), _AT_ONCE):
                self._extractions.delete(among("id", gone[start : start + _AT_ONCE]))
            # Also with nothing to delete: a kill may have come before the rows that it left were taken out.
            if ids:
                rewrite(self._extractions)
        return len(gone)

    def rows(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All extractions, or some columns of them, by id; the schema is `EXTRACTION_SCHEMA`.

        Raises:
            VaultError: descriptors are wanted, and another master key sealed them.
        """
        wanted = list(columns) if columns is not None else EXTRACTION_SCHEMA.names
        # Lance hands back only what is asked for, and the order is by id whether or not that is wanted.
        query = self._extractions.search().select([*wanted, *({"id"} - set(wanted))])
        return opened(query.to_arrow().sort_by("id"), self.keys.vault).select(wanted)

    def row(self, extraction_id: str) -> dict[str, Any] | None:
        """One extraction, its fields by name; None when there is none of this id.

        Raises:
            VaultError: another master key sealed its descriptors.
        """
        # What people type is compared here: in a condition for Lance it could be more than a name.
        if extraction_id not in self.rows(["id"]).column("id").to_pylist():
            return None
        found = self._extractions.search().where(f"id = '{extraction_id}'").to_arrow()
        (row,) = opened(found, self.keys.vault).to_pylist()
        return cast("dict[str, Any]", row)

    def images(self, ids: Sequence[str]) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield (id, PNG, control's PNG) in the order of `ids`; erased ones are left out.

        Raises:
            VaultError: their keys were sealed with another master key.
        """
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            yield from self._images.read(part, self.keys.of(part))

    def image_ids(self) -> frozenset[str]:
        """Ids of the extractions whose pictures are kept."""
        return self._images.ids() & self.keys.held()

    def erase_images(self, ids: Collection[str], why: str) -> int:
        """Erase pictures: their keys at once, their bytes by `erase_dropped`; return how many there were.

        Raises:
            EraseError: sealed pictures may still be on the disk.
            StoreError: another process writes to the store.
        """
        if not ids:
            return 0
        with self.writing():
            with self.keys.engine.begin() as db:
                overwriting(db)
                dropped = self.keys.drop(db, ids, why, datetime.now(UTC))
            self.erase_dropped()
        return dropped

    def erase_dropped(self) -> int:
        """Erase the bytes of pictures whose keys were dropped, with a look at the files; return how many.

        To be called after every drop, and harmless at any time: it finishes what a kill left.

        Raises:
            EraseError: sealed pictures may still be on the disk.
            StoreError: another process writes to the store.
        """
        with self.writing():
            self.keys.scrub()
            return self._images.erase(self._images.ids() - self.keys.held())

    def seals(self, ids: Collection[str]) -> list[bytes]:
        """What is sealed of these extractions, as it lies in the stores: to look for it once it is erased."""
        names = sorted(ids)
        described: list[bytes] = []
        for start in range(0, len(names), _AT_ONCE):
            mine = self._extractions.search().where(among("id", names[start : start + _AT_ONCE]))
            described += seals(mine.select(list(VECTORS)).to_arrow())
        return [*self.keys.sealed(names), *self._images.sealed(names), *described]

    def opened_seals(self) -> Iterator[bytes]:
        """Open all descriptors, and yield each seal. Pictures have keys of their own, which `keys` has.

        Raises:
            VaultError: another master key sealed one, or it is damaged.
        """
        for batch in self._extractions.search().select(["id", *VECTORS]).to_batches():
            rows = pa.Table.from_batches([batch])
            opened(rows, self.keys.vault)
            yield from seals(rows)

    def reseal(self) -> None:
        """Seal all descriptors anew, in one commit, and take what was sealed before from the disk.

        Raises:
            VaultError: a key that the vault does not know sealed one.
            StoreError: another process writes to the store.
        """
        with self.writing():
            columns = self._extractions.schema
            batches = self._extractions.search().to_batches()
            anew = (resealed(pa.Table.from_batches([one]), self.keys.vault).cast(columns) for one in batches)
            reader = pa.RecordBatchReader.from_batches(
                columns, (one for rows in anew for one in rows.to_batches())
            )
            self._extractions.add(reader, mode="overwrite")
            drop_past(self._extractions)

    def sizes(self) -> dict[str, int]:
        """Rows of "extractions" and "images", and the "bytes" that the whole store takes on the disk."""
        files = (path for path in self.path.rglob("*") if path.is_file())
        return {
            "extractions": self._extractions.count_rows(),
            "images": len(self.image_ids()),
            "bytes": sum(path.stat().st_size for path in files),
        }

    def _open(self, name: str, schema: pa.Schema) -> lancedb.table.LanceTable:
        schema = schema.with_metadata({_VERSION_KEY: str(VERSION)})
        known = name in (self._db.list_tables().tables or ())
        opened = self._db.open_table(name) if known else self._db.create_table(name, schema=schema)
        table = cast(lancedb.table.LanceTable, opened)
        found = (table.schema.metadata or {}).get(_VERSION_KEY, b"0").decode()
        if found != str(VERSION):
            age = "a newer" if int(found) > VERSION else "an older"
            raise StoreError(
                f"{self.path}: the {name} have format {found}, made by {age} leaksweep; this one reads "
                f"format {VERSION}: use that version, or another home"
            )
        # Without a key, two writers that insert the same id leave it there twice.
        if not any(b"unenforced-primary-key" in key for key in table.schema.field("id").metadata or {}):
            table.set_unenforced_primary_key(["id"])
        return table
