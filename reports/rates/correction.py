"""From the share that was found to the share that leaks: Rogan and Gladen's correction, with its interval.

With p the share found, f the chance of a clean checkpoint to get a finding (1 - specificity) and s the
sensitivity, the share that leaks is (p - f) / (s - f) (Rogan and Gladen, American Journal of Epidemiology
107 (1978) 71-76). Its interval draws p, f and s from their confidence distributions, as Bayer, Fay and
Graubard do for surveys with imperfect tests (Statistics in Medicine 42, 2023; arXiv 2205.13494), by a Latin
hypercube; each distribution is the one whose quantiles are the interval that is shown for the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from reports.rates.accuracy import FalseFindings, Sensitivity
from reports.rates.estimate import Estimate, wilson
from reports.rates.leakage import CONFIDENCE

DRAWS = 20_001


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """The share of checkpoints that leak, with its 95 % interval and both inputs."""

    value: float
    """0 to 1."""
    low: float
    high: float
    raw: float
    """What the formula gave; another number than `value` where that was below 0 or above 1."""
    false_findings: FalseFindings
    sensitivity: Sensitivity | None
    """None: taken as 1, so that the share is of what this method can find: a lower bound."""

    @property
    def clipped(self) -> bool:
        return self.raw != self.value


def corrected(
    found: Estimate,
    false_findings: FalseFindings,
    sensitivity: Sensitivity | None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Correction | str:
    """Return the corrected share, or why there is none.

    Args:
        draws: of the interval; the same seed gives the same interval.
    """
    certain = sensitivity or Sensitivity(value=1.0)
    wrong = false_findings.value
    if certain.value <= wrong:
        return (
            f"a clean checkpoint gets a finding as often ({wrong:.3g}) as one that leaks "
            f"({certain.value:.3g}), so findings tell nothing"
        )
    raw = rogan_gladen(found.value, certain.value, wrong)
    quantiles = norm.ppf((np.arange(draws) + 0.5) / draws)
    shuffled = np.random.default_rng(seed).permuted(np.stack([quantiles, quantiles]), axis=1)
    p = wilson(found.value, found.effective_size, quantiles)
    f, s = false_findings.at(shuffled[0]), certain.at(shuffled[1])
    telling = s > f
    shares = np.clip((p - f) / np.where(telling, s - f, 1.0), 0.0, 1.0)
    # Where a draw makes the findings tell nothing, the share may be anything.
    low = np.quantile(np.where(telling, shares, 0.0), (1 - CONFIDENCE) / 2)
    high = np.quantile(np.where(telling, shares, 1.0), (1 + CONFIDENCE) / 2)
    return Correction(
        value=min(max(raw, 0.0), 1.0),
        low=float(low),
        high=float(high),
        raw=raw,
        false_findings=false_findings,
        sensitivity=sensitivity,
    )


def rogan_gladen(found: float, sensitivity: float, false_positive: float) -> float:
    """Return (p + specificity - 1) / (sensitivity + specificity - 1), which may lie outside of 0 to 1."""
    return (found - false_positive) / (sensitivity - false_positive)
