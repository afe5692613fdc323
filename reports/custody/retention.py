"""Whose pixels may stay after matching, and for how long what is kept is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Literal

from reports.finding import Finding, FindingState

_SETTLED = (FindingState.GONE, FindingState.SUPPRESSED, FindingState.WITHDRAWN)


def to_drop(
    held: Collection[str],
    *,
    hashed: Collection[str],
    matched: Collection[str],
    exempt: Collection[str] = (),
    keep: Literal["matched", "all", "never"],
) -> list[str]:
    """Return the extractions whose pictures have to go after a matching, by id.

    Args:
        held: extractions whose pictures have a key.
        hashed: those whose hashes are safely stored. Pictures of others stay: nothing else is left of them.
        matched: those that match a reference. A match with a decoy does not count: it is a false one.
        exempt: those under a legal hold.
        keep: the setting `pixels`.
    """
    if keep == "all":
        return []
    spared = set(exempt) | (set(matched) if keep == "matched" else set())
    return sorted((set(held) & set(hashed)) - spared)


def outdated(
    made_at: Iterable[tuple[str, str]], days: int | None, now: datetime, *, exempt: Collection[str] = ()
) -> list[str]:
    """Return the ids of what was made more than so many days ago, sorted; None days: nothing.

    Args:
        made_at: (id, ISO 8601 with its offset).
        exempt: ids under a legal hold.
    """
    if days is None:
        return []
    oldest = now - timedelta(days=days)
    return sorted(
        name for name, stamp in made_at if name not in exempt and datetime.fromisoformat(stamp) < oldest
    )


def outlived(
    findings: Iterable[Finding], days: int | None, now: datetime, *, exempt: Collection[str] = ()
) -> list[str]:
    """Return the ids of settled findings (gone, suppressed, withdrawn) last seen so many days ago.

    Args:
        exempt: ids of findings under a legal hold.
    """
    settled = ((one.id, one.last_seen) for one in findings if one.state in _SETTLED and one.last_seen)
    return outdated(settled, days, now, exempt=exempt)
