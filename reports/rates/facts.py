"""What the catalog knows of checkpoints that a rate is told apart by: content, age, popularity."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd
from sqlalchemy import Engine, select

from crawler.catalog import tables

_CHECKPOINTS = ["checkpoint_id", "content", "own_downloads"]
_REPOSITORIES = ["hub", "repo", "created_at", "downloads"]


def _empty(columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype="object") for name in columns})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Two frames to be joined with a report's checkpoints; empty ones know nothing."""

    checkpoints: pd.DataFrame = field(default_factory=lambda: _empty(_CHECKPOINTS))
    """By checkpoint id: its content (SHA-256 of the weights, or the id where no hub tells it) and the
    downloads that were told with it."""
    repositories: pd.DataFrame = field(default_factory=lambda: _empty(_REPOSITORIES))
    """By hub and repository: when it was made (ISO 8601, UTC; Civitai does not tell) and its downloads, as
    last listed. Those of which everything was skipped are among them."""


def read_facts(engine: Engine) -> Facts:
    """Read them from the catalog; a name that two repositories had, one after the other, means the newer."""
    place, listed = tables.checkpoint.c, tables.repository.c
    with engine.connect() as db:
        places = db.execute(select(place.id, place.sha256, place.downloads)).all()
        newest_last = select(listed.hub, listed.repo, listed.created_at, listed.downloads).order_by(
            listed.walk, listed.number.desc()
        )
        repositories = db.execute(newest_last).all()
    checkpoints = [(id_, sha256 or id_, downloads) for id_, sha256, downloads in places]
    known = pd.DataFrame([tuple(row) for row in repositories], columns=_REPOSITORIES, dtype="object")
    return Facts(
        checkpoints=pd.DataFrame(checkpoints, columns=_CHECKPOINTS, dtype="object"),
        repositories=known.drop_duplicates(["hub", "repo"], keep="last"),
    )
