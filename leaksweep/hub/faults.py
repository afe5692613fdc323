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
    quota_spent: Strike | None = None
    """A hub answers 429 because its quota is spent: on Hugging Face with the seconds left in `RateLimit`, on
    Civitai, which announces none, without a word of when."""
    server_error: Strike | None = None
    """A hub answers 500."""
    bad_gateway: Strike | None = None
    """A proxy before a hub answers 502, in HTML."""
    unavailable: Strike | None = None
    """A hub answers 503 with Retry-After in seconds."""
    unavailable_until: Strike | None = None
    """A hub answers 503 with Retry-After as an HTTP date."""
    cut_answer: Strike | None = None
    """A hub closes the connection after half of an answer."""
    stalled_answer: Strike | None = None
    """A hub sends half of an answer, then nothing for `stall_seconds`."""
    html_answer: Strike | None = None
    """A hub answers 200 with a login page in place of JSON."""
    foreign_api: Strike | None = None
    """A hub redirects a request for its API to a foreign host, which answers with an empty list."""
    bare_unauthorized: Strike | None = None
    """Hugging Face refuses a missing repository without saying why: 401, no X-Error-Code."""

    looping_cursor: Strike | None = None
    """The link from a page of a listing leads to the same page again."""
    foreign_next: Strike | None = None
    """The link from a page of a listing to the next leads to a foreign host."""
    short_page: Strike | None = None
    """A page of a listing has half of its rows; the next one begins with the others."""
    empty_page: Strike | None = None
    """A page of a listing has no rows, but a cursor that leads to them."""
    expired_cursor: Strike | None = None
    """A hub answers 400 to any cursor, as if it had expired."""
    cursor_arity: Strike | None = None
    """Civitai, updated, answers 400 to cursors of the former number of parts."""
    bad_row: Strike | None = None
    """Civitai answers 500 to whatever would show a certain model: any page with it, too. The path to strike
    `on` ends with its id: "civitai/models/1234"."""

    renamed: Strike | None = None
    """Hugging Face redirects to the repository under another name: the same `_id`."""
    replaced: Strike | None = None
    """Hugging Face redirects to another repository, of another `_id`, with the same files."""
    false_missing: Strike | None = None
    """A hub answers 404 to a look at a repository, a model or a version that is there."""
    scan_unfinished: Strike | None = None
    """Hugging Face's security scan of a repository has not finished: it lists nothing."""
    lying_base: Strike | None = None
    """A card on Hugging Face names its base twice, and one that does not exist; without a base, that one."""
    lying_size: Strike | None = None
    """A hub states that files are one byte longer than they are."""
    lying_hash: Strike | None = None
    """A hub states another SHA-256 of a file than that of the bytes."""

    big_header: Strike | None = None
    """A safetensors file's header is 200 kB long: more than a first read of 100 kB."""
    huge_header: Strike | None = None
    """A safetensors file's header is 26 MB long: more than readers of headers allow."""
    lying_header: Strike | None = None
    """A safetensors file says that its header is a terabyte long."""

    foreign_download: Strike | None = None
    """A hub redirects a download to a foreign host, which has the file."""
    expired_url: Strike | None = None
    """The storage refuses a signed URL as expired."""
    cut_body: Strike | None = None
    """The storage closes the connection after half of a file."""
    stalled_body: Strike | None = None
    """The storage sends half of a file, then nothing for `stall_seconds`."""
    slow_body: Strike | None = None
    """The storage pauses `slow_seconds` before every piece of a file."""
    long_body: Strike | None = None
    """The storage sends, and announces, 1024 bytes more than the file has."""
    ignored_range: Strike | None = None
    """The storage answers a range with the whole file and 200."""
    wrong_content: Strike | None = None
    """The last byte of a file differs: the size is as stated, the SHA-256 is not."""
    html_body: Strike | None = None
    """A page comes with 200 in place of a file."""

    retry_after: int = 1
    """Seconds, of `too_many_requests`, `quota_spent`, `unavailable` and `unavailable_until`."""
    slow_seconds: float = 0.05
    stall_seconds: float = 60.0

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

    def afflicts(self, name: str, path: str) -> bool:
        """Tell whether fault `name` lies on a thing, such as a file, that stays as it is for all requests.

        `Strike.after` and `Strike.times` do not count.
        """
        strike: Strike | None = getattr(self.faults, name)
        if strike is None or strike.on not in path:
            return False
        return strike.chance >= 1 or self._draw(name, path, 0) < strike.chance

    def lasting(self, *names: str) -> tuple[str, ...]:
        """Return which of these faults are on at all."""
        return tuple(name for name in names if getattr(self.faults, name) is not None)

    def _draw(self, name: str, path: str, count: int) -> float:
        digest = hashlib.sha256(f"{self.faults.seed}:{name}:{path}:{count}".encode()).digest()
        return int.from_bytes(digest[:6]) / 2**48
