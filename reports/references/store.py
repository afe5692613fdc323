"""Reference sets: hashes and descriptors of what is looked for, sealed, in LanceDB. Never the pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Connection, Engine

from reports.finding import Opinion, ReportError
from reports.matching.hashes import Hasher, open_hasher
from reports.references import details
from reports.references.folders import without_rejected, write_pictures
from reports.references.index import ReferenceIndex
from reports.references.listing import SIGNALS, ListFile, Names, read_into, vanished
from reports.references.loading import load_index
from reports.references.pictures import picture_files, references
from reports.references.rows import ReferenceSet
from reports.references.sealed_store import SealedStore, check_known
from reports.references.withdrawals import Withdrawal, Withdrawals
from scanner.vault import Vault

if TYPE_CHECKING:
    from extraction.descriptors import Descriptor

Progress = Callable[[int, int], None]
"""Called with how many are done, of how many."""


class References:
    """The reference sets in one folder, written by one process at a time.

    Args:
        path: folder of the LanceDB store, made where it is missing.
        vault: seals what is confidential: everything of a reference, but counts.
        engine: from `crawler.catalog.engine.open_engine`, for withdrawals.

    Raises:
        ReportError: the store was made by another version of leaksweep, or cannot be made.
    """

    def __init__(self, path: Path, vault: Vault, engine: Engine, *, hasher: Hasher | None = None) -> None:
        self.path = path
        self._vault = vault
        self._given_hasher = hasher
        self._withdrawals = Withdrawals(engine)
        self._store = SealedStore(path, vault)

    def writing(self) -> AbstractContextManager[None]:
        """Hold the store for writing; may be nested.

        Raises:
            ReportError: another process writes to it, or it is read-only.
        """
        return self._store.writing()

    def sets(self) -> tuple[ReferenceSet, ...]:
        """Return all sets, by name.

        Raises:
            ReportError: one of them was sealed with another key.
        """
        return tuple(self._store.sets.all().values())

    def named(self, names: Iterable[str]) -> tuple[ReferenceSet, ...]:
        """Return sets by name.

        Raises:
            ReportError: one of them does not exist, or was sealed with another key.
        """
        return self._store.named(names)

    def load(
        self, names: Iterable[str], *, min_pdq_quality: int = 50, now: datetime | None = None
    ) -> Iterator[ReferenceIndex]:
        """Yield sets as arrays, one after the other, so that only one lies in memory.

        Left out are withdrawn references, and hashes that are disabled until a day after `now`.

        Raises:
            ReportError: a set does not exist, was sealed with another key, or is damaged.
        """
        at = now or datetime.now(UTC)
        for one in self.named(names):
            withdrawn = self._withdrawals.of_persons(one.name)
            read = partial(self._store.read, one)
            yield load_index(one, read, min_pdq_quality=min_pdq_quality, withdrawn=withdrawn, now=at)

    def details(self, set_name: str, ref_ids: Collection[str]) -> dict[str, details.Details]:
        """Return what the giver says of these references, by id, for an evidence page. Not for exports.

        Raises:
            ReportError: as `load`.
        """
        (one,) = self.named([set_name])
        return details.details_of(self._store.read(one, "hashes", details.COLUMNS), ref_ids)

    def add_folder(
        self,
        name: str,
        folder: Path,
        describe: Sequence[Descriptor],
        *,
        opinion: Opinion = Opinion.POSITIVE,
        on_corrupt: Literal["report", "fail"] = "report",
        progress: Progress | None = None,
        now: datetime | None = None,
    ) -> ReferenceSet:
        """Add the pictures of a folder and its subfolders as a set.

        Args:
            name: letters, digits, dot, dash and underscore; 64 at most.
            describe: the descriptors to measure with. A set can only be compared, but by hash, with
                extractions of the same makers.
            opinion: of all pictures; negative for known innocent ones.
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
        with self.writing(), self._store.new_blocks(name) as writer:
            rows = references(name, folder, files, self._hasher, describe, opinion)
            if on_corrupt == "fail":
                rows = without_rejected(rows)
            done = (lambda entries: progress(entries, len(files))) if progress else None
            entries, rejected = write_pictures(rows, writer, done)
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
                left_out=len(rejected),
                passed_over=passed_over,
                opinions={str(opinion): entries},
                descriptors=tuple(one.name for one in describe),
                hashes=self._hasher.name,
                added_at=now or datetime.now(UTC),
                blocks=writer.table,
                parts=writer.close(),
                key=self._vault.fingerprint,
            )
            self._withdrawals.forget(name)
            self._store.sets.put(added)
        return added

    def add_list(
        self,
        name: str,
        path: Path,
        *,
        form: str | None = None,
        mapping: Mapping[str, str] | None = None,
        source: str = "",
        progress: Callable[[int], None] | None = None,
        now: datetime | None = None,
    ) -> ReferenceSet:
        """Add a list of hashes as a set; see `reports.references.formats.read_list`.

        Args:
            name: as for `add_folder`.
            source: who gave the list, where its entries do not tell. Confidential.
            progress: called with the count of entries read so far.

        Raises:
            ReportError: the name is taken or not allowed, or the list has a bad entry or none to keep.
        """
        with self.writing(), self._store.new_blocks(name) as writer:
            added, _ = read_into(
                writer, Names(1), ListFile.of(path, form, mapping, source), progress, now or datetime.now(UTC)
            )
            self._withdrawals.forget(name)
            self._store.sets.put(added)
        return added

    def update(
        self,
        name: str,
        path: Path,
        *,
        form: str | None = None,
        mapping: Mapping[str, str] | None = None,
        source: str = "",
        progress: Callable[[int], None] | None = None,
        now: datetime | None = None,
    ) -> ReferenceSet:
        """Put a newer list in place of a set's, in one commit; arguments as for `add_list`.

        What the newer list has no longer, or says was withdrawn, is withdrawn by "list NAME"; what it has
        again comes back, but for what a person withdrew. Killed anywhere, the old list stands as it was.

        Raises:
            ReportError: there is no such set, it holds pictures, or as `add_list`.
        """
        at = now or datetime.now(UTC)
        with self.writing():
            (old,) = self.named([name])
            if old.kind != "hashes":
                raise ReportError(
                    f'reference set "{name}" holds pictures, and only a list can be updated; remove the set '
                    f"and add it again: leaksweep refs remove {name}"
                )
            with self._store.new_blocks(name, instead_of=old) as writer:
                names = Names(writer.edition, self._store.read(old, "hashes", ["ref_id", *SIGNALS]))
                given = ListFile.of(path, form, mapping, source)
                new, collation = read_into(writer, names, given, progress, at)
                gone = vanished(self._store.read(old, "hashes", ["ref_id"]), collation)
                self._withdrawals.prepare(name, new.edition, gone=gone, back=collation.present, at=at)
                self._store.sets.put(new)
        return new

    def remove(self, name: str) -> None:
        """Remove a set, and erase it from the disk. Needs no key. What people withdrew stays written down.

        Raises:
            ReportError: there is no such set. What a removal that was cut off left is gone all the same.
        """
        with self.writing():
            known = self._store.sets.editions()
            self.forget(name)
        check_known(name, known)

    def forget(self, name: str) -> None:
        """Remove a set, or what is left of it; that nothing is left is no error. Else as `remove`."""
        with self.writing():
            self._store.drop(name)
            self._withdrawals.forget(name)

    def seals(self, name: str) -> list[bytes]:
        """Return what each sealed block of a set begins with, to look for it once it is erased. Needs no key.

        Raises:
            ReportError: there is no such set.
        """
        return list(self._store.seals(name))

    def withdraw(
        self, set_name: str, ref_id: str, who: str, why: str, *, db: Connection | None = None
    ) -> Withdrawal:
        """Stop looking for a reference from the next load on.

        Args:
            db: the caller's transaction, in which it is written down; None: one of its own.

        Raises:
            ReportError: the set has no such reference.
        """
        if not self.details(set_name, [ref_id]):
            raise ReportError(f'reference set "{set_name}" has no reference "{ref_id}"; check its name')
        return self._withdrawals.put(set_name, ref_id, who=who, why=why, db=db)

    def restore(self, set_name: str, ref_id: str, *, db: Connection | None = None) -> None:
        """Look again for a reference that a person withdrew; `db` as for `withdraw`.

        Raises:
            ReportError: it is not withdrawn, or its list withdrew it.
        """
        self._withdrawals.lift(set_name, ref_id, db=db)

    def withdrawn(self) -> Mapping[tuple[str, str], Withdrawal]:
        """Return what is withdrawn now, by set and reference. Needs no key."""
        return self._withdrawals.all(self._store.sets.editions())

    @cached_property
    def _hasher(self) -> Hasher:
        return self._given_hasher or open_hasher()
