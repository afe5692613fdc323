"""The daily public dump of the whole hub (data set cfahlgren1/hub-stats, models.parquet), as a listing.

A catalog filled from it needs no listing requests to begin with, only looks. The dump's columns are not
documented: they are taken to be the API's fields by the API's names, in whatever form Parquet gave them, and
the schema says which are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pyarrow as pa
import pyarrow.parquet as pq

from crawler.checkpoint import Page
from crawler.huggingface.dump_rows import api_row, texts
from crawler.huggingface.listing import read_page
from crawler.huggingface.rows import EXPAND
from crawler.huggingface.selections import selections
from crawler.settings import CrawlerSettings
from crawler.source import SourceError

BATCH = 1000
"""Rows of the dump behind one page; most are no image models."""
_NEEDED = {
    "_id": "without its number a repository cannot be told from another that takes its name",
    "id": "it names the repository",
    "sha": "it names the commit that is looked into",
    "tags": "they tell which models are for images",
}
_TIMES = ("createdAt", "lastModified")


def hub_stats_pages(path: Path, settings: CrawlerSettings, first_row: int = 0) -> Iterator[Page]:
    """Yield what the dump holds of the listings in `selections`, from a row on; memory stays flat.

    A page's cursor is the number of the next row. The dump is a day old or more, and lists nothing that is
    gone since: a crawl has to follow.

    Raises:
        SourceError: the file cannot be read, or lacks a column; a damaged one is read up to the damage.
    """
    wanted = Wanted(selections(settings))
    try:
        with pq.ParquetFile(path) as file:
            columns = _columns(path, file.schema_arrow)
            row, total = first_row, file.metadata.num_rows
            for batch in _batches(file, columns, first_row):
                row += batch.num_rows
                rows = [api_row(one) for one in _picked(batch, wanted)]
                yield read_page(rows, str(row) if row < total else None, settings)
            if first_row >= total:
                yield Page()
    except (OSError, pa.ArrowException, ValueError, OverflowError) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(
            f"{path} cannot be read as Parquet: {detail}; download models.parquet of cfahlgren1/hub-stats "
            "again, or crawl without --from-hub-stats"
        ) from error


class Wanted:
    """Tells whether a row is in one of the listings that a crawl would read.

    Raises:
        SourceError: a query asks what a row does not tell.
    """

    def __init__(self, queries: Sequence[str]) -> None:
        self._tags: set[str] = set()
        self._others: list[list[tuple[str, str]]] = []
        for query in queries:
            terms = parse_qsl(query)
            unknown = {name for name, _ in terms} - {"filter", "pipeline_tag", "author"}
            if unknown or not terms:
                names = ", ".join(sorted(unknown)) or "it"
                raise SourceError(
                    f"crawler.include {query!r}: a dump tells nothing of {names}; use filter, pipeline_tag "
                    "or author, or leave it out while the dump is read"
                )
            if len(terms) == 1 and terms[0][0] == "filter":
                self._tags.add(terms[0][1])
            else:
                self._others.append(terms)

    def __call__(self, repo: Any, tags: Sequence[str], pipeline_tag: Any) -> bool:
        if not self._tags.isdisjoint(tags):
            return True
        known = {"pipeline_tag": pipeline_tag, "author": str(repo).split("/")[0]}
        return any(
            all(value in tags if name == "filter" else known[name] == value for name, value in terms)
            for terms in self._others
        )


def _columns(path: Path, schema: pa.Schema) -> list[str]:
    """The columns to read.

    Raises:
        SourceError: one that is needed is missing, or cannot hold what its name says.
    """
    for name, why in _NEEDED.items():
        if name not in schema.names:
            found = ", ".join(schema.names[:40])
            raise SourceError(f"{path} has no column {name!r}: {why}. It has {found}. Crawl without the dump")
    for name in ("_id", "id", "sha"):
        _expect(path, schema.field(name), "text", _is_text(schema.field(name).type))
    tags = schema.field("tags").type
    listed = pa.types.is_list(tags) or pa.types.is_large_list(tags)
    fits = _is_text(tags) or (listed and _is_text(tags.value_type))
    _expect(path, schema.field("tags"), "a list of texts, or its JSON", fits)
    return [name for name in ("_id", "id", *EXPAND) if name in schema.names]


def _expect(path: Path, field: pa.Field, what: str, fits: bool) -> None:
    if not fits:
        message = f"column {field.name!r} is {field.type}, not {what}; convert it, or crawl without the dump"
        raise SourceError(f"{path}: {message}")


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def _batches(file: pq.ParquetFile, columns: Sequence[str], first_row: int) -> Iterator[pa.RecordBatch]:
    """The rows from `first_row` on; groups of rows that lie before it are not read."""
    skip = first_row
    for group in range(file.metadata.num_row_groups):
        held = file.metadata.row_group(group).num_rows
        if skip >= held:
            skip -= held
            continue
        for batch in file.iter_batches(batch_size=BATCH, row_groups=[group], columns=list(columns)):
            passed = min(skip, batch.num_rows)
            skip -= passed
            if passed < batch.num_rows:
                yield batch.slice(passed)


def _picked(batch: pa.RecordBatch, wanted: Wanted) -> list[Mapping[str, Any]]:
    """The wanted rows; only of these the wide columns become objects."""
    none = [None] * batch.num_rows
    tasks = batch.column("pipeline_tag").to_pylist() if "pipeline_tag" in batch.schema.names else none
    names, tags = batch.column("id").to_pylist(), batch.column("tags").to_pylist()
    kept = [
        index
        for index, (repo, some, task) in enumerate(zip(names, tags, tasks, strict=True))
        if wanted(repo, texts(some), task)
    ]
    if not kept:
        return []
    found = batch.take(pa.array(kept, pa.int64()))
    for name in _TIMES:
        if name in found.schema.names and pa.types.is_timestamp(kind := found.schema.field(name).type):
            index = found.schema.get_field_index(name)
            # Finer than the hub tells, and than Python's dates hold.
            times = found.column(name).cast(pa.timestamp("ms", kind.tz), safe=False)
            found = found.set_column(index, pa.field(name, times.type), times)
    rows: list[Mapping[str, Any]] = found.to_pylist()
    return rows
