"""Blocks of a set put together to an index: 60 bytes a PDQ hash and its id, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reports.matching.hashes import PDQ_BYTES, PHASH256_BYTES, PHASH_BYTES, Codes
from reports.references.blocks import ROWS
from reports.references.index import ReferenceIndex, Vectors, absent, unit_rows
from reports.references.opinions import settled_by_owner
from reports.references.rows import AMENDMENTS, BURIED, ReferenceSet

_COLUMNS = ["reference", "ref_id", "phash", "phash256", "pdq", "pdq_quality", "opinion", "disable_until"]
"""What an index takes of the rows of kind "hashes"."""


def load_index(
    one: ReferenceSet,
    read: Callable[[str, list[str] | None], Iterator[pa.Table]],
    *,
    min_pdq_quality: int,
    withdrawn: Collection[str],
    now: datetime,
) -> ReferenceIndex:
    """Put a set together from its blocks.

    Args:
        read: yields the set's rows of a kind, a block at a time, with these columns.
        withdrawn: ids of references that are left out.
        now: what is disabled until later is left out. UTC.
    """
    amended = pa.concat_tables([AMENDMENTS.empty_table(), *read("amendments", None)])
    buried = pa.concat_tables([BURIED.empty_table(), *read("buried", None)])
    builder = _Builder(
        one.name,
        ROWS * one.parts.get("hashes", 0),
        min_pdq_quality=min_pdq_quality,
        amended=amended,
        buried=np.asarray(buried["reference"], np.int64),
        withdrawn=withdrawn,
        now=now,
    )
    for rows in read("hashes", _COLUMNS):
        builder.add_hashes(rows)
    for rows in read("descriptors", None):
        builder.add_descriptors(rows)
    return builder.build()


class _Builder:
    """Takes the blocks of a set one after the other.

    Args:
        capacity: rows of kind "hashes" at most; the arrays are made once, and filled.
        buried: numbers of references, ascending, that are left out.
        amended: rows, ascending, and their opinions.
        withdrawn: ids of references that are left out.
        now: what is disabled until later is left out. UTC.
    """

    def __init__(
        self,
        set_name: str,
        capacity: int,
        *,
        min_pdq_quality: int,
        amended: pa.Table,
        buried: NDArray[np.int64],
        withdrawn: Collection[str],
        now: datetime,
    ) -> None:
        self._set_name = set_name
        self._min_pdq_quality = min_pdq_quality
        self._amended = amended
        self._buried = buried
        self._withdrawn = pa.array(list(withdrawn), pa.large_string())
        self._now = pa.scalar(now, pa.timestamp("us", tz="UTC"))
        self._read = self._rows = 0
        self._numbers = np.empty(capacity, np.uint32)
        self._opinions = np.empty(capacity, np.int8)
        self._codes = {
            "phash": _Column(PHASH_BYTES, capacity),
            "phash256": _Column(PHASH256_BYTES, capacity),
            "pdq": _Column(PDQ_BYTES, capacity),
        }
        self._ref_ids: list[pa.Array] = []
        self._vectors: dict[tuple[str, bool], list[tuple[NDArray[np.int64], NDArray[np.float32]]]] = {}

    def add_hashes(self, rows: pa.Table) -> None:
        """Take the next block of hashes; it has `_COLUMNS`."""
        opinions = np.asarray(rows["opinion"], np.int8).copy()
        amended = np.asarray(self._amended["row"], np.int64)
        first, last = np.searchsorted(amended, (self._read, self._read + len(rows)))
        changed = np.asarray(self._amended["opinion"], np.int8)
        opinions[amended[first:last] - self._read] = changed[first:last]
        self._read += len(rows)

        keep = self._kept(rows)
        if not keep.all():
            rows, opinions = rows.filter(pa.array(keep)), opinions[keep]
        start, self._rows = self._rows, self._rows + len(rows)
        self._numbers[start : self._rows] = np.asarray(rows["reference"])
        self._opinions[start : self._rows] = opinions
        enough = pc.greater_equal(rows["pdq_quality"], self._min_pdq_quality)
        good = np.asarray(pc.fill_null(enough, True), np.bool_)  # a list seldom tells
        for name, column in self._codes.items():
            column.put(start, rows[name], good if name == "pdq" else None)
        self._ref_ids += rows["ref_id"].chunks

    def add_descriptors(self, rows: pa.Table) -> None:
        """Take the next block of descriptors."""
        for name in cast("list[str]", pc.unique(rows["descriptor"]).to_pylist()):
            for mirrored in (False, True):
                mine = rows.filter((pc.field("descriptor") == name) & (pc.field("mirrored") == mirrored))
                if len(mine):
                    numbers = np.asarray(mine["reference"], np.int64)
                    part = (numbers, unit_rows(mine["vector"]))
                    self._vectors.setdefault((name, mirrored), []).append(part)

    def build(self) -> ReferenceIndex:
        """Return the index of all that was added."""
        numbers, opinions = self._numbers[: self._rows], self._opinions[: self._rows]
        codes = {name: column.codes(self._rows) for name, column in self._codes.items()}
        order = None
        if (numbers[1:] < numbers[:-1]).any():
            # Only where a list comes back to a reference: nearly all are in order already.
            order = np.argsort(numbers, kind="stable")
            numbers, opinions = numbers[order], opinions[order]
            codes = {name: one[order] for name, one in codes.items()}
        first = np.ones(len(numbers), np.bool_)
        first[1:] = numbers[1:] != numbers[:-1]
        owner = np.cumsum(first, dtype=np.int64) - 1
        kept = numbers[first]
        return ReferenceIndex(
            set_name=self._set_name,
            ref_ids=self._ids(order, first),
            owner=owner,
            **codes,
            opinions=settled_by_owner(opinions, owner, len(kept)),
            vectors=self._by_maker(kept, mirrored=False),
            mirrored=self._by_maker(kept, mirrored=True),
        )

    def _kept(self, rows: pa.Table) -> NDArray[np.bool_]:
        keep = ~np.asarray(pc.fill_null(pc.greater(rows["disable_until"], self._now), False), np.bool_)
        if len(self._buried):
            keep &= ~np.isin(np.asarray(rows["reference"]), self._buried)
        if len(self._withdrawn):
            keep &= ~np.asarray(pc.is_in(rows["ref_id"], value_set=self._withdrawn), np.bool_)
        return keep

    def _ids(self, order: NDArray[np.int64] | None, first: NDArray[np.bool_]) -> Any:
        ids = pa.chunked_array(self._ref_ids, pa.large_string())
        self._ref_ids.clear()
        if order is not None:
            return ids.combine_chunks().take(pa.array(order[first]))
        return (ids if first.all() else ids.filter(pa.array(first))).combine_chunks()

    def _by_maker(self, kept: NDArray[np.uint32], *, mirrored: bool) -> dict[str, Vectors]:
        found = {}
        for (name, side), parts in self._vectors.items():
            if side == mirrored:
                numbers = np.concatenate([one for one, _ in parts])
                rows = np.concatenate([one for _, one in parts])
                there = np.isin(numbers, kept)
                owner = np.searchsorted(kept, numbers[there])
                order = np.argsort(owner, kind="stable")
                if len(order):
                    found[name] = Vectors(owner[order], rows[there][order])
        return found


class _Column:
    """Hashes of one kind; takes no memory while there are none."""

    def __init__(self, size: int, capacity: int) -> None:
        self._size = size
        self._capacity = capacity
        self._codes: Codes | None = None

    def put(self, start: int, column: pa.ChunkedArray, good: NDArray[np.bool_] | None) -> None:
        if column.null_count == len(column):
            return
        if self._codes is None:
            words = np.zeros((self._capacity, self._size // 8), np.uint64)
            self._codes = Codes(words, np.zeros(self._capacity, np.bool_))
        part = Codes.of(column, self._size)
        rows = slice(start, start + len(column))
        self._codes.words[rows] = part.words
        self._codes.usable[rows] = part.usable if good is None else part.usable & good

    def codes(self, count: int) -> Codes:
        return absent(count, self._size) if self._codes is None else self._codes[:count]
