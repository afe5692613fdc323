"""A reference set in columns, as matching wants it: arrays in memory, one row a view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reports.matching.hashes import PDQ_BYTES, PHASH_BYTES, Codes


@dataclass(frozen=True, slots=True)
class Vectors:
    """Descriptors of one maker, sorted by the reference they belong to."""

    owner: NDArray[np.int64]
    """(N,) index into `ReferenceIndex.ref_ids`, ascending; a reference may have several, or none."""
    rows: NDArray[np.float32]
    """(N, D) of unit norm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceIndex:
    """One set."""

    set_name: str
    ref_ids: pa.Array
    """(R,) strings, ascending. Kept in Arrow: ten million Python strings would take a gigabyte."""
    owner: NDArray[np.int64]
    """(V,) index into `ref_ids` of the reference that each hashed view belongs to, ascending."""
    phash: Codes
    """(V,)"""
    pdq: Codes
    """(V,) unusable where the quality was too low."""
    vectors: dict[str, Vectors]
    """By descriptor name and maker."""
    mirrored: dict[str, Vectors]
    """The same of the mirrored pictures."""

    def __len__(self) -> int:
        return len(self.ref_ids)

    def take(self, references: NDArray[np.int64]) -> ReferenceIndex:
        """Return these references only, given by their places, ascending and each once."""

        def part(vectors: Vectors) -> Vectors:
            rows = np.flatnonzero(np.isin(vectors.owner, references))
            return Vectors(np.searchsorted(references, vectors.owner[rows]), vectors.rows[rows])

        views = np.flatnonzero(np.isin(self.owner, references))
        return ReferenceIndex(
            set_name=self.set_name,
            ref_ids=self.ref_ids.take(pa.array(references)),
            owner=np.searchsorted(references, self.owner[views]),
            phash=self.phash[views],
            pdq=self.pdq[views],
            vectors={name: part(one) for name, one in self.vectors.items()},
            mirrored={name: part(one) for name, one in self.mirrored.items()},
        )


def build_index(
    set_name: str, hashes: pa.Table, descriptors: pa.Table, *, min_pdq_quality: int
) -> ReferenceIndex:
    """Make an index of a set's rows in the tables `references` and `reference_descriptors`.

    A PDQ hash of unknown quality is taken as good: a hash list does not tell.
    """
    hashes = hashes.sort_by("ref_id")
    column = hashes["ref_id"].combine_chunks()
    first = np.ones(len(column), np.bool_)
    if len(column) > 1:
        first[1:] = np.asarray(pc.not_equal(column[1:], column[:-1]))
    ref_ids = column.filter(pa.array(first))
    good = np.asarray(pc.fill_null(pc.greater_equal(hashes["pdq_quality"], min_pdq_quality), True), np.bool_)
    names = cast("list[str]", pc.unique(descriptors["descriptor"]).to_pylist())
    return ReferenceIndex(
        set_name=set_name,
        ref_ids=ref_ids,
        owner=np.cumsum(first) - 1,
        phash=Codes.of(hashes["phash"], PHASH_BYTES),
        pdq=Codes.of(hashes["pdq"], PDQ_BYTES).where(good),
        vectors=_by_maker(names, descriptors, ref_ids, mirrored=False),
        mirrored=_by_maker(names, descriptors, ref_ids, mirrored=True),
    )


def unit_rows(column: Any) -> NDArray[np.float32]:
    """Return a list<float32> column, all of one length, as (N, D)."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = array.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return flat.reshape(len(array), -1) if len(array) else np.zeros((0, 0), np.float32)


def _by_maker(names: list[str], rows: pa.Table, ref_ids: pa.Array, *, mirrored: bool) -> dict[str, Vectors]:
    found = {}
    for name in names:
        mine = rows.filter((pc.field("descriptor") == name) & (pc.field("mirrored") == mirrored))
        if len(mine):
            owner = np.asarray(pc.index_in(mine["ref_id"], value_set=ref_ids), np.int64)
            order = np.argsort(owner, kind="stable")
            found[name] = Vectors(owner[order], unit_rows(mine["vector"])[order])
    return found
