"""Bases that headers name by a digest alone: whom to ask about, what was answered, and whose they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Engine, and_, select

from crawler.catalog import tables
from crawler.catalog.engine import upsert
from crawler.catalog.lineage import identity_of
from crawler.catalog.rows import checkpoint_json, storable
from crawler.catalog.writing import write_rows
from crawler.checkpoint import Checkpoint
from crawler.evidence.identity import Identity, unknown_digests, with_identity


class Identities:
    """Whose files digests are, as far as the catalog or a hub told."""

    def __init__(self, engine: Engine, clock: Callable[[], str]) -> None:
        self._engine = engine
        self._clock = clock

    def unnamed(self, *, again_after: timedelta) -> list[str]:
        """Digests of bases that no table knows and that nobody was asked for so long, or never; sorted."""
        claim, checkpoint, identity = tables.claim, tables.checkpoint, tables.identity
        before = (datetime.fromisoformat(self._clock()) - again_after).isoformat(timespec="seconds")
        asked = select(identity.c.digest).where(identity.c.asked_at > before)
        statement = (
            select(claim.c.digest)
            .distinct()
            .join(checkpoint, and_(checkpoint.c.id == claim.c.checkpoint_id, checkpoint.c.current))
            .where(claim.c.digest.is_not(None), claim.c.repo.is_(None), claim.c.digest.not_in(asked))
            .order_by(claim.c.digest)
        )
        with self._engine.connect() as db:
            return list(db.scalars(statement))

    def remember(self, asked: Sequence[str], found: Mapping[str, Identity]) -> None:
        """Keep the answers, and that the others are nobody's whom we know."""
        rows = [_row(digest, found.get(digest), self._clock()) for digest in asked]
        with self._engine.begin() as db:
            upsert(db, tables.identity, rows)

    def name(self) -> int:
        """Give every claim that names a known digest its base; return how many checkpoints that changed."""
        claim, checkpoint, identity = tables.claim, tables.checkpoint, tables.identity
        statement = (
            select(checkpoint.c.record)
            .distinct()
            .join(claim, claim.c.checkpoint_id == checkpoint.c.id)
            .join(identity, and_(identity.c.digest == claim.c.digest, identity.c.hub.is_not(None)))
            .where(checkpoint.c.current, claim.c.repo.is_(None))
        )
        with self._engine.begin() as db:
            records = [checkpoint_json.validate_json(record) for record in db.scalars(statement)]
            named = [one for one in map(self._named, records) if one is not None]
            write_rows(db, named, self._clock())
        return len(named)

    def _named(self, checkpoint: Checkpoint) -> Checkpoint | None:
        """The checkpoint with its base named; None when there is nothing new."""
        claims = with_identity(checkpoint.claims, self._known(unknown_digests(checkpoint.claims)))
        if claims == checkpoint.claims:
            return None
        return replace(checkpoint, claims=claims)

    def _known(self, digests: Sequence[str]) -> dict[str, Identity]:
        table = tables.identity
        where = and_(table.c.digest.in_(digests), table.c.hub.is_not(None))
        with self._engine.connect() as db:
            return {row.digest: identity_of(row) for row in db.execute(select(table).where(where))}


def _row(digest: str, identity: Identity | None, asked_at: str) -> dict[str, str | None]:
    return {
        "digest": digest,
        "asked_at": asked_at,
        "hub": identity.hub if identity else None,
        "repo": storable(identity.repo) if identity else None,
        "revision": storable(identity.revision) if identity else None,
        "title": storable(identity.title) if identity else None,
        "family": identity.family if identity else None,
    }
