"""What the page works with: findings, pictures, acts and scores of one reviewer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from reports.review.acts import Acts
from reports.review.queue import Queue, Ranked, read_queue
from reports.review.sensitivity import Scores
from reports.settings import ReviewSettings


class PictureSource(Protocol):
    """What is asked of a home's pictures."""

    def kept(self, ids: Collection[str]) -> frozenset[str]:
        """Those of the extractions whose pictures can still be opened."""
        ...

    def images(self, ids: Sequence[str]) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield id, PNG and control's PNG of those that are kept."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewDesk:
    """What the page works with."""

    findings: Ranked
    pictures: PictureSource
    acts: Acts
    scores: Scores
    settings: ReviewSettings

    def queue(self) -> Queue:
        who = self.acts.reviewer.name
        return read_queue(self.findings, self.acts.labels, who, two_person=self.settings.two_person)

    def opened(self, extraction_id: str) -> dict[str, bytes]:
        """Both pictures of an extraction as PNG, opened in memory; empty when they were erased."""
        for _, png, control in self.pictures.images([extraction_id]):
            return {"extraction": png, "control": control}
        return {}

    def scored(self, extraction_id: str, opened: dict[str, bytes]) -> dict[str, float | None]:
        return {name: self.scores.of(f"{extraction_id}/{name}", png) for name, png in opened.items()}
