"""What a set's giver says of single references: for the page of a finding, never for an export."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = ["ref_id", "classification", "tags", "source", "fetched_at", "disable_until"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Of one reference, from its first entry."""

    classification: str
    """In the giver's words, such as "A1"."""
    tags: tuple[str, ...]
    source: str = field(repr=False)
    """Who gave it. Confidential."""
    fetched_at: datetime | None
    """UTC: the date that the list gives."""
    disable_until: datetime | None
    """UTC: not matched before then."""


def details_of(blocks: Iterable[pa.Table], ref_ids: Collection[str]) -> dict[str, Details]:
    """Return the details of those references that stand in the blocks, which have `COLUMNS`."""
    wanted = pa.array(list(ref_ids), pa.large_string())
    found: dict[str, Details] = {}
    for rows in blocks:
        for row in rows.filter(pc.is_in(rows["ref_id"], value_set=wanted)).to_pylist():
            ref_id = row.pop("ref_id")
            found.setdefault(ref_id, Details(**{**row, "tags": tuple(row["tags"] or ())}))
    return found
