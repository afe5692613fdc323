"""What is said of a file before its bytes come: by the catalog, by the hub, by the server that holds it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx

_DIGEST = re.compile(r'"?([0-9a-fA-F]{64})"?')
_TOTAL = re.compile(r"bytes (?:\d+-\d+|\*)/(\d{1,18})")
_NUMBER = re.compile(r"\d{1,18}")


@dataclass(slots=True, kw_only=True)
class Promises:
    """Size and digest of a file, each from whoever told it first.

    All who tell one must tell the same: where they do not, the file has changed since it was listed, or
    somebody is lying, and no download can tell which.
    """

    size: int | None
    """Bytes."""
    sha256: str | None
    """Hex."""

    def contradicted_by(self, answer: httpx.Response) -> str:
        """What an answer says otherwise than was promised; "" when all agree. Its promises are kept too.

        The Hugging Face Hub tells digest and size of a file in X-Linked-Etag and X-Linked-Size of its own
        answer, which redirects to a server that tells neither.
        """
        hub = answer.history[0] if answer.history else answer
        linked = hub.headers.get("X-Linked-Size", "")
        sizes = {
            "the catalog": self.size,
            "the hub": int(linked) if _NUMBER.fullmatch(linked) else None,
            "the server": told_size(answer),
        }
        told = {who: size for who, size in sizes.items() if size is not None}
        if len(set(told.values())) > 1:
            words = ", ".join(f"{who} tells {size} bytes" for who, size in told.items())
            return f"{words}; crawl again"
        self.size = next(iter(told.values()), None)
        digest = _DIGEST.fullmatch(hub.headers.get("X-Linked-Etag", ""))
        if digest is None:
            return ""
        if self.sha256 is None:
            self.sha256 = digest[1]
        return self.broken_by(digest[1])

    def broken_by(self, digest: str) -> str:
        """What is wrong when this is the digest; "" when nothing is, or none was promised."""
        if self.sha256 is None or digest.lower() == self.sha256.lower():
            return ""
        return f"SHA-256 is {digest[:12].lower()}, the hub told {self.sha256[:12].lower()}; crawl again"


def told_size(answer: httpx.Response) -> int | None:
    """Bytes of the whole file by the answer that brings it, or a range of it; None when it does not tell."""
    if answer.status_code in (206, 416):
        found = _TOTAL.fullmatch(answer.headers.get("Content-Range", ""))
        return int(found[1]) if found else None
    length = answer.headers.get("Content-Length", "")
    if "Content-Encoding" in answer.headers or "Transfer-Encoding" in answer.headers:
        return None  # of the encoded bytes, if at all
    return int(length) if _NUMBER.fullmatch(length) else None
