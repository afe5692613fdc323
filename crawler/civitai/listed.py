"""A model as the catalog keeps it: one Listing, whatever the number of its versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from crawler.checkpoint import Checkpoint, Hub, Kind, Listing, Presence, Skip, SkipReason
from crawler.civitai.license import license_of
from crawler.civitai.rows import digest, downloads, is_early, is_id, wish, written

_PRESENCES = {"Archived": Presence.ARCHIVED, "TakenDown": Presence.TAKEN_DOWN}
_CLOSED = ("Private", "EarlyAccess")
_OF_MODEL = ("type", "mode", "availability", "poi", "name")
_OF_VERSION = (
    "id", "name", "baseModel", "baseModelType", "publishedAt", "availability", "trainedWords",
    "trainingDetails",
)  # fmt: skip
_OF_FILE = ("id", "name", "type", "sizeKB", "primary", "virusScanResult", "pickleScanResult")


def listing(model: Any, rows: Sequence[Checkpoint | Skip], now: datetime) -> Listing | None:
    """The model's row; None for what has no id, and is told of by a skip alone.

    Args:
        rows: from `crawler.civitai.rows.read_model`.
        now: for early access, which ends without a change of the model.
    """
    if not isinstance(model, dict) or not is_id(model.get("id")):
        return None
    versions = list(_tables(model.get("modelVersions")))
    published = sorted(filter(None, (written(version.get("publishedAt")) for version in versions)))
    look = any(isinstance(row, Checkpoint) and is_open(row, model.get("type")) for row in rows)
    return Listing(
        hub=Hub.CIVITAI,
        number=str(model["id"]),
        repo=str(model["id"]),
        revision=revision(model, versions, now),
        presence=_presence(model),
        created_at=published[0] if published else None,
        updated_at=published[-1] if published else None,
        downloads=downloads(model),
        license=license_of(model),
        look=look,
        facts=_facts(model, versions, rows if look else ()),
    )


def revision(model: Mapping[str, Any], versions: Sequence[Mapping[str, Any]], now: datetime) -> str:
    """32 hex digits that change with whatever decides about the versions; counters and pictures do not."""
    said: list[Any] = [*(_plain(model.get(name)) for name in _OF_MODEL), wish(model)]
    for version in versions:
        said.append([_plain(version.get(name)) for name in _OF_VERSION])
        said.append(is_early(version, now))
        for file in _tables(version.get("files")):
            said.append([*(_plain(file.get(name)) for name in _OF_FILE), digest(file)])
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()


def is_open(row: Checkpoint, model_type: Any) -> bool:
    """Whether a header could tell more: an adapter's captions, or which of the LyCORIS a "LoCon" is.

    A file without a digest is left for later: what is read of it could not be kept.
    """
    adapter = row.kind not in (Kind.FULL, Kind.TEXTUAL_INVERSION)
    return adapter and row.sha256 is not None and (not row.prompts or model_type == "LoCon")


def kept_type(listing: Listing) -> str:
    """The model's type, as `listing` kept it for `Source.look`."""
    return str(_kept(listing).get("type", ""))


def kept_skips(listing: Listing) -> Iterator[Skip]:
    """Yield the skips that the listing gave, as it kept them for `Source.look`."""
    for revision_, path, reason, detail, kind, family in _kept(listing).get("skips", ()):
        yield Skip(
            hub=listing.hub,
            repo=listing.repo,
            revision=revision_,
            path=path,
            reason=SkipReason(reason),
            detail=detail,
            kind=Kind(kind) if kind else None,
            family=family,
        )


def _facts(
    model: Mapping[str, Any], versions: Sequence[Mapping[str, Any]], rows: Sequence[Checkpoint | Skip]
) -> str:
    """What the row cannot hold, as JSON: for looking, and versions whose training pictures are public."""
    skips = [
        (row.revision, row.path, row.reason, row.detail, row.kind, row.family)
        for row in rows
        if isinstance(row, Skip)
    ]
    public = [
        version.get("id")
        for version in versions
        if any(file.get("type") == "Training Data" for file in _tables(version.get("files")))
    ]
    facts = {"type": model.get("type") if rows else None, "skips": skips, "training_data": public}
    known = {name: fact for name, fact in facts.items() if fact}
    return json.dumps(known) if known else ""


def _presence(model: Mapping[str, Any]) -> Presence:
    mode = model.get("mode")
    if isinstance(mode, str) and mode in _PRESENCES:
        return _PRESENCES[mode]
    closed = model.get("availability") in _CLOSED or model.get("poi") is True
    return Presence.GATED if closed else Presence.PRESENT


def _kept(listing: Listing) -> dict[str, Any]:
    return json.loads(listing.facts) if listing.facts else {}


def _tables(value: Any) -> Iterator[Mapping[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _plain(value: Any) -> Any:
    """A value as it is written down: nothing, an empty list and a missing key say the same."""
    if isinstance(value, list):
        return [item for item in value if isinstance(item, str)] or None
    if isinstance(value, dict):
        return sorted(map(str, value))
    return value or None
