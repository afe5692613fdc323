"""All pairs that are near enough, exactly: hashes within a radius, descriptors above a cosine."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from reports.matching.hashes import Codes
from reports.matching.multi_index import Cut, Pairs, Words, best_cut, near, tables

_SCAN = 3e-9
"""Seconds that faiss takes to compare two hashes of 256 bits."""
_SCANNED = 1 << 17
"""Hashes that faiss is given at once: they stay in the processor's cache, which halves the time."""
_QUERIES, _ROWS = 1024, 1 << 14
"""Descriptors multiplied at once: 64 MB of cosines."""


def within(queries: Codes, index: Codes, radius: int) -> Pairs:
    """Return the pairs of hashes at most `radius` bits apart: queries, references and their distances.

    Exact, whichever way it takes: faiss compares each with each where that is cheapest, and many queries
    on many references go through `multi_index`. Ten million references of 256 bits take some 10 s to
    sort, then about 1 ms a query within 31 bits, 25 ms within 52, and 0.2 GB of memory beside their own.
    What has no hash is in no pair. By query, then by reference.

    Args:
        radius: bits; 0 finds equal hashes.
    """
    rows, columns = np.flatnonzero(queries.usable), np.flatnonzero(index.usable)
    if not (len(rows) and len(columns)):
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing
    asked, words = _usable(queries), _usable(index)
    found = _search(asked, words, min(radius, 64 * words.shape[1]))
    return rows[found[0]], columns[found[1]], found[2]


def _search(queries: Words, words: Words, radius: int) -> Pairs:
    cut = cheapest(words, radius, len(queries))
    return near(tables(words, cut), words, queries, radius) if cut else scan(queries, words, radius)


def cheapest(words: Words, radius: int, queries: int) -> Cut | None:
    """How to cut hashes for so many queries, sorting included; None where to compare them all is cheaper."""
    bits = 64 * words.shape[1]
    if not 0 <= radius < bits:
        return None
    cut = best_cut(bits, radius, queries, len(words))
    return cut if cut.seconds(queries, len(words)) < _SCAN * queries * len(words) else None


def scan(queries: Words, words: Words, radius: int) -> Pairs:
    """The same by comparing each with each.

    Args:
        queries, words: (E, W) and (N, W), every one a hash.
    """
    found: list[Pairs] = [(np.zeros(0, np.int64),) * 3]
    asked = np.ascontiguousarray(queries).view(np.uint8)
    for start in range(0, len(words), _SCANNED):
        part = faiss.IndexBinaryFlat(64 * words.shape[1])
        part.add(np.ascontiguousarray(words[start : start + _SCANNED]).view(np.uint8))
        # faiss keeps what is nearer than its radius, not what is at it.
        limits, distances, columns = part.range_search(asked, radius + 1)
        rows = np.repeat(np.arange(len(queries)), np.diff(limits).astype(np.int64))
        found.append((rows, columns + start, distances.astype(np.int64)))
    rows, columns, apart = (np.concatenate(one) for one in zip(*found, strict=True))
    order = np.lexsort((columns, rows))
    return rows[order], columns[order], apart[order]


def _usable(codes: Codes) -> Words:
    # Without gaps nothing is copied: ten million hashes are a third of a gigabyte.
    return codes.words if codes.usable.all() else codes.words[codes.usable]


def alike(
    queries: NDArray[np.float32], rows: NDArray[np.float32], least: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return the pairs of descriptors whose cosine is at least `least`: queries, rows and their cosines.

    Args:
        queries, rows: (E, D) and (N, D) of unit norm, of one maker.
    """
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
    for start in range(0, len(queries), _QUERIES):
        for column in range(0, len(rows), _ROWS):
            cosines = np.clip(queries[start : start + _QUERIES] @ rows[column : column + _ROWS].T, -1, 1)
            at, to = np.nonzero(cosines >= np.float32(least))
            found.append((at + start, to + column, cosines[at, to]))
    first, second, cosines = (np.concatenate(one) for one in zip(*found, strict=True))
    return first, second, cosines


def likest(
    queries: NDArray[np.float32], rows: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each query's `count` nearest rows, nearest first: (E, count) places and cosines.

    Args:
        queries, rows: as for `alike`; at least `count` rows.
    """
    cosines, at = faiss.knn(queries, rows, count, metric=faiss.METRIC_INNER_PRODUCT)
    return at, np.clip(cosines, -1, 1)
