"""Reference sets: hashes and descriptors of the pictures to look for, in LanceDB. Never the pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from reports.finding import Reference, ReportError
from reports.references.hash_lists import HashList, read_hash_list
from reports.matching.hashes import Hasher, open_hasher
from reports.references.index import ReferenceIndex, build_index
from reports.references.pictures import Rejected, picture_files, references
from reports.references.rows import DESCRIPTORS, REFERENCES, SETS, ReferenceSet, descriptor_rows, hash_rows
from reports.tables import connect, hold, lock_of, open_table, rewrite

if TYPE_CHECKING:
    from extraction.descriptors import Descriptor

Progress = Callable[[int, int], None]
"""Called with how many are done, of how many."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ROWS_OF_PICTURES = 128
_ROWS_OF_HASHES = 100_000
"""Rows written at once. A picture's are larger, and slow enough to make that progress is shown between."""


class References:
    """The reference sets in one folder, written by one process at a time."""

    def __init__(self, path: Path, *, hasher: Hasher | None = None) -> None:
        """Open the store, making it where it is missing.

        Raises:
            ReportError: it was made by another version of leaksweep.
        """
        self.path = path
        self._hasher = hasher or open_hasher()
        self._store = connect(path)
        self._lock = lock_of(path, "references")
        open_table(self._store, "reference_sets", SETS)
        open_table(self._store, "references", REFERENCES)
        open_table(self._store, "reference_descriptors", DESCRIPTORS)

    def writing(self) -> AbstractContextManager[object]:
        """Hold the store for writing; may be nested.

        Raises:
            ReportError: another process writes to it.
        """
        return hold(self._lock, self.path)

    def sets(self) -> tuple[ReferenceSet, ...]:
        """Return all sets, by name."""
        rows = self._store.open_table("reference_sets").search().to_arrow().sort_by("name").to_pylist()
        return tuple(ReferenceSet.of(row) for row in rows)

    def named(self, names: Iterable[str]) -> tuple[ReferenceSet, ...]:
        """Return sets by name.

        Raises:
            ReportError: one of them does not exist.
        """
        known = {one.name: one for one in self.sets()}
        wanted = tuple(names)
        for name in wanted:
            if name not in known:
                there_are = ", ".join(known) or "none"
                raise ReportError(f'reference set "{name}" does not exist; there are: {there_are}')
        return tuple(known[name] for name in wanted)

    def load(self, names: Iterable[str], *, min_pdq_quality: int = 50) -> Iterator[ReferenceIndex]:
        """Yield sets as arrays, one after the other, so that only one lies in memory.

        Raises:
            ReportError: one of them does not exist.
        """
        for one in self.named(names):
            where = f"set_name = '{one.name}'"
            hashes = self._store.open_table("references").search().where(where).to_arrow()
            descriptors = self._store.open_table("reference_descriptors").search().where(where).to_arrow()
            yield build_index(one.name, hashes, descriptors, min_pdq_quality=min_pdq_quality)

    def add_folder(
        self,
        name: str,
        folder: Path,
        describe: Sequence[Descriptor],
        *,
        on_corrupt: Literal["report", "fail"] = "report",
        progress: Progress | None = None,
        now: datetime | None = None,
    ) -> ReferenceSet:
        """Add the pictures of a folder and its subfolders as a set.

        Args:
            name: letters, digits, dot, dash and underscore; 64 at most.
            describe: the descriptors to measure with. A set can only be compared, but by hash, with
                extractions of the same makers.
            on_corrupt: leave a picture that cannot be used out of the set and name it in `rejected`, or
                raise and add nothing.

        Raises:
            ReportError: the name is taken or not allowed, the folder holds no picture that can be used,
                or, if asked for, one of them cannot be used.
        """
        files, passed_over = picture_files(folder)
        if not files:
            raise ReportError(
                f"{folder}: holds no picture; a reference set needs one at least (JPEG, PNG, ...)"
            )
        with self.writing():
            self._begin(name)
            rows = references(name, folder, files, self._hasher, describe)
            if on_corrupt == "fail":
                rows = _without_rejected(rows)
            done = (lambda entries: progress(entries, len(files))) if progress else None
            entries, rejected = self._write(rows, _ROWS_OF_PICTURES, done)
            if not entries:
                raise ReportError(
                    f"{folder}: none of its {len(files)} pictures can be used; "
                    f"the first is {rejected[0].ref_id}: {rejected[0].reason}"
                )
            added = ReferenceSet(
                name=name,
                kind="pictures",
                entries=entries,
                rejected=rejected,
                passed_over=passed_over,
                duplicates=0,
                descriptors=tuple(one.name for one in describe),
                hashes=self._hasher.name,
                added_at=now or datetime.now(UTC),
            )
            self._store.open_table("reference_sets").add(added.row())
        return added

    def add_hashes(self, name: str, path: Path, *, now: datetime | None = None) -> ReferenceSet:
        """Add a hash list as a set; see `read_hash_list`.

        Raises:
            ReportError: the name is taken or not allowed, or the list has a bad line or no hash.
        """
        listed = read_hash_list(path)
        with self.writing():
            self._begin(name)
            entries, rejected = self._write(_listed(name, listed), _ROWS_OF_HASHES, None)
            added = ReferenceSet(
                name=name,
                kind="hashes",
                entries=entries,
                rejected=rejected,
                passed_over=0,
                duplicates=listed.duplicates,
                descriptors=(),
                hashes="",
                added_at=now or datetime.now(UTC),
            )
            self._store.open_table("reference_sets").add(added.row())
        return added

    def remove(self, name: str) -> None:
        """Remove a set, and erase its hashes from the disk.

        Raises:
            ReportError: there is no such set.
        """
        with self.writing():
            self.named([name])
            self._store.open_table("reference_sets").delete(f"name = '{name}'")
            self._drop_unlisted()

    def _begin(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ReportError(
                f"{name!r} cannot name a reference set; use letters, digits, dot, dash and underscore, "
                "64 at most"
            )
        if name in {one.name for one in self.sets()}:
            raise ReportError(
                f'reference set "{name}" exists already; remove it first: leaksweep refs remove {name}'
            )
        self._drop_unlisted()

    def _write(
        self, rows: Iterator[Reference | Rejected], at_once: int, progress: Callable[[int], None] | None
    ) -> tuple[int, tuple[Rejected, ...]]:
        """Write references; return how many there were, views counted once, and what was rejected.

        The set's own row comes after them: until it is there, the set is not, and they are dropped again.
        """
        entries, rejected, last = 0, [], ""
        while part := list(islice(rows, at_once)):
            found = [one for one in part if isinstance(one, Reference)]
            rejected += [one for one in part if isinstance(one, Rejected)]
            for one in found:
                entries, last = entries + (one.ref_id != last), one.ref_id
            self._store.open_table("references").add(hash_rows(found))
            self._store.open_table("reference_descriptors").add(descriptor_rows(found))
            if progress:
                progress(entries + len(rejected))
        return entries, tuple(rejected)

    def _drop_unlisted(self) -> None:
        """Erase rows of sets that were removed, or whose adding was cut off or failed."""
        listed = ", ".join(f"'{one.name}'" for one in self.sets()) or "''"
        for table, columns in (("references", REFERENCES), ("reference_descriptors", DESCRIPTORS)):
            if self._store.open_table(table).count_rows(f"set_name NOT IN ({listed})"):
                rewrite(self._store, table, columns, f"set_name IN ({listed})")


def _without_rejected(rows: Iterator[Reference | Rejected]) -> Iterator[Reference | Rejected]:
    for row in rows:
        if isinstance(row, Rejected):
            raise ReportError(f"{row.ref_id}: {row.reason}; nothing was added. Repair or remove the file")
        yield row


def _listed(set_name: str, listed: HashList) -> Iterator[Reference | Rejected]:
    for line in listed.implausible:
        yield Rejected(str(line), "nearly all of its bits are 0 or 1: it would match every plain picture")
    for one in listed.hashes:
        yield Reference(
            set_name=set_name,
            ref_id=str(one.line),
            phash=one.code if one.algorithm == "phash" else None,
            pdq=one.code if one.algorithm == "pdq" else None,
            pdq_quality=None,
        )
