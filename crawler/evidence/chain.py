"""From a checkpoint to its base, to the base's base, and so on: an adapter on a fine-tune on a base model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crawler.evidence.claims import BaseClaim
from crawler.evidence.families import family_of_repo
from crawler.evidence.resolve import Decision, resolve

MAX_DEPTH = 8
"""Links that are followed. Real chains have two or three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One step towards the first base."""

    base: str
    """"owner/name", or "civitai:version"."""
    claim: BaseClaim
    """Who says that the one before was made from it."""
    loadable: bool
    """Whether the scanner can have it in memory beside the fine-tune."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What stands behind a checkpoint, nearest first."""

    links: tuple[Link, ...]
    end: str
    """Why it ends: "a base model", "no claim", "a cycle back to owner/name", "too long"."""

    @property
    def nearest(self) -> Link | None:
        """What the scanner compares with: the first that can be loaded. What is nearer is not seen apart."""
        return next((link for link in self.links if link.loadable), None)

    @property
    def behind(self) -> tuple[str, ...]:
        """What stands behind the nearest that can be loaded."""
        nearest = self.nearest
        return tuple(link.base for link in self.links[self.links.index(nearest) + 1 :]) if nearest else ()

    @property
    def skipped(self) -> tuple[str, ...]:
        """Nearer relations that cannot be loaded: what they were taught is part of the difference, too."""
        nearest = self.nearest
        passed = self.links[: self.links.index(nearest)] if nearest else self.links
        return tuple(link.base for link in passed)


def chain(
    repo: str,
    claims_of: Callable[[str], Sequence[BaseClaim]],
    loadable: Callable[[str], bool] = lambda base: not base.startswith("civitai:"),
) -> Chain:
    """Walk from a repository, or a checkpoint under any name, to the first base; bounded.

    Args:
        claims_of: what is claimed of a name: `repo` first, then each base that was decided for.
        loadable: whether the scanner can have a base; repositories can be had, Civitai's single files cannot.
    """
    links: list[Link] = []
    seen, name, end = {repo.casefold()}, repo, "too long"
    while len(links) < MAX_DEPTH:
        decision = resolve(claims_of(name))
        step = _next(decision)
        if step is None or step.base is None:
            end = "a base model" if family_of_repo(name) else "no claim"
            break
        name = step.base
        if name.casefold() in seen:
            end = "a base model" if len(seen) == 1 else f"a cycle back to {name}"
            break
        seen.add(name.casefold())
        links.append(Link(base=name, claim=step, loadable=loadable(name)))
        # A version that only Civitai has leads on by the claims about the file itself, where it has none.
        if step is not decision.claim and decision.claim and not claims_of(name):
            stand_in = decision.claim
            if stand_in.base and stand_in.base.casefold() not in seen:
                seen.add(stand_in.base.casefold())
                links.append(Link(base=stand_in.base, claim=stand_in, loadable=loadable(stand_in.base)))
                name = stand_in.base
    return Chain(links=tuple(links[:MAX_DEPTH]), end=end)


def _next(decision: Decision) -> BaseClaim | None:
    """The nearest base that has a name; a digest alone leads nowhere."""
    return decision.nearest if decision.nearest and decision.nearest.base else decision.claim
