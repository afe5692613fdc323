"""How often the search is wrong: false findings, measured on decoys; and its sensitivity, as it was given."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from reports.export.text import shortened, visible
from reports.finding import Match, ReportError, Severity
from reports.findings.ladder import judge
from reports.rates.estimate import Floats, Z, wilson
from reports.settings import ReportsSettings
from reports.summary import MatchSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseFindings:
    """Scanned checkpoints that matched a decoy: pictures that no checkpoint can have seen.

    A clean checkpoint is held against `references` pictures instead of `decoys`, so its chance of a false
    finding is 1 - (1 - hit / of) ^ (references / decoys). That takes chances with different pictures of one
    set to be alike and independent within a checkpoint, and a checkpoint that leaks to meet strangers as
    often as one that does not. With as many decoys as references only the latter is taken.
    """

    hit: int
    """Checkpoints with at least one match with a decoy that would have counted as a finding."""
    of: int
    """Checkpoints that were scanned."""
    decoys: int
    """Pairs of extraction and decoy that were compared."""
    references: int
    """Pairs of extraction and reference."""
    size: float | None = None
    """Independent checkpoints that the interval is as wide as, where one owner's are alike; None: `of`."""
    other_ladder: tuple[str, ...] = ()
    """Sets whose matches are judged by other numbers than the decoys': the rate is not theirs."""

    @property
    def value(self) -> float:
        """Chance of a clean checkpoint to get a finding, 0 to 1."""
        return float(self._scaled(np.asarray(self.hit / self.of)))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval: Wilson's, carried through the formula, which only rises."""
        low, high = self.at(np.array([-Z, Z]))
        return float(low), float(high)

    @property
    def source(self) -> str:
        """How it was measured, in words."""
        unlike = f"; judged by another ladder than {_listed(self.other_ladder)}" if self.other_ladder else ""
        return (
            f"{self.hit:,} of {self.of:,} scanned checkpoints matched a decoy; "
            f"{self.references / self.decoys:.3g} times as many references as decoys{unlike}"
        )

    def at(self, z: Floats) -> Floats:
        """The chance at normal quantiles: its confidence distribution."""
        return self._scaled(wilson(self.hit / self.of, float(self.size or self.of), z))

    def one_at_least(self, chance: float) -> float:
        """Chance that one at least of the scanned checkpoints gets a finding, were all clean and independent.

        Args:
            chance: of each of them, such as `value` or an end of `interval`.
        """
        return float(1 - (1 - chance) ** self.of)

    def _scaled(self, share: Floats) -> Floats:
        return np.asarray(1 - (1 - share) ** (self.references / self.decoys), np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """The share of leaking checkpoints in which the method finds a picture that leaked.

    Not the share that gets a finding: of those missed, some meet a stranger as clean ones do, which the
    correction adds.
    """

    value: float
    """Above 0, at most 1."""
    low: float | None = None
    """Lower end of a 95 % interval; None: taken to be known exactly."""
    high: float | None = None
    source: str = "as given"

    def at(self, z: Floats) -> Floats:
        """The share at normal quantiles: each side of the interval a normal curve of log odds."""
        if self.low is None or self.high is None:
            return np.full(len(z), self.value)
        low, middle, high = logit(np.clip([self.low, self.value, self.high], 1e-6, 1 - 1e-6))
        return np.asarray(expit(middle + np.where(z < 0, middle - low, high - middle) * z / Z), np.float64)


_NUMBER = r"\d*\.?\d+"
_FORMS = re.compile(
    rf"(?P<value>{_NUMBER})(?::(?P<low>{_NUMBER})-(?P<high>{_NUMBER}))?|(?P<found>\d+)/(?P<of>\d+)"
)


def read_sensitivity(text: str, source: str = "") -> Sensitivity:
    """Read "0.2", "0.2:0.15-0.26" (with a 95 % interval) or "21/105" (found, of so many that leak).

    Raises:
        ReportError: it is none of these, or no share above 0 and at most 1.
    """
    form = _FORMS.fullmatch(text.strip())
    if form is None:
        raise ReportError(f'sensitivity "{text}": give it as 0.2, 0.2:0.15-0.26 or 21/105')
    value, low, high = (float(form[name]) if form[name] else None for name in ("value", "low", "high"))
    if value is None:
        found, of = int(form["found"]), int(form["of"])
        if not 0 < found <= of:
            raise ReportError(f'sensitivity "{text}": the first number must lie in 1 to the second')
        value = found / of
        # Where all or nearly none are found, rounding may put a bound on the wrong side of the value.
        low = min(value, float(wilson(value, of, -Z)))
        high = min(1.0, max(value, float(wilson(value, of, Z))))
        source = source or f"{found} of {of}"
    if not 0 < value <= 1 or (low is not None and high is not None and not low <= value <= high <= 1):
        raise ReportError(f'sensitivity "{text}": it must be above 0, at most 1, and lie in its interval')
    return Sensitivity(value=value, low=low, high=high, source=source or "as given")


def decoy_hits(matches: Iterable[Match], settings: ReportsSettings, at: Severity) -> frozenset[str]:
    """Return the ids of the checkpoints with a match with a decoy that would have counted as a finding.

    Args:
        matches: with decoys, as `FindingStore.matches(decoys=True)` gives them.
        settings: those of the run that matched.
    """
    verdicts = ((match.checkpoint_id, judge(match, settings)) for match in matches)
    return frozenset(
        name for name, verdict in verdicts if verdict and verdict.severity >= at and not verdict.explained
    )


def false_findings(
    matching: MatchSummary | None,
    hit: int | None,
    of: int,
    settings: ReportsSettings | None = None,
    size: float | None = None,
) -> FalseFindings | str:
    """Return how often the match gave false findings, or why that is not known.

    Args:
        hit: scanned checkpoints that matched a decoy, of so many; None: nobody looked.
        settings: whose negative sets give no findings, and whose ladders are compared; None: the defaults.
        size: as `FalseFindings.size`.
    """
    settings = settings or ReportsSettings()
    if matching is None:
        return "nothing was matched"
    decoys = sum(one.pairs for one in matching.sets if one.decoy)
    if not decoys:
        return (
            "no decoys were compared, so nobody knows how often the match is wrong; add a reference set that "
            "no checkpoint can have seen, and name it in reports.decoys"
        )
    if hit is None:
        return "the matches with decoys were not read"
    if not of:
        return "nothing was scanned"
    return FalseFindings(
        hit=hit,
        of=of,
        decoys=decoys,
        references=compared(matching, settings.negatives),
        size=size,
        other_ladder=_other_ladder(matching, settings),
    )


def _other_ladder(matching: MatchSummary, settings: ReportsSettings) -> tuple[str, ...]:
    ladders = [settings.ladder_of(one.name) for one in matching.sets if one.decoy]
    looked_for = (one.name for one in matching.sets if not one.decoy and one.name not in settings.negatives)
    return tuple(name for name in looked_for if any(settings.ladder_of(name) != one for one in ladders))


def _listed(names: Collection[str]) -> str:
    return ", ".join(f'"{visible(shortened(name, 60))}"' for name in names)


def compared(matching: MatchSummary | None, negatives: Collection[str] = ()) -> int:
    """Return how many pairs of extraction and reference could have become findings."""
    sets = matching.sets if matching else ()
    return sum(one.pairs for one in sets if not one.decoy and one.name not in negatives)
