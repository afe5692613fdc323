"""The crawl's records as the catalog's rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from crawler.checkpoint import Base, Checkpoint, Listing, Presence, Skip

checkpoint_json: TypeAdapter[Checkpoint] = TypeAdapter(Checkpoint)
skip_json: TypeAdapter[Skip] = TypeAdapter(Skip)
base_json: TypeAdapter[Base] = TypeAdapter(Base)


_LONGEST = 1500
"""Bytes of a refused path that are kept in a key."""


def cleaned(row: Checkpoint | Skip) -> Checkpoint | Skip:
    """The record without what SQL and UTF-8 cannot hold, and JSON can: NULs and lone surrogates."""
    if isinstance(row, Checkpoint):
        return checkpoint_json.validate_python(_without_broken(checkpoint_json.dump_python(row)))
    return skip_json.validate_python(_without_broken(skip_json.dump_python(row)))


def storable(text: str) -> str:
    """Text without what SQL and UTF-8 cannot hold."""
    if text.isascii() and "\0" not in text:
        return text  # as almost all of a million names are
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def indexable(text: str) -> str:
    """Text that fits into a row of PostgreSQL's indexes, 2,704 bytes: a long one ends in its digest.

    What is refused may have any name; the names of checkpoints are short enough.
    """
    whole = text.encode()
    if len(whole) <= _LONGEST:
        return text
    return f"{whole[: _LONGEST - 40].decode(errors='ignore')}…{hashlib.sha256(whole).hexdigest()[:32]}"


def _without_broken(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {name: _without_broken(item) for name, item in value.items()}
    return [_without_broken(item) for item in value] if isinstance(value, list | tuple) else value


def read_as(listing: Listing, rules: str) -> str:
    """32 hex digits that change when the listing says something else, or is read by other rules."""
    said = (rules, listing.repo, listing.presence, listing.revision, str(listing.look), listing.facts)
    return hashlib.blake2b("\x1f".join(said).encode("utf-8", "replace"), digest_size=16).hexdigest()


def listing_row(listing: Listing, **standing: Any) -> dict[str, Any]:
    """The row of a repository; `standing` are the columns that the catalog keeps for itself."""
    return {
        "hub": listing.hub,
        "number": storable(listing.number),
        "repo": storable(listing.repo),
        "revision": storable(listing.revision),
        "presence": listing.presence,
        "created_at": listing.created_at,
        "updated_at": listing.updated_at,
        "downloads": listing.downloads,
        "license": None if listing.license is None else storable(listing.license),
        "facts": storable(listing.facts),
        "missed": 0,
        "unreachable_since": None,
        **standing,
    }


def listing_of(row: Any) -> Listing:
    """The record of a row of `repository`; `look` is whether it is still to be looked into."""
    return Listing(
        hub=row.hub,
        number=row.number,
        repo=row.repo,
        revision=row.revision,
        presence=Presence(row.presence),
        created_at=row.created_at,
        updated_at=row.updated_at,
        downloads=row.downloads,
        license=row.license,
        look=row.pending,
        facts=row.facts,
    )


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


def claim_rows(checkpoint: Checkpoint) -> Iterator[dict[str, Any]]:
    """Yield a row for each statement about the checkpoint's base, best first."""
    for place, claim in enumerate(checkpoint.claims):
        yield {
            "checkpoint_id": checkpoint.id,
            "place": place,
            "source": claim.source,
            "repo": claim.repo,
            "family": claim.family,
            "grade": int(claim.grade),
            "digest": claim.digest,
        }


def observation_rows(checkpoint: Checkpoint) -> Iterator[dict[str, Any]]:
    """Yield a row for each thing that the checkpoint's header gives away."""
    for place, one in enumerate(checkpoint.observations):
        row = {"what": one.what, "source": one.source, "digest": one.digest}
        yield {"checkpoint_id": checkpoint.id, "place": place, **row}


def skip_row(skip: Skip, seen: str) -> dict[str, Any]:
    """The row of a thing left out; `seen` is ISO 8601."""
    return {
        "hub": skip.hub,
        "repo": skip.repo,
        "revision": skip.revision,
        "path": indexable(skip.path),
        "reason": skip.reason,
        "first_seen": seen,
        "last_seen": seen,
        "record": skip_json.dump_json(skip).decode(),
    }
