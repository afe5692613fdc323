"""What a stage says at its end, to a machine and to a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CLEAN, FINDINGS, INCOMPLETE, NOTHING_SCANNABLE = 0, 1, 2, 3
"""Exit codes of the stages; 4 is the command's own, for usage and configuration."""

_GRAVITY = (CLEAN, NOTHING_SCANNABLE, FINDINGS, INCOMPLETE)
"""Each wins over those before it: a failure must never look like a clean bill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One stage's result."""

    stage: str
    exit_code: int
    content: Mapping[str, Any]
    """For --json; plain values only."""
    lines: tuple[str, ...]
    """For a person."""

    def text(self) -> str:
        return "\n".join(f"{self.stage}: {line}" for line in self.lines)


def worst(*summaries: Summary) -> int:
    """The exit code of several stages together."""
    return max((summary.exit_code for summary in summaries), key=_GRAVITY.index)


def counted(counts: Mapping[str, int]) -> str:
    """Counts by reason in words, most frequent first; "none" when there are none."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in ranked if count) or "none"
