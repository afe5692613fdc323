"""How a guest behaves: retries that wait as asked, one budget for everybody, tokens kept at home."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from tenacity import RetryCallState, Retrying, wait_random_exponential

from crawler.guest import body, origins
from crawler.guest.answers import TRANSIENT, announced, wait_asked
from crawler.guest.budget import Bucket, Budget, Permit
from crawler.guest.refusals import Refusal, left_alone, unacceptable
from crawler.guest.traffic import NO_ANSWER, Spent, Traffic

logger = logging.getLogger(__name__)

PATIENCE = 900.0
"""Longest wait that is slept through, in seconds; a hub that asks for a day has refused."""
DEADLINE = 300.0
"""Seconds for the body of an answer that is no download; a page of a listing takes a few."""
MAX_ANSWER = 64_000_000
"""Bytes of such a body, unpacked; a page of 1,000 repositories has a few million."""
_backoff = wait_random_exponential(multiplier=1, max=60)

Attempt = Callable[[httpx.Request], httpx.Response]


@dataclass(slots=True)
class _Call:
    """One request on its way through its attempts."""

    request: httpx.Request
    bucket: Bucket
    attempt: Attempt
    trial: bool = False
    asked: float | None = None
    """Seconds that the last answer asked to wait."""


class Manners:
    """How one hub is spoken to. Outlives the clients that use it; shares what it knows through the budget.

    - Each attempt takes its place in the budget first, and waits there for quota, `Retry-After` (seconds
      or an HTTP date, whoever was told) and the least interval. A wait over `PATIENCE` is refused.
    - 408, 429 and the passing 5xx are retried, and so are broken connections: as asked, else with full jitter
      up to 60 seconds. Answers of the API are read whole within the attempt, so a cut one is retried too.
    - A host where request after request comes to nothing is left alone (`crawler.guest.circuit`).
    - `Authorization` leaves for `token_origin` only, whoever redirected; redirects out of TLS, and of the API
      to another host, are refused.

    What is refused is raised as `crawler.guest.refusals.Refusal`, which is also a `TransportError` of the
    request's library.

    Args:
        retry_on: exceptions of the transport's library that are worth another attempt.
        token_origin: address whose scheme, host and port may see the token.
        headroom: share of the announced quota that stays unused, 0 to 1.
        interval: least seconds between two requests to that address.
        account: whose quota is spent, see `crawler.guest.budget.account`.
        budget: what all processes share; None for one of this object's own.
        traffic: counts what is asked; None for one of this object's own.
        timeout: seconds to wait for a connection or the next bytes, where the request sets no time at all, as
            those of huggingface_hub.
        deadline: seconds for the body of an answer that is no download.
        max_answer: bytes of such a body.
        clock: seconds from any beginning, for deadlines.
        wall: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        retry_on: tuple[type[Exception], ...],
        token_origin: str,
        retries: int = 5,
        headroom: float = 0.2,
        interval: float = 0.0,
        account: str = "",
        budget: Budget | None = None,
        traffic: Traffic | None = None,
        timeout: float = 30.0,
        deadline: float = DEADLINE,
        max_answer: int = MAX_ANSWER,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._retry_on = retry_on
        self._home = origins.origin(httpx.URL(token_origin))
        self._retries = retries
        self._headroom = headroom
        self._interval = interval
        self._account = account
        self._budget = budget or Budget(clock=wall)
        self._traffic = traffic or Traffic()
        self._timeout = timeout
        self._deadline = deadline
        self._max_answer = max_answer
        self._clock = clock
        self._wall = wall
        self._sleep = sleep

    def spent(self) -> tuple[Spent, ...]:
        """What was asked so far, by whoever shares the traffic."""
        return self._traffic.spent()

    def send(self, request: httpx.Request, attempt: Attempt) -> httpx.Response:
        """Answer a request by as many attempts as it takes; the last answer, or error, when none helps."""
        times = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {
            phase: times.get(phase) or self._timeout for phase in ("connect", "read", "write", "pool")
        }
        at_home = origins.origin(request.url) == self._home
        if not at_home:
            request.headers.pop("Authorization", None)
        bucket = Bucket(
            host=origins.host(request.url),
            name=origins.bucket(request.url, self._home),
            account=self._account if at_home else "",
        )
        response: httpx.Response = Retrying(
            stop=self._is_enough,
            wait=self._pause,
            retry=self._may_help,
            sleep=lambda seconds: self._rest(bucket, seconds),
            before_sleep=_discard,
            retry_error_callback=self._give_up,
        )(self._attempt, _Call(request, bucket, attempt))
        return response

    def _attempt(self, call: _Call) -> httpx.Response:
        call.asked = None
        permit = self._permit(call)
        call.trial = permit.trial
        response = None
        try:
            response = call.attempt(call.request)
        finally:
            if response is None:
                self._budget.lost(permit)
                self._traffic.answered(call.bucket, NO_ANSWER)
        self._budget.answered(permit, announced(response.headers))
        self._traffic.answered(call.bucket, response.status_code)
        response = self._accepted(call, response)
        if permit.strained and response.status_code not in TRANSIENT:
            self._budget.recovered(call.bucket.host)
        call.asked = wait_asked(response, call.bucket.name, self._wall())
        if call.asked is not None:
            reason = f"it answered {response.status_code} and asks for {call.asked:.0f} s of silence"
            self._budget.hold(call.bucket, call.asked, reason)
        return response

    def _permit(self, call: _Call) -> Permit:
        """A place in the budget, waited for.

        Raises:
            LeftAlone: the wait would be too long.
        """
        interval = self._interval if call.bucket.name != origins.FILES else 0.0
        while True:
            verdict = self._budget.reserve(call.bucket, interval=interval, headroom=self._headroom)
            if isinstance(verdict, Permit):
                return verdict
            wait = max(0.0, verdict.until - self._wall())
            if verdict.final or wait > PATIENCE:
                raise left_alone(call.request, call.bucket.host, verdict.until, verdict.reason)
            logger.log(
                logging.INFO if wait >= max(1.0, interval) else logging.DEBUG,
                "%s: waiting %.1f s: %s",
                call.bucket,
                wait,
                verdict.reason,
            )
            self._rest(call.bucket, wait)

    def _accepted(self, call: _Call, response: httpx.Response) -> httpx.Response:
        """The answer, counted, and read whole unless it is a file.

        Raises:
            Unacceptable: it leads astray or breaks a bound.
        """
        body.counted(response, lambda size: self._traffic.received(call.bucket, size))
        is_api = call.bucket.name == origins.API
        wrong = origins.misdirection(call.request, response, api=is_api)
        if wrong:
            response.close()
            raise unacceptable(call.request, call.bucket.host, wrong)
        if response.is_closed or not (is_api or response.status_code >= 400):
            return response
        if call.request.method == "HEAD":  # its headers speak of a body that does not come
            response.read()
            return response
        try:
            return body.whole(response, limit=self._max_answer, seconds=self._deadline, clock=self._clock)
        except body.Excess as error:
            raise unacceptable(call.request, call.bucket.host, str(error)) from error

    def _is_enough(self, state: RetryCallState) -> bool:
        return _call(state).trial or state.attempt_number > self._retries

    def _may_help(self, state: RetryCallState) -> bool:
        assert state.outcome is not None
        if state.outcome.failed:
            error = state.outcome.exception()
            return isinstance(error, self._retry_on) and not isinstance(error, Refusal)
        is_passing = state.outcome.result().status_code in TRANSIENT
        return is_passing and (_call(state).asked or 0.0) <= PATIENCE

    def _pause(self, state: RetryCallState) -> float:
        """Seconds before the next attempt; what the hub asked for is waited out in the budget."""
        return _backoff(state) if _call(state).asked is None else 0.0

    def _rest(self, bucket: Bucket, seconds: float) -> None:
        if seconds > 0:
            self._traffic.waited(bucket, seconds)
            self._sleep(seconds)

    def _give_up(self, state: RetryCallState) -> httpx.Response:
        assert state.outcome is not None
        self._budget.failed(_call(state).bucket.host, _reason(state))
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


def _call(state: RetryCallState) -> _Call:
    call: _Call = state.args[0]
    return call


def _reason(state: RetryCallState) -> str:
    assert state.outcome is not None
    if state.outcome.failed:
        return type(state.outcome.exception()).__name__
    return f"status {state.outcome.result().status_code}"


def _discard(state: RetryCallState) -> None:
    """Give the connection back before the wait, and say why there is one."""
    assert state.outcome is not None
    if not state.outcome.failed:
        state.outcome.result().close()
    call = _call(state)
    wait = call.asked if call.asked is not None else state.next_action.sleep if state.next_action else 0.0
    logger.warning("%s: %s, next attempt in %.1f s", call.bucket.host, _reason(state), wait)
