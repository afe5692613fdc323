"""Changing a home's master key: what the earlier one sealed is sealed anew with the later one, with proof.

The change is written into a journal first. From then on the earlier key is needed until the end and every
other command refuses; killed anywhere, the same command goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine

from leaksweep.home import Home
from reports.custody import receipt, succession
from reports.custody.audit import AuditLog
from reports.custody.journal import Journal
from reports.custody.traces import ReadBack, read_back
from reports.finding import ReportError
from scanner.key_change import KeyChange, KeyChanges
from scanner.key_files import put_in_place
from scanner.seal_marks import SealMarks
from scanner.vault import TwoKeys, Vault, VaultError
from scanner.vault_claim import hand_over


class Sealed(Protocol):
    """A store that holds something sealed with the master key."""

    def opened_seals(self) -> Iterator[bytes]:
        """Open everything, and yield each seal."""

    def reseal(self) -> None:
        """Seal everything anew, and leave nothing of before on the disk. Can be done again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """A change that came to its end."""

    change: KeyChange
    receipt: Path
    content: dict[str, Any]
    """What the receipt says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Changes the key of a home that nobody else has open; see `leaksweep.home_lock.alone`."""

    home: Home
    engine: Engine
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    say: Callable[[str], None] = lambda text: None

    def begin(
        self,
        earlier: Vault,
        later: Vault,
        *,
        later_file: Path | None,
        replaces: Path | None,
        who: str,
        why: str,
    ) -> KeyChange:
        """See that everything opens with the earlier key, and write down that it is to be changed.

        Args:
            later_file: where the later key lies; None when it is given in the environment.
            replaces: the key file whose place it takes at the end.

        Raises:
            VaultError, ReportError: something does not open, or a store is in use or read-only. Nothing has
                been changed then.
        """
        if Journal(self.engine).unfinished():
            # It would look for what the erased things had been sealed to before.
            raise ReportError("an erasure was cut off; end it first: leaksweep erase --go-on")
        self.say("opening everything that is sealed ...")
        try:
            with self._stores(earlier) as stores:
                seals = SealMarks.of(chain.from_iterable(one.opened_seals() for one in stores))
        except VaultError as error:
            raise VaultError(
                f"{error}. Nothing was changed; what is damaged can be erased: leaksweep erase ID"
            ) from error
        return self._changes.begin(
            earlier=earlier.fingerprint,
            later=later.fingerprint,
            later_file=str(later_file) if later_file else None,
            replaces=str(replaces) if replaces else None,
            who=who,
            why=why.strip(),
            begun_at=self._now(),
            seals=seals,
        )

    def carry_out(self, change: KeyChange, earlier: Vault, later: Vault) -> Rotated:
        """Seal everything anew, read the disk back, and hand the home over to the later key.

        Every step can be done twice, so a kill anywhere is made good by doing them again.

        Raises:
            VaultError, ReportError: a store cannot be written, or traces are left.
        """
        seals = self._changes.seals(change.number)
        self.say(f"sealing {len(seals)} things anew ...")
        with self._stores(TwoKeys(earlier, later)) as stores:
            for one in stores:
                one.reseal()
        self.say("reading back every file of the home ...")
        read = read_back(self.home.root, seals, self.engine)
        if read.found:
            raise ReportError(
                f"the master key: all is sealed anew, but seals of {change.earlier} are still in "
                f"{', '.join(read.found[:5])}; close whatever else has the home open or move copies away, "
                "and run again: leaksweep key rotate"
            )
        paper = self._settle(change, earlier, later, len(seals), read)
        return self.finish(change, paper)

    def finish(self, change: KeyChange, paper: str) -> Rotated:
        """Put the key and the signed receipt where they belong, once nothing is left of the earlier key.

        Raises:
            VaultError, ReportError: a folder cannot be written.
        """
        path = receipt.write(self.home.root / "receipts", f"key-change-{change.number:06d}", paper)
        if change.replaces and change.later_file:
            put_in_place(
                Path(change.later_file),
                Path(change.replaces),
                earlier_key=change.earlier,
                later_key=change.later,
            )
        self._changes.end(change.number, self._now())
        return Rotated(change=change, receipt=path, content=receipt.verified(paper, str(path)))

    def _settle(self, change: KeyChange, earlier: Vault, later: Vault, sought: int, read: ReadBack) -> str:
        """In one transaction: the audit log's entry, the receipt, and whose the home is."""
        log = AuditLog(self.engine)
        told = {"from": change.earlier, "to": change.later, "why": change.why or None}
        with self.engine.begin() as db:
            entry = log.append(change.who, "change key", "master key", told, db=db)
            content = {
                "what": succession.WHAT,
                "subject": "master key",
                "asked_by": change.who,
                "why": change.why,
                "begun_at": change.begun_at,
                "ended_at": self._now(),
                **succession.named(earlier),
                "looked_for": sought,
                **read.told(),
                "audit_entry": entry.digest,
            }
            paper = receipt.signed(content, later)
            self._changes.settle(db, change.number, paper)
            hand_over(db, change.later)
        return paper

    @contextmanager
    def _stores(self, vault: Vault) -> Iterator[Sequence[Sealed]]:
        """All that is sealed with the master key, held for writing."""
        from reports.matching.hash_store import HashStore
        from reports.references.sealed_store import SealedStore
        from scanner.extraction_store import ExtractionStore
        from scanner.picture_keys import PictureKeys

        keys = PictureKeys(self.engine, vault)
        references = SealedStore(self.home.references, vault)
        with ExitStack() as held:
            extractions = ExtractionStore(self.home.extractions, keys)
            held.enter_context(extractions.writing())
            held.enter_context(references.writing())
            yield keys, extractions, HashStore(self.home.hashes, vault), references

    @property
    def _changes(self) -> KeyChanges:
        return KeyChanges(self.engine)

    def _now(self) -> str:
        return self.clock().astimezone(UTC).isoformat(timespec="seconds")
