"""Whether a file is what its name says, by its first bytes. Nothing is parsed, nothing is executed."""

from __future__ import annotations

import re
from collections.abc import Iterator

HEAD = 64
"""Bytes that must have come before any is written: enough to tell weights from a web page."""
MAX_HEADER = 100_000_000
"""Bytes; the safetensors library refuses longer headers."""

_FOREIGN = re.compile(
    rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml|!--)|PK\x03\x04|\x80[\x02-\x05]|\x1f\x8b", re.IGNORECASE
)
"""Beginnings of web pages, zip archives (PyTorch since 1.6), pickles and gzip."""


def foreign_content(path: str, head: bytes, size: int | None) -> str:
    """What is wrong with a file that begins with `head`; "" when it may be what its name says.

    A safetensors file begins with its header's length in 8 little-endian bytes, and the header with "{".
    """
    if _FOREIGN.match(head):
        return "the content is a web page, an archive or a pickle, whatever the name says"
    if not path.lower().endswith(".safetensors"):
        return ""
    length = int.from_bytes(head[:8], "little")
    if len(head) < 10 or head[8:9] != b"{" or not 2 <= length <= MAX_HEADER:
        return "the content is no safetensors file"
    if size is not None and 8 + length > size:
        return f"the safetensors header says {length} bytes, the file has {size}"
    return ""


def behind_head(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, the first `HEAD` of them (fewer where there are no more) in the first chunk."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD:
            break
    yield head
    yield from chunks
