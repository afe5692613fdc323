"""Reference sets in words, and as the JSON of `leaksweep refs`: counts and places, never a hash."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from crawler.evidence.plain_text import printable

if TYPE_CHECKING:
    from reports.references.rows import ReferenceSet
    from reports.references.withdrawals import Withdrawal

_SHOWN = 10
"""Entries that are named one by one; --json names more."""


def set_line(one: ReferenceSet, withdrawn: int = 0) -> str:
    """A set in a few lines: what is in it, and what of the list is not and why."""
    makers = ", ".join([*one.descriptors, *([one.hashes] if one.hashes else [])])
    kind = f"hashes ({one.form}, list {one.list_sha256[:12]})" if one.form else f"pictures ({makers})"
    lines = [f"{one.name}: {one.entries:,} {kind}, {one.left_out:,} left out"]
    if one.unmatchable:
        kinds = ", ".join(f"{count:,} {name}" for name, count in one.unmatchable.items())
        total = sum(one.unmatchable.values())
        lines.append(f"{total:,} not matchable against generated pictures: {kinds}")
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
        lines.append(f"contradictory: {_some(one.contradictory, one.contradictions)}")
    return "\n  ".join(lines)


def left_out(one: ReferenceSet) -> list[str]:
    """A line for each of the first entries that are not in the set."""
    lines = [printable(f"  left out: {bad.ref_id}: {bad.reason}") for bad in one.rejected[:_SHOWN]]
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


def _some(places: tuple[str, ...], total: int) -> str:
    shown = ", ".join(places[:_SHOWN])
    return f"{shown} and {total - _SHOWN:,} more" if total > _SHOWN else shown
