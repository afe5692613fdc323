"""A file as an HTTP answer: whole, a range of it, or nothing of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from leaksweep.hub.blob import Blob

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def deliver(
    request: Request,
    blob: Blob,
    headers: Mapping[str, str],
    *,
    ignore_range: bool = False,
    spoil: bool = False,
) -> Response:
    """Answer with a file: 200, 206 for a range that can be served, 416 for one that cannot.

    A range is ignored, as HTTP allows, when it is none of the plain forms or `If-Range` names another ETag.

    Args:
        headers: sent besides; an ETag among them is what `If-Range` is compared with.
        ignore_range: answer 200 with the whole file whatever is asked.
        spoil: change the last byte.
    """
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
    span = None if ignore_range else wanted_range(request, blob.size, headers.get("ETag"))
    if span is None:
        return _stream(_pieces(blob, 0, blob.size, spoil), 200, headers, blob.size)
    start, stop = span
    if start >= stop:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{blob.size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{blob.size}"
    return _stream(_pieces(blob, start, stop, spoil), 206, headers, stop - start)


def wanted_range(request: Request, size: int, etag: str | None) -> tuple[int, int] | None:
    """Return the bytes [start, stop) asked for, empty when they cannot be served; None for the whole file."""
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if not found or not any(found.groups()) or request.headers.get("if-range", etag) != etag:
        return None
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


def _pieces(blob: Blob, start: int, stop: int, spoil: bool) -> Iterable[bytes]:
    for piece in blob.chunks(start, stop):
        start += len(piece)
        yield piece[:-1] + bytes([piece[-1] ^ 0xFF]) if spoil and start == blob.size else piece


def _stream(pieces: Iterable[bytes], status: int, headers: Mapping[str, str], length: int) -> Response:
    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return StreamingResponse(body(), status, {**headers, "Content-Length": str(length)})
