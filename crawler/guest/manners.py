"""How a guest behaves: retries that wait as asked, rate limits left with headroom, tokens kept at home."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx
from huggingface_hub.utils._http import parse_ratelimit_headers
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    wait_random_exponential,
)

logger = logging.getLogger(__name__)

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
PATIENCE = 900.0
"""Longest wait that is slept through, in seconds; a hub that asks for a day has refused."""
_backoff = wait_random_exponential(multiplier=1, max=60)


class Manners:
    """How one hub is spoken to, and what it has said of its limits. Outlives the clients that use it.

    - 408, 429 and the passing 5xx are retried, and so are broken connections: after `Retry-After` (seconds or
      an HTTP date), else after the reset of an exhausted `RateLimit`, else with full jitter up to 60 seconds.
    - After an answer that says the remaining quota is within the headroom, the next request of the same
      bucket waits for the reset. The hub counts for the whole account, so this holds for several workers.
    - A host that has used up all attempts gets single ones until it answers again, because callers (such as
      huggingface_hub) have retries of their own.
    - `Authorization` leaves for `token_origin` only, whoever redirected.

    Args:
        retry_on: exceptions of the transport's library that are worth another attempt.
        token_origin: address whose scheme, host and port may see the token.
        headroom: share of the announced quota that stays unused, 0 to 1.
        interval: least seconds between two requests.
        wall: seconds since the epoch, for HTTP dates.
    """

    def __init__(
        self,
        *,
        retry_on: tuple[type[Exception], ...],
        token_origin: str,
        retries: int = 5,
        headroom: float = 0.2,
        interval: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._retry_on = retry_on
        self._token_origin = _origin(httpx.URL(token_origin))
        self._retries = retries
        self._headroom = headroom
        self._interval = interval
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._lock = threading.Lock()
        self._not_before: dict[str, float] = {}
        self._tired: set[str] = set()

    def send(
        self, request: httpx.Request, attempt: Callable[[httpx.Request], httpx.Response]
    ) -> httpx.Response:
        """Answer a request by as many attempts as it takes; the last answer, or error, when none helps."""
        if _origin(request.url) != self._token_origin:
            request.headers.pop("Authorization", None)
        host = request.url.host
        attempts = 1 if host in self._tired else self._retries + 1
        response: httpx.Response = Retrying(
            stop=stop_after_attempt(attempts),
            wait=self._pause,
            retry=retry_if_exception_type(self._retry_on) | retry_if_result(self._is_passing),
            sleep=self._sleep,
            before_sleep=_discard,
            retry_error_callback=lambda state: self._give_up(host, state),
        )(self._attempt, request, attempt)
        if response.status_code not in TRANSIENT:
            self._tired.discard(host)
        return response

    def _attempt(
        self, request: httpx.Request, attempt: Callable[[httpx.Request], httpx.Response]
    ) -> httpx.Response:
        bucket = _bucket(request.url)
        with self._lock:
            now = self._clock()
            start = max(now, self._not_before.get(bucket, now), self._not_before.get("", now))
            self._not_before[""] = start + self._interval
        if start > now:
            self._sleep(start - now)
        response = attempt(request)
        self._note(bucket, response.headers)
        return response

    def _note(self, bucket: str, headers: Mapping[str, str]) -> None:
        limit = parse_ratelimit_headers(headers)
        if limit is not None and limit.remaining <= self._headroom * (limit.limit or 0):
            logger.info("%s: %d requests left, waiting %d s", bucket, limit.remaining, limit.reset_in_seconds)
            with self._lock:
                self._not_before[bucket] = self._clock() + min(limit.reset_in_seconds, PATIENCE)

    def _is_passing(self, response: httpx.Response) -> bool:
        return response.status_code in TRANSIENT and (self._asked(response) or 0.0) <= PATIENCE

    def _pause(self, state: RetryCallState) -> float:
        outcome = state.outcome
        asked = None if outcome is None or outcome.failed else self._asked(outcome.result())
        return _backoff(state) if asked is None else asked

    def _asked(self, response: httpx.Response) -> float | None:
        """Seconds the hub asks to wait, or None."""
        value = response.headers.get("Retry-After", "").strip()
        if value.isdigit():
            return float(value)
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            pass
        else:
            return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - self._wall())
        limit = parse_ratelimit_headers(response.headers)
        if response.status_code == 429 and limit is not None and limit.remaining == 0:
            return float(limit.reset_in_seconds + 1)
        return None

    def _give_up(self, host: str, state: RetryCallState) -> httpx.Response:
        self._tired.add(host)
        assert state.outcome is not None
        answer: httpx.Response = state.outcome.result()
        return answer


class PoliteTransport(httpx.BaseTransport):
    """A transport with manners. Serves httpx and httpx2, whose requests and answers are alike."""

    def __init__(self, inner: httpx.BaseTransport, manners: Manners) -> None:
        self._inner = inner
        self._manners = manners

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._manners.send(request, self._inner.handle_request)

    def close(self) -> None:
        self._inner.close()


def _discard(state: RetryCallState) -> None:
    """Give the connection back before the wait, and say why there is one."""
    assert state.outcome is not None
    if state.outcome.failed:
        reason = type(state.outcome.exception()).__name__
    else:
        answer: httpx.Response = state.outcome.result()
        answer.close()
        reason = f"status {answer.status_code}"
    wait = state.next_action.sleep if state.next_action else 0.0
    logger.warning("%s: %s, next attempt in %.1f s", state.args[0].url.host, reason, wait)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _bucket(url: httpx.URL) -> str:
    """Hugging Face counts its API, its file resolver and its pages apart."""
    if "/resolve" in url.path:
        return f"{url.host} resolvers"
    return f"{url.host} {'api' if url.path.startswith('/api/') else 'pages'}"
