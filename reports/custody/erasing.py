"""Erasure: keys first, then rows and bytes, then a look at the files, then a receipt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reports.custody import receipt
from reports.custody.audit import AuditLog
from reports.custody.journal import Erasure, Journal
from reports.custody.traces import ReadBack, read_back
from reports.finding import Finding, ReportError
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
        self._refuse_held(gone, findings)
        resting = tuple(sorted(one.id for one in findings if one.match.extraction_id in gone))
        return self._erase(subject, None, tuple(sorted(gone)), resting, who=who, why=why)

    def erase_set(self, name: str, *, who: str, why: str) -> Erased:
        """Erase a reference set, what was found with it, and pictures that were kept for its sake alone.

        Raises:
            ReportError: there is no such set, it is under a legal hold, or traces are left.
            EraseError, StoreError: a store cannot be written.
        """
        self.desk.references.named([name])
        if f"set {name}" in self.desk.holds.subjects():
            raise ReportError(f"set {name}: is under a legal hold; leaksweep hold says whose")
        found = self.desk.findings.findings()
        resting = tuple(sorted(one.id for one in found if one.match.set_name == name))
        return self._erase(f"set {name}", name, (), resting, who=who, why=why)

    def go_on(self) -> list[Erased]:
        """End what an earlier process began and did not end."""
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
        *,
        who: str,
        why: str,
    ) -> Erased:
        if not why.strip():
            raise ReportError(f"{subject}: say why; the receipt and the audit log will tell it")
        seals = [*self.desk.extractions.seals(extractions), *self.desk.hashes.seals(extractions)]
        if set_name is not None:
            seals += self.desk.references.seals(set_name)
        begun = self._journal.begin(
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
        with desk.findings.writing():
            desk.extractions.erase_images(one.extractions, "erased")
            desk.hashes.delete(one.extractions)
            desk.extractions.delete(one.extractions)
            if one.set_name is not None:
                desk.references.forget(one.set_name)
            desk.findings.forget(extractions=one.extractions, findings=one.findings, set_name=one.set_name)
            if one.set_name is not None:
                self._drop_pictures_kept_for_nothing()
            self._remove_report()
        read = read_back(self.root, one.heads)
        if read.found:
            raise ReportError(
                f"{one.subject}: erased, but traces are still in {', '.join(read.found[:5])}; close whatever "
                "else has the home open, and run leaksweep erase --go-on"
            )
        return self._conclude(one, read)

    def _conclude(self, one: Erasure, read: ReadBack) -> Erased:
        engine = self.desk.findings.engine
        counts: dict[str, Any] = {
            "extractions": len(one.extractions),
            "findings": len(one.findings),
            "set": one.set_name,
        }
        entry = self.audit.append(one.who, "erase", one.subject, {**counts, "why": one.why})
        ended = self._now()
        content = {
            "what": WHAT,
            "subject": one.subject,
            "asked_by": one.who,
            "why": one.why,
            "begun_at": one.begun_at,
            "ended_at": ended,
            **counts,
            "extraction_ids": list(one.extractions),
            "finding_ids": list(one.findings),
            "looked_for": len(one.heads),
            "files_read": read.files,
            "bytes_read": read.bytes,
            "found": len(read.found),
            "not_read": [] if engine.dialect.name == "sqlite" else ["the database server's own files"],
            "audit_entry": entry.digest,
        }
        text = receipt.signed(content, self.vault)
        path = receipt.write(self.root / "receipts", f"erasure-{one.number:06d}", text)
        self._journal.end(one.number, ended, path.name)
        return Erased(
            subject=one.subject,
            extractions=one.extractions,
            findings=one.findings,
            set_name=one.set_name,
            read=read,
            receipt=path,
        )

    def _drop_pictures_kept_for_nothing(self) -> None:
        wanted = {match.extraction_id for match in self.desk.findings.matches()}
        idle = {fate.extraction_id for fate in self.desk.extractions.keys.fates() if fate.matched}
        self.desk.extractions.erase_images((idle - wanted) & self.desk.extractions.image_ids(), "set erased")

    def _remove_report(self) -> None:
        if self.report.is_dir():
            for path in self.report.iterdir():
                if path.is_file():
                    path.unlink()

    def _refuse_held(self, ids: Collection[str], findings: Sequence[Finding]) -> None:
        held = self.desk.held(findings).intersection(ids)
        if held:
            raise ReportError(
                f"{sorted(held)[0]}: is under a legal hold, so nothing was erased; leaksweep hold says whose"
            )

    def _now(self) -> str:
        return self.clock().astimezone(UTC).isoformat(timespec="seconds")
