"""What a guest refuses to do, as exceptions that look like the HTTP library's own.

There are two of those libraries: huggingface_hub sends with httpx until 2.0 and with httpx2 since, and each
catches its own `TransportError` only. So each refusal exists once for each.
"""

from __future__ import annotations

from datetime import UTC, datetime

import httpx

from crawler.checkpoint import CrawlError
from crawler.guest.hub_httpx import hub_httpx


class Refusal(CrawlError):
    """A request that is not sent, or an answer that is not taken. Trying again at once is no use."""


class LeftAlone(Refusal):
    """A host that has asked for peace, or does not answer, gets no requests until `until`."""

    def __init__(self, message: str, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class Unacceptable(Refusal):
    """An answer that leads to a foreign host, is larger than any page, or does not come to an end."""


class _LeftAlone(LeftAlone, httpx.TransportError):
    """For clients of httpx."""


class _HubLeftAlone(LeftAlone, hub_httpx.TransportError):
    """For huggingface_hub's client."""


class _Unacceptable(Unacceptable, httpx.TransportError):
    """For clients of httpx."""


class _HubUnacceptable(Unacceptable, hub_httpx.TransportError):
    """For huggingface_hub's client."""


def left_alone(request: httpx.Request, host: str, until: float, reason: str) -> LeftAlone:
    """The error for a request that is not sent before `until` (seconds since the epoch)."""
    when = datetime.fromtimestamp(until, UTC)
    message = f"{host} is left alone until {when:%Y-%m-%d %H:%M:%S} UTC: {reason}"
    return (_LeftAlone if is_httpx(request) else _HubLeftAlone)(message, when)


def unacceptable(request: httpx.Request, host: str, what: str) -> Unacceptable:
    """The error for an answer that is not taken."""
    message = f"{host}{request.url.path}: {what}"
    return (_Unacceptable if is_httpx(request) else _HubUnacceptable)(message)


def is_httpx(thing: object) -> bool:
    """Whether a request or response is httpx's own, and not of httpx2."""
    return isinstance(thing, httpx.Request | httpx.Response)
