"""What the catalog knows of bases: whose file a digest is, and what is claimed of a repository's own base."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Engine, and_, select

from crawler.catalog import tables
from crawler.catalog.rows import checkpoint_json
from crawler.checkpoint import BaseClaim, Hub
from crawler.evidence.identity import Identity


def identities(engine: Engine, digests: Iterable[str]) -> dict[str, Identity]:
    """Those of the digests that are current checkpoints of the catalog.

    Of several places Hugging Face's comes first, which the scanner can name, then the first by id.
    """
    table = tables.checkpoint
    found: dict[str, Identity] = {}
    with engine.connect() as db:
        for digest in digests:
            where = and_(table.c.sha256 == digest, table.c.current)
            row = db.execute(select(table).where(where).order_by(table.c.hub.desc(), table.c.id)).first()
            if row is not None:
                found[digest] = identity_of(row)
    return found


def identity_of(row: Any) -> Identity:
    """The record of a row of `checkpoint`, or of one of `identity` that names a hub."""
    return Identity(
        hub=Hub(row.hub), repo=row.repo, revision=row.revision, title=row.title, family=row.family
    )


def claims_of(engine: Engine, name: str) -> tuple[BaseClaim, ...]:
    """What is claimed of the base of a Hugging Face repository's current checkpoints, all together."""
    table = tables.checkpoint
    here = and_(table.c.hub == Hub.HUGGINGFACE, table.c.repo == name, table.c.current)
    with engine.connect() as db:
        records = db.scalars(select(table.c.record).where(here).order_by(table.c.id))
        claims = (claim for record in records for claim in checkpoint_json.validate_json(record).claims)
        return tuple(dict.fromkeys(claims))
