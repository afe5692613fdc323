"""Which keys signed for a home before its present one: each is vouched for by the one that came after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reports.custody.receipt import public_half, verified
from scanner.vault import Vault

WHAT = "receipt of a change of key"
"""What the receipt of a change says it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierKey:
    """A key that was a home's."""

    fingerprint: str
    until: str
    """ISO 8601, UTC. A signature tells no time: what this key signed may be younger."""


def named(vault: Vault) -> dict[str, str]:
    """What a receipt that is signed by the next key says of this one, so that its signatures still hold."""
    return {"earlier_key": vault.fingerprint, "earlier_public_key": public_half(vault)}


def earlier_keys(receipts: Iterable[str], vault: Vault) -> dict[str, EarlierKey]:
    """Return the keys that were a home's before the vault's, by public half.

    Args:
        receipts: of the home's changes of key. One that no later key vouches for counts for nothing.

    Raises:
        ReportError: one of them was changed.
    """
    signed = [verified(text, "the receipt of a change of key in the database") for text in receipts]
    by_signer = {one["public_key"]: one for one in signed if one.get("what") == WHAT}
    found: dict[str, EarlierKey] = {}
    key = public_half(vault)
    while (said := by_signer.get(key)) is not None and said["earlier_public_key"] not in found:
        key = said["earlier_public_key"]
        found[key] = EarlierKey(fingerprint=said["earlier_key"], until=said["ended_at"])
    return found


def signer(content: Mapping[str, Any], earlier: Mapping[str, EarlierKey]) -> dict[str, Any]:
    """Which key signed a paper that was checked: its "fingerprint", and "until" when it was the home's.

    "until" is None for the key that the home has now.
    """
    one = earlier.get(content["public_key"])
    if one is None:
        return {"fingerprint": content["master_key"], "until": None}
    return {"fingerprint": one.fingerprint, "until": one.until}


def signer_text(found: Mapping[str, Any]) -> str:
    """The same for a person; empty for the key that the home has now."""
    if found["until"] is None:
        return ""
    return f" (signed by an earlier key of this home, {found['fingerprint']}, until {found['until'][:10]})"
