"""The columns that say which checkpoint a row is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crawler.checkpoint import Checkpoint, Skip
from reports.export.links import hub_page

IDENTITY = ("checkpoint_id", "hub", "repo", "revision", "path", "url", "family", "kind")
"""The first columns of every table about checkpoints, in this order."""


def identity(record: Checkpoint | Skip, hubs: Mapping[str, str]) -> dict[str, Any]:
    """Return them for a checkpoint or for what was left out; `hubs` are pages for people by hub."""
    return {
        "checkpoint_id": f"{record.hub}:{record.repo}@{record.revision}:{record.path}",
        "hub": str(record.hub),
        "repo": record.repo,
        "revision": record.revision,
        "path": record.path,
        "url": hub_page(hubs, record.hub, record.repo, record.revision, record.path),
        "family": record.family,
        "kind": str(record.kind) if record.kind else None,
    }
