"""Bodies of answers: counted as they come, and read whole only within bounds of size and time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import httpx

from crawler.guest.hub_httpx import hub_httpx
from crawler.guest.refusals import is_httpx

_OF_THE_BODY = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


class Excess(Exception):
    """A body is larger, or takes longer, than any answer should."""


class _Counted:
    """A body that reports the size of each piece as it comes from the wire."""

    def __init__(self, body: Any, count: Callable[[int], None]) -> None:
        self._body = body
        self._count = count

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            self._count(len(piece))
            yield piece

    def close(self) -> None:
        self._body.close()


class _CountedBody(_Counted, httpx.SyncByteStream):
    """For clients of httpx, which take no other."""


class _HubCountedBody(_Counted, hub_httpx.SyncByteStream):
    """For huggingface_hub's client."""


def counted(response: httpx.Response, count: Callable[[int], None]) -> None:
    """Report the size of each piece of the body, whoever reads it, however much of it."""
    kind = _CountedBody if is_httpx(response) else _HubCountedBody
    response.stream = cast(Any, kind)(response.stream, count)


def whole(
    response: httpx.Response, *, limit: int, seconds: float, clock: Callable[[], float]
) -> httpx.Response:
    """The same answer with its body read and unpacked. A gap between pieces ends by the read timeout.

    Args:
        limit: bytes that the unpacked body may have.
        seconds: the time it may take.

    Raises:
        Excess: the body breaks a bound; the connection is closed.
        HTTPError: of the answer's library, when the connection breaks.
    """
    start = clock()
    data = bytearray()
    try:
        for piece in response.iter_bytes():
            data += piece
            if len(data) > limit:
                raise Excess(f"the answer is larger than {limit:,} bytes")
            if clock() - start > seconds:
                raise Excess(f"the answer is not complete after {seconds:g} s; {len(data):,} bytes came")
    finally:
        response.close()
    kept = [pair for pair in response.headers.raw if pair[0].lower() not in _OF_THE_BODY]
    return type(response)(
        response.status_code, headers=kept, content=bytes(data), extensions=response.extensions
    )
