"""What is known of one bucket of a hub's quota, and what may be asked of it: pure arithmetic.

The hub counts requests in fixed windows and tells in every answer how many are left. Several threads and
processes spend the same quota, so an answer is old news by the time it is read: other requests are already on
their way. Two rules keep the sum right, whatever the order in which answers come:

- Within a window, what may be spent falls by one when a request leaves, and an answer can only lower it.
- A new window begins with the quota less the requests still on their way, which it may have to pay for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from huggingface_hub.utils._http import RateLimitInfo

from crawler.guest.answers import DAY

MARGIN = 1.0
"""Seconds after the announced end of a window: the hub tells whole seconds, perhaps rounded down."""
PROBE = 30.0
"""Seconds that others wait for a bucket's first answer before they ask themselves: its asker may be dead."""
POLL = 0.05
"""Seconds between looks whether that answer has come."""
_UNTOLD_LENGTH = 60
_MOST = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """No request may leave before `until` (seconds since the epoch)."""

    until: float
    reason: str
    final: bool = False
    """The host is not to be waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One bucket, as one account sees it. All times in seconds since the epoch."""

    known: bool = False
    """The hub has answered at least once, with or without a quota."""
    quota: int | None = None
    """Requests per window; None when the hub told none."""
    spendable: int | None = None
    """Requests that may still leave in this window; None for any number."""
    length: int = _UNTOLD_LENGTH
    ends_at: float = 0.0
    number: int = 0
    pending: int = 0
    """Requests of this window that no answer has come to; those of killed processes too."""
    carried: int = 0
    """The same of the window before. Older ones are given up."""
    probe_until: float = 0.0
    held_until: float = 0.0
    """The hub asked for silence until then."""
    reason: str = ""

    def at(self, now: float) -> Window:
        """The bucket as it stands now: windows that ended since are replaced by a fresh one."""
        # A clock that was set back must not leave anybody waiting for the old time to come again.
        held = self.held_until if self.held_until - now <= DAY else 0.0
        window = replace(self, held_until=held)
        if self.spendable is None or now < self.ends_at <= now + DAY + self.length:
            return window
        if self.quota is None:
            return window._renewed(known=False, spendable=None, ends_at=0.0)
        ends_at = now + self.length
        if 0 <= now - self.ends_at < DAY:
            ends_at = self.ends_at + self.length * (1 + (now - self.ends_at) // self.length)
        return window._renewed(spendable=max(0, self.quota - self.pending), ends_at=ends_at)

    def delay(self, now: float, headroom: float) -> Delay | None:
        """Why the next request must wait; None when it may leave.

        Args:
            headroom: share of the quota that stays unused, 0 to 1; at least one request a window may leave.
        """
        if now < self.held_until:
            return Delay(until=self.held_until, reason=self.reason)
        if not self.known and now < self.probe_until <= now + PROBE:
            return Delay(until=now + POLL, reason="the first answer is awaited")
        if self.spendable is not None:
            quota = self.quota or 0
            kept = min(headroom * quota, max(0, quota - 1))
            if self.spendable - 1 < kept:
                told = f"{self.spendable} of {self.quota or 'an untold number of'} requests are left"
                return Delay(until=self.ends_at, reason=told)
        return None

    def taken(self, now: float) -> Window:
        """One request leaves."""
        spendable = None if self.spendable is None else max(0, self.spendable - 1)
        probe = self.probe_until if self.known else now + PROBE
        return replace(self, spendable=spendable, pending=self.pending + 1, probe_until=probe)

    def lost(self) -> Window:
        """A request got no answer. It stays pending: the hub may have counted it."""
        return replace(self, probe_until=0.0)

    def answered(self, number: int, now: float, limit: RateLimitInfo | None) -> Window:
        """An answer came to a request of window `number`."""
        if number == self.number:
            window = replace(self, pending=max(0, self.pending - 1))
        elif number == self.number - 1:
            window = replace(self, carried=max(0, self.carried - 1))
        else:
            window = self
        if limit is None:
            return replace(window, known=True, probe_until=0.0)
        return window._told(now, limit)

    def held(self, until: float, reason: str) -> Window:
        """The hub asks for silence; the longest wish counts."""
        return self if until <= self.held_until else replace(self, held_until=until, reason=reason)

    def _told(self, now: float, limit: RateLimitInfo) -> Window:
        remaining = min(limit.remaining, _MOST)
        ends_at = now + min(limit.reset_in_seconds, DAY) + MARGIN
        length = min(max(1, limit.window_seconds or _UNTOLD_LENGTH), int(DAY))
        quota = None if limit.limit is None else min(limit.limit, _MOST)
        fresh = replace(self, known=True, probe_until=0.0, quota=quota, length=length, ends_at=ends_at)
        if self.spendable is None:
            return replace(fresh, spendable=max(0, remaining - self.pending - self.carried))
        if ends_at > self.ends_at + length / 2:
            return fresh._renewed(spendable=max(0, remaining - self.pending))
        if ends_at < self.ends_at - length / 2:
            return replace(self, known=True, probe_until=0.0)  # the last answer of a window that has ended
        # Of all that is announced for one end, the earliest is the truest: answers only come late.
        return replace(fresh, spendable=min(self.spendable, remaining), ends_at=min(ends_at, self.ends_at))

    def _renewed(
        self, *, spendable: int | None, known: bool | None = None, ends_at: float | None = None
    ) -> Window:
        return replace(
            self,
            known=self.known if known is None else known,
            spendable=spendable,
            ends_at=self.ends_at if ends_at is None else ends_at,
            number=self.number + 1,
            pending=0,
            carried=self.pending,
        )
