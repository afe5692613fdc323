"""From claims to one base model: which claim is taken, and who says otherwise. Pure, and in any order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from crawler.evidence.claims import BaseClaim, Grade

_MOVED = {
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "runwayml/stable-diffusion-inpainting": "stable-diffusion-v1-5/stable-diffusion-inpainting",
}
"""Repositories that cards name although they are gone: the same model lives on under another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A claim that was not followed."""

    claim: BaseClaim
    why: str
    """For a person: what it says against what was decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a checkpoint's claims come to."""

    claim: BaseClaim | None
    """The one that names the repository to compare with; None when none does."""
    family: str | None
    """None when no claim knows."""
    family_claim: BaseClaim | None
    """Who says so."""
    nearest: BaseClaim | None
    """The best claim that names anything: a repository, a version on Civitai, or a digest. Where it is
    another than `claim`, the true base is a nearer relation that cannot be compared with, or is not known."""
    conflicts: tuple[Conflict, ...] = ()

    @property
    def repo(self) -> str | None:
        """The repository to compare with."""
        return self.claim.repo if self.claim else None

    @property
    def grade(self) -> Grade | None:
        """How well the repository is known."""
        return self.claim.grade if self.claim else None


def resolve(claims: Iterable[BaseClaim]) -> Decision:
    """Pick the base. The order of the claims does not matter.

    The tensors decide the family, or among which families it is, and what contradicts them is not taken,
    whatever its grade. Among the rest the best grade wins; of equals the base that more claims name, then one
    whose family is known, then the first by name.
    """
    ordered = sorted(set(claims), key=_fixed_order)
    proof = {claim.known_family for claim in ordered if claim.grade is Grade.TENSORS and claim.known_family}
    votes: dict[str, int] = {}
    for claim in ordered:
        if claim.base:
            votes[_same(claim.base)] = votes.get(_same(claim.base), 0) + 1
    fitting = [claim for claim in ordered if not _contradicts(claim, proof)]

    def merit(claim: BaseClaim) -> tuple[int, int, bool]:
        # max() takes the first of equals, which the fixed order has settled.
        return claim.grade, votes.get(_same(claim.base or ""), 0), claim.known_family is not None

    chosen = max((claim for claim in fitting if claim.repo), key=merit, default=None)
    nearest = max((claim for claim in fitting if claim.base or claim.digest), key=merit, default=None)
    if chosen and nearest and chosen.grade == nearest.grade:
        nearest = chosen
    teller = _family_claim(fitting, chosen)
    family = teller.known_family if teller else None
    return Decision(
        claim=chosen,
        family=family,
        family_claim=teller,
        nearest=nearest,
        conflicts=tuple(_conflicts(ordered, chosen, family, proof)),
    )


def best_first(claims: Iterable[BaseClaim]) -> tuple[BaseClaim, ...]:
    """All claims, each once, best grade first; within a grade in their order."""
    return tuple(sorted(dict.fromkeys(claims), key=lambda claim: -claim.grade))


def _family_claim(claims: Sequence[BaseClaim], chosen: BaseClaim | None) -> BaseClaim | None:
    """Who tells the family: the tensors if they leave one, else the chosen claim, else the best that knows.

    Where the tensors leave several and nobody else says which, none is invented.
    """
    knowing = [claim for claim in claims if claim.known_family]
    proof = [claim for claim in knowing if claim.grade is Grade.TENSORS]
    if len({claim.family for claim in proof}) == 1:
        return proof[0]
    if chosen and chosen.known_family:
        return chosen
    others = (claim for claim in knowing if claim.grade is not Grade.TENSORS)
    return max(others, key=lambda claim: claim.grade, default=None)


def _conflicts(
    claims: Iterable[BaseClaim], chosen: BaseClaim | None, family: str | None, proof: Collection[str]
) -> Iterator[Conflict]:
    for claim in claims:
        if claim.grade is Grade.TENSORS:
            continue
        if _contradicts(claim, proof):
            why = f"it says {claim.family}; the tensors prove {' or '.join(sorted(proof))}"
            yield Conflict(claim=claim, why=why)
        elif family and _contradicts(claim, {family}):
            yield Conflict(claim=claim, why=f"it says {claim.family}; {family} is better attested")
        elif claim.repo and chosen and chosen.repo and _same(claim.repo) != _same(chosen.repo):
            standing = "of the same grade" if claim.grade is chosen.grade else "of a better grade"
            yield Conflict(
                claim=claim, why=f"it names {claim.repo}; {chosen.repo} by {chosen.source} is {standing}"
            )


def _contradicts(claim: BaseClaim, families: Collection[str]) -> bool:
    return bool(families and claim.known_family and claim.known_family not in families)


def _same(name: str) -> str:
    """One name for what several names stand for; hubs do not tell upper from lower case."""
    folded = name.casefold()
    return _MOVED.get(folded, folded)


def _fixed_order(claim: BaseClaim) -> tuple[str, ...]:
    said = (claim.repo, claim.civitai_version, claim.digest, claim.family, claim.source, claim.detail)
    return tuple(text or "" for text in (*said, f"{claim.grade:02d}"))
