"""Shares, intervals and severities in words."""

from __future__ import annotations

from reports.finding import Severity


def per_cent(share: float) -> str:
    """Return a share of 0 to 1 as per cent with one decimal; never 0 or 100 unless it is."""
    value = 100 * share
    if value in (0, 100):
        return f"{value:.0f}"
    if value < 0.05:
        return f"{value:.1g}" if value >= 0.0001 else "under 0.0001"
    return f"{value:.1f}" if value < 99.95 else "over 99.9"


def span(low: float, high: float) -> str:
    """Return an interval of shares, such as "10.5 to 20.0 %"."""
    return f"{per_cent(low)} to {per_cent(high)} %"


def at_least(severity: Severity) -> str:
    """Return a severity and those above it, such as "at high severity or above"."""
    above = "" if severity is max(Severity) else " or above"
    return f"at {severity.label} severity{above}"
