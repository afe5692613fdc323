"""From the share that was found to the share that leaks: Rogan and Gladen's correction, with its interval.

With p the share found, f the chance of a clean checkpoint to get a finding (1 - specificity) and t that of a
leaking one, the share that leaks is (p - f) / (t - f) (Rogan and Gladen, American Journal of Epidemiology 107
(1978) 71-76). Sensitivity s is measured as the share of leaking checkpoints whose leak is found, and those
missed meet strangers as clean ones do, so t = s + (1 - s) f and t - f = s (1 - f).

The interval draws p, f and s from their confidence distributions, as Bayer, Fay and Graubard do for surveys
with imperfect tests (Statistics in Medicine 42, 2023; arXiv 2205.13494), by a Latin hypercube; each
distribution is the one whose quantiles are the interval that is shown for the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.stats import norm

from reports.rates.accuracy import FalseFindings, Sensitivity
from reports.rates.estimate import Estimate, Floats, wilson
from reports.rates.leakage import CONFIDENCE

DRAWS = 20_001
Share = TypeVar("Share", float, Floats)


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
    if wrong >= 1:
        return "every clean checkpoint gets a finding from the match, so findings tell nothing"
    raw = rogan_gladen(found.value, _found_of_leaking(certain.value, wrong), wrong)
    quantiles = norm.ppf((np.arange(draws) + 0.5) / draws)
    shuffled = np.random.default_rng(seed).permuted(np.stack([quantiles, quantiles]), axis=1)
    p = wilson(found.value, found.effective_size, quantiles)
    # A draw of 1 would divide by 0; just below it the share is as far out, and is clipped.
    f, s = np.minimum(false_findings.at(shuffled[0]), 1 - 1e-12), certain.at(shuffled[1])
    shares = rogan_gladen(p, _found_of_leaking(s, f), f)
    low, high = np.quantile(shares, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    if high < 0:
        return (
            f"decoys gave a finding to {wrong:.1%} of the checkpoints, more than the {found.value:.1%} that "
            "got one from all references, and chance does not explain it: the decoys are not of the "
            "references' sort"
        )
    if low > 1:
        return (
            f"{found.value:.1%} have a finding, more than a method gives that finds {certain.value:.1%} "
            "of what leaks, if all leaked: the sensitivity is not that of these checkpoints and sets"
        )
    low, high = np.clip((low, high), 0, 1)
    return Correction(
        value=min(max(raw, 0.0), 1.0),
        low=float(low),
        high=float(high),
        raw=raw,
        false_findings=false_findings,
        sensitivity=sensitivity,
    )


def rogan_gladen(found: Share, sensitivity: Share, false_positive: Share) -> Share:
    """Return (p + specificity - 1) / (sensitivity + specificity - 1), which may lie outside of 0 to 1.

    Args:
        sensitivity: share of leaking checkpoints that get a finding, a true or a false one.
    """
    return (found - false_positive) / (sensitivity - false_positive)


def _found_of_leaking(sensitivity: Share, false_positive: Share) -> Share:
    """Share of leaking checkpoints that get a finding: of what leaked, or else of a stranger."""
    return sensitivity + (1 - sensitivity) * false_positive
