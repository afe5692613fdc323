"""What a table of rates rests on, and what holds for all of its rows together: for whoever cites it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from reports.export.text import counted, shortened, visible
from reports.rates.accuracy import FalseFindings
from reports.rates.rate import Origin, RateTable
from reports.rates.words import at_least, per_cent

if TYPE_CHECKING:
    from reports.report import Report


def origin_of(report: Report) -> Origin:
    """Return which run a report's rates are about."""
    sets = report.matching.sets if report.matching else ()
    return Origin(
        version=report.version,
        generated_at=report.generated_at,
        run=report.matching.run if report.matching else None,
        recipe_id=report.recipe.id,
        sets=tuple((one.name, one.entries, one.decoy) for one in sets),
    )


def notes(table: RateTable) -> Iterator[str]:
    """Yield what stands under a table, a line each."""
    number = sum(rate.estimate is not None for rate in table.rates)
    if number > 1:
        yield (
            f"These are {number:,} intervals of 95 %, and about one in twenty misses. They are not widened "
            "for that, and no difference between rows was tested."
        )
    if isinstance(table.false_findings, FalseFindings):
        yield _chance(table.false_findings)
    if table.origin is not None:
        yield _cited(table, table.origin)


def content(table: RateTable) -> dict[str, Any]:
    """The same as plain values."""
    found: dict[str, Any] = {
        "confidence": 0.95,
        "intervals": sum(rate.estimate is not None for rate in table.rates),
    }
    if isinstance(wrong := table.false_findings, FalseFindings):
        found["by_chance"] = {
            "checkpoints": wrong.of * wrong.value,
            "interval": [wrong.of * end for end in wrong.interval],
            "one_at_least": wrong.one_at_least(wrong.value),
            "one_at_least_interval": [wrong.one_at_least(end) for end in wrong.interval],
        }
    if table.origin is not None:
        one = table.origin
        found |= {
            "version": one.version,
            "generated_at": one.generated_at.isoformat(),
            "run": one.run,
            "recipe_id": one.recipe_id,
            "sets": [{"name": name, "entries": entries, "decoy": decoy} for name, entries, decoy in one.sets],
        }
    return found


def _chance(wrong: FalseFindings) -> str:
    low, high = wrong.interval
    chance, *ends = (per_cent(wrong.one_at_least(one)) for one in (wrong.value, low, high))
    return (
        f"If none of the {wrong.of:,} scanned leaked, the match would still give a finding to about "
        f"{wrong.of * wrong.value:.2g} of them (95 % interval {wrong.of * low:.2g} to "
        f"{wrong.of * high:.2g}), and to one at least in {chance} % of such runs ({ends[0]} to {ends[1]} %)."
    )


def _cited(table: RateTable, one: Origin) -> str:
    def named(decoy: bool) -> str:
        names = (
            f"{visible(shortened(name, 60))} ({counted(entries, 'entry', 'entries')})"
            for name, entries, other in one.sets
            if other is decoy
        )
        return ", ".join(names) or "none"

    run = "nothing matched" if one.run is None else f"matching {one.run}"
    return (
        f"leaksweep {one.version}, {one.generated_at:%Y-%m-%d}, {run}, recipe {one.recipe_id}, "
        f"{at_least(table.severity)}; sets: {named(False)}; decoys: {named(True)}."
    )
