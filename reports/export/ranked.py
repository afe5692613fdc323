"""All findings of a report, packed: counted as a whole, and shown so many at a time, strongest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from crawler.checkpoint import Checkpoint
from reports.export.columns import ARROW, FINDINGS
from reports.export.finding_columns import EVIDENCE, OWN, identities, own_table
from reports.export.typed import AT_ONCE, typed_frame, typed_table
from reports.finding import Finding, FindingState, Severity

STANDING = (
    "id",
    "severity",
    "state",
    "counts",
    "explained_by_base",
    "explained_by_others",
    "checkpoint_id",
    "extraction_id",
)
"""Columns that findings are counted by."""

_UNIQUE = ("id", "ref_id")
"""Texts that hardly ever come again. Of all others each is kept once."""
_RESTING = (FindingState.SUPPRESSED, FindingState.WITHDRAWN, FindingState.GONE)
_STRONGEST_FIRST = (
    ("resting", "ascending"),
    ("explained", "ascending"),
    ("severity", "descending"),
    ("similarity", "descending"),
    ("pdq", "ascending"),
    ("phash", "ascending"),
    ("id", "ascending"),
)


class RankedFindings:
    """The findings strongest first: those that count, those explained, set aside, gone.

    Weights that were published more than once have one finding, with its id, and one row for each place.
    Only what a finding says of itself is kept for each row, some 300 bytes; what is known of its checkpoint
    and its extraction is kept once, and put beside it when it is shown.
    """

    def __init__(
        self,
        findings: Iterable[Finding],
        extractions: pd.DataFrame,
        checkpoints: Mapping[str, Checkpoint],
        hubs: Mapping[str, str],
        labels: Mapping[str, str],
    ) -> None:
        """Pack findings, which may come in any order and are asked for once.

        Args:
            extractions: as `reports.export.columns.EXTRACTIONS`.
            hubs: pages for people by hub.
            labels: what reviewers have settled of findings, by id.
        """
        self._rows = _packed(findings)
        self._labels = labels
        places, extracted = (_coded(self._rows, name)[0] for name in ("checkpoint_id", "extraction_id"))
        self._identities = identities(places.to_pylist(), checkpoints, hubs)
        evidence = pa.Table.from_pandas(extractions[["extraction_id", *EVIDENCE]], preserve_index=False)
        found = pc.index_in(extracted, value_set=evidence["extraction_id"].cast(pa.string()))
        # A finding outlives its extraction: where there is none, take gives null.
        self._evidence = evidence.select(EVIDENCE).take(found)

    @cached_property
    def standing(self) -> pd.DataFrame:
        """The columns `STANDING` of all rows."""
        return typed_frame(self._rows.select(STANDING))

    @cached_property
    def each(self) -> pd.DataFrame:
        """The same of the first row of each finding; the index says which of all rows that is."""
        ids = self.standing["id"]
        return self.standing[ids.ne(ids.shift()).to_numpy(bool)]

    def at(self, index: pd.Index) -> pd.DataFrame:
        """Return rows by the index that they have in `standing` and `each`, with all columns."""
        return self._frame(self._rows.take(pa.array(index.to_numpy(np.int64))))

    def strongest(self, findings: int) -> pd.DataFrame:
        """Return all rows of so many findings, with all columns of `reports.export.columns.FINDINGS`."""
        firsts = self.each.index
        rows = int(firsts[findings]) if findings < len(firsts) else len(self._rows)
        return self._frame(self._rows.slice(0, rows))

    def parts(self, at_once: int = AT_ONCE) -> Iterator[pd.DataFrame]:
        """Yield all rows with all columns, so many at a time; one frame without rows when there are none."""
        for start in range(0, max(len(self._rows), 1), at_once):
            yield self._frame(self._rows.slice(start, at_once))

    def _frame(self, rows: pa.Table) -> pd.DataFrame:
        _, checkpoint = _coded(rows, "checkpoint_id")
        _, extraction = _coded(rows, "extraction_id")
        values = {
            **{name: rows[name] for name in rows.column_names},
            **{name: column.take(checkpoint) for name, column in _columns(self._identities)},
            **{name: column.take(extraction) for name, column in _columns(self._evidence)},
            "label": [self._labels.get(name) for name in rows["id"].to_pylist()],
        }
        return typed_frame(typed_table(values, FINDINGS))


class _Words:
    """Texts by number, each kept once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def numbers(self, texts: pa.ChunkedArray) -> pa.Array:
        coded = texts.combine_chunks().dictionary_encode()
        numbers = [self._numbers.setdefault(one, len(self._numbers)) for one in coded.dictionary.to_pylist()]
        return pa.array(numbers, pa.int32()).take(coded.indices)

    def texts(self, numbers: pa.Array) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(numbers, pa.array(self._numbers, pa.string()))


def _packed(findings: Iterable[Finding]) -> pa.Table:
    """Return the columns `OWN` of all findings in order, texts that come again as dictionaries."""
    words = {one.name: _Words() for one in OWN if one.type == "string" and one.name not in _UNIQUE}
    kinds = {one.name: pa.int32() if one.name in words else _roomy(ARROW[one.type]) for one in OWN}
    columns: dict[str, list[pa.Array]] = {name: [] for name in kinds}
    keys = []
    remaining = iter(findings)
    while part := list(islice(remaining, AT_ONCE)):
        table = own_table(part)
        keys.append(_keys(table))
        for name, kind in kinds.items():
            texts = words.get(name)
            columns[name].append(texts.numbers(table[name]) if texts else _whole(table[name], kind))
    order = pc.sort_indices(pa.concat_tables(keys or [_keys(own_table([]))]), sort_keys=_STRONGEST_FIRST)
    del keys
    packed = {}
    for name, kind in kinds.items():
        # Column by column, so that the rows as they came and the rows in order are never both there.
        values = pa.chunked_array(columns.pop(name), kind).combine_chunks().take(order)
        packed[name] = words[name].texts(values) if name in words else values
    return pa.table(packed)


def _keys(table: pa.Table) -> pa.Table:
    """Return what findings are ordered by; what has no similarity comes after all that have one."""
    severities = pa.array([severity.label for severity in Severity])
    explained = pc.or_(table["explained_by_base"], table["explained_by_others"])
    return pa.table(
        {
            "resting": pc.fill_null(pc.index_in(table["state"], value_set=pa.array(map(str, _RESTING))), -1),
            "explained": explained.cast(pa.int8()),
            "severity": pc.index_in(table["severity"], value_set=severities),
            "similarity": table["similarity"],
            "pdq": pc.fill_null(table["pdq_distance"], 256),
            "phash": pc.fill_null(table["phash_distance"], 64),
            "id": table["id"],
        }
    )


def _coded(rows: pa.Table, name: str) -> tuple[pa.Array, pa.Array]:
    """Return a column's words, and which of them each row has."""
    column = rows[name].combine_chunks()
    return column.dictionary, column.indices


def _columns(table: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    return zip(table.column_names, table.columns, strict=True)


def _roomy(kind: pa.DataType) -> pa.DataType:
    """Return the type of a whole column: a text column by itself ends at 2 GB."""
    return pa.large_string() if kind == pa.string() else kind


def _whole(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    return column.combine_chunks().cast(kind)
