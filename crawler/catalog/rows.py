"""The crawl's records as the catalog's rows, and what a new row puts in the shade."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, and_, delete, update
from sqlalchemy.sql.schema import Table

from crawler.catalog import tables
from crawler.checkpoint import Base, Checkpoint, Hub, Skip

checkpoint_json: TypeAdapter[Checkpoint] = TypeAdapter(Checkpoint)
skip_json: TypeAdapter[Skip] = TypeAdapter(Skip)
base_json: TypeAdapter[Base] = TypeAdapter(Base)


def cleaned(row: Checkpoint | Skip) -> Checkpoint | Skip:
    """The record without what SQL and UTF-8 cannot hold, and JSON can: NULs and lone surrogates."""
    if isinstance(row, Checkpoint):
        return checkpoint_json.validate_python(_without_broken(checkpoint_json.dump_python(row)))
    return skip_json.validate_python(_without_broken(skip_json.dump_python(row)))


def _without_broken(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "?")
    if isinstance(value, dict):
        return {name: _without_broken(item) for name, item in value.items()}
    return [_without_broken(item) for item in value] if isinstance(value, list | tuple) else value


def checkpoint_row(checkpoint: Checkpoint, seen: str) -> dict[str, Any]:
    """The row of a checkpoint that a hub shows now; `seen` is ISO 8601."""
    base = checkpoint.base
    return {
        "id": checkpoint.id,
        "key": checkpoint.key,
        "hub": checkpoint.hub,
        "repo": checkpoint.repo,
        "revision": checkpoint.revision,
        "path": checkpoint.path,
        "kind": checkpoint.kind,
        "layout": checkpoint.layout,
        "family": checkpoint.family,
        "sha256": checkpoint.sha256,
        "base_repo": base.repo if base else None,
        "base_grade": int(base.grade) if base else None,
        "title": checkpoint.title,
        "downloads": checkpoint.downloads,
        "current": True,
        "first_seen": seen,
        "last_seen": seen,
        "record": checkpoint_json.dump_json(checkpoint).decode(),
    }


def skip_row(skip: Skip, seen: str) -> dict[str, Any]:
    """The row of a thing left out; `seen` is ISO 8601."""
    return {
        "hub": skip.hub,
        "repo": skip.repo,
        "revision": skip.revision,
        "path": skip.path,
        "reason": skip.reason,
        "first_seen": seen,
        "last_seen": seen,
        "record": skip_json.dump_json(skip).decode(),
    }


def retire(connection: Connection, hub: Hub, repo: str, revision: str) -> None:
    """Make way for what a page says of a repository: its checkpoints are current no more, its skips are gone.

    A revision of Hugging Face replaces the one before. Civitai's revisions are versions that stand side by
    side: each is replaced by itself only, and by a word on the whole model (no revision).
    """

    def place(table: Table) -> Any:
        where = and_(table.c.hub == hub, table.c.repo == repo)
        if hub is Hub.CIVITAI and revision:
            where = and_(where, table.c.revision.in_([revision, ""]))
        return where

    connection.execute(update(tables.checkpoint).where(place(tables.checkpoint)).values(current=False))
    connection.execute(delete(tables.skip).where(place(tables.skip)))
