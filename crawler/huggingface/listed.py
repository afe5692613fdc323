"""What a listing tells of one repository, as far as a look into it needs it; kept as JSON in between."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from crawler.checkpoint import (
    BaseClaim,
    Grade,
    Hub,
    Kind,
    Listing,
    Skip,
    SkipReason,
)
from crawler.evidence import families

_to_json = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A row's words on its weights. No counters: while its facts stay the same, nothing is asked again."""

    adapter: bool = False
    """Whether the tags or the relation to the base say that it holds adapters."""
    pipeline: str | None = None
    """Class name of the diffusers pipeline."""
    named: tuple[tuple[str, str], ...] = ()
    """Bases as they were written down, each with who said so, the most trustworthy first."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """The card's fields that tell of prompts and training, cut short."""

    def to_json(self) -> str:
        """What differs from nothing known, for `from_json`."""
        said = {"adapter": self.adapter, "pipeline": self.pipeline, "named": self.named, "card": self.card}
        return _to_json({name: value for name, value in said.items() if value})

    @classmethod
    def from_json(cls, text: str) -> Facts:
        """Read what `to_json` wrote."""
        said = json.loads(text or "{}")
        return cls(
            adapter=said.get("adapter", False),
            pipeline=said.get("pipeline"),
            named=tuple((name, source) for name, source in said.get("named", ())),
            card=said.get("card", {}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A repository that may hold checkpoints, as far as the listing tells."""

    repo: str
    revision: str
    facts: Facts
    downloads: int | None = None
    updated_at: str | None = None

    @classmethod
    def of(cls, listing: Listing) -> Listed:
        return cls(
            repo=listing.repo,
            revision=listing.revision,
            facts=Facts.from_json(listing.facts),
            downloads=listing.downloads,
            updated_at=listing.updated_at,
        )

    @property
    def claims(self) -> tuple[BaseClaim, ...]:
        """Who says what about the base; each repository once, by the best of its sources."""
        claims: dict[str, BaseClaim] = {}
        for name, source in self.facts.named:
            if claim := declared(name, source):
                claims.setdefault((claim.repo or "").casefold(), claim)
        return tuple(claims.values())

    def skip(
        self,
        reason: SkipReason,
        detail: str,
        *,
        path: str = "",
        kind: Kind | None = None,
        family: str | None = None,
    ) -> Skip:
        return Skip(
            hub=Hub.HUGGINGFACE,
            repo=self.repo,
            revision=self.revision,
            path=path,
            reason=reason,
            detail=detail,
            kind=kind,
            family=family,
        )


@lru_cache(maxsize=4096)
def declared(name: str, source: str) -> BaseClaim | None:
    """The claim that the base is the repository of this name; None where it is no repository's name."""
    repo = families.repo_name(name)
    if repo is None:
        return None
    family = families.family_of_repo(repo)
    return BaseClaim(repo=repo, family=family, source=source, grade=Grade.DECLARED)
