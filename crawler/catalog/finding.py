"""Checkpoints and skips by whatever name a person has for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, Table, and_, func, or_, select

from crawler.catalog import tables
from crawler.catalog.rows import checkpoint_json, skip_json
from crawler.checkpoint import Checkpoint, Hub, Skip

MOST = 200
"""Rows of one name. A repository with more weights than that is asked for by the ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What goes by a name."""

    checkpoints: tuple[Checkpoint, ...] = ()
    """Current ones; where only older revisions go by it, those."""
    skips: tuple[Skip, ...] = ()
    superseded: bool = False
    """Whether the checkpoints are no longer what their hub shows."""


def named(engine: Engine, name: str) -> Named:
    """Find what goes by a name.

    A checkpoint's id, its key of 16 hex digits, a SHA-256, "owner/name" in upper or lower case, or the number
    of a model or of a version on Civitai.
    """
    of_checkpoints, of_skips = _conditions(name)
    current = _checkpoints(engine, and_(of_checkpoints, tables.checkpoint.c.current))
    older = () if current else _checkpoints(engine, of_checkpoints)
    table = tables.skip
    found = select(table.c.record).where(of_skips).order_by(table.c.repo, table.c.path).limit(MOST)
    with engine.connect() as db:
        skips = tuple(skip_json.validate_json(record) for record in db.scalars(found))
    return Named(checkpoints=current or older, skips=skips, superseded=bool(older))


def places(engine: Engine, sha256: str) -> list[Checkpoint]:
    """Every current checkpoint that is the same file, on either hub."""
    table = tables.checkpoint
    return list(_checkpoints(engine, and_(table.c.sha256 == sha256, table.c.current)))


def _checkpoints(engine: Engine, where: ColumnElement[bool]) -> tuple[Checkpoint, ...]:
    table = tables.checkpoint
    with engine.connect() as db:
        records = db.scalars(select(table.c.record).where(where).order_by(table.c.id).limit(MOST))
        return tuple(checkpoint_json.validate_json(record) for record in records)


def _conditions(name: str) -> Sequence[ColumnElement[bool]]:
    """The conditions of a name on checkpoints and on skips."""
    both = tables.checkpoint, tables.skip
    if re.fullmatch(r"[0-9a-fA-F]{64}", name):
        return tables.checkpoint.c.sha256 == name.lower(), tables.skip.c.repo == name
    if re.fullmatch(r"[0-9a-f]{16}", name):
        return tables.checkpoint.c.key == name, tables.skip.c.repo == name
    if re.fullmatch(r"[0-9]{1,12}", name):
        return [
            and_(one.c.hub == Hub.CIVITAI, or_(one.c.repo == name, one.c.revision == name)) for one in both
        ]
    if match := re.fullmatch(r"(huggingface|civitai):(.+?)@([^:]*):(.*)", name, re.DOTALL):
        return [_exactly(one, *match.groups()) for one in both]
    # The column is indexed as it is; folded names are compared one by one, for a person can wait for that.
    return [and_(one.c.hub == Hub.HUGGINGFACE, func.lower(one.c.repo) == name.casefold()) for one in both]


def _exactly(table: Table, hub: str, repo: str, revision: str, path: str) -> ColumnElement[bool]:
    return and_(table.c.hub == hub, table.c.repo == repo, table.c.revision == revision, table.c.path == path)
