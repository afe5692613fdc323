"""A ladder from measured curves, and what each of its rules does to strangers and to copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.calibration.curves import (
    Point,
    curve,
    independent_strangers,
    loosest,
    point,
    reached,
    recall_by_distortion,
)
from reports.calibration.pairs import SIGNALS, Measured
from reports.calibration.shares import Share
from reports.finding import Severity
from reports.findings.ladder import Rung, rungs
from reports.settings import Ladder, Similarities


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The highest rate of false pairs of strangers that a severity may have by one measure alone."""

    critical: float = 1e-4
    high: float = 1e-3
    low: float = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a ladder, on the data at hand."""

    severity: Severity
    name: str
    point: Point
    by_distortion: Mapping[str, Share]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A ladder and how it came about."""

    ladder: Ladder
    limited: tuple[str, ...]
    """Numbers that stand where the published ceiling is, or where too little data could show more."""
    rules: tuple[Rule, ...]
    by_severity: Mapping[Severity, Rule]
    """All rules of a severity or above together."""


def choose(measured: Measured, targets: Targets, published: Ladder) -> Chosen:
    """Return a ladder whose numbers keep strangers below the targets.

    Never looser than `published`: a background set of some hundred pictures holds none of the logos, borders
    and templates that real lists and real generations have, so it can only speak for strictness.
    """
    limited: list[str] = []

    def distance(signal: str, rate: float, ceiling: int, name: str) -> int:
        found = loosest(curve(measured, signal), rate)
        if found is None:
            limited.append(f"{name}: not shown to be below {rate:g}; the strictest is taken")
            return 0
        if found.threshold > ceiling:
            limited.append(f"{name}: {found.threshold:g} would do here; the published {ceiling} is kept")
        return int(min(found.threshold, ceiling))

    def cosine(rate: float, floor: float, name: str) -> float:
        found = loosest(curve(measured, "similarity"), rate)
        if found is None:
            limited.append(f"{name}: not shown to be below {rate:g}; the strictest is taken")
            return 1.0
        if found.threshold < floor:
            limited.append(f"{name}: {found.threshold:g} would do here; {floor:g} is kept")
        return max(found.threshold, floor)

    sort = "sscd" if measured.descriptor.startswith("sscd") else "thumbnail"
    known = published.similarities(measured.descriptor)
    high = cosine(targets.high, known.high, f"{sort}.high")
    low = min(cosine(targets.low, known.low, f"{sort}.low"), high)
    similarities = Similarities(
        critical=max(known.critical, high), high=high, medium=max(low, min(known.medium, high)), low=low
    )
    numbers = {
        "pdq_critical": distance("pdq", targets.critical, published.pdq_critical, "pdq_critical"),
        "pdq_high": distance("pdq", targets.high, published.pdq_high, "pdq_high"),
        "pdq_low": distance("pdq", targets.low, published.pdq_low, "pdq_low"),
        "phash_high": distance("phash", targets.high, published.phash_high, "phash_high"),
        "phash_low": distance("phash", targets.low, published.phash_low, "phash_low"),
        "phash256_high": distance("phash256", targets.high, published.phash256_high, "phash256_high"),
        "phash256_low": distance("phash256", targets.low, published.phash256_low, "phash256_low"),
    }
    ladder = published.model_copy(
        update={**numbers, sort: similarities, "calibrated_from": _said(measured, targets)}
    )
    ladder = Ladder.model_validate(ladder.model_dump())
    return Chosen(
        ladder=ladder,
        limited=tuple(limited),
        rules=_rules(measured, ladder),
        by_severity=severities(measured, ladder),
    )


def severities(measured: Measured, ladder: Ladder) -> dict[Severity, Rule]:
    """Return what all rules of a severity or above do together, gravest first."""
    every = rungs(ladder, measured.descriptor)
    independent = min(independent_strangers(measured).values())
    found = {}
    for severity in reversed(Severity):
        hit = np.zeros(measured.copies.shape, np.bool_)
        for rung in every:
            if rung.severity >= severity:
                hit |= _holds(measured, rung)
        found[severity] = Rule(
            severity=severity,
            name=f"{severity.label} or above",
            point=point(measured, hit, float("nan"), unseen=independent),
            by_distortion=recall_by_distortion(measured, hit),
        )
    return found


def _rules(measured: Measured, ladder: Ladder) -> tuple[Rule, ...]:
    independent, found = independent_strangers(measured), []
    for rung in rungs(ladder, measured.descriptor):
        hit = _holds(measured, rung)
        unseen = min(independent[signal] for signal in _signals(rung))
        found.append(
            Rule(
                severity=rung.severity,
                name=rung.name,
                point=point(measured, hit, float("nan"), unseen=unseen),
                by_distortion=recall_by_distortion(measured, hit),
            )
        )
    return tuple(found)


def _signals(rung: Rung) -> list[str]:
    return [signal for signal in SIGNALS if getattr(rung, signal) is not None]


def _holds(measured: Measured, rung: Rung) -> NDArray[np.bool_]:
    """(N, R): the pairs for which every measure of a rule reaches its limit."""
    hit = np.ones(measured.copies.shape, np.bool_)
    for signal in _signals(rung):
        hit &= reached(measured, signal, float(getattr(rung, signal)))
    return hit


def _said(measured: Measured, targets: Targets) -> str:
    kinds = len(dict.fromkeys(measured.distortions))
    return (
        f"{len(measured.names)} pictures, {kinds} copies of each, {int(measured.strangers.sum())} pairs of "
        f"strangers, {measured.descriptor}; at most {targets.high:g} of these high by one measure"
    )
