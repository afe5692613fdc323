"""What findings say of themselves, and what is known of their checkpoints, in the exported columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import pyarrow as pa

from crawler.checkpoint import Checkpoint
from reports.export.columns import FINDINGS
from reports.export.identity import IDENTITY, identity
from reports.export.typed import typed_table
from reports.finding import Finding, Severity
from reports.findings.ladder import counts

EVIDENCE = ("cluster_size", "cohesion", "seed", "prompt_origin", "recipe_id")
"""Columns of the extraction that a finding rests on."""

OWN = tuple(column for column in FINDINGS if column.name not in {*IDENTITY[1:], *EVIDENCE, "label"})
"""Columns that a finding tells by itself."""

_MATCH = (
    "ref_id",
    "extraction_id",
    "similarity",
    "normalised_similarity",
    "control_similarity",
    "descriptor",
    "pdq_distance",
    "phash_distance",
    "phash256_distance",
    "control_pdq_distance",
    "control_phash_distance",
    "control_phash256_distance",
    "p_value",
    "others",
    "others_same_base",
    "others_as_near",
    "others_similarity",
    "others_pdq_distance",
    "others_phash_distance",
    "others_phash256_distance",
    "mirrored",
)
"""Columns that are fields of a match by the same name."""
_FINDING = ("id", "rule", "explained_by_base", "explained_by_others", "checkpoint_sha256", "occurrences")
"""Columns that are fields of a finding by the same name."""
_OR_NULL = (
    "changed",
    "first_seen",
    "last_seen",
    "first_run",
    "last_run",
    "settled_by",
    "settled_why",
    "settled_at",
    "settled_until",
)
"""The same; what is empty, or run 0, is null."""
_LABELS = {severity: severity.label for severity in Severity}
_IDENTITY = tuple(column for column in FINDINGS if column.name in IDENTITY)


def own_table(findings: Sequence[Finding]) -> pa.Table:
    """Return the columns `OWN` of findings, in their order.

    Weights that were published more than once have one finding, with its id, and one row for each place.
    """
    places = [one.checkpoint_ids or (one.match.checkpoint_id,) for one in findings]
    rows = [one for one, each in zip(findings, places, strict=True) for _ in each]
    matches = [one.match for one in rows]
    values = {
        **_fields(rows, _FINDING),
        **{name: [each or None for each in column] for name, column in _fields(rows, _OR_NULL).items()},
        **_fields(matches, _MATCH),
        "checkpoint_id": [place for each in places for place in each],
        "places": [len(each) for each in places for _ in each],
        "set": [match.set_name for match in matches],
        "severity": [_LABELS[one.severity] for one in rows],
        "state": [one.state.value for one in rows],
        "counts": [counts(one) for one in rows],
    }
    return typed_table(values, OWN)


def identities(
    ids: Iterable[str], checkpoints: Mapping[str, Checkpoint], hubs: Mapping[str, str]
) -> pa.Table:
    """Return the columns that say which checkpoint a row is about, for these ids in their order.

    Of one that is not known there is its id, and null.
    """
    rows = [
        identity(checkpoint, hubs) if (checkpoint := checkpoints.get(name)) else {"checkpoint_id": name}
        for name in ids
    ]
    return typed_table({name: [row.get(name) for row in rows] for name in IDENTITY}, _IDENTITY)


def _fields(records: Sequence[object], names: tuple[str, ...]) -> dict[str, Sequence[Any]]:
    """Return fields of records by name."""
    # A field at a time: reading a record at a time makes tuples, whose collection takes longer than all else.
    return {name: list(map(attrgetter(name), records)) for name in names}
