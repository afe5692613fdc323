"""The rows of the reference store: what is known of a set, and its references as Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from reports.finding import Reference
from reports.matching.hashes import PDQ_BYTES, PHASH_BYTES
from reports.references.pictures import Rejected
from reports.tables import schema

SETS = schema(
    pa.field("name", pa.string()),
    pa.field("kind", pa.string()),
    pa.field("entries", pa.int64()),
    pa.field("rejected", pa.list_(pa.struct([("ref_id", pa.string()), ("reason", pa.string())]))),
    pa.field("passed_over", pa.int64()),
    pa.field("duplicates", pa.int64()),
    pa.field("descriptors", pa.list_(pa.string())),
    pa.field("hashes", pa.string()),
    pa.field("added_at", pa.timestamp("us", tz="UTC")),
    key="name",
)
REFERENCES = schema(
    pa.field("id", pa.string()),
    pa.field("set_name", pa.string()),
    pa.field("ref_id", pa.string()),
    pa.field("view", pa.string()),
    pa.field("phash", pa.binary(PHASH_BYTES)),
    pa.field("pdq", pa.binary(PDQ_BYTES)),
    pa.field("pdq_quality", pa.int16()),
    key="id",
)
DESCRIPTORS = schema(
    pa.field("id", pa.string()),
    pa.field("set_name", pa.string()),
    pa.field("ref_id", pa.string()),
    pa.field("mirrored", pa.bool_()),
    pa.field("descriptor", pa.string()),
    pa.field("vector", pa.list_(pa.float32())),
    key="id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceSet:
    """What is known of a set as a whole."""

    name: str
    kind: Literal["pictures", "hashes"]
    entries: int
    """Pictures, or hashes."""
    rejected: tuple[Rejected, ...]
    """Files or lines that are not in the set, each with the reason."""
    passed_over: int
    """Files of the folder that are no pictures, such as captions."""
    duplicates: int
    """Lines of a hash list that repeat an earlier one."""
    descriptors: tuple[str, ...]
    """Extractions described by another maker are compared by hash only."""
    hashes: str
    """What hashed the pictures; empty for a hash list, which does not tell."""
    added_at: datetime

    @classmethod
    def of(cls, row: dict[str, Any]) -> ReferenceSet:
        """Take a row of the table `reference_sets`."""
        rejected = tuple(Rejected(**one) for one in row["rejected"])
        return cls(**{**row, "rejected": rejected, "descriptors": tuple(row["descriptors"])})

    def row(self) -> pa.Table:
        return pa.Table.from_pylist([asdict(self)], schema=SETS)


def hash_rows(references: Sequence[Reference]) -> pa.Table:
    """Rows of the table `references`, one a view."""
    return pa.Table.from_pylist(
        [
            {
                "id": _key(one),
                "set_name": one.set_name,
                "ref_id": one.ref_id,
                "view": one.view,
                "phash": one.phash,
                "pdq": one.pdq,
                "pdq_quality": one.pdq_quality,
            }
            for one in references
        ],
        schema=REFERENCES,
    )


def descriptor_rows(references: Sequence[Reference]) -> pa.Table:
    """Rows of the table `reference_descriptors`: one a view, descriptor and side."""
    return pa.Table.from_pylist(
        [
            {
                "id": f"{_key(one)}/{name}/{'mirror' if mirrored else 'picture'}",
                "set_name": one.set_name,
                "ref_id": one.ref_id,
                "mirrored": mirrored,
                "descriptor": name,
                "vector": vector,
            }
            for one in references
            for mirrored, vectors in ((False, one.descriptors), (True, one.mirror_descriptors))
            for name, vector in vectors.items()
        ],
        schema=DESCRIPTORS,
    )


def _key(one: Reference) -> str:
    # The set's name and the view hold no slash, so no two references share a key.
    return f"{one.set_name}/{one.view}/{one.ref_id}"
