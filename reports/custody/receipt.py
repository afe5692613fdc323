"""Signed papers, such as the receipt of an erasure: what went, who asked for it, which files were read."""

from __future__ import annotations

import base64
import json
from collections.abc import Container
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from reports.export.files import write_atomically
from reports.finding import ReportError
from scanner.vault import Vault

FORMAT = 1


def signed(content: dict[str, Any], vault: Vault) -> str:
    """Return the receipt as JSON, signed with Ed25519 by the home's key; the public half stands in it."""
    whole = {
        "leaksweep_receipt": FORMAT,
        **content,
        "master_key": vault.fingerprint,
        "public_key": public_half(vault),
    }
    signature = base64.b64encode(vault.signer().sign(_canonical(whole))).decode()
    return json.dumps({**whole, "signature": signature}, indent=2, ensure_ascii=False) + "\n"


def check(
    path: Path, vault: Vault | None = None, *, what: str | None = None, earlier: Container[str] = ()
) -> dict[str, Any]:
    """Return what a receipt says, once its signature holds.

    Args:
        vault: of the home that it should come from; None accepts any home's, which proves only that nobody
            changed it since it was signed.
        what: what it has to be a receipt of, as it says itself; None accepts any.
        earlier: public halves of keys that the home had before; see `reports.custody.succession`.

    Raises:
        ReportError: it is no receipt, was changed, is one of something else, or comes from another home.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}") from error
    content = verified(text, str(path))
    key = content["public_key"]
    if vault is not None and key != public_half(vault) and key not in earlier:
        raise ReportError(
            f"{path}: is signed by another home's key ({content.get('master_key')}); open it with that home"
        )
    if what is not None and content.get("what") != what:
        raise ReportError(f"{path}: is signed, but it is no {what}; give the file of one")
    return content


def public_half(vault: Vault) -> str:
    """What a key's signatures are checked with, in base64. It may be shown to anybody."""
    raw = vault.signer().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def verified(text: str, origin: str) -> dict[str, Any]:
    """Return what a receipt says, once the signature holds with the public half that stands in it.

    Args:
        origin: what messages call it.

    Raises:
        ReportError: it is no receipt, or was changed.
    """
    try:
        content = json.loads(text)
        signature = base64.b64decode(content.pop("signature"), validate=True)
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(content["public_key"], validate=True))
        if content["leaksweep_receipt"] != FORMAT:
            raise ReportError(
                f"{origin}: has format {content['leaksweep_receipt']}; this leaksweep reads {FORMAT}"
            )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReportError(f"{origin}: is no receipt of an erasure; give the file that erase wrote") from error
    try:
        key.verify(signature, _canonical(content))
    except InvalidSignature as error:
        raise ReportError(f"{origin}: was changed after it was signed; ask for the original") from error
    return dict(content)


def write(folder: Path, name: str, text: str) -> Path:
    """Write a receipt into a folder that only its owner can look into, in place of what a kill left of it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for half in folder.glob(f".{name}.json.*.part"):
        half.unlink(missing_ok=True)
    path = folder / f"{name}.json"
    write_atomically(path, text.encode())
    return path


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
