"""The records of this room: Reference, Match and Finding."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

import numpy as np
from numpy.typing import NDArray


class ReportError(Exception):
    """Base of this package's errors."""


class Severity(IntEnum):
    """How strongly an extraction matches a reference; the ladder's numbers stand in config.toml."""

    LOW = 1
    """A lead: never fails a run by default."""
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def label(self) -> str:
        return self.name.lower()


class FindingState(StrEnum):
    """Against a baseline, or the run before; and what people have said of it."""

    NEW = "new"
    KNOWN = "known"
    CHANGED = "changed"
    """Seen before, but with another severity or at other places; `Finding.changed` says what."""
    GONE = "gone"
    """Seen before, and not by the last run."""
    SUPPRESSED = "suppressed"
    """Set aside by a person, until a day, or by a negative set; never counted."""
    WITHDRAWN = "withdrawn"
    """Its reference is not looked for any more; never counted."""


class Opinion(StrEnum):
    """What the giver of a reference says of it (ThreatExchange, "opinion")."""

    POSITIVE = "positive"
    SEED = "seed"
    """Something to look into: not reviewed by who gave it."""
    DISPUTED = "disputed"
    NEGATIVE = "negative"
    """Known to be innocent: what it matches is suppressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One view of a picture of a reference set, or one line of a hash list. Never its pixels."""

    set_name: str
    ref_id: str
    """Unique in its set: the picture's path in its folder, or the line number of the hash."""
    view: str = "full"
    """"full", or "square": the centre square, which is what training often cuts a picture to."""
    phash: bytes | None = field(repr=False)
    """64-bit pHash, most significant bit first. Confidential, as the other hashes."""
    phash256: bytes | None = field(default=None, repr=False)
    """256-bit pHash (16 x 16), most significant bit first."""
    pdq: bytes | None = field(repr=False)
    """256-bit PDQ, most significant bit first."""
    pdq_quality: int | None
    """0 to 100; None for a hash list, which does not tell."""
    descriptors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)
    """By descriptor name and maker; empty for a hash list."""
    mirror_descriptors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)
    """The same for the mirrored picture, for descriptors to which a mirror is another picture."""
    opinion: Opinion = Opinion.POSITIVE
    classification: str = ""
    """In the giver's words, such as "A1"."""
    tags: tuple[str, ...] = ()
    source: str = field(default="", repr=False)
    """Who gave it, such as a member of an exchange. Confidential, as the hashes."""
    fetched_at: datetime | None = None
    """UTC: when the giver's list was fetched, where the list tells."""
    disable_until: datetime | None = None
    """UTC: not matched before then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An extraction and a reference with their distances; no judgement. None: not comparable."""

    extraction_id: str
    checkpoint_id: str
    set_name: str
    ref_id: str
    similarity: float | None
    """Cosine of the recipe's descriptor, -1 to 1; higher is nearer."""
    descriptor: str | None
    pdq_distance: int | None
    """Bits of 256; lower is nearer. The smaller of picture and mirror."""
    phash_distance: int | None
    """Bits of 64; lower is nearer. The smaller of picture and mirror."""
    control_similarity: float | None
    """Cosine of the control's descriptor to the same reference: the base alone."""
    control_pdq_distance: int | None = None
    """Bits of 256, control to reference; the only control there is for a hash list."""
    control_phash_distance: int | None = None
    """Bits of 64, control to reference."""
    mirrored: bool
    """The mirror was nearer than the picture."""
    others: int = 0
    """Wrong checkpoints: places that gave other checkpoints, scanned with the same recipe, and held
    against the same reference by the same measure; see `reports.matching.wrong_checkpoints`."""
    others_same_base: bool = False
    """All of them come from the same base model, which is the better control."""
    others_as_near: int = 0
    """As many of them come as near or nearer."""
    p_value: float | None = None
    """Monte-Carlo p-value, (1 + others_as_near) / (others + 1); None: too few others, not calibrated."""
    others_similarity: float | None = None
    """Median over the others of their best cosine to the reference; None: not calibrated."""
    others_pdq_distance: float | None = None
    """The same of PDQ distances, bits of 256."""
    others_phash_distance: float | None = None
    """The same of pHash distances, bits of 64."""
    phash256_distance: int | None = None
    """Bits of 256; lower is nearer. The smaller of picture and mirror."""
    control_phash256_distance: int | None = None
    """Bits of 256, control to reference."""
    others_phash256_distance: float | None = None
    """As `others_phash_distance`, bits of 256."""
    normalised_similarity: float | None = None
    """`similarity` less what the extraction reaches on the background set; None: no background set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionEvidence:
    """What is known of an extraction without any reference; see `reports.matching.neighbours`."""

    extraction_id: str
    nearest_other: str | None
    """Id of the nearest extraction of another place with the same base model; None: there is none."""
    nearest_other_similarity: float | None
    """Its cosine, -1 to 1."""
    shared: bool
    """They are one picture: it comes from the base, or from a training set that both had."""
    recipes: int
    """Other recipes that the checkpoint was scanned with."""
    recipes_agreeing: tuple[str, ...]
    """Ids of those that gave the same picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A match strong enough to act on, or to look into."""

    match: Match
    severity: Severity
    state: FindingState
    rule: str
    """The ladder's rule that gave the severity, such as "pdq<=20"."""
    checkpoint_sha256: str | None
    explained_by_base: bool = False
    """The base alone comes as near, so the fine-tune did not leak it: labelled, and never counted."""
    explained_by_others: bool = False
    """Half of the wrong checkpoints come as near, so it is not this one's own: labelled, never counted."""
    occurrences: int = 1
    """How many extractions match the reference; `match` is the nearest of them."""
    checkpoint_ids: tuple[str, ...] = ()
    """All checkpoints with these weights that gave the picture, when a file was published more than once."""
    first_seen: str = ""
    """ISO 8601, UTC: the run that found it first."""
    last_seen: str = ""
    """ISO 8601, UTC: the last run that found it."""
    first_run: int = 0
    last_run: int = 0
    changed: str = ""
    """What differs from the run before, such as "severity high, was medium"; empty but for CHANGED."""
    settled_by: str = ""
    """Who suppressed it or withdrew its reference; "set NAME" for a negative set."""
    settled_why: str = ""
    settled_at: str = ""
    """ISO 8601, UTC; likewise the next."""
    settled_until: str = ""
    """When the suppression ends; empty: it does not."""

    @property
    def id(self) -> str:
        """16 hex digits, stable from run to run: checkpoint, reference set, reference and signal."""
        signal = "descriptor" if self.match.similarity is not None else "hash"
        subject = self.checkpoint_sha256 or self.match.checkpoint_id
        parts = (subject, self.match.set_name, self.match.ref_id, signal)
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]
