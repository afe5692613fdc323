"""The webhook: a notice signed and posted, again when the receiver is away."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from reports.finding import ReportError
from reports.notices.notice import Notice

SECRET = "LEAKSWEEP_WEBHOOK_SECRET"
"""Environment variable with the secret that sender and receiver share; it comes from nowhere else."""
SHORTEST_SECRET = 16
ATTEMPTS = 4
LONGEST_WAIT = 30.0
"""Seconds between two attempts, at most."""

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


class NoticeError(ReportError):
    """A notice could not be delivered."""


class _Away(Exception):
    """The receiver may take it later."""


def secret_of(environ: Mapping[str, str]) -> bytes:
    """Return the secret that notices are signed with.

    Raises:
        NoticeError: there is none, or it is short enough to be guessed.
    """
    secret = environ.get(SECRET, "")
    if len(secret) < SHORTEST_SECRET:
        lack = f"has fewer than {SHORTEST_SECRET} characters" if secret else "is not set"
        raise NoticeError(
            f"{SECRET} {lack}, so the receiver could not tell our notices from others'; set it in the "
            "environment, here and at the receiver, to the same long random text"
        )
    return secret.encode()


def signature(secret: bytes, now: float, body: bytes) -> str:
    """Return the value of X-Leaksweep-Signature: the time in whole seconds since 1970, and HMAC-SHA256 over
    that time, a dot and the body, in hex."""
    stamp = str(int(now))
    digest = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


def deliver(
    notice: Notice,
    url: str,
    secret: bytes,
    *,
    client: httpx.Client,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> int:
    """Post a notice and return the receiver's status, 200 to 299.

    It is signed anew for each attempt, so that a receiver may refuse what is old. Redirects are not followed:
    a message goes to the address that was given and to no other.

    Raises:
        NoticeError: the receiver refused it, or was away each time. Names the host alone, since the rest of
            an address is often a secret.
    """

    def attempt() -> int:
        headers = _headers(notice, secret, clock())
        try:
            # Its answer is not read: nothing in it matters, and it may be of any length.
            with client.stream(
                "POST", url, content=notice.body, headers=headers, follow_redirects=False
            ) as answer:
                pass
        except httpx.TransportError as error:
            raise _Away(type(error).__name__) from error
        except httpx.InvalidURL as error:
            raise NoticeError("reports.notices.webhook_url is no address; correct it") from error
        if answer.status_code in _BUSY:
            raise _Away(f"status {answer.status_code}")
        if not answer.is_success:
            raise NoticeError(
                f"{_host(url)} refused the notice: status {answer.status_code}{_remedy(answer)}"
            )
        return answer.status_code

    def give_up(state: RetryCallState) -> int:
        reason = state.outcome.exception() if state.outcome else None
        raise NoticeError(
            f"{_host(url)} did not take the notice in {ATTEMPTS} attempts: {reason}; see whether it is up"
        ) from reason

    return Retrying(
        retry=retry_if_exception_type(_Away),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=1, max=LONGEST_WAIT),
        sleep=sleep,
        retry_error_callback=give_up,
    )(attempt)


def _headers(notice: Notice, secret: bytes, now: float) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "leaksweep",
        "Idempotency-Key": notice.key,
        "X-Leaksweep-Signature": signature(secret, now, notice.body),
    }


def _remedy(answer: httpx.Response) -> str:
    if answer.is_redirect:
        return ", a redirect, which is not followed; give the final address"
    if answer.status_code in {401, 403}:
        return f"; see that its secret is that of {SECRET}"
    return "; see reports.notices.webhook_url"


def _host(url: str) -> str:
    """Return an address's host for a message; the rest of it may be a secret."""
    return urlsplit(url).hostname or "the webhook"
