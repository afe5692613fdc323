"""How a sample's size is shared among strata. Pure arithmetic, exact: no floating point."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction


class Allocation(StrEnum):
    """What decides a stratum's share."""

    PROPORTIONAL = "proportional"
    """Its size: every checkpoint has nearly the same chance."""
    EQUAL = "equal"
    """Nothing: small strata are measured as well as large ones, as far as they reach."""


def allocate(sizes: Sequence[int], total: int, allocation: Allocation, *, minimum: int = 2) -> list[int]:
    """Return how many to draw from each stratum; none gets fewer for a larger total.

    Each gets the minimum, or all it has where that is less. The rest is awarded one by one to the stratum
    that is owed most: by the divisor method of Sainte-Laguë among those of unequal size. Largest remainders
    would take seats away from a stratum when the total grows (the Alabama paradox); a divisor method cannot
    (M. L. Balinski and H. P. Young, Fair Representation, 1982). Ties go to the earlier stratum.

    Args:
        sizes: checkpoints in each stratum, at least 1.
        total: from the sum of what each must have to the sum of the sizes.

    Raises:
        ValueError: `total` is outside of that.
    """
    drawn = [min(minimum, size) for size in sizes]
    if not sum(drawn) <= total <= sum(sizes):
        raise ValueError(f"{total} cannot be shared out: from {sum(drawn)} to {sum(sizes)} can")

    def claim(stratum: int) -> tuple[Fraction, int]:
        size = sizes[stratum] if allocation is Allocation.PROPORTIONAL else 1
        return Fraction(-size, 2 * drawn[stratum] + 1), stratum

    claims = [claim(stratum) for stratum, size in enumerate(sizes) if drawn[stratum] < size]
    heapq.heapify(claims)
    for _ in range(total - sum(drawn)):
        _, stratum = claims[0]
        drawn[stratum] += 1
        if drawn[stratum] < sizes[stratum]:
            heapq.heapreplace(claims, claim(stratum))
        else:
            heapq.heappop(claims)
    return drawn
