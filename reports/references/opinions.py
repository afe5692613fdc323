"""Opinions as numbers, and what several of them come to: the more cautious wins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reports.finding import Opinion

OPINIONS = tuple(Opinion)
"""An opinion's number is its place: 0 positive, 1 seed, 2 disputed, 3 negative."""
CODE_OF = {opinion: number for number, opinion in enumerate(OPINIONS)}

_POSITIVE, _SEED, _DISPUTED, _NEGATIVE = range(len(OPINIONS))


def _settled(bits: int) -> int:
    has = [bool(bits >> number & 1) for number in range(len(OPINIONS))]
    if has[_DISPUTED] or (has[_NEGATIVE] and (has[_POSITIVE] or has[_SEED])):
        return _DISPUTED
    # A reviewed opinion outweighs one that nobody reviewed.
    return _POSITIVE if has[_POSITIVE] else _SEED if has[_SEED] else _NEGATIVE


_SETTLED = np.array([_settled(bits) for bits in range(1 << len(OPINIONS))], np.int8)


def opposed(a: int, b: int) -> bool:
    """Whether one says what to look for, and the other that it is innocent."""
    return (a == _NEGATIVE) != (b == _NEGATIVE) and _DISPUTED not in (a, b)


def settled(a: int, b: int) -> int:
    """What two opinions of one thing come to: disputed when they are opposed or one of them is disputed."""
    return int(_SETTLED[1 << a | 1 << b])


def settled_by_owner(opinions: NDArray[np.int8], owner: NDArray[np.int64], owners: int) -> NDArray[np.int8]:
    """The same over rows, (N,), for each of their owners, numbered from 0. A reference owns its rows."""
    bits = np.zeros(owners, np.uint8)
    np.bitwise_or.at(bits, owner, np.left_shift(1, opinions).astype(np.uint8))
    return _SETTLED[bits]
