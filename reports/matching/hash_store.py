"""Hashes of extractions and their controls, sealed, in LanceDB: what is left when the pictures are gone.

A hash that lies near a listed one is as confidential as the list, so these are sealed like the lists.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from reports.finding import ReportError
from reports.matching.hashes import PDQ_BYTES, PHASH256_BYTES, PHASH_BYTES, PictureHashes
from reports.tables import connect, erase_rows, open_table, put_anew, schema
from scanner.image_table import among
from scanner.vault import Vault

CODES = {
    "phash": PHASH_BYTES,
    "phash_mirror": PHASH_BYTES,
    "phash256": PHASH256_BYTES,
    "phash256_mirror": PHASH256_BYTES,
    "pdq": PDQ_BYTES,
    "pdq_mirror": PDQ_BYTES,
}
"""Bytes of each hash of a picture; the fields of `PictureHashes`."""

_SIDES = ("", "control_")
_WAIT = 60.0
"""Seconds that a scan and a matching wait for each other: writing a batch takes a part of one."""

_TABLE = schema(
    pa.field("extraction_id", pa.string()),
    pa.field("created_at", pa.timestamp("us", tz="UTC")),
    pa.field("hasher", pa.string()),
    *(
        pa.field(f"{side}{name}", kind)
        for side in _SIDES
        for name, kind in (("pdq_quality", pa.int16()), ("pdq_state", pa.string()))
    ),
    pa.field("sealed", pa.binary()),
    key="extraction_id",
)
"""`created_at` is the extraction's: a scan that is done again makes it anew, and its hashes too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedExtraction:
    """The hashes of an extraction and of its control."""

    extraction_id: str
    created_at: datetime
    hasher: str
    picture: PictureHashes
    control: PictureHashes


class HashStore:
    """The hashes in one folder."""

    def __init__(self, path: Path, vault: Vault) -> None:
        """Open the store, making it where it is missing.

        Raises:
            ReportError: it was made by another version of leaksweep.
        """
        self.path = path
        self._vault = vault
        self._store = connect(path)
        self._lock = FileLock(path.with_name(f"{path.name}.lock"), timeout=_WAIT)
        open_table(self._store, "hashes", _TABLE)

    def known(self) -> dict[str, tuple[datetime, str]]:
        """When each extraction that has hashes was made, and what hashed it, by its id; opens nothing."""
        rows = self._store.open_table("hashes").search().select(["extraction_id", "created_at", "hasher"])
        return {
            row["extraction_id"]: (row["created_at"], row["hasher"]) for row in rows.to_arrow().to_pylist()
        }

    def states(self) -> pa.Table:
        """Columns extraction_id, created_at, pdq_state and pdq_quality, which are not confidential."""
        columns = ["extraction_id", "created_at", "pdq_state", "pdq_quality"]
        return self._store.open_table("hashes").search().select(columns).to_arrow().sort_by("extraction_id")

    def hashes(self, ids: Collection[str] | None = None) -> pa.Table:
        """Hashes by extraction id, in columns: all, or those of a few extractions. Confidential.

        Raises:
            VaultError: another master key sealed them.
        """
        query = self._store.open_table("hashes").search()
        query = query if ids is None else query.where(among("extraction_id", ids))
        rows = query.to_arrow().sort_by("extraction_id")
        opened = [
            self._opened(name, sealed)
            for name, sealed in zip(
                rows["extraction_id"].to_pylist(), rows["sealed"].to_pylist(), strict=True
            )
        ]
        table = rows.drop_columns(["sealed"])
        for at, name in enumerate(f"{side}{name}" for side in _SIDES for name in CODES):
            size = CODES[name.removeprefix("control_")]
            table = table.append_column(name, pa.array([one[at] for one in opened], pa.binary(size)))
        return table

    def seals(self, ids: Collection[str]) -> list[bytes]:
        """What is sealed of these extractions, as it lies in the table."""
        rows = self._store.open_table("hashes").search().select(["extraction_id", "sealed"]).to_arrow()
        wanted = rows.filter(pc.is_in(rows["extraction_id"], pa.array(sorted(ids), pa.string())))
        return [bytes(one) for one in wanted["sealed"].to_pylist()]

    def opened_seals(self) -> Iterator[bytes]:
        """Open all that is sealed, and yield each seal.

        Raises:
            VaultError: another master key sealed one, or it is damaged.
        """
        for batch in self._batches(["extraction_id", "sealed"]):
            for name, sealed in zip(
                batch["extraction_id"].to_pylist(), batch["sealed"].to_pylist(), strict=True
            ):
                self._vault.open(sealed, _about(name))
                yield sealed

    def reseal(self) -> None:
        """Seal everything anew, in one commit, and take what was sealed before from the disk.

        Raises:
            VaultError: a key that the vault does not know sealed something.
            ReportError: another process has been writing for a minute.
        """
        with self._writing():
            anew = pa.RecordBatchReader.from_batches(_TABLE, map(self._resealed, self._batches()))
            put_anew(self._store, "hashes", anew, _TABLE)

    def _batches(self, columns: list[str] | None = None) -> pa.RecordBatchReader:
        query = self._store.open_table("hashes").search()
        return (query if columns is None else query.select(columns)).to_batches()

    def _resealed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        names, seals = batch["extraction_id"].to_pylist(), batch["sealed"].to_pylist()
        anew = [self._vault.reseal(sealed, _about(name)) for name, sealed in zip(names, seals, strict=True)]
        at = batch.schema.get_field_index("sealed")
        return batch.set_column(at, _TABLE.field("sealed"), pa.array(anew, pa.binary())).cast(_TABLE)

    def put_hashes(self, hashed: Iterable[HashedExtraction]) -> None:
        """Write hashes, in place of older ones of the same extractions.

        Raises:
            ReportError: another process has been writing for a minute.
        """
        rows = [self._row(one) for one in hashed]
        if rows:
            with self._writing():
                self._upsert(pa.Table.from_pylist(rows, schema=_TABLE))

    def delete(self, ids: Iterable[str]) -> None:
        """Forget extractions, from the disk too."""
        with self._writing():
            erase_rows(self._store, "hashes", _TABLE, "extraction_id", list(ids))

    def _upsert(self, rows: pa.Table) -> None:
        merge = self._store.open_table("hashes").merge_insert("extraction_id")
        merge.when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def _row(self, one: HashedExtraction) -> dict[str, Any]:
        sides = dict(zip(_SIDES, (one.picture, one.control), strict=True))
        packed = b"".join(_packed(getattr(side, name)) for side in sides.values() for name in CODES)
        return {
            "extraction_id": one.extraction_id,
            "created_at": one.created_at,
            "hasher": one.hasher,
            **{
                f"{prefix}{name}": getattr(side, name)
                for prefix, side in sides.items()
                for name in ("pdq_quality", "pdq_state")
            },
            "sealed": self._vault.seal(packed, _about(one.extraction_id)),
        }

    def _opened(self, name: str, sealed: bytes) -> list[bytes | None]:
        packed = self._vault.open(sealed, _about(name))
        found: list[bytes | None] = []
        at = 0
        while at < len(packed):
            size = packed[at]
            found.append(packed[at + 1 : at + 1 + size] if size else None)
            at += 1 + size
        return found

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except Timeout as error:
            raise ReportError(
                f"{self.path}: another process writes to this store; wait until it is done"
            ) from error


def _about(extraction_id: str) -> str:
    return f"hashes of extraction {extraction_id}"


def _packed(code: bytes | None) -> bytes:
    """A length and the bytes; no hash is of length 0."""
    return bytes([len(code or b"")]) + (code or b"")
