"""What the page may do: show itself, run its own script, and nothing else."""

from __future__ import annotations

import base64
import hashlib

from reports.finding import ReportError

_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


def policy(css: str, script: str, *, pictures: bool) -> str:
    """Return the Content-Security-Policy: one style and one script by their digests, no network.

    Trusted Types are demanded and none can be made, so a script that turned text into markup would fail.
    """
    rules = {
        "default-src": "'none'",
        "script-src": f"'sha256-{_digest(script)}'",
        "style-src": f"'sha256-{_digest(css)}'",
        "img-src": "data:" if pictures else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {allowed}" for name, allowed in rules.items())


def data_uri(name: str, picture: bytes) -> str:
    """Return PNG or JPEG bytes as a data: URI; raises ReportError for anything else."""
    kind = next((kind for signature, kind in _SIGNATURES.items() if picture.startswith(signature)), None)
    if kind is None:
        raise ReportError(f"thumbnail of extraction {name}: neither PNG nor JPEG; encode it as one of these")
    return f"data:{kind};base64,{base64.b64encode(picture).decode()}"


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
