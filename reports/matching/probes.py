"""Extractions made ready for matching: pictures hashed while there are any, then everything in columns."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from reports.finding import ReportError
from reports.matching.columns import Described, Hashes, Probes
from reports.matching.hash_store import HashedExtraction, HashStore
from reports.matching.hashes import (
    PDQ_BYTES,
    PHASH256_BYTES,
    PHASH_BYTES,
    UNREADABLE,
    Codes,
    Hasher,
    PictureHashes,
    canonical,
)
from reports.references.index import unit_rows

if TYPE_CHECKING:
    from scanner.extraction_store import ExtractionStore

_BATCH = 64
"""Extractions hashed and written at once: what a kill can cost."""


def hash_pictures(
    extractions: ExtractionStore,
    store: HashStore,
    hasher: Hasher,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Hash the pictures that are held and whose hashes are missing, or were made otherwise; return how many.

    Nothing is described again: an extraction brings its descriptor with it, and mirrors are described
    on the side of the references.
    """
    made = _created(extractions)
    known = store.known()
    held = extractions.image_ids()
    todo = [
        name for name, created in made.items() if name in held and known.get(name) != (created, hasher.name)
    ]
    for start in range(0, len(todo), _BATCH):
        part = extractions.images(todo[start : start + _BATCH])
        store.put_hashes(_hashed(part, made, hasher))
        if progress:
            progress(min(start + _BATCH, len(todo)), len(todo))
    return len(todo)


def load_probes(extractions: ExtractionStore, store: HashStore, *, min_pdq_quality: int) -> Probes:
    """Return all extractions in columns. One without hashes is compared by its descriptor only."""
    columns = ("id", "checkpoint_id", "created_at", "descriptor_name", "descriptor", "control_descriptor")
    rows = extractions.rows(list(columns))
    hashes = store.hashes()
    at = pc.index_in(rows["id"], value_set=hashes["extraction_id"].combine_chunks())
    # Null where an extraction has no hashes: then all of its columns here are null.
    hashes = hashes.take(at)
    fresh = np.asarray(pc.fill_null(pc.equal(hashes["created_at"], rows["created_at"]), False), np.bool_)
    return Probes(
        ids=rows["id"].to_pylist(),
        checkpoint_ids=rows["checkpoint_id"].to_pylist(),
        picture=_hashes(hashes, "", fresh, min_pdq_quality),
        control=_hashes(hashes, "control_", fresh, min_pdq_quality),
        described=dict(_described(rows)),
    )


def hashed_ids(extractions: ExtractionStore, store: HashStore) -> frozenset[str]:
    """Ids of the extractions whose hashes are stored and belong to what the scan last made."""
    made = _created(extractions)
    return frozenset(name for name, (created, _) in store.known().items() if made.get(name) == created)


def _created(extractions: ExtractionStore) -> dict[str, datetime]:
    rows = extractions.rows(["id", "created_at"])
    return dict(zip(rows["id"].to_pylist(), rows["created_at"].to_pylist(), strict=True))


def _hashed(
    pictures: Iterator[tuple[str, bytes, bytes]], made: dict[str, datetime], hasher: Hasher
) -> Iterator[HashedExtraction]:
    for name, png, control_png in pictures:
        yield HashedExtraction(
            extraction_id=name,
            created_at=made[name],
            hasher=hasher.name,
            picture=_hash(png, hasher),
            control=_hash(control_png, hasher),
        )


def _hash(png: bytes, hasher: Hasher) -> PictureHashes:
    try:
        with Image.open(io.BytesIO(png)) as image:
            return hasher(canonical(image))
    except (OSError, SyntaxError, ValueError):
        return UNREADABLE


def _hashes(rows: pa.Table, prefix: str, fresh: Any, min_pdq_quality: int) -> Hashes:
    enough = pc.greater_equal(rows[f"{prefix}pdq_quality"], min_pdq_quality)
    good = fresh & np.asarray(pc.fill_null(enough, False), np.bool_)
    return Hashes(
        phash=Codes.of(rows[f"{prefix}phash"], PHASH_BYTES).where(fresh),
        phash_mirror=Codes.of(rows[f"{prefix}phash_mirror"], PHASH_BYTES).where(fresh),
        phash256=Codes.of(rows[f"{prefix}phash256"], PHASH256_BYTES).where(fresh),
        phash256_mirror=Codes.of(rows[f"{prefix}phash256_mirror"], PHASH256_BYTES).where(fresh),
        pdq=Codes.of(rows[f"{prefix}pdq"], PDQ_BYTES).where(good),
        pdq_mirror=Codes.of(rows[f"{prefix}pdq_mirror"], PDQ_BYTES).where(good),
    )


def _described(rows: pa.Table) -> Iterator[tuple[str, Described]]:
    for name in pc.unique(rows["descriptor_name"]).to_pylist():
        at = np.flatnonzero(np.asarray(pc.equal(rows["descriptor_name"], name), np.bool_))
        mine = rows.take(pa.array(at))
        try:
            picture, control = unit_rows(mine["descriptor"]), unit_rows(mine["control_descriptor"])
        except ValueError as error:
            raise ReportError(
                f'extractions: descriptors named "{name}" differ in length; scan them again'
            ) from error
        yield name, Described(at=at, picture=picture, control=control)
