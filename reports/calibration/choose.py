"""A ladder from measured curves, and what each of its rules does to strangers and to copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.calibration.curves import (
    HIGHER_IS_NEARER,
    Curves,
    Point,
    all_curves,
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

_DISTANCES = (
    ("pdq", "critical"), ("pdq", "high"), ("pdq", "low"),
    ("phash", "high"), ("phash", "low"),
    ("phash256", "high"), ("phash256", "low"),
)  # fmt: skip
"""Measures, and what one alone makes of a pair: the names of a ladder's numbers."""


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
    curves: Curves
    limited: tuple[str, ...]
    """What is to be known of the numbers that another background set might have made others."""
    rules: tuple[Rule, ...]
    by_severity: Mapping[Severity, Rule]
    """All rules of a severity or above together."""


def choose(measured: Measured, targets: Targets, published: Ladder) -> Chosen:
    """Return a ladder whose numbers keep strangers below the targets, as far as the data can say.

    Never looser than `published`: a background set of some hundred pictures holds none of the logos, borders
    and templates that real lists and real generations have, so it can only speak for strictness. And it does
    so only by strangers that were seen: where there are too few pairs to show a rate, a stricter number would
    not show it either.
    """
    curves = all_curves(measured)
    notes: list[str] = []

    def settle(signal: str, rate: float, known: float, name: str) -> float:
        number, note = _settled(curves[signal], rate, known, higher=signal in HIGHER_IS_NEARER)
        notes.extend([f"{name}: {note}"] if note else [])
        return number

    sort = "sscd" if measured.descriptor.startswith("sscd") else "thumbnail"
    known = published.similarities(measured.descriptor)
    high = settle("similarity", targets.high, known.high, f"{sort}.high")
    low = min(settle("similarity", targets.low, known.low, f"{sort}.low"), high)
    similarities = Similarities(
        critical=max(known.critical, high), high=high, medium=max(low, min(known.medium, high)), low=low
    )
    numbers = {
        (name := f"{signal}_{grade}"): int(
            settle(signal, getattr(targets, grade), getattr(published, name), name)
        )
        for signal, grade in _DISTANCES
    }
    ladder = published.model_copy(
        update={**numbers, sort: similarities, "calibrated_from": _said(measured, targets)}
    )
    ladder = Ladder.model_validate(ladder.model_dump())
    return Chosen(
        ladder=ladder,
        curves=curves,
        limited=tuple(notes),
        rules=_rules(measured, ladder, curves),
        by_severity=severities(measured, ladder, curves),
    )


def _settled(
    points: Sequence[Point], rate: float, published: float, *, higher: bool
) -> tuple[float, str | None]:
    """Return a threshold no looser than the published one, and what is to be said of it.

    Args:
        points: strictest first.
        higher: whether what is higher is stricter.
    """
    sign = -1 if higher else 1
    shown = loosest(points, rate)
    if shown is not None:
        if sign * shown.threshold <= sign * published:
            return shown.threshold, None
        return published, f"{shown.threshold:g} would do here; the published {published:g} is kept"
    allowed = [one for one in points if sign * one.threshold <= sign * published]
    rare = [one for one in allowed if (one.false_pairs.value or 0.0) <= rate]
    if rare and rare[-1] is allowed[-1]:
        bound = (rare[-1].false_pairs.interval or (0.0, 1.0))[1]
        return (
            published,
            f"shown to be below {bound:.2g} only, not {rate:g}; the published {published:g} is kept",
        )
    taken = rare[-1].threshold if rare else points[0].threshold
    return (
        taken,
        f"{published:g} lets in more than {rate:g} of the strangers; {taken:g} is taken, but not shown",
    )


def severities(measured: Measured, ladder: Ladder, curves: Curves) -> dict[Severity, Rule]:
    """Return what all rules of a severity or above do together, gravest first."""
    every = rungs(ladder, measured.descriptor)
    independent = min(independent_strangers(curves).values())
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


def _rules(measured: Measured, ladder: Ladder, curves: Curves) -> tuple[Rule, ...]:
    independent, found = independent_strangers(curves), []
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
        f"strangers, {measured.descriptor}; meant for {targets.high:g} of these at high by one measure"
    )
