"""Reference sets in words, and as the JSON of `leaksweep refs`: counts and places, never a hash."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from crawler.evidence.plain_text import printable
from reports.references.formats.listed import known_kind

if TYPE_CHECKING:
    from reports.references.rows import ReferenceSet
    from reports.references.withdrawals import Withdrawal

_SHOWN = 10
"""Entries that are named one by one; --json names more."""


def set_line(one: ReferenceSet, withdrawn: int = 0) -> str:
    """A set in a few lines: what is in it, and what of the list is not and why."""
    makers = ", ".join([*one.descriptors, *([one.hashes] if one.hashes else [])])
    what, how = ("hash", "es") if one.form else ("picture", "s")
    made = f"{one.form}, list {one.list_sha256[:12]}" if one.form else makers
    apart = {"left out": one.left_out, "other files passed over": one.passed_over}
    lines = [
        f"{one.name}: {one.entries:,} {what}{how if one.entries != 1 else ''} ({made})"
        + "".join(f", {count:,} {name}" for name, count in apart.items() if count)
    ]
    if not one.entries:
        lines.append("nothing of it can be matched with generated pictures")
    if one.unmatchable:
        kinds = ", ".join(f"{count:,} {name}" for name, count in one.unmatchable.items())
        total = sum(one.unmatchable.values())
        lines.append(f"{total:,} not matchable against generated pictures: {kinds}")
    if unknown := [name for name in one.unmatchable if not known_kind(name)]:
        shown = _some(tuple(unknown), len(unknown))
        lines.append(
            f"unknown kinds: {shown}; if one of them is PDQ or pHash, call it pdq, phash or phash256"
        )
    if set(one.opinions) - {"positive"}:
        lines.append("opinions: " + ", ".join(f"{count:,} {name}" for name, count in one.opinions.items()))
    counts = {
        "duplicate": one.duplicates,
        "contradictory": one.contradictions,
        "deleted by the list": one.tombstones,
        "disabled for now": one.disabled,
        "withdrawn": withdrawn,
    }
    if any(counts.values()):
        lines.append(", ".join(f"{count:,} {name}" for name, count in counts.items() if count))
    if one.contradictory:
        lines.append(
            f"contradictory, and so disputed or kept twice: {_some(one.contradictory, one.contradictions)}"
        )
    return "\n  ".join(lines)


def left_out(one: ReferenceSet) -> list[str]:
    """A line for each of the first entries that are not in the set."""
    lines = [
        printable(f"  left out: {_which(bad.ref_id, one)}: {bad.reason}") for bad in one.rejected[:_SHOWN]
    ]
    more = one.left_out - len(lines)
    return [*lines, *([f"  left out: {more:,} more"] if more else [])]


def set_row(one: ReferenceSet, withdrawn: int = 0) -> dict[str, Any]:
    """Everything but the hashes themselves and who gave them, which are confidential."""
    return {
        "name": one.name,
        "kind": one.kind,
        "format": one.form,
        "edition": one.edition,
        "entries": one.entries,
        "opinions": dict(one.opinions),
        "unmatchable": dict(one.unmatchable),
        "duplicates": one.duplicates,
        "contradictions": one.contradictions,
        "contradictory": list(one.contradictory),
        "tombstones": one.tombstones,
        "disabled": one.disabled,
        "withdrawn": withdrawn,
        "passed_over": one.passed_over,
        "left_out": one.left_out,
        "rejected": [{"ref_id": bad.ref_id, "reason": bad.reason} for bad in one.rejected],
        "descriptors": list(one.descriptors),
        "hashes": one.hashes,
        "list_sha256": one.list_sha256,
        "fetched_at": one.fetched_at.isoformat() if one.fetched_at else None,
        "added_at": one.added_at.isoformat(),
    }


def withdrawal_line(one: Withdrawal) -> str:
    return printable(f"{one.at[:10]}  {one.set_name}  {one.ref_id}  {one.why}  (by {one.who})")


def withdrawal_row(one: Withdrawal) -> dict[str, Any]:
    return asdict(one)


def _which(ref_id: str, one: ReferenceSet) -> str:
    return f"entry {ref_id}" if one.form and ref_id.isdecimal() else ref_id


def _some(places: tuple[str, ...], total: int) -> str:
    shown = ", ".join(places[:_SHOWN])
    return f"{shown} and {total - _SHOWN:,} more" if total > _SHOWN else shown
