"""Findings as typed frames, so many at a time: a million of them need not fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from crawler.checkpoint import Checkpoint
from reports.export.columns import FINDINGS
from reports.export.identity import IDENTITY, identity
from reports.export.typed import AT_ONCE, typed_frame, typed_table
from reports.finding import Finding, FindingState, Severity
from reports.findings.ladder import counts

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
_EVIDENCE = ("cluster_size", "cohesion", "seed", "prompt_origin", "recipe_id")
"""Columns of the extraction that a finding rests on."""
_IDENTITY = tuple(column for column in FINDINGS if column.name in IDENTITY)
_LABELS = {severity: severity.label for severity in Severity}
_RESTING = (FindingState.SUPPRESSED, FindingState.WITHDRAWN, FindingState.GONE)


def findings_frame(
    findings: Iterable[Finding],
    extractions: pd.DataFrame,
    checkpoints: Mapping[str, Checkpoint],
    hubs: Mapping[str, str],
) -> pd.DataFrame:
    """Return the findings, strongest first: those that count, those explained, set aside, gone.

    Weights that were published more than once have one finding, with its id, and one row for each place.
    """
    ranked = sorted(findings, key=weakness)
    frames = list(findings_frames(ranked, extractions, checkpoints, hubs))
    nothing = typed_frame(typed_table({column.name: [] for column in FINDINGS}, FINDINGS))
    return pd.concat(frames, ignore_index=True) if frames else nothing


def findings_frames(
    findings: Iterable[Finding],
    extractions: pd.DataFrame,
    checkpoints: Mapping[str, Checkpoint],
    hubs: Mapping[str, str],
    *,
    at_once: int = AT_ONCE,
) -> Iterator[pd.DataFrame]:
    """Yield the same frame in parts of so many findings, in the order in which they come."""
    evidence = pa.Table.from_pandas(extractions[["extraction_id", *_EVIDENCE]], preserve_index=False)
    known = _Identities(checkpoints, hubs)
    remaining = iter(findings)
    while part := list(islice(remaining, at_once)):
        places = [one.checkpoint_ids or (one.match.checkpoint_id,) for one in part]
        if any(len(each) > 1 for each in places):
            part = [one for one, each in zip(part, places, strict=True) for _ in each]
        spread = [place for each in places for place in each]
        shared = [len(each) for each in places for _ in each]
        values = {**_columns(part, evidence), **known.columns(spread), "places": shared}
        yield typed_frame(typed_table(values, FINDINGS))


def weakness(finding: Finding) -> tuple[float | str, ...]:
    """Sort key, strongest first: whether it counts, severity, likeness, nearness of the hashes."""
    match = finding.match
    return (
        float(_RESTING.index(finding.state) + 1 if finding.state in _RESTING else 0),
        float(finding.explained_by_base or finding.explained_by_others),
        -float(finding.severity),
        -match.similarity if match.similarity is not None else 2.0,
        float(match.pdq_distance if match.pdq_distance is not None else 256),
        float(match.phash_distance if match.phash_distance is not None else 64),
        finding.id,
    )


def _columns(part: Sequence[Finding], evidence: pa.Table) -> dict[str, Any]:
    matches = [one.match for one in part]
    extraction_ids = pa.array([match.extraction_id for match in matches], pa.string())
    # A finding outlives its extraction: where there is none, take gives null.
    rows = evidence.take(pc.index_in(extraction_ids, value_set=evidence["extraction_id"].cast(pa.string())))
    return {
        **_fields(part, _FINDING),
        **{name: [each or None for each in column] for name, column in _fields(part, _OR_NULL).items()},
        **_fields(matches, _MATCH),
        **{name: rows[name] for name in _EVIDENCE},
        "set": [match.set_name for match in matches],
        "severity": [_LABELS[one.severity] for one in part],
        "state": [one.state.value for one in part],
        "counts": [counts(one) for one in part],
        "label": pa.nulls(len(part), pa.string()),
    }


def _fields(records: Sequence[object], names: tuple[str, ...]) -> dict[str, Sequence[Any]]:
    """Return fields of records by name."""
    # A field at a time: reading a record at a time makes tuples, whose collection takes longer than all else.
    return {name: list(map(attrgetter(name), records)) for name in names}


class _Identities:
    """Which checkpoint a row is about; each is worked out once, and written once for each part."""

    def __init__(self, checkpoints: Mapping[str, Checkpoint], hubs: Mapping[str, str]) -> None:
        self._checkpoints = checkpoints
        self._hubs = hubs
        self._known: dict[str, dict[str, Any]] = {}

    def columns(self, places: Sequence[str]) -> dict[str, pa.Array]:
        coded = pa.array(places, pa.string()).dictionary_encode()
        rows = [self._known.get(place) or self._learn(place) for place in coded.dictionary.to_pylist()]
        each = typed_table({name: [row.get(name) for row in rows] for name in IDENTITY}, _IDENTITY)
        return {name: each[name].take(coded.indices) for name in IDENTITY}

    def _learn(self, place: str) -> dict[str, Any]:
        checkpoint = self._checkpoints.get(place)
        row = identity(checkpoint, self._hubs) if checkpoint else {"checkpoint_id": place}
        self._known[place] = row
        return row
