"""How far the share of unequal clusters may lie off: its variance, and how much is known of that variance.

Linearisation takes what a cluster adds for its distance from the truth. A large cluster pulls the share
towards itself, so it seems nearer than it is: with one owner of 90 checkpoints and ten of one each, an
interval that ought to hold the truth 19 times in 20 held it once in five. So each cluster's part is set right
for its own pull, and the degrees of freedom are Satterthwaite's, not clusters less one (Bell and McCaffrey,
Survey Methodology 28 (2002) 169-181; with the intra-cluster correlation as estimated, Imbens and Kolesár,
Review of Economics and Statistics 98 (2016) 701-712). For clusters of one size both are what they were.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spread:
    """Of a share over clusters."""

    variance: float
    freedom: float
    """Degrees of freedom of the variance, at least 1."""


def cluster_spread(leaking: Floats, sizes: Floats) -> Spread:
    """Return the variance of a share of all units and its degrees of freedom.

    Args:
        leaking, sizes: (G,) units of each cluster that leak, and all of them, at least 1; G at least 2.
    """
    weights = sizes / sizes.sum()
    share = leaking.sum() / sizes.sum()
    pulled = 1 / np.sqrt(1 - weights)
    variance = float(((pulled * weights * (leaking / sizes - share)) ** 2).sum())
    alike = correlation(leaking, sizes)
    return Spread(variance, _freedom(weights, pulled * weights, alike + (1 - alike) / sizes))


def correlation(leaking: Floats, sizes: Floats) -> float:
    """Return how alike the units of a cluster are, 0 to 1: the estimate of an analysis of variance."""
    units, clusters = sizes.sum(), len(sizes)
    if units == clusters:
        return 0.0
    shares = leaking / sizes
    within = (leaking * (1 - shares)).sum() / (units - clusters)
    between = (sizes * (shares - leaking.sum() / units) ** 2).sum() / (clusters - 1)
    typical = (units - (sizes**2).sum() / units) / (clusters - 1)
    whole = between + (typical - 1) * within
    return float(np.clip((between - within) / whole, 0, 1)) if whole > 0 else 0.0


def _freedom(weights: Floats, scales: Floats, variances: Floats) -> float:
    """Satterthwaite's degrees of freedom of Σ scales² (mean - share)².

    Of M, the covariance of the scaled differences, they are tr(M)² / tr(M²). M is a diagonal and a matrix of
    rank two, so its traces take sums over clusters, not over pairs of them.

    Args:
        variances: (G,) of the clusters' means, up to a factor.
    """
    total = (weights**2 * variances).sum()
    own = variances - 2 * weights * variances + total
    others = total / 2 - weights * variances
    squares = scales**2
    zeroth, first, second = (float((squares * others**power).sum()) for power in range(3))
    apart = float((squares**2 * (own**2 - (2 * others) ** 2)).sum())
    return max(1.0, float((squares * own).sum()) ** 2 / (apart + 2 * zeroth * second + 2 * first**2))
