"""The records of a table of rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from reports.finding import Severity
from reports.rates.accuracy import FalseFindings, Sensitivity
from reports.rates.correction import Correction
from reports.rates.estimate import Estimate
from reports.rates.units import MISSING, Fate

NO_REFERENCES = "no reference set was compared"
NO_RATE = "nothing was scanned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One group of checkpoints."""

    group: Mapping[str, str]
    """Label by name of `reports.rates.groups.NAMES`; empty for all checkpoints."""
    fates: Mapping[Fate, int]
    """Distinct checkpoints by what became of them; every fate is there."""
    leaked: int
    """Of those scanned."""
    skipped_by_reason: Mapping[str, int]
    """Most frequent first."""
    estimate: Estimate | None
    """None: nothing was scanned, or nothing was compared."""
    bounds: tuple[float, float] | None
    """The rate if none, and if all, of those skipped, failed and open leaked."""
    correction: Correction | str
    """A string says why there is none."""

    @property
    def scanned(self) -> int:
        return self.fates[Fate.SCANNED]

    @property
    def missing(self) -> int:
        """Skipped, failed and open: those of which nobody knows."""
        return sum(self.fates[fate] for fate in MISSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The run that a table is about."""

    version: str
    """Of leaksweep."""
    generated_at: datetime
    """UTC."""
    run: int | None
    """Number of the matching; None: nothing was matched."""
    recipe_id: str
    """Of the last scan."""
    sets: tuple[tuple[str, int, bool], ...] = ()
    """Name, entries and whether it is a decoy, of each set that was compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTable:
    """All rates of a report at one severity, the total first."""

    rates: tuple[Rate, ...]
    severity: Severity
    sample: str | None
    false_findings: FalseFindings | str
    """A string says why they are not known."""
    sensitivity: Sensitivity | None
    origin: Origin | None = None
    """None: nobody told."""
    unreached: float = 0.0
    """Contents in strata of the sample of which no member has an end: the rates say nothing of them."""

    @property
    def total(self) -> Rate:
        return self.rates[0]

    def by(self, *names: str) -> tuple[Rate, ...]:
        """The rates of one grouping, in its order."""
        return tuple(rate for rate in self.rates if tuple(rate.group) == names)
