"""Extractions in columns, as matching wants them: arrays in memory, one row an extraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.matching.hashes import Codes

KINDS = ("pdq", "phash256", "phash")
"""The kinds of hashes, finest first: fields of `Hashes` and of `reports.references.index.ReferenceIndex`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashes:
    """Perceptual hashes of one picture an extraction, and of its mirror: (E,) each."""

    phash: Codes
    phash_mirror: Codes
    phash256: Codes
    phash256_mirror: Codes
    pdq: Codes
    pdq_mirror: Codes

    def sides(self, kind: str) -> tuple[Codes, Codes]:
        """Hashes of one kind: of the pictures, and of their mirrors."""
        plain: Codes = getattr(self, kind)
        mirror: Codes = getattr(self, f"{kind}_mirror")
        return plain, mirror


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Descriptors of some extractions, all of one maker."""

    at: NDArray[np.int64]
    """(N,) which extractions, ascending."""
    picture: NDArray[np.float32]
    """(N, D) of unit norm."""
    control: NDArray[np.float32]
    """(N, D) of unit norm: the base alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """E extractions in columns."""

    ids: Sequence[str]
    checkpoint_ids: Sequence[str]
    picture: Hashes
    control: Hashes
    described: Mapping[str, Described]
    """By descriptor name and maker; every extraction is in one of them at most."""
