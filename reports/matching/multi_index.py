"""Multi-index hashing: all pairs of hashes within a radius, exactly, without comparing them all.

Cut the bits into m pieces, and give each piece i a number of flips t_i such that the sum of all t_i + 1 is
radius + 1. Two hashes that differ by more than t_i in every piece differ by more than the radius, so a
pair within it agrees up to t_i flips in one piece at least. The references are sorted by each piece;
each query looks up its own piece and all that are t_i flips away, and what it meets is compared in full.
Norouzi, Punjani and Fleet, *Fast exact search in Hamming space with multi-index hashing* (2014).

faiss has the same as IndexBinaryMultiHash, of hash maps, which take ten times the memory and the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import ceil, comb, log2

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Queries, references and their distances in bits: (P,) each."""

_WIDEST = 24
"""Bits of a piece, at most: its table of places has 2^bits entries of 4 bytes."""
_LOOKUPS, _COMPARED = 1 << 20, 1 << 20
"""At once: pieces looked up, and pairs compared, each of which takes some 80 bytes for a moment."""
_SORT, _LOOKUP, _COMPARE = 90.0, 30.0, 90.0
"""Nanoseconds for a reference to be sorted, a piece to be looked up and a pair to be compared. Measured on
one core of an AMD EPYC; only which way is taken hangs on them."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How hashes are cut into pieces of one width, for a radius."""

    width: int
    """Bits of a piece."""
    flips: tuple[int, ...]
    """By piece: how many of its bits may differ."""

    @classmethod
    def into(cls, pieces: int, *, bits: int, radius: int) -> Cut:
        """Share out the radius over so many pieces; a piece that gets no share is left out."""
        share, rest = divmod(radius + 1, pieces)
        flips = tuple(share if piece < rest else share - 1 for piece in range(pieces))
        return cls(min(bits // pieces, _WIDEST), tuple(one for one in flips if one >= 0))

    def seconds(self, queries: int, references: int) -> float:
        """What it costs, sorting included."""
        lookups = sum(sum(comb(self.width, k) for k in range(flips + 1)) for flips in self.flips)
        values = 1 << self.width
        compared = lookups * references / values
        table = references * _SORT + values * 10
        each = lookups * _LOOKUP + compared * _COMPARE
        return 1e-9 * (len(self.flips) * table + queries * each)


def best_cut(bits: int, radius: int, queries: int, references: int) -> Cut:
    """Return the cut that costs least.

    Args:
        bits: of a hash, a multiple of 64.
        radius: 0 to bits - 1.
    """
    narrowest = max(1, ceil(log2(max(2, references)) / 2))
    cuts = (Cut.into(pieces, bits=bits, radius=radius) for pieces in range(1, bits // narrowest + 1))
    return min(cuts, key=lambda cut: cut.seconds(queries, references))


@dataclass(frozen=True, slots=True)
class Table:
    """References sorted by one piece of theirs."""

    first: int
    """The piece's lowest bit."""
    width: int
    flips: int
    order: NDArray[np.uint32]
    """(N,) references, ascending by their piece."""
    starts: NDArray[np.uint32]
    """(2^width + 1,) where in `order` the references with each piece begin."""


def tables(words: Words, cut: Cut) -> Iterator[Table]:
    """Yield a table a piece: 4 bytes a reference, and 4 a value that a piece can have.

    Args:
        words: (N, W) hashes, fewer than 2^32.
    """
    for number, flips in enumerate(cut.flips):
        first = number * cut.width
        # Piece and place in one word, so that one sort of plain numbers orders both.
        packed = _piece(words, first, cut.width) << np.uint64(32)
        packed |= np.arange(len(words), dtype=np.uint64)
        packed.sort()
        order = packed.astype(np.uint32)
        packed >>= np.uint64(32)
        starts = np.zeros((1 << cut.width) + 1, np.uint32)
        np.cumsum(np.bincount(packed.view(np.int64), minlength=1 << cut.width), out=starts[1:])
        del packed
        yield Table(first, cut.width, flips, order, starts)


def near(tables: Iterable[Table], words: Words, queries: Words, radius: int) -> Pairs:
    """Return all pairs within the radius that the tables were cut for, each once, by query and reference.

    Args:
        tables: of `words`; each is used once and let go, so an iterator of them takes the memory of one.
        words: (N, W) the references' hashes.
        queries: (E, W)
    """
    found = [(np.zeros(0, np.int64),) * 3]
    for table in tables:
        masks = _masks(table.width, table.flips)
        step = max(1, _LOOKUPS // len(masks))
        for start in range(0, len(queries), step):
            some = queries[start : start + step]
            for row, column, distance in _met(table, masks, words, some, radius):
                found.append((row + start, column, distance))
    rows, columns, distances = (np.concatenate(one) for one in zip(*found, strict=True))
    # A pair that agrees in several pieces was met by each of them.
    _, once = np.unique(rows * len(words) + columns, return_index=True)
    return rows[once], columns[once], distances[once]


def _met(
    table: Table, masks: NDArray[np.int64], words: Words, queries: Words, radius: int
) -> Iterator[Pairs]:
    keys = (_piece(queries, table.first, table.width).astype(np.int64)[:, None] ^ masks).ravel()
    starts = table.starts[keys]
    keys += 1
    counts = table.starts[keys] - starts
    some = np.flatnonzero(counts)
    starts, counts, rows = starts[some].astype(np.int64), counts[some], some // len(masks)
    ends = np.cumsum(counts, dtype=np.int64)
    for low in range(0, int(ends[-1]) if len(ends) else 0, _COMPARED):
        high = min(low + _COMPARED, int(ends[-1]))
        part = slice(int(np.searchsorted(ends, low, "right")), int(np.searchsorted(ends, high, "left")) + 1)
        begins = ends[part] - counts[part]
        inside = np.minimum(ends[part], high) - np.maximum(begins, low)
        places = np.repeat(starts[part] - begins, inside) + np.arange(low, high)
        columns = table.order[places]
        yield verified(words, queries, np.repeat(rows[part], inside), columns, radius)


def verified(
    words: Words, queries: Words, rows: NDArray[np.int64], columns: NDArray[np.integer], radius: int
) -> Pairs:
    """Keep those of the pairs that are within the radius."""
    distances = bits_apart(np.take(queries, rows, axis=0), np.take(words, columns, axis=0))
    kept = np.flatnonzero(distances <= radius)
    return rows[kept], columns[kept].astype(np.int64), distances[kept].astype(np.int64)


def bits_apart(a: Words, b: Words) -> NDArray[np.uint16]:
    """(P,) Hamming distances of (P, W) hashes, pair by pair."""
    differing: NDArray[np.uint8] = np.bitwise_count(a ^ b)
    # Over so few columns numpy's own sum takes longer than the comparison.
    total: NDArray[np.uint16] = differing[:, 0].astype(np.uint16)
    for word in range(1, differing.shape[1]):
        total += differing[:, word]
    return total


def _piece(words: Words, first: int, width: int) -> NDArray[np.uint64]:
    word, shift = divmod(first, 64)
    piece = words[:, word] >> np.uint64(shift)
    if shift + width > 64:
        piece |= words[:, word + 1] << np.uint64(64 - shift)
    return piece & np.uint64((1 << width) - 1)


@cache
def _masks(width: int, flips: int) -> NDArray[np.int64]:
    """All ways to flip so many bits or fewer."""
    found = [
        sum(1 << bit for bit in bits)
        for count in range(min(flips, width) + 1)
        for bits in combinations(range(width), count)
    ]
    return np.array(found, np.int64)
