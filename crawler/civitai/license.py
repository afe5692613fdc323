"""What a model's author allows, as the hub lists it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crawler.evidence.plain_text import clean


def license_of(model: Mapping[str, Any]) -> str | None:
    """What the author allows, in one line; None where the hub says nothing of it."""
    # Text of a database array, a real array, or one word, by the age of the answer.
    uses = model.get("allowCommercialUse")
    if isinstance(uses, str):
        uses = uses.strip("{}").split(",")
    parts = []
    if isinstance(uses, list):
        named = [clean(use, 40) for use in uses[:8] if isinstance(use, str) and use]
        parts.append(f"commercial: {' '.join(sorted(named)) or 'no'}")
    rights = {
        "derivatives": "allowDerivatives",
        "other licence": "allowDifferentLicense",
        "without credit": "allowNoCredit",
    }
    for name, key in rights.items():
        if isinstance(model.get(key), bool):
            parts.append(f"{name}: {'yes' if model[key] else 'no'}")
    return "; ".join(parts) or None
