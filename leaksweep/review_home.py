"""A home as the review page sees it: its findings as they stand, its pictures as they lie there now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from leaksweep.reporting import standing
from leaksweep.stores import Stores
from reports.finding import Finding
from reports.findings.occurrences import Occurrence
from scanner.extraction_store import ExtractionStore


@dataclass(frozen=True, slots=True)
class HomeFindings:
    """Findings in the same states as in the home's reports, by the same code."""

    stores: Stores

    def findings(self) -> list[Finding]:
        return self.stores.findings.findings()

    def standing(self, found: Iterable[Finding]) -> list[Finding]:
        return standing(self.stores, found, datetime.now(UTC))

    def occurrences(self, finding_id: str) -> list[Occurrence]:
        return self.stores.findings.occurrences(finding_id)


@dataclass(frozen=True, slots=True)
class HomePictures:
    """Pictures, for which the store is opened anew at each look.

    A sweep or an erasure may be at work beside the page, and a table that was opened before knows nothing of
    new pictures and looks for old ones in files that are gone.
    """

    stores: Stores

    def kept(self, ids: Collection[str]) -> frozenset[str]:
        return frozenset(self.stores.keys.of(sorted(ids)))

    def images(self, ids: Sequence[str]) -> Iterator[tuple[str, bytes, bytes]]:
        return ExtractionStore(self.stores.run.home.extractions, self.stores.keys).images(ids)
