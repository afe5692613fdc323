"""Erasing by name, by age or by reference set; and what the retention rules do in a sweep."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from crawler.evidence.plain_text import printable
from leaksweep.settings import SettingsError
from leaksweep.stores import Stores

if TYPE_CHECKING:
    from reports.custody.erasing import Erased, Eraser


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """What the retention rules did."""

    pictures: int
    findings: int
    extractions: int
    held: int
    """Extractions that a legal hold exempted from one of the rules."""

    @property
    def anything(self) -> bool:
        return bool(self.pictures or self.findings or self.extractions)


def eraser_of(stores: Stores) -> Eraser:
    """What erases in this home."""
    from reports.custody.erasing import Eraser

    home = stores.run.home
    return Eraser(
        desk=stores.desk, vault=stores.vault, audit=stores.audit, root=home.root, report=home.report
    )


def extractions_of(stores: Stores, name: str) -> list[str]:
    """Ids of the extractions that a name stands for: of an extraction, a finding, a checkpoint, a place.

    Raises:
        SettingsError: nothing has this name.
    """
    rows = stores.extractions.rows(["id", "checkpoint_id"]).to_pylist()
    known = {row["id"] for row in rows} | stores.hashes.known().keys()
    if name in known:
        return [name]
    of_finding = {one.extraction_id for one in stores.findings.occurrences(name)} | {
        one.match.extraction_id for one in stores.findings.findings() if one.id == name
    }
    if of_finding:
        return sorted(of_finding)
    of_checkpoint = [
        row["id"]
        for row in rows
        if row["checkpoint_id"] == name or row["checkpoint_id"].partition("@")[0] == name
    ]
    if not of_checkpoint:
        raise SettingsError(
            f"{name}: no extraction, finding or checkpoint has this id, nor a repository this name; "
            "findings.csv and extractions.csv list ids"
        )
    return of_checkpoint


def older_than(stores: Stores, days: int, now: datetime) -> tuple[list[str], list[str]]:
    """Ids of the extractions made more than so many days ago: those that may go, and those that are held."""
    from reports.custody.retention import outdated

    old = set(outdated(_made(stores), days, now))
    held = old & stores.desk.held(stores.findings.findings())
    return sorted(old - held), sorted(held)


def expire(stores: Stores, now: datetime) -> Expired:
    """Apply [reports.retention]: drop pictures, then findings, then extractions that are old enough.

    Raises:
        ScanError, ReportError: a store cannot be written.
    """
    from reports.custody.retention import outdated, outlived

    rules = stores.run.settings.reports.retention
    held = stores.desk.held(stores.findings.findings())
    fates = [one for one in stores.keys.fates() if one.dropped_at is None]
    pictures = outdated(
        ((one.extraction_id, one.made_at) for one in fates), rules.pixels_days, now, exempt=held
    )
    with stores.findings.writing():
        dropped = stores.extractions.erase_images(pictures, "retention")
        findings = stores.findings.findings()
        kept = {one.id for one in findings if one.match.extraction_id in held or one.id in held}
        old = outlived(findings, rules.gone_days, now, exempt=kept)
        stores.findings.forget(findings=old)
        extractions = _unneeded(stores, rules.hashes_days, now, held, set(old))
        # The extractions last: killed before, they are old enough the next time too.
        stores.findings.forget(extractions=extractions)
        stores.hashes.delete(extractions)
        stores.extractions.delete(extractions)
    done = Expired(pictures=dropped, findings=len(old), extractions=len(extractions), held=len(held))
    if done.anything:
        stores.audit.append("retention", "erase", "retention rules", _counts(done))
    return done


def _unneeded(
    stores: Stores, days: int | None, now: datetime, held: Collection[str], gone: Collection[str]
) -> list[str]:
    """Extractions old enough that no finding rests on."""
    from reports.custody.retention import outdated

    if days is None:
        return []
    resting = {one.match.extraction_id for one in stores.findings.findings() if one.id not in gone}
    return outdated(_made(stores), days, now, exempt=resting | set(held))


def _made(stores: Stores) -> Iterator[tuple[str, str]]:
    """Yield each extraction's id and when it was made."""
    for row in stores.extractions.rows(["id", "created_at"]).to_pylist():
        yield row["id"], row["created_at"].astimezone(UTC).isoformat()


def _counts(done: Expired) -> dict[str, Any]:
    return {"pictures": done.pictures, "findings": done.findings, "extractions": done.extractions}


def told(done: Erased) -> tuple[dict[str, Any], str]:
    """What an erasure says, to a machine and to a person."""
    content = {
        "subject": done.subject,
        "extractions": len(done.extractions),
        "findings": len(done.findings),
        "set": done.set_name,
        "files_read": done.read.files,
        "bytes_read": done.read.bytes,
        "found": len(done.read.found),
        "receipt": str(done.receipt),
    }
    text = (
        f"{printable(done.subject)}: erased {len(done.extractions)} extractions and {len(done.findings)} "
        f"findings; read back {done.read.files} files, {done.read.bytes / 1e6:.1f} MB: nothing of them is "
        "left\n"
        f"receipt: {done.receipt}"
    )
    return content, text
