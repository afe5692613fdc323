"""What a hub asks for in its answers: a wait (RFC 9110, 10.2.3), a quota (the IETF's RateLimit draft 9).

Headers are a stranger's data: numbers without end, dates that do not exist and waits of years are cut down.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx
from huggingface_hub.utils._http import RateLimitInfo, parse_ratelimit_headers

from crawler.guest.origins import DOWNLOADS

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that pass: worth another attempt."""
DAY = 86_400.0
"""Seconds; no hub is believed to ask for more."""
_TOO_MUCH = b"unusual amount of downloading"
"""What Civitai says when an account has downloaded too much in 24 hours."""


def announced(headers: Mapping[str, str]) -> RateLimitInfo | None:
    """The quota that an answer tells, if any."""
    if max(len(headers.get(name, "")) for name in ("RateLimit", "RateLimit-Policy")) > 1000:
        return None
    return parse_ratelimit_headers(headers)


def wait_asked(response: httpx.Response, bucket: str, now: float) -> float | None:
    """Seconds the hub asks to wait, 0 to `DAY`, or None. An answer of 4xx and 5xx has been read.

    Args:
        now: seconds since the epoch, for HTTP dates.
    """
    if response.status_code not in TRANSIENT:
        return None
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return min(float(value[:9]) if len(value) < 10 else DAY, DAY)
    try:
        when = parsedate_to_datetime(value)
        at = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        pass
    else:
        return min(max(0.0, at - now), DAY)
    if response.status_code != 429:
        return None
    if bucket == DOWNLOADS and _TOO_MUCH in response.content.lower():
        return DAY
    limit = announced(response.headers)
    return min(limit.reset_in_seconds + 1.0, DAY) if limit is not None and limit.remaining == 0 else None
