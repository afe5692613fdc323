"""A summary for a ticket, in Markdown: what was found, what was covered, what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from reports.export.text import count, counted, percent, shortened, visible
from reports.finding import FindingState, Severity

if TYPE_CHECKING:
    from reports.report import Report

MOST_FINDINGS = 50
MOST_REASONS = 12
"""Rows of the summary's tables; it says how many there are in all."""

_LONGEST = 120


def summary(report: Report) -> str:
    """Return the summary. It holds no pixels, no hashes and no prompts, and strangers' words only as code."""
    parts = (
        _head(report),
        _counts(report),
        _fresh(report),
        _coverage(report),
        _trust(report),
        _next(report),
    )
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part))) + "\n"


def code(text: str) -> str:
    """Return text as a code span that stands in a table's cell, where it can be no link, mention or markup.

    What could end the span or the cell is named, as is what cannot be seen.
    """
    named = visible(text).replace("`", "[U+0060]").replace("|", "[U+007C]")
    return f"`{shortened(named, _LONGEST)}`" if named.strip() else "(empty)"


def _head(report: Report) -> Iterator[str]:
    run = f"Matching run {report.matching.run}" if report.matching else "Not matched yet"
    yield "# leaksweep"
    yield ""
    yield (
        f"{run}, report of {report.generated_at:%Y-%m-%d %H:%M} UTC, recipe {report.recipe.id}, "
        f"leaksweep {report.version}."
    )


def _counts(report: Report) -> Iterator[str]:
    yield "## Findings"
    yield ""
    each = report.ranked.each
    table, counts = each.groupby(["severity", "state"]).size(), report.by_severity
    rows = [
        [severity.label, count(counts[severity])]
        + [count(int(table.get((severity.label, str(state)), 0))) for state in FindingState]
        for severity in reversed(Severity)
    ]
    yield from _table(["severity", "count", *map(str, FindingState)], rows)
    yield ""
    yield (
        f'Those under "count" fail a run from {report.fail_on.label} upwards. Not counted: '
        f"{counted(int((~each['counts']).sum()), 'finding', 'findings')} that are gone, set aside, or "
        "explained by the base model or by other checkpoints."
    )


def _fresh(report: Report) -> Iterator[str]:
    """Yield the new and changed findings that count."""
    each = report.ranked.each
    fresh = each[each["counts"] & each["state"].isin([FindingState.NEW, FindingState.CHANGED])]
    if fresh.empty:
        return
    yield "## New and changed"
    yield ""
    rows = [
        [f"`{row['id']}`", row["severity"], row["state"], *map(code, _names(row)), str(row["occurrences"])]
        for row in report.ranked.at(fresh.index[:MOST_FINDINGS]).to_dict("records")
    ]
    yield from _table(["finding", "severity", "state", "checkpoint", "set", "reference", "occurrences"], rows)
    if len(fresh) > MOST_FINDINGS:
        yield ""
        yield f"The strongest {MOST_FINDINGS} of {count(len(fresh))}; findings.csv has all."


def _names(row: dict[object, object]) -> tuple[str, str, str]:
    return str(row["checkpoint_id"]), str(row["set"]), str(row["ref_id"])


def _coverage(report: Report) -> Iterator[str]:
    covered = report.coverage
    yield "## Coverage"
    yield ""
    yield (
        f"Of {counted(covered.total, 'checkpoint', 'checkpoints')}, {count(covered.scanned)} were scanned, "
        f"{count(covered.left_out)} left out, {count(covered.failed)} failed, {count(covered.pending)} are "
        f"waiting, {count(covered.unplanned)} were not planned."
    )
    if covered.skipped:
        yield ""
        rows = [[code(reason or "not given"), count(n)] for reason, n in covered.skipped.items()]
        yield from _table(["left out because", "checkpoints"], rows[:MOST_REASONS])
        if len(rows) > MOST_REASONS:
            yield ""
            yield f"And {len(rows) - MOST_REASONS} more reasons; see checkpoints.csv."


def _trust(report: Report) -> Iterator[str]:
    yield "## How far the match can be trusted"
    yield ""
    if report.matching and (canaries := report.matching.canaries).planted:
        yield f"Of {counted(canaries.planted, 'canary', 'canaries')}, {count(canaries.found)} were found."
        yield ""
    wrong = report.false_positives
    if wrong is None or wrong.rate.value is None or wrong.rate.interval is None:
        yield "The false-positive rate was not measured: there are no decoys. See `reports.decoys`."
        return
    low, high = (percent(bound) for bound in wrong.rate.interval)
    yield (
        f"Of {counted(wrong.rate.of, 'pair', 'pairs')} of extraction and decoy, {count(wrong.rate.count)} "
        f"reached {wrong.severity.label} or above: a false-positive rate of {percent(wrong.rate.value)} "
        f"(95 % interval {low} to {high}, if pairs were independent). "
        f"{counted(wrong.pairs, 'pair', 'pairs')} were held against references."
    )


def _next(report: Report) -> Iterator[str]:
    yield "## What to do next"
    yield ""
    yield from (f"{number}. {step}" for number, step in enumerate(_steps(report), 1))


def _steps(report: Report) -> Sequence[str]:
    covered = report.coverage
    steps = []
    if report.deaf:
        steps.append(
            "Matching missed canaries that it was given, so what it did not find proves nothing: run "
            "`leaksweep match` again, and do not take this report for a clean bill."
        )
    if covered.failed or covered.pending:
        steps.append(
            "The run is incomplete, so silence means nothing yet: run `leaksweep scan` again, and look at "
            "`checkpoints.csv` for what failed and why."
        )
    if sum(report.by_severity.values()):
        steps.append("Look at the metadata of the strongest findings: `leaksweep explain EXTRACTION`.")
        steps.append("Make the picture again and compare, before anybody is accused: `leaksweep verify ID`.")
        steps.append("Look at a picture only where it is needed, and record what was seen.")
    elif covered.scanned:
        steps.append("Nothing counts. Keep the report: it says what was looked for, and how.")
    if not covered.scanned:
        steps.append("Nothing was scanned: see why in `checkpoints.csv`.")
    return steps


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    yield from (f"| {' | '.join(row)} |" for row in rows)
