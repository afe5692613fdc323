"""A share with its interval: weighted or not, of independent checkpoints or of clusters of them.

The estimator is Hájek's, its variance comes from Taylor's linearisation (Särndal, Swensson and Wretman 1992,
chapter 5), of clusters with the correction of Bell and McCaffrey (`reports.rates.clusters`). The interval is
Wilson's (1927) on the effective sample size, with the adjustment for few degrees of freedom of Korn and
Graubard (1998). Without weights and clusters it is Wilson's interval, to the digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from reports.rates.clusters import cluster_spread
from reports.rates.leakage import CONFIDENCE

Floats = NDArray[np.float64]
Method = Literal["wilson", "wilson, clusters", "wilson, design", "whole population"]

Z = float(norm.ppf((1 + CONFIDENCE) / 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A share of 0 to 1 with its 95 % interval."""

    value: float
    low: float
    high: float
    method: Method
    effective_size: float
    """Independent units of a simple random sample whose interval would be as wide; inf: all were scanned."""
    kish_size: float
    """Kish (1965): (Σw)² / Σw², what unequal weights alone leave of the sample."""
    clusters: int | None = None
    """None: units were taken to be independent."""
    population: float
    """Sum of the weights; the number of units without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """How units came into a stratified sample without replacement; arrays have one element for each unit."""

    weights: Floats
    """Population units that each stands for, at least 1."""
    strata: NDArray[np.int64]
    population: dict[int, float]
    """Units in each stratum, those that were not drawn included; inf leaves out the finite correction."""


def simple(leaks: NDArray[np.bool_]) -> Estimate | None:
    """Estimate from independent units; None without any."""
    size = len(leaks)
    if not size:
        return None
    value = float(leaks.mean())
    low, high = wilson(value, size, -Z), wilson(value, size, Z)
    return Estimate(
        value=value,
        low=float(low),
        high=float(high),
        method="wilson",
        effective_size=size,
        kish_size=size,
        population=size,
    )


def clustered(leaks: NDArray[np.bool_], clusters: NDArray[np.int64]) -> Estimate | None:
    """Estimate from units of which those of one cluster are alike; None without any.

    Where none or all leak, nothing tells how alike they are: then those of one cluster are taken to be one.

    Args:
        clusters: 0 to G - 1, in the order of `leaks`; none is empty.
    """
    plain = simple(leaks)
    if plain is None:
        return None
    sizes, size = np.bincount(clusters).astype(np.float64), len(leaks)
    if plain.value in (0.0, 1.0) or len(sizes) < 2:
        effective = float(size**2 / (sizes**2).sum())
    else:
        spread = cluster_spread(np.bincount(clusters, leaks).astype(np.float64), sizes)
        effective = _effective(plain.value, spread.variance, size, freedom=spread.freedom)
    return _estimate(plain.value, effective, "wilson, clusters", size, size, clusters=len(sizes))


def weighted(
    leaks: NDArray[np.bool_], inside: NDArray[np.bool_], design: Design, *, few: bool = True
) -> Estimate | None:
    """Estimate for the units `inside` a domain of a stratified sample; None without any.

    Units outside stay in their strata with nothing to add: how many of a sample fall into a domain is chance
    too. A stratum with one unit has no variance of its own, and is held against the mean of all.

    Args:
        few: widen the interval for few degrees of freedom.
    """
    if not inside.any():
        return None
    weights = np.where(inside, design.weights, 0.0)
    total, size = float(weights.sum()), int(inside.sum())
    value = float((weights * leaks).sum()) / total
    kish = total**2 / float((weights**2).sum())
    scores = weights * (leaks - value) / total
    variance, freedom, units, held = 0.0, 0, 0, 0.0
    for stratum in np.unique(design.strata[inside]):
        own = scores[design.strata == stratum]
        number, population = len(own), design.population[int(stratum)]
        spread = number / (number - 1) * float(((own - own.mean()) ** 2).sum()) if number > 1 else own[0] ** 2
        variance += (1 - number / population) * float(spread)
        freedom, units, held = freedom + number - 1, units + number, held + population
    unseen = 1 - units / held
    if unseen <= 0:
        return _estimate(value, inf, "whole population", kish, total)
    if value in (0.0, 1.0):
        effective = kish
    else:
        effective = _effective(value, variance, size, freedom=freedom if few else size - 1, unseen=unseen)
    return _estimate(value, effective, "wilson, design", kish, total)


def wilson(value: float | Floats, size: float | Floats, z: float | Floats) -> Floats:
    """Wilson's score bound of a share at the normal quantile `z`, which may be negative."""
    if isinstance(size, float) and size == inf:
        return np.asarray(value + 0 * np.asarray(z), np.float64)
    square = np.square(z) / size
    middle = value + square / 2
    half = np.asarray(z) * np.sqrt(value * (1 - np.asarray(value)) / size + square / (4 * np.asarray(size)))
    bound = np.clip((middle + half) / (1 + square), 0, 1)
    # Below none and above all there is nothing, whatever the rounding leaves.
    bound = np.where((np.asarray(value) == 0) & (np.asarray(z) < 0), 0.0, bound)
    return np.asarray(np.where((np.asarray(value) == 1) & (np.asarray(z) > 0), 1.0, bound), np.float64)


def _effective(value: float, variance: float, size: int, *, freedom: float, unseen: float = 1.0) -> float:
    """Effective size from a variance: never above what a simple random sample of the size would give."""
    least = unseen * value * (1 - value) / (size - 1)
    effective = size * value * (1 - value) / (size - 1) / max(variance, least)
    slack = student.ppf((1 + CONFIDENCE) / 2, size - 1) / student.ppf((1 + CONFIDENCE) / 2, max(freedom, 1))
    return effective * min(1.0, float(slack)) ** 2


def _estimate(
    value: float,
    effective: float,
    method: Method,
    kish: float,
    population: float,
    clusters: int | None = None,
) -> Estimate:
    low, high = wilson(value, effective, -Z), wilson(value, effective, Z)
    return Estimate(
        value=value,
        low=float(low),
        high=float(high),
        method=method,
        effective_size=effective,
        kish_size=kish,
        clusters=clusters,
        population=population,
    )


def bounds(leaked: float, seen: float, missing: float) -> tuple[float, float] | None:
    """Manski's bounds (1989): the share if none of the missing leaked, and if all did; None of nothing.

    Args:
        leaked, seen, missing: weights, or numbers without weights.
    """
    everything = seen + missing
    return (leaked / everything, (leaked + missing) / everything) if everything else None
