"""Digests that headers name and no table knows: which to look up, and what an answer makes of a claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from crawler.checkpoint import Hub
from crawler.evidence.claims import BaseClaim
from crawler.evidence.families import UNKNOWN
from crawler.evidence.plain_text import clean


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose file a digest is: found in the catalog, or by Civitai's look-up by hash."""

    hub: Hub
    repo: str
    """As in Checkpoint: "owner/name", or Civitai's model id."""
    revision: str
    """Commit, or Civitai's version id."""
    title: str = ""
    family: str | None = None


def unknown_digests(claims: Iterable[BaseClaim]) -> tuple[str, ...]:
    """Digests to look up, each once, in order: those of claims that name no base beside it."""
    return tuple(dict.fromkeys(claim.digest for claim in claims if claim.digest and claim.base is None))


def with_identity(claims: Iterable[BaseClaim], found: Mapping[str, Identity]) -> tuple[BaseClaim, ...]:
    """The claims, those with a digest that was found with the base that it is.

    The grade stays: it is the same statement, and now one knows of whom. The same file may lie in many
    places; whichever is given stands for all.
    """
    return tuple(_named(claim, found.get(claim.digest or "")) for claim in claims)


def _named(claim: BaseClaim, identity: Identity | None) -> BaseClaim:
    if identity is None or claim.base is not None:
        return claim
    family = claim.known_family or (None if identity.family == UNKNOWN else identity.family)
    place = f"{identity.hub} {identity.repo}@{identity.revision[:12]} {identity.title}"
    if identity.hub is Hub.CIVITAI:
        return replace(claim, family=family, civitai_version=identity.revision, detail=clean(place, 200))
    return replace(claim, family=family, repo=identity.repo, detail=clean(place, 200))
