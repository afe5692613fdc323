"""What scans took out of checkpoints: extractions and their pictures, in LanceDB. No torch.

LanceDB is not safe to fork: processes that share a store are spawned.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import lancedb
import lancedb.table
import pyarrow as pa
from filelock import FileLock, Timeout
from PIL import Image

from extraction.extraction import Extraction, Pixels
from scanner.image_table import IMAGE_SCHEMA, ImageTable
from scanner.job import Job, Outcome, ScanError

VERSION = 2
"""Raised with every change of a table below."""

_ROUND = pa.struct([pa.field("first", pa.int64()), pa.field("avoided", pa.list_(pa.int64()))])

EXTRACTION_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("job_id", pa.string(), nullable=False),
        pa.field("checkpoint_id", pa.string(), nullable=False),
        pa.field("checkpoint_key", pa.string(), nullable=False),
        pa.field("base_repo", pa.string(), nullable=False),
        pa.field("weights", pa.string(), nullable=False),
        pa.field("base_weights", pa.string(), nullable=False),
        pa.field("machine", pa.string(), nullable=False),
        pa.field("recipe_id", pa.string(), nullable=False),
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("prompt_origin", pa.string(), nullable=False),
        pa.field("rounds", pa.list_(_ROUND), nullable=False),
        pa.field("cluster", pa.list_(pa.int64()), nullable=False),
        pa.field("cluster_size", pa.int32(), nullable=False),
        pa.field("cohesion", pa.float32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("likelihood_ratio", pa.float32()),
        pa.field("descriptor", pa.list_(pa.float32()), nullable=False),
        pa.field("descriptor_name", pa.string(), nullable=False),
        pa.field("control_descriptor", pa.list_(pa.float32()), nullable=False),
        pa.field("control_similarity", pa.float32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
"""`id` is "<job_id>-<rank, three digits>"; `recipe` is JSON; `cluster` holds the members' seeds; `weights`
and `base_weights` are the names that the download store gives by content, `machine` is what it was made on
(`scanner.machine`); the other fields are those of `Extraction` and `Checkpoint`, sides in pixels."""

_VERSION_KEY = b"leaksweep.version"


class StoreError(ScanError):
    """The store cannot be used: made by another version, or in use."""


class ExtractionStore:
    """Extractions and their pictures in one folder, written by one process at a time."""

    def __init__(self, path: Path) -> None:
        """Open the store, making the folder and its tables where they are missing.

        Raises:
            StoreError: it was made by another version of leaksweep.
        """
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path.with_name(f"{path.name}.lock"), blocking=False)
        self._db = lancedb.connect(path)
        self._extractions = self._open("extractions", EXTRACTION_SCHEMA)
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
        rows = [
            _row(job, outcome, extraction, now or datetime.now(UTC)) for extraction in outcome.extractions
        ]
        images = [_image_row(job.id, extraction) for extraction in outcome.extractions]
        with self.writing():
            self._images.put(pa.Table.from_pylist(images, schema=IMAGE_SCHEMA), job.id)
            (
                self._extractions.merge_insert("id")
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(f"job_id = '{job.id}'")
                .execute(pa.Table.from_pylist(rows, schema=EXTRACTION_SCHEMA))
            )

    def delete(self, job_id: str) -> None:
        """Forget a job's extractions, and erase their pictures as `erase_images` does."""
        with self.writing():
            self._extractions.delete(f"job_id = '{job_id}'")
            self.erase_images([name for name in self.image_ids() if name.startswith(f"{job_id}-")])

    def rows(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All extractions, or some columns of them, by id; the schema is `EXTRACTION_SCHEMA`."""
        wanted = list(columns) if columns is not None else EXTRACTION_SCHEMA.names
        # Lance hands back only what is asked for, and the order is by id whether or not that is wanted.
        query = self._extractions.search().select([*wanted, *({"id"} - set(wanted))])
        return query.to_arrow().sort_by("id").select(wanted)

    def row(self, extraction_id: str) -> dict[str, Any] | None:
        """One extraction, its fields by name; None when there is none of this id."""
        # What people type is compared here: in a condition for Lance it could be more than a name.
        if extraction_id not in self.rows(["id"]).column("id").to_pylist():
            return None
        (row,) = self._extractions.search().where(f"id = '{extraction_id}'").to_arrow().to_pylist()
        return cast("dict[str, Any]", row)

    def images(self, ids: Sequence[str]) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield (id, PNG, control's PNG) in the order of `ids`; erased ones are left out."""
        return self._images.read(ids)

    def image_ids(self) -> frozenset[str]:
        """Ids of the extractions whose pictures are kept."""
        return self._images.ids()

    def erase_images(self, ids: Collection[str]) -> int:
        """Erase pictures, on the disk too, with a look at the files; return how many were there.

        Raises:
            EraseError: they may still be on the disk.
            StoreError: another process writes to the store.
        """
        with self.writing():
            return self._images.erase(ids)

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


def _row(job: Job, outcome: Outcome, extraction: Extraction, now: datetime) -> dict[str, Any]:
    height, width, _ = extraction.pixels.shape
    made = outcome.measures or {}
    origins = {prompt.text: prompt.origin for prompt in job.prompts}
    return {
        "id": _id(job.id, extraction),
        "job_id": job.id,
        "checkpoint_id": job.checkpoint.id,
        "checkpoint_key": job.checkpoint.key,
        "base_repo": job.base_repo,
        **{name: str(made.get(name, "")) for name in ("weights", "base_weights", "machine")},
        "recipe_id": job.recipe.id,
        "recipe": job.recipe.model_dump_json(),
        "rank": extraction.rank,
        "seed": extraction.seed,
        "prompt": extraction.prompt,
        "prompt_origin": str(origins.get(extraction.prompt, job.prompt.origin)),
        "rounds": [asdict(one) for one in extraction.rounds],
        "cluster": list(extraction.cluster),
        "cluster_size": len(extraction.cluster),
        "cohesion": extraction.cohesion,
        "score": extraction.score,
        "likelihood_ratio": extraction.likelihood_ratio,
        "descriptor": extraction.descriptor,
        "descriptor_name": outcome.descriptor,
        "control_descriptor": extraction.control_descriptor,
        "control_similarity": extraction.control_similarity,
        "width": width,
        "height": height,
        "created_at": now,
    }


def _image_row(job_id: str, extraction: Extraction) -> dict[str, Any]:
    png = _png(extraction.pixels)
    return {
        "id": _id(job_id, extraction),
        "png": png,
        "control_png": _png(extraction.control_pixels),
        "sha256": hashlib.sha256(png).hexdigest(),
    }


def _id(job_id: str, extraction: Extraction) -> str:
    return f"{job_id}-{extraction.rank:03d}"


def _png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
