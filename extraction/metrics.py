"""How much of a known training set came back: AS and A-ESR, with bootstrap intervals.

The published measures (FineXtract, ICML 2025): for each training picture the highest similarity to
any extraction. AS is the mean of those, A-ESR the share above a threshold. Both depend on how many
extractions are allowed, so compare only sets capped at the same size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap


def best_similarities(references: NDArray[np.float32], extracted: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each reference (N, D) its highest cosine to the extractions (M, D), or -1 when M is 0."""
    if len(references) == 0:
        raise ValueError("no training pictures were given; a rate needs at least one")
    if len(extracted) == 0:
        return np.full(len(references), -1, np.float32)
    best: NDArray[np.float32] = (references @ extracted.T).max(axis=1)
    return best


def average_similarity(references: NDArray[np.float32], extracted: NDArray[np.float32]) -> float:
    """AS, -1 to 1."""
    return float(best_similarities(references, extracted).mean())


def extraction_success_rate(
    references: NDArray[np.float32], extracted: NDArray[np.float32], threshold: float
) -> float:
    """A-ESR of one checkpoint, 0 to 1: the share of references strictly above the threshold."""
    return float((best_similarities(references, extracted) > threshold).mean())


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.float32],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean.

    Args:
        values: one number for each independent unit: checkpoints when there are several, otherwise
            the pictures of one checkpoint (which are not independent of each other: say so).

    Returns:
        Lower and upper end. For fewer than two values, or values all alike, both ends are the mean.
    """
    sample = np.asarray(values, np.float64)
    if len(sample) < 2 or np.ptp(sample) == 0:
        mean = float(sample.mean())
        return mean, mean
    interval = bootstrap(
        (sample,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
