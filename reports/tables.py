"""LanceDB tables of this package: opened with a primary key and a schema version that is checked."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import lancedb
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout
from lancedb.table import Table

from reports.finding import ReportError

SCHEMA_VERSION = 2
"""Raised when a column changes its name, type or meaning."""

_VERSION_KEY = "leaksweep.schema"
# What Table.set_unenforced_primary_key writes. In the schema from the start it cannot be missed by a
# kill between two calls; without it, concurrent upserts insert the same row twice.
_PRIMARY_KEY = "lance-schema:unenforced-primary-key:position"


def schema(*columns: pa.Field, key: str) -> pa.Schema:
    """Return a table's schema with `key` as its primary key and today's version."""
    marked = [
        pa.field(column.name, column.type, nullable=False, metadata={_PRIMARY_KEY: "1"})
        if column.name == key
        else column
        for column in columns
    ]
    return pa.schema(marked, metadata={_VERSION_KEY: str(SCHEMA_VERSION)})


def connect(path: Path) -> lancedb.DBConnection:
    """Open the store at a folder, which is made when it is missing."""
    path.mkdir(parents=True, exist_ok=True)
    return lancedb.connect(path)


def open_table(store: lancedb.DBConnection, name: str, columns: pa.Schema) -> Table:
    """Open a table, or make it when there is none.

    Raises:
        ReportError: the table was made by a newer version of leaksweep, or is another table.
    """
    try:
        table = store.open_table(name)
    except ValueError:
        # There is none. Asked to make one "if missing", Lance refuses an older one with words of its own.
        table = store.create_table(name, schema=columns, exist_ok=True)
    found = int((table.schema.metadata or {}).get(_VERSION_KEY.encode(), b"0"))
    if found > SCHEMA_VERSION:
        raise ReportError(
            f'table "{name}" has schema version {found}, but this leaksweep knows {SCHEMA_VERSION}: '
            "it was written by a newer one; upgrade leaksweep, or use another --home"
        )
    if found < SCHEMA_VERSION or table.schema.names != columns.names:
        raise ReportError(
            f'table "{name}" is not one that this leaksweep wrote; use another --home, or move the table away'
        )
    return table


def erase_rows(
    store: lancedb.DBConnection, name: str, columns: pa.Schema, column: str, values: Collection[str]
) -> None:
    """Erase the rows whose `column` is one of `values`, from the disk too.

    Deleting alone leaves the bytes in the files, and compaction leaves a file alone while under a
    tenth of its rows are deleted; so the table is written anew and its past is dropped.
    """
    if not values:
        return
    rows = store.open_table(name).to_arrow()
    gone = pc.is_in(rows[column], pa.array(sorted(values), pa.string()))
    # Also with nothing to erase: a kill may have come between an overwriting and the dropping of the past.
    put_anew(store, name, rows.filter(pc.invert(gone)).cast(columns), columns)


def put_anew(
    store: lancedb.DBConnection, name: str, rows: pa.Table | pa.RecordBatchReader, columns: pa.Schema
) -> None:
    """Put rows in place of a whole table in one commit, and take its past from the disk."""
    table = store.create_table(name, data=rows, schema=columns, mode="overwrite")
    # One millisecond is "all of it" to Lance, without the warning that zero gives.
    table.optimize(cleanup_older_than=timedelta(milliseconds=1), delete_unverified=True)


def replace(store: lancedb.DBConnection, name: str, rows: pa.Table | pa.RecordBatchReader) -> None:
    """Put rows in place of a whole table in one commit: a reader, or a kill, sees the old or the new ones."""
    table = store.create_table(name, data=rows, schema=rows.schema, mode="overwrite")
    # Readers may still hold an old version, so the last hour's stay.
    table.optimize(cleanup_older_than=timedelta(hours=1))


def lock_of(path: Path, name: str) -> FileLock:
    """Return the lock of one of the stores that may share a folder."""
    return FileLock(path.with_name(f"{path.name}.{name}.lock"), blocking=False)


def hold(lock: FileLock, path: Path) -> AbstractContextManager[object]:
    """Take a store's lock without waiting; may be nested. The system lets go of it when the process dies.

    Raises:
        ReportError: another process holds it.
    """
    try:
        return lock.acquire()
    except Timeout as error:
        raise ReportError(f"{path}: another process writes to this store; wait until it is done") from error
