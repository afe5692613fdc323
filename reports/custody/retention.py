"""Whose pixels may stay on the disk after matching."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal


def to_erase(
    held: Collection[str],
    *,
    hashed: Collection[str],
    matched: Collection[str],
    keep: Literal["matched", "all", "none"],
) -> list[str]:
    """Return the extractions whose pictures have to go, by id.

    Args:
        held: extractions whose pictures are on the disk.
        hashed: those whose hashes are safely stored. Pictures of others stay: nothing else is left of them.
        matched: those that match a reference. A match with a decoy does not count: it is a false one.
        keep: the setting `pixels`.
    """
    if keep == "all":
        return []
    spared = set(matched) if keep == "matched" else set()
    return sorted((set(held) & set(hashed)) - spared)
