"""A list read into blocks, in one pass and in constant memory but for what tells duplicates."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Self, cast

import numpy as np
import pyarrow as pa

from reports.finding import ReportError
from reports.references.blocks import ROWS, BlockWriter
from reports.references.collate import Collation, code_digest
from reports.references.digests import Digests
from reports.references.formats import Entry, ListedSignal, Tombstone, Unmatchable, read_list
from reports.references.formats.files import readable
from reports.references.formats.sniffing import sniff
from reports.references.opinions import CODE_OF
from reports.references.pictures import Rejected
from reports.references.rows import HASHES, NAMED, ReferenceSet

SIGNALS = ("pdq", "phash", "phash256")
KINDS = 100
"""Kinds of hashes that are counted one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFile:
    """A list as it was given."""

    path: Path
    form: str
    mapping: Mapping[str, str] | None
    source: str
    """Who gave it, where its entries do not tell. Confidential."""

    @classmethod
    def of(cls, path: Path, form: str | None, mapping: Mapping[str, str] | None, source: str) -> Self:
        """Tell the list's format, where it is not given.

        Raises:
            ReportError: it cannot be told, or the file cannot be read.
        """
        return cls(path=path, form=form or sniff(path, mapping), mapping=mapping, source=source)

    def sha256(self) -> str:
        """The digest of its bytes.

        Raises:
            ReportError: it cannot be read.
        """
        with readable(self.path), self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def state(self) -> tuple[int, ...]:
        """What tells that its bytes were changed or exchanged.

        Raises:
            ReportError: it cannot be read.
        """
        with readable(self.path):
            now = self.path.stat()
        return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns


@dataclass(slots=True)
class _Tally:
    """What a list held besides hashes."""

    read: int = 0
    left_out: int = 0
    disabled: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    """The first `NAMED`."""
    unmatchable: Counter[str] = field(default_factory=Counter)
    fetched_at: datetime | None = None


class Names:
    """Ids for entries to which the list gives none: a number that moves when an entry before it goes.

    An entry of an edition before is known again by its hash and keeps the id it had; a new one is named by
    its number and the edition, such as "57@2".
    """

    def __init__(self, edition: int, before: Iterable[pa.Table] = ()) -> None:
        self._edition = edition
        self._before = iter(before)
        self._codes: Digests | None = None
        self._ids: pa.Array = pa.array([], pa.large_string())

    def __call__(self, signals: Sequence[ListedSignal]) -> list[ListedSignal]:
        if self._edition == 1 or not any(one.numbered for one in signals):
            return list(signals)
        if self._codes is None:
            self._read()
        assert self._codes is not None
        rows = self._codes.find([code_digest(one.signal, one.code) for one in signals])
        known = iter(self._ids.take(pa.array(rows[rows >= 0])).to_pylist())
        named = []
        for one, row in zip(signals, rows.tolist(), strict=True):
            before = next(known) if row >= 0 else None
            name = before if before is not None else f"{one.ref_id}@{self._edition}"
            named.append(replace(one, ref_id=name) if one.numbered else one)
        return named

    def _read(self) -> None:
        self._codes, ids, count = Digests(), [], 0
        for rows in self._before:
            digests, numbers = [], []
            for signal in SIGNALS:
                for row, code in enumerate(rows[signal].to_pylist()):
                    if code is not None:
                        digests.append(code_digest(signal, code))
                        numbers.append(count + row)
            self._codes.add(digests, np.array(numbers, np.int64))
            ids += rows["ref_id"].chunks
            count += len(rows)
        self._ids = pa.chunked_array(ids, pa.large_string()).combine_chunks()


def read_into(
    writer: BlockWriter, names: Names, given: ListFile, progress: Callable[[int], None] | None, now: datetime
) -> tuple[ReferenceSet, Collation]:
    """Read a list to its end and write its blocks; return its set, which is not there yet.

    Args:
        progress: called with the count of entries read so far.
        now: what is disabled until later is counted.

    Raises:
        ReportError: an entry is malformed, no entry is of use, or the list was changed meanwhile.
    """
    collation, tally, state = Collation(), _Tally(), given.state()
    sha256 = given.sha256()
    entries = read_list(given.path, form=given.form, mapping=given.mapping)
    while part := list(islice(entries, ROWS)):
        for one in part:
            _note(one, tally, collation)
        kept, numbers = collation.take(names([one for one in part if isinstance(one, ListedSignal)]))
        if kept:
            writer.put("hashes", hash_rows(kept, numbers, given.source))
        tally.read += len(part)
        tally.disabled += sum(bool(one.disable_until and one.disable_until > now) for one in kept)
        dates = [one.fetched_at for one in kept if one.fetched_at]
        tally.fetched_at = max([*dates, *([tally.fetched_at] if tally.fetched_at else [])], default=None)
        if progress:
            progress(tally.read)
    if given.state() != state:
        raise ReportError(
            f"{given.path.name}: was changed while it was read; read it again when nobody writes to it"
        )
    if tally.read == tally.left_out:
        first = tally.rejected[0]
        raise ReportError(
            f"{given.path.name}: none of its {tally.read} hashes can be used; the first is {first.ref_id}: "
            f"{first.reason}. Export the list again"
        )
    for kind, rows in (("amendments", collation.amendments()), ("buried", collation.buried())):
        if len(rows):
            writer.put(kind, rows)
    return _set_of(writer, given, sha256, collation, tally, now), collation


def vanished(before: Iterable[pa.Table], collation: Collation) -> list[tuple[str, str]]:
    """Return the references of an older edition that the list has no longer, each with the reason."""
    gone = []
    for rows in before:
        ids = list(dict.fromkeys(cast("list[str]", rows["ref_id"].to_pylist())))
        held = set(collation.present(ids))
        gone += [(one, "its list has it no longer") for one in ids if one not in held]
    return gone


def hash_rows(signals: Sequence[ListedSignal], numbers: Sequence[int], source: str) -> pa.Table:
    """Rows of kind "hashes", one an entry, with the number of the reference each belongs to."""
    return pa.Table.from_pydict(
        {
            "reference": numbers,
            "ref_id": [one.ref_id for one in signals],
            "view": ["full"] * len(signals),
            **{name: [one.code if one.signal == name else None for one in signals] for name in SIGNALS},
            "pdq_quality": [one.quality if one.signal == "pdq" else None for one in signals],
            "opinion": [CODE_OF[one.opinion] for one in signals],
            "classification": [one.classification for one in signals],
            "tags": [one.tags for one in signals],
            "source": [one.source or source for one in signals],
            "fetched_at": [one.fetched_at for one in signals],
            "disable_until": [one.disable_until for one in signals],
        },
        schema=HASHES,
    )


def _note(one: Entry, tally: _Tally, collation: Collation) -> None:
    if isinstance(one, Unmatchable):
        # A list that makes up a kind for every entry does not fill the memory, nor the screen.
        full = len(tally.unmatchable) >= KINDS and one.kind not in tally.unmatchable
        tally.unmatchable["other" if full else one.kind] += 1
    elif isinstance(one, Tombstone):
        collation.bury(one)
    elif isinstance(one, Rejected):
        tally.left_out += 1
        if len(tally.rejected) < NAMED:
            tally.rejected.append(one)


def _set_of(
    writer: BlockWriter, given: ListFile, sha256: str, collation: Collation, tally: _Tally, now: datetime
) -> ReferenceSet:
    opinions = collation.opinions()
    return ReferenceSet(
        name=writer.set_name,
        kind="hashes",
        entries=sum(opinions.values()),
        rejected=tuple(tally.rejected),
        left_out=tally.left_out,
        duplicates=collation.duplicates,
        contradictions=collation.contradictions,
        contradictory=tuple(collation.contradictory),
        tombstones=collation.tombstones,
        disabled=tally.disabled,
        unmatchable=dict(sorted(tally.unmatchable.items())),
        opinions=opinions,
        form=given.form,
        list_sha256=sha256,
        fetched_at=tally.fetched_at,
        added_at=now,
        edition=writer.edition,
        blocks=writer.table,
        parts=writer.close(),
        key=writer.key,
    )
