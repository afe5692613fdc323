"""The queue: findings as they stand now, the strongest first, with what was said of them. No pictures."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from reports.finding import Finding, Match
from reports.findings.ladder import counts
from reports.findings.occurrences import Occurrence, occurrence_of
from reports.review.labels import Label, LabelName, Labels, differ, person, settle, standing

FRESH = 10.0
"""Seconds."""

Show = Literal["open", "settled", "conflicts", "aside", "all"]
SHOWS: Mapping[Show, str] = {
    "open": "open",
    "settled": "settled",
    "conflicts": "conflicts",
    "aside": "set aside",
    "all": "all",
}


class FindingSource(Protocol):
    """What is asked of a home's findings."""

    def findings(self) -> list[Finding]:
        """All of them, as the last matching left them."""
        ...

    def standing(self, found: Iterable[Finding]) -> list[Finding]:
        """The same in their order, with what people have suppressed or withdrawn since."""
        ...

    def occurrences(self, finding_id: str) -> list[Occurrence]:
        """Every extraction that matches a finding's reference."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A finding with what has been said of it."""

    id: str
    """The finding's."""
    finding: Finding
    history: tuple[Label, ...]
    """Every label, the oldest first."""
    settled: LabelName | None
    conflict: bool
    mine: Label | None
    """What the one who looks has said last."""

    @property
    def aside(self) -> bool:
        """It does not count now: it waits for nobody, and its pictures are not shown."""
        return not counts(self.finding)

    @property
    def waits(self) -> bool:
        """For a label of the one who looks."""
        return not self.aside and self.settled is None and self.mine is None

    @property
    def others(self) -> tuple[Label, ...]:
        """What everybody else says now."""
        return tuple(
            one for one in standing(self.history) if self.mine is None or one.person != self.mine.person
        )

    def shown_in(self, show: Show) -> bool:
        if show == "all" or self.aside:
            return show in ("all", "aside")
        if show == "conflicts":
            return self.conflict
        return show == ("open" if self.settled is None else "settled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """All findings, the strongest first."""

    items: tuple[Item, ...]

    def shown(self, show: Show) -> list[Item]:
        return [one for one in self.items if one.shown_in(show)]

    def numbers(self) -> Mapping[Show, int]:
        """How many there are of each kind."""
        return {show: len(self.shown(show)) for show in SHOWS}

    def waiting(self) -> int:
        """How many wait for a label of the one who looks."""
        return sum(one.waits for one in self.items)

    def item(self, finding_id: str) -> Item | None:
        return next((one for one in self.items if one.id == finding_id), None)

    def next_after(self, finding_id: str) -> Item | None:
        """The next that waits for a label of the one who looks: after this one, else from the top."""
        at = next((place for place, one in enumerate(self.items) if one.id == finding_id), -1)
        others = [*self.items[at + 1 :], *self.items[: max(at, 0)]]
        return next((one for one in others if one.waits), None)


class Ranked:
    """All findings as they stand now, the strongest first.

    What matching left is read anew when it is `FRESH` seconds old: ten thousand take a second to read. What
    people have said since is laid over it each time, so that nothing is shown which was just set aside.
    """

    def __init__(self, source: FindingSource, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = -math.inf
        self._found: list[Finding] = []

    def findings(self) -> list[Finding]:
        with self._lock:
            if self._clock() - self._read_at > FRESH:
                self._found = sorted(self._source.findings(), key=_strength)
                self._read_at = self._clock()
            found = self._found
        return self._source.standing(found)

    def occurrences(self, finding: Finding) -> list[Occurrence]:
        """The extractions that a finding rests on: the one of its evidence, then the others, nearest first.

        A finding that the last matching did not see has no occurrences any more, but the first.
        """
        match = finding.match
        listed = self._source.occurrences(finding.id)
        if all(one.extraction_id != match.extraction_id for one in listed):
            listed.append(replace(occurrence_of(match, finding.id), id=""))
        return sorted(listed, key=lambda one: (one.extraction_id != match.extraction_id, *_nearness(one)))


def read_queue(ranked: Ranked, labels: Labels, who: str, *, two_person: bool) -> Queue:
    """The queue with the labels as they are now."""
    said, who = labels.all(), person(who)
    return Queue(
        items=tuple(
            _item(finding, said.get(finding.id, ()), who, two_person=two_person)
            for finding in ranked.findings()
        )
    )


def _item(finding: Finding, history: Sequence[Label], who: str, *, two_person: bool) -> Item:
    return Item(
        id=finding.id,
        finding=finding,
        history=tuple(history),
        settled=settle(history, two_person=two_person),
        conflict=differ(history),
        mine=next((one for one in standing(history) if one.person == who), None),
    )


def _strength(finding: Finding) -> tuple[float, ...]:
    """Lower is stronger: graver first, then rarer among wrong checkpoints, then nearer."""
    return -finding.severity, _or_last(finding.match.p_value), *_nearness(finding.match)


def _nearness(one: Match | Occurrence) -> tuple[float, ...]:
    """Lower is nearer."""
    return (
        _or_last(one.pdq_distance),
        math.inf if one.similarity is None else -one.similarity,
        _or_last(one.phash256_distance),
        _or_last(one.phash_distance),
    )


def _or_last(value: float | None) -> float:
    return math.inf if value is None else value
