"""A reference set in columns, as matching wants it: arrays in memory, one row a view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reports.matching.hashes import Codes


@dataclass(frozen=True, slots=True)
class Vectors:
    """Descriptors of one maker, sorted by the reference they belong to."""

    owner: NDArray[np.int64]
    """(N,) index into `ReferenceIndex.ref_ids`, ascending; a reference may have several, or none."""
    rows: NDArray[np.float32]
    """(N, D) of unit norm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceIndex:
    """One set, without what is withdrawn and what is not to be matched yet."""

    set_name: str
    ref_ids: pa.Array
    """(R,) strings, each once. Kept in Arrow: ten million Python strings would take a gigabyte."""
    owner: NDArray[np.int64]
    """(V,) index into `ref_ids` of the reference that each hashed view belongs to, ascending."""
    phash: Codes
    """(V,)"""
    pdq: Codes
    """(V,) unusable where the quality was too low."""
    phash256: Codes
    """(V,)"""
    opinions: NDArray[np.int8]
    """(R,) places in `reports.references.opinions.OPINIONS`."""
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
            phash256=self.phash256[views],
            opinions=self.opinions[references],
            vectors={name: part(one) for name, one in self.vectors.items()},
            mirrored={name: part(one) for name, one in self.mirrored.items()},
        )


def absent(count: int, size: int) -> Codes:
    """A column without a hash of `size` bytes, in next to no memory."""
    return Codes(np.broadcast_to(np.zeros((1, size // 8), np.uint64), (count, size // 8)), _none(count))


def unit_rows(column: Any) -> NDArray[np.float32]:
    """Return a list<float32> column, all of one length, as (N, D)."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = array.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return flat.reshape(len(array), -1) if len(array) else np.zeros((0, 0), np.float32)


def _none(count: int) -> NDArray[np.bool_]:
    return np.broadcast_to(np.zeros(1, np.bool_), (count,))
