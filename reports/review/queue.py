"""The queue: which findings there are to be looked at, the strongest first. It holds no pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from reports.finding import Finding
from reports.findings.ladder import counts
from reports.review.labels import Label, LabelName, Labels, differ, person, settle, standing

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
        return {
            "open": self.settled is None,
            "settled": self.settled is not None,
            "conflicts": self.conflict,
            "all": True,
        }[show]


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

    def item(self, finding_id: str) -> Item | None:
        return next((one for one in self.items if one.finding.id == finding_id), None)

    def next_after(self, finding_id: str) -> Item | None:
        """The next that waits for a label of the one who looks: after this one, else from the top."""
        at = next((place for place, one in enumerate(self.items) if one.finding.id == finding_id), -1)
        waiting = [*self.items[at + 1 :], *self.items[: max(at, 0)]]
        return next((one for one in waiting if one.settled is None and one.mine is None), None)


def read_queue(findings: FindingSource, labels: Labels, who: str, *, two_person: bool) -> Queue:
    """Read the findings that count, with their labels as they are now."""
    said = labels.all()
    found = sorted((one for one in findings.findings() if counts(one)), key=_strength)
    return Queue(
        items=tuple(_item(one, said.get(one.id, []), person(who), two_person=two_person) for one in found)
    )


def _item(finding: Finding, history: Sequence[Label], who: str, *, two_person: bool) -> Item:
    return Item(
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
