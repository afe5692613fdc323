"""Erasure: keys first, then rows and bytes, then a look at the files, then a receipt."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reports.custody import receipt
from reports.custody.audit import AuditLog, Entry
from reports.custody.journal import Erasure, Journal
from reports.custody.traces import ReadBack, read_back
from reports.finding import ReportError
from reports.matching.stage import Desk
from scanner.vault import Vault, heads

WHAT = "receipt of an erasure"
"""What a receipt says it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What an erasure came to."""

    subject: str
    extractions: tuple[str, ...]
    findings: tuple[str, ...]
    set_name: str | None
    read: ReadBack
    receipt: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Eraser:
    """What erasing works with."""

    desk: Desk
    vault: Vault
    audit: AuditLog
    root: Path
    """The home folder, all of which is read back."""
    report: Path
    """The home's last report, which may show what goes; it is removed and can be written again."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def erase_extractions(self, subject: str, ids: Collection[str], *, who: str, why: str) -> Erased:
        """Erase extractions: pictures, hashes, descriptors, prompts, matches and findings.

        Raises:
            ReportError: one is under a legal hold, or traces are left.
            EraseError, StoreError: a store cannot be written.
        """
        gone, findings = set(ids), self.desk.findings.findings()
        resting = tuple(sorted(one.id for one in findings if one.match.extraction_id in gone))

        def refuse_held() -> None:
            self._refuse(self.desk.held(findings) & gone)

        return self._erase(subject, None, tuple(sorted(gone)), resting, refuse_held, who=who, why=why)

    def erase_set(self, name: str, *, who: str, why: str) -> Erased:
        """Erase a reference set, what was found with it, and pictures that were kept for its sake alone.

        Raises:
            ReportError: there is no such set, it or what was found with it is under a legal hold, or traces
                are left.
            EraseError, StoreError: a store cannot be written.
        """
        self.desk.references.named([name])
        findings = self.desk.findings.findings()
        found = [one for one in findings if one.match.set_name == name]
        resting = tuple(sorted(one.id for one in found))

        def refuse_held() -> None:
            self._refuse({f"set {name}"} & self.desk.holds.subjects())
            self._refuse(self.desk.held(findings) & {one.match.extraction_id for one in found})

        return self._erase(f"set {name}", name, (), resting, refuse_held, who=who, why=why)

    def go_on(self) -> list[Erased]:
        """End what an earlier process began and did not end.

        Raises:
            ReportError: another process writes to the stores, perhaps ends it; or traces are left.
            EraseError, StoreError: a store cannot be written.
        """
        with self.desk.findings.writing():
            return [self._carry_out(one) for one in self._journal.unfinished()]

    @property
    def _journal(self) -> Journal:
        return Journal(self.desk.findings.engine)

    def _erase(
        self,
        subject: str,
        set_name: str | None,
        extractions: tuple[str, ...],
        findings: tuple[str, ...],
        refuse_held: Callable[[], None],
        *,
        who: str,
        why: str,
    ) -> Erased:
        if not why.strip():
            raise ReportError(f"{subject}: say why; the receipt and the audit log will tell it")
        with self.desk.findings.writing():
            seals = [*self.desk.extractions.seals(extractions), *self.desk.hashes.seals(extractions)]
            if set_name is not None:
                seals += self.desk.references.seals(set_name)
            journal = self._journal
            with self.desk.findings.engine.begin() as db:
                # A hold comes before the decision, and stops it, or after.
                self.desk.holds.stand_still(db)
                refuse_held()
                begun = journal.begin(
                    db,
                    subject=subject,
                    set_name=set_name,
                    extractions=extractions,
                    findings=findings,
                    heads=heads(seals),
                    who=who,
                    why=why.strip(),
                    begun_at=self._now(),
                )
            return self._carry_out(begun)

    def _carry_out(self, one: Erasure) -> Erased:
        """Every step can be done twice, so a kill anywhere is made good by doing them again."""
        desk = self.desk
        desk.extractions.erase_images(one.extractions, "erased")
        desk.hashes.delete(one.extractions)
        desk.extractions.delete(one.extractions)
        if one.set_name is not None:
            desk.references.forget(one.set_name)
        desk.findings.forget(extractions=one.extractions, findings=one.findings, set_name=one.set_name)
        if one.set_name is not None:
            self._drop_pictures_kept_for_nothing()
        self._remove_report()
        read = read_back(self.root, one.heads, desk.findings.engine)
        if read.found:
            raise ReportError(
                f"{one.subject}: erased, but traces are still in {', '.join(read.found[:5])}; close whatever "
                "else has the home open, and run leaksweep erase --go-on"
            )
        return self._conclude(one, read)

    def _conclude(self, one: Erasure, read: ReadBack) -> Erased:
        """The entry in the log and the end in the journal in one transaction, the receipt within it.

        A kill before it is kept leaves a receipt whose place the next one takes.
        """
        ended = self._now()
        counts = {"extractions": len(one.extractions), "findings": len(one.findings), "set": one.set_name}
        journal = self._journal
        with self.desk.findings.engine.begin() as db:
            entry = self.audit.append(one.who, "erase", one.subject, {**counts, "why": one.why}, db=db)
            text = receipt.signed(self._content(one, read, entry, ended), self.vault)
            path = receipt.write(self.root / "receipts", f"erasure-{one.number:06d}", text)
            journal.end(db, one.number, ended, path.name)
        return Erased(
            subject=one.subject,
            extractions=one.extractions,
            findings=one.findings,
            set_name=one.set_name,
            read=read,
            receipt=path,
        )

    def _content(self, one: Erasure, read: ReadBack, entry: Entry, ended: str) -> dict[str, Any]:
        return {
            "what": WHAT,
            "subject": one.subject,
            "asked_by": one.who,
            "why": one.why,
            "begun_at": one.begun_at,
            "ended_at": ended,
            "extractions": len(one.extractions),
            "findings": len(one.findings),
            "set": one.set_name,
            "extraction_ids": list(one.extractions),
            "finding_ids": list(one.findings),
            "looked_for": len(one.heads),
            **read.told(),
            "audit_entry": entry.digest,
        }

    def _drop_pictures_kept_for_nothing(self) -> None:
        wanted = {match.extraction_id for match in self.desk.findings.matches()}
        wanted |= self.desk.held(self.desk.findings.findings())
        idle = {fate.extraction_id for fate in self.desk.extractions.keys.fates() if fate.matched}
        self.desk.extractions.erase_images((idle - wanted) & self.desk.extractions.image_ids(), "set erased")

    def _refuse(self, held: Collection[str]) -> None:
        if held:
            raise ReportError(
                f"{min(held)}: is under a legal hold, so nothing was erased; leaksweep hold says whose"
            )

    def _remove_report(self) -> None:
        if self.report.is_dir():
            for path in self.report.iterdir():
                if path.is_file():
                    path.unlink()

    def _now(self) -> str:
        return self.clock().astimezone(UTC).isoformat(timespec="seconds")
