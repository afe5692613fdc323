"""Shares of copies and of pairs that share pictures, with intervals that know it.

Fourteen copies of one picture are not fourteen observations, nor are a hundred pairs with the same picture on
one side: a plain background lies near to everything. Where pictures differ so, an interval that takes pairs
for independent holds the truth once in three times. So copies count by thing, as checkpoints do by owner, and
the variance of pairs is a jackknife's that leaves out one thing at a time (Arvesen, Annals of Mathematical
Statistics 40 (1969) 2076-2100: both sides of a pair are drawn from the same things).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from reports.rates.estimate import Z, clustered, wilson
from reports.rates.leakage import Proportion

Places = NDArray[np.int64]
_TELLING = 5
"""Things: simulated with pictures that differ in how near they lie to everything, intervals then hold the
truth 19 times in 20, and 17 times where any hit is taken to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share(Proportion):
    """So many of so many, with a 95 % Wilson interval on as many as are independent."""

    size: float
    """Independent ones that the interval is as wide as; never above `of`."""
    things: int = 0
    """Of pairs of strangers: how many things those that are hit show."""

    @property
    def telling(self) -> bool:
        """Whether pairs of strangers that are hit are of enough things to tell how alike pairs are."""
        return self.things >= _TELLING

    @property
    def interval(self) -> tuple[float, float] | None:
        if not self.of:
            return None
        value = self.count / self.of
        return float(wilson(value, self.size, -Z)), float(wilson(value, self.size, Z))


def share_by_thing(hit: NDArray[np.bool_], things: Places) -> Share:
    """Return the share of what is hit, where what shows one thing is alike.

    Args:
        hit, things: (N,) each one's flag and the number of its thing.
    """
    found = clustered(hit, np.unique(things, return_inverse=True)[1].astype(np.int64))
    return Share(count=int(hit.sum()), of=len(hit), size=found.effective_size if found else 0.0)


def share_of_strangers(
    copies: Places, pictures: Places, rows: Places, columns: Places, *, unseen: float | None = None
) -> Share:
    """Return the share of pairs of different things that are hit.

    Args:
        copies, pictures: (N,) and (R,) the number of each one's thing.
        rows, columns: (P,) which copy and which picture are hit.
        unseen: the size, at most, where those that are hit are of too few things to tell how alike pairs
            are; None: of pairs that have no thing in common, half as many as there are things.
    """
    things = int(pictures.max()) + 1
    of_copies, of_pictures = np.bincount(copies, minlength=things), np.bincount(pictures, minlength=things)
    pairs = len(copies) * len(pictures) - int((of_copies * of_pictures).sum())
    hits = len(rows)
    shown = len(np.union1d(copies[rows], pictures[columns]))
    few = max(1.0, things / 2) if unseen is None else unseen
    if not hits or things < 3:
        return Share(count=hits, of=pairs, size=few, things=shown)
    value = hits / pairs
    with_thing = np.bincount(copies[rows], minlength=things) + np.bincount(
        pictures[columns], minlength=things
    )
    pairs_with = of_copies * (len(pictures) - of_pictures) + (len(copies) - of_copies) * of_pictures
    without = (hits - with_thing) / (pairs - pairs_with)
    variance = (things - 1) / things * float(((without - value) ** 2).sum())
    least = value * (1 - value) / pairs
    slack = Z / student.ppf(0.975, things - 1)
    size = pairs * slack**2 * (least / max(variance, least) if least else 1)
    return Share(
        count=hits, of=pairs, size=float(size if shown >= _TELLING else min(size, few)), things=shown
    )
