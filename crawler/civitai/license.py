"""What a model's author allows, as the hub lists it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from crawler.evidence.plain_text import clean

_RIGHTS = {
    "derivatives": "allowDerivatives",
    "other licence": "allowDifferentLicense",
    "without credit": "allowNoCredit",
}


def license_of(model: Mapping[str, Any]) -> str | None:
    """What the author allows, in one line; None where the hub says nothing of it."""
    # Text of a database array, a real array, or one word, by the age of the answer.
    uses = model.get("allowCommercialUse")
    if isinstance(uses, str):
        uses = uses[:400].strip("{}").split(",")
    named = tuple(use[:40] for use in uses[:8] if isinstance(use, str)) if isinstance(uses, list) else None
    allowed = (model.get(key) for key in _RIGHTS.values())
    return _line(named, *(right if isinstance(right, bool) else None for right in allowed))


@lru_cache(maxsize=1024)
def _line(uses: Sequence[str] | None, *rights: bool | None) -> str | None:
    parts = []
    if uses is not None:
        parts.append(f"commercial: {' '.join(sorted(filter(None, map(clean, uses)))) or 'no'}")
    for name, allowed in zip(_RIGHTS, rights, strict=True):
        if allowed is not None:
            parts.append(f"{name}: {'yes' if allowed else 'no'}")
    return "; ".join(parts) or None
