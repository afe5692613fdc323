"""The queue: which findings there are to be looked at, the strongest first. It holds no pictures."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from reports.finding import Finding
from reports.findings.ladder import counts
from reports.review.labels import Label, LabelName, Labels, differ, person, settle, standing

FRESH = 10.0
"""Seconds."""

Show = Literal["open", "settled", "conflicts", "all"]


class FindingSource(Protocol):
    """What is asked of `reports.findings.store.FindingStore`."""

    def findings(self) -> list[Finding]: ...


class PictureSource(Protocol):
    """What is asked of `scanner.extraction_store.ExtractionStore`."""

    def images(self, ids: Sequence[str]) -> Iterator[tuple[str, bytes, bytes]]: ...


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
    def others(self) -> tuple[Label, ...]:
        """What everybody else says now."""
        return tuple(
            one for one in standing(self.history) if self.mine is None or one.person != self.mine.person
        )

    def shown_in(self, show: Show) -> bool:
        if show == "conflicts":
            return self.conflict
        return show == "all" or (self.settled is None) == (show == "open")


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """All findings that count, the strongest first."""

    items: tuple[Item, ...]

    def shown(self, show: Show) -> list[Item]:
        return [one for one in self.items if one.shown_in(show)]

    def numbers(self) -> Mapping[Show, int]:
        """How many there are of each kind."""
        kinds: tuple[Show, ...] = ("open", "settled", "conflicts", "all")
        return {show: len(self.shown(show)) for show in kinds}

    def waiting(self) -> int:
        """How many wait for a label of the one who looks."""
        return sum(one.settled is None and one.mine is None for one in self.items)

    def item(self, finding_id: str) -> Item | None:
        return next((one for one in self.items if one.id == finding_id), None)

    def next_after(self, finding_id: str) -> Item | None:
        """The next that waits for a label of the one who looks: after this one, else from the top."""
        at = next((place for place, one in enumerate(self.items) if one.id == finding_id), -1)
        waiting = [*self.items[at + 1 :], *self.items[: max(at, 0)]]
        return next((one for one in waiting if one.settled is None and one.mine is None), None)


class Ranked:
    """The findings that count, by id, the strongest first; read anew when they are `FRESH` seconds old.

    Ten thousand take a second to read, and they change with a matching or when somebody sets one aside.
    """

    def __init__(self, source: FindingSource, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = -math.inf
        self._ranked: dict[str, Finding] = {}

    def findings(self) -> Mapping[str, Finding]:
        with self._lock:
            if self._clock() - self._read_at > FRESH:
                found = sorted((one for one in self._source.findings() if counts(one)), key=_strength)
                self._ranked = {one.id: one for one in found}
                self._read_at = self._clock()
            return self._ranked


def read_queue(ranked: Ranked, labels: Labels, who: str, *, two_person: bool) -> Queue:
    """The queue with the labels as they are now."""
    said, who = labels.all(), person(who)
    return Queue(
        items=tuple(
            _item(name, finding, said.get(name, ()), who, two_person=two_person)
            for name, finding in ranked.findings().items()
        )
    )


def _item(name: str, finding: Finding, history: Sequence[Label], who: str, *, two_person: bool) -> Item:
    return Item(
        id=name,
        finding=finding,
        history=tuple(history),
        settled=settle(history, two_person=two_person),
        conflict=differ(history),
        mine=next((one for one in standing(history) if one.person == who), None),
    )


def _strength(finding: Finding) -> tuple[float, ...]:
    """Lower is stronger: graver first, then rarer among wrong checkpoints, then nearer."""
    match = finding.match
    return (
        -finding.severity,
        _or_last(match.p_value),
        _or_last(match.pdq_distance),
        math.inf if match.similarity is None else -match.similarity,
        _or_last(match.phash_distance),
    )


def _or_last(value: float | None) -> float:
    return math.inf if value is None else value
