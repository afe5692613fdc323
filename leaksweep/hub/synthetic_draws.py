"""What both synthetic catalogs are made of: dates, draws, and an order that has nothing to do with numbers.

Row i of a catalog is always the same row, whatever was made before it, so that a million rows need no memory.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from math import gcd
from typing import Any

from leaksweep.hub.shelf import Ranking

START = 1_704_067_200
"""2024-01-01, when the first row was made, in seconds since 1970."""
STEP = 60
"""Seconds between one group of rows with equal dates and the next."""

TEMPLATES = 1024


def iso(seconds: int) -> str:
    """Return a time as both hubs write it: ISO 8601 with milliseconds and Z."""
    day, second = divmod(seconds, 86_400)
    minute, second = divmod(second, 60)
    return f"{_date(day)}T{minute // 60:02}:{minute % 60:02}:{second:02}.000Z"


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()


def template(index: int) -> int:
    """Return the number, 0 to 1023, of a row's template, from which all follows that listings can filter by.

    Every 1024 rows have each template once, in an order that differs from the one before.
    """
    return (index + 7919 * (index // TEMPLATES)) % TEMPLATES


def draw(seed: int, index: int) -> int:
    """Return 128 random bits for a row, or a template."""
    return int.from_bytes(hashlib.blake2b(b"%d:%d" % (seed, index), digest_size=16).digest())


def shuffled(
    count: int, ties: int, seed: int, value: Callable[[int], Any], tie: Callable[[int], Any]
) -> Ranking:
    """Return an order in which rows stand in no relation to their number; as `Ranking` for the rest."""
    drawn = random.Random(seed)
    multiplier = drawn.randrange(1, max(2, count))
    while gcd(multiplier, count) != 1:
        multiplier += 1
    offset = drawn.randrange(max(1, count))
    return Ranking(count=count, ties=ties, value=value, tie=tie, multiplier=multiplier, offset=offset)
