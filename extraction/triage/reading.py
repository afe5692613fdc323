"""What a rung of the ladder says of one checkpoint. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, ClassVar, Protocol


class Rung(StrEnum):
    """The rungs, cheapest first. The last one, the full run, is the scan itself."""

    HEADER = "header"
    SPECTRUM = "spectrum"
    FORWARDS = "forwards"
    IMAGES = "images"


class Measures(Protocol):
    """A rung's own record, a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def score(self) -> float | None:
        """Higher promises more; None when nothing is known. Scores of two rungs are not compared."""
        ...

    @property
    def why(self) -> str:
        """The score in words."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A rung's score and what it cost."""

    rung: Rung
    score: float | None
    why: str
    forwards: int
    """Rows that went through a denoiser."""
    seconds: float
    measures: Mapping[str, Any]

    def below(self, threshold: float | None) -> bool:
        """Whether to set the checkpoint aside: never without a threshold, and never for want of knowledge."""
        return threshold is not None and self.score is not None and self.score < threshold


def reading(rung: Rung, measures: Measures, *, forwards: int = 0, seconds: float = 0.0) -> Reading:
    """Put a rung's measures into the one form that ledgers and tables keep."""
    return Reading(
        rung=rung,
        score=measures.score,
        why=measures.why,
        forwards=forwards,
        seconds=seconds,
        measures=asdict(measures),
    )
