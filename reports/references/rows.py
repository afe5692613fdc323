"""What is known of a reference set, and the columns of its blocks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from reports.finding import Opinion, Reference
from reports.matching.hashes import PDQ_BYTES, PHASH256_BYTES, PHASH_BYTES
from reports.references.opinions import CODE_OF
from reports.references.pictures import Rejected
from reports.tables import schema
from scanner.vault import Vault

NAMED = 1000
"""Rejected entries of a list that are named; all of them are counted."""

_COUNTS = pa.map_(pa.string(), pa.int64())
_TIME = pa.timestamp("us", tz="UTC")
_FEW = pa.dictionary(pa.int32(), pa.string())
"""Texts of which there are few, such as classifications."""

SETS = schema(
    pa.field("name", pa.string()),
    pa.field("kind", pa.string()),
    pa.field("entries", pa.int64()),
    pa.field("left_out", pa.int64()),
    pa.field("passed_over", pa.int64()),
    pa.field("duplicates", pa.int64()),
    pa.field("contradictions", pa.int64()),
    pa.field("tombstones", pa.int64()),
    pa.field("disabled", pa.int64()),
    pa.field("unmatchable", _COUNTS),
    pa.field("opinions", _COUNTS),
    pa.field("descriptors", pa.list_(pa.string())),
    pa.field("hashes", pa.string()),
    pa.field("form", pa.string()),
    pa.field("list_sha256", pa.string()),
    pa.field("fetched_at", _TIME),
    pa.field("added_at", _TIME),
    pa.field("edition", pa.int64()),
    pa.field("blocks", pa.string()),
    pa.field("key", pa.string()),
    pa.field("sealed", pa.large_binary()),
    key="name",
)
"""Nothing of it is confidential but what is sealed: names of rejected files, and places in a list."""

HASHES = pa.schema(
    [
        ("reference", pa.uint32()),
        ("ref_id", pa.large_string()),
        ("view", _FEW),
        ("phash", pa.binary(PHASH_BYTES)),
        ("phash256", pa.binary(PHASH256_BYTES)),
        ("pdq", pa.binary(PDQ_BYTES)),
        ("pdq_quality", pa.int16()),
        ("opinion", pa.int8()),
        ("classification", _FEW),
        ("tags", pa.list_(pa.string())),
        ("source", _FEW),
        ("fetched_at", _TIME),
        ("disable_until", _TIME),
    ]
)
"""One row a view, or a line. `reference` numbers the references of the set as they first appear."""
DESCRIPTORS = pa.schema(
    [
        ("reference", pa.uint32()),
        ("mirrored", pa.bool_()),
        ("descriptor", _FEW),
        ("vector", pa.list_(pa.float32())),
    ]
)
AMENDMENTS = pa.schema([("row", pa.int64()), ("opinion", pa.int8())])
"""What a later line made of the opinion of an earlier one that was sealed already."""
BURIED = pa.schema([("reference", pa.uint32())])
"""References of which the list itself says that they were withdrawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceSet:
    """What is known of a set as a whole."""

    name: str
    kind: Literal["pictures", "hashes"]
    entries: int
    """Pictures, or hashes that can be matched."""
    rejected: tuple[Rejected, ...]
    """Files, or the first `NAMED` entries of a list, that are not in the set, each with the reason."""
    left_out: int
    """How many are not in the set, named or not."""
    passed_over: int = 0
    """Files of the folder that are no pictures, such as captions."""
    duplicates: int = 0
    """Entries of a list whose hash stands in an earlier one."""
    contradictions: int = 0
    """Entries of a list that contradict an earlier one; see `reports.references.collate`."""
    contradictory: tuple[str, ...] = ()
    """Where the first hundred of them stand, such as "line 12"."""
    tombstones: int = 0
    """Entries of which the list says that they were withdrawn."""
    disabled: int = 0
    """Hashes that were not to be matched yet when the set was added."""
    unmatchable: Mapping[str, int] = field(default_factory=dict)
    """By kind, such as "md5": entries that can never match a picture that was made again."""
    opinions: Mapping[str, int] = field(default_factory=dict)
    """Entries by opinion, contradictions settled."""
    descriptors: tuple[str, ...] = ()
    """Extractions described by another maker are compared by hash only."""
    hashes: str = ""
    """What hashed the pictures; empty for a hash list, which does not tell."""
    form: str = ""
    """The list's format; empty for pictures."""
    list_sha256: str = ""
    """Of the list's bytes; empty for pictures."""
    fetched_at: datetime | None = None
    """UTC: the newest date that the list gives for an entry."""
    added_at: datetime
    """UTC: when it was added, or last updated."""
    edition: int = 1
    """Counts up with every update."""
    blocks: str
    """The table that holds its sealed blocks."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """Sealed blocks by kind: a block that is missing does not go unseen."""
    key: str
    """Fingerprint of the master key that sealed it."""

    @classmethod
    def of(cls, row: dict[str, Any], vault: Vault) -> ReferenceSet:
        """Take a row of the table `reference_sets`.

        Raises:
            VaultError: the key is another one, or the row was changed.
        """
        plain = {**row, "descriptors": tuple(row["descriptors"])}
        told = json.loads(vault.open(plain.pop("sealed"), _about(row["name"], row["edition"])))
        for name in ("unmatchable", "opinions"):
            plain[name] = dict(row[name])
        rejected = tuple(Rejected(*one) for one in told["rejected"])
        places = tuple(told["contradictory"])
        return cls(**plain, rejected=rejected, contradictory=places, parts=told["parts"])

    def row(self, vault: Vault) -> dict[str, Any]:
        """Return a row of the table `reference_sets`."""
        plain = {name: getattr(self, name) for name in SETS.names if name != "sealed"}
        told = {
            "rejected": [(one.ref_id, one.reason) for one in self.rejected],
            "contradictory": self.contradictory,
            "parts": dict(self.parts),
        }
        sealed = vault.seal(json.dumps(told).encode(), _about(self.name, self.edition))
        return {
            **plain,
            "unmatchable": list(self.unmatchable.items()),
            "opinions": list(self.opinions.items()),
            "sealed": sealed,
        }


def picture_rows(views: Sequence[Reference], numbers: Sequence[int]) -> pa.Table:
    """Rows of kind "hashes", one a view, with the number of the reference each belongs to."""
    return pa.Table.from_pydict(
        {
            "reference": numbers,
            **{name: [getattr(one, name) for one in views] for name in HASHES.names[1:] if name != "opinion"},
            "opinion": [CODE_OF[Opinion(one.opinion)] for one in views],
        },
        schema=HASHES,
    )


def descriptor_rows(views: Sequence[Reference], numbers: Sequence[int]) -> pa.Table:
    """Rows of kind "descriptors", one a view, descriptor and side."""
    return pa.Table.from_pylist(
        [
            {"reference": number, "mirrored": mirrored, "descriptor": name, "vector": vector}
            for one, number in zip(views, numbers, strict=True)
            for mirrored, vectors in ((False, one.descriptors), (True, one.mirror_descriptors))
            for name, vector in vectors.items()
        ],
        schema=DESCRIPTORS,
    )


def _about(name: str, edition: int) -> str:
    return f"{name}/{edition}/set"
