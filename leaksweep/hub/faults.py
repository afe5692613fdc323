"""What can be made to go wrong, by name: each fault strikes some of the requests it could strike."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """Which requests a fault strikes. As it stands, all that it can strike."""

    on: str = ""
    """Part of the hub's name, path and query, such as "civitai/api/v1/models" or "weights.safetensors"."""
    after: int = 0
    """Requests for the same path that are let through first."""
    times: int | None = None
    """Requests for the same path that are struck after that; None for ever."""
    chance: float = 1.0
    """Probability that such a request is struck, 0 to 1, drawn from `Faults.seed`, the path and the count of
    requests for it: the same whatever the order of requests for different paths."""


ONCE = Strike(times=1)
"""The first request for each path, so that a client that tries again gets through."""

ALWAYS = Strike()


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Every fault, off unless it is given a strike."""

    seed: int = 0

    too_many_requests: Strike | None = None
    """A hub answers 429 although its quota is not spent, with Retry-After in seconds."""
    server_error: Strike | None = None
    """A hub answers 500."""
    unavailable: Strike | None = None
    """A hub answers 503 with Retry-After."""
    cut_answer: Strike | None = None
    """A hub closes the connection after half of an answer."""
    bare_unauthorized: Strike | None = None
    """Hugging Face refuses a missing repository without saying why: 401, no X-Error-Code."""

    expired_url: Strike | None = None
    """The storage refuses a signed URL as expired."""
    cut_body: Strike | None = None
    """The storage closes the connection after half of a file."""
    slow_body: Strike | None = None
    """The storage pauses `slow_seconds` before every piece of a file."""
    ignored_range: Strike | None = None
    """The storage answers a range with the whole file and 200."""
    wrong_content: Strike | None = None
    """The last byte of a file differs: the size is as stated, the SHA-256 is not."""
    html_body: Strike | None = None
    """A page comes with 200 in place of a file."""

    retry_after: int = 1
    """Seconds, of `too_many_requests` and `unavailable`."""
    slow_seconds: float = 0.05

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all faults."""
        return tuple(field.name for field in fields(cls) if "Strike" in str(field.type))


class Striker:
    """Counts requests and says which are struck."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._seen: Counter[tuple[str, str]] = Counter()

    def strikes(self, name: str, path: str, query: str = "") -> bool:
        """Tell whether fault `name` strikes this request, and count it; `path` starts with the hub's name."""
        strike: Strike | None = getattr(self.faults, name)
        if strike is None or strike.on not in f"{path}?{query}":
            return False
        count = self._seen[name, path]
        self._seen[name, path] += 1
        if count < strike.after or (strike.times is not None and count >= strike.after + strike.times):
            return False
        return strike.chance >= 1 or self._draw(name, path, count) < strike.chance

    def _draw(self, name: str, path: str, count: int) -> float:
        digest = hashlib.sha256(f"{self.faults.seed}:{name}:{path}:{count}".encode()).digest()
        return int.from_bytes(digest[:6]) / 2**48
