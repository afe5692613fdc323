"""What was covered: how many checkpoints were seen, scanned, left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from crawler.checkpoint import SkipReason
from scanner.job import State

UNPLANNED = "unplanned"
"""In the catalog, but no job was ever made for it."""

MEANINGS: Mapping[SkipReason, str] = {
    SkipReason.GATED: "Its owner asks for access to be granted first. Not asked for by this tool.",
    SkipReason.UNREACHABLE: "Missing or private; the hub does not say which.",
    SkipReason.DISABLED: "Switched off by the hub.",
    SkipReason.ARCHIVED: "Archived by its owner: no longer offered for download.",
    SkipReason.TAKEN_DOWN: "Taken down by the hub.",
    SkipReason.EARLY_ACCESS: "For paying users until a later date.",
    SkipReason.OPTED_OUT: "Its owner does not want it to be scanned by machines.",
    SkipReason.NO_WEIGHTS: "Holds no weights file.",
    SkipReason.PICKLE_ONLY: "Only pickled weights, which can run code when loaded. Never opened.",
    SkipReason.UNSUPPORTED_KIND: "A kind of fine-tune that cannot be scanned yet.",
    SkipReason.UNSUPPORTED_FAMILY: "A model family that cannot be scanned yet.",
    SkipReason.UNKNOWN_BASE: "Nothing tells what it was fine-tuned from, so it cannot be compared.",
    SkipReason.MISSING_BASE: "Its base model is named but cannot be had.",
    SkipReason.TOO_LARGE: "Larger than the limit in the settings.",
    SkipReason.MALFORMED: "The hub's answer does not have the documented shape.",
    SkipReason.WRONG_DIGEST: "What was downloaded is not what the hub announced.",
    SkipReason.NOT_WEIGHTS: "Something else than weights was served, such as a login page.",
    SkipReason.UNSAFE_FILE: "The file's header, offsets or sizes are outside the safe limits.",
    SkipReason.NOT_FINITE: "Its weights hold NaN or infinity.",
    SkipReason.DOES_NOT_FIT: "Its weights do not belong to the base model that is named.",
    SkipReason.SAME_AS_BASE: "Identical to its base model: nothing was fine-tuned, so nothing can leak.",
    SkipReason.BASE_MODEL: "It is what others were fine-tuned from, and is not itself suspected.",
    SkipReason.SAME_CONTENT: "The same file lies elsewhere too, and was scanned there.",
    SkipReason.DOWNLOAD_FAILED: "The hub did not deliver the file. Tried again at the next run.",
    SkipReason.BUDGET: "The disk budget for downloads was spent.",
    SkipReason.SET_ASIDE_BY_TRIAGE: "Promised little by the triage settings. Neither examined nor cleared.",
}
"""What a skip means for the reader of a report: one sentence for every reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Counts of checkpoints; `total` is the sum of all the others."""

    scanned: int
    skipped: Mapping[str, int]
    """By `crawler.SkipReason` value, most frequent first."""
    failed: int
    """Gave an error; attempts are left, or are spent (quarantined)."""
    pending: int
    """Planned, and not yet done."""
    unplanned: int

    @property
    def left_out(self) -> int:
        return sum(self.skipped.values())

    @property
    def total(self) -> int:
        return self.scanned + self.left_out + self.failed + self.pending + self.unplanned

    @property
    def complete(self) -> bool:
        """Whether every planned checkpoint came to an end: scanned, or left out for a reason."""
        return self.failed == 0 and self.pending == 0


def coverage(checkpoints: pd.DataFrame) -> Coverage:
    """Count a checkpoints frame (see `reports.export.columns`)."""
    states = checkpoints["state"]
    skipped = checkpoints.loc[states == State.SKIPPED, "reason"].fillna("").value_counts()
    by_frequency = sorted(skipped.items(), key=lambda item: (-item[1], str(item[0])))
    return Coverage(
        scanned=int((states == State.DONE).sum()),
        skipped={str(reason): int(count) for reason, count in by_frequency},
        failed=int(states.isin([State.FAILED, State.QUARANTINED]).sum()),
        pending=int(states.isin([State.QUEUED, State.LEASED]).sum()),
        unplanned=int((states == UNPLANNED).sum()),
    )
