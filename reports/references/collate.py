"""Entries of a list put together: each hash once, and contradictions settled.

- A hash that stands in an earlier entry is a duplicate; the first entry counts.
- Entries of one hash, or of one reference, of which one is negative and another is not, are contradictory:
  the reference is disputed. So is one of which any entry is disputed.
- A reference with two hashes of one kind is contradictory too: both are looked for.
- What the list says was withdrawn is not looked for, wherever in the list it says so.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reports.finding import Opinion
from reports.references.digests import Digests, digest
from reports.references.formats import ListedSignal, Tombstone
from reports.references.opinions import CODE_OF, OPINIONS, opposed, settled, settled_by_owner
from reports.references.rows import AMENDMENTS, BURIED

NAMED_PLACES = 100
_SIGNALS = {"pdq": 1, "phash": 2, "phash256": 4}
_LOOKED_FOR, _INNOCENT = 8, 16


def code_digest(signal: str, code: bytes) -> bytes:
    """The digest by which a hash of a kind is known again."""
    return digest(signal, code)


def ref_digest(ref_id: str) -> bytes:
    """The digest by which a reference is known again."""
    return digest("ref_id", ref_id.encode("utf-8", "surrogatepass"))


class Collation:
    """What has been read of a list so far: some 50 bytes a hash."""

    def __init__(self) -> None:
        self.rows = 0
        """Hashes kept, duplicates apart."""
        self.references = 0
        self.duplicates = 0
        self.contradictions = 0
        self.contradictory: list[str] = []
        self.tombstones = 0
        self._codes = Digests()
        self._refs = Digests()
        self._opinions = bytearray()
        """By row."""
        self._owner = array("I")
        """By row: the number of its reference."""
        self._seen_of = bytearray()
        """By reference: which signals it has, and on which side its opinions stand."""
        self._amended: dict[int, int] = {}
        self._buried_refs: list[bytes] = []
        self._buried_codes: list[bytes] = []
        self._numbered = False

    def take(self, signals: Sequence[ListedSignal]) -> tuple[list[ListedSignal], list[int]]:
        """Return the entries that are no duplicates, and the number of the reference of each."""
        codes = [code_digest(one.signal, one.code) for one in signals]
        refs = [ref_digest(one.ref_id) for one in signals]
        rows, references = self._codes.find(codes).tolist(), self._refs.find(refs).tolist()
        new_codes: dict[bytes, int] = {}
        new_refs: dict[bytes, int] = {}
        kept: list[ListedSignal] = []
        numbers: list[int] = []
        for one, code, ref, row, number in zip(signals, codes, refs, rows, references, strict=True):
            row = new_codes.get(code, row)
            if row >= 0:
                self._again(row, one)
                continue
            number = new_refs.get(ref, number)
            if number < 0:
                number = new_refs[ref] = self.references
                self.references += 1
                self._seen_of.append(0)
            self._see(number, one)
            self._numbered |= one.numbered
            new_codes[code] = self.rows
            self.rows += 1
            self._opinions.append(CODE_OF[one.opinion])
            self._owner.append(number)
            kept.append(one)
            numbers.append(number)
        self._codes.add(list(new_codes), np.fromiter(new_codes.values(), np.int64, len(new_codes)))
        self._refs.add(list(new_refs), np.fromiter(new_refs.values(), np.int64, len(new_refs)))
        return kept, numbers

    def bury(self, one: Tombstone) -> None:
        """Take what the list says was withdrawn."""
        self.tombstones += 1
        if one.code is not None and one.signal is not None:
            self._buried_codes.append(code_digest(one.signal, one.code))
        else:
            self._buried_refs.append(ref_digest(one.ref_id))

    def present(self, ref_ids: Sequence[str]) -> list[str]:
        """Return those of these references that the list has and does not say were withdrawn."""
        found = self._refs.find([ref_digest(one) for one in ref_ids])
        there = (found >= 0) & ~np.isin(found, self._buried())
        return [one for one, held in zip(ref_ids, there.tolist(), strict=True) if held]

    def opinions(self) -> dict[str, int]:
        """Hashes by opinion, contradictions settled, without those that the list withdrew."""
        opinions = np.frombuffer(bytes(self._opinions), np.int8).copy()
        for row, opinion in self._amended.items():
            opinions[row] = opinion
        owner = np.frombuffer(self._owner, np.uint32).astype(np.int64)
        final = settled_by_owner(opinions, owner, self.references)[owner]
        counts = np.bincount(final[~np.isin(owner, self._buried())], minlength=len(OPINIONS))
        return {str(one): int(count) for one, count in zip(OPINIONS, counts, strict=True) if count}

    def amendments(self) -> pa.Table:
        """Rows of kind "amendments"."""
        rows = sorted(self._amended)
        return pa.Table.from_pydict(
            {"row": rows, "opinion": [self._amended[row] for row in rows]}, schema=AMENDMENTS
        )

    def buried(self) -> pa.Table:
        """Rows of kind "buried"."""
        return pa.Table.from_pydict({"reference": self._buried()}, schema=BURIED)

    def _buried(self) -> NDArray[np.int64]:
        """Numbers of the references that the list says were withdrawn, ascending."""
        if not (self._buried_codes or self._buried_refs):
            return np.zeros(0, np.int64)
        by_code = self._codes.find(self._buried_codes)
        owner = np.frombuffer(self._owner, np.uint32).astype(np.int64)
        # A mere number is what this edition gives to the entry, and no name by which it was known.
        by_ref = self._refs.find([] if self._numbered else self._buried_refs)
        return np.unique(np.concatenate((owner[by_code[by_code >= 0]], by_ref[by_ref >= 0])))

    def _again(self, row: int, one: ListedSignal) -> None:
        self.duplicates += 1
        before, now = self._amended.get(row, self._opinions[row]), CODE_OF[one.opinion]
        if opposed(self._opinions[row], now):
            self._contradicts(one)
        if (both := settled(before, now)) != before:
            self._amended[row] = both

    def _see(self, number: int, one: ListedSignal) -> None:
        seen, signal = self._seen_of[number], _SIGNALS[one.signal]
        side = {Opinion.NEGATIVE: _INNOCENT, Opinion.DISPUTED: 0}.get(one.opinion, _LOOKED_FOR)
        other = (_LOOKED_FOR | _INNOCENT) ^ side
        if seen & signal or (side and seen & other):
            self._contradicts(one)
        self._seen_of[number] = seen | signal | side

    def _contradicts(self, one: ListedSignal) -> None:
        self.contradictions += 1
        if len(self.contradictory) < NAMED_PLACES:
            self.contradictory.append(one.place)
