"""One checkpoint asked with several prompts: its generations shared out, and what came back put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from extraction.extraction import Extraction
from extraction.recipe import Recipe

if TYPE_CHECKING:
    from extraction.rounds import Progress

Found = tuple[list[Extraction], dict[str, Any]]
"""Extractions, best first, and what they cost: what `extraction.extract.extract` returns."""

LEAST = 2
"""Generations for a prompt: below that nothing can come back twice."""


def shares(generations: int, prompts: int) -> list[int]:
    """Generations of each prompt: equal parts, the rest to the best; none for those that get too few."""
    asked = max(1, min(prompts, generations // LEAST))
    each, rest = divmod(generations, asked)
    return [each + rest, *[each] * (asked - 1)] + [0] * (prompts - asked)


def extract_shared(
    extract: Callable[[str, int, Progress], Found],
    prompts: Sequence[str],
    *,
    recipe: Recipe,
    generations: int,
    pictures: int,
    progress: Progress | None,
) -> Found:
    """Extract with each prompt for its share of the generations, and keep the best `pictures` of all.

    The n-th generation of every prompt has the noise of the recipe's seed + n. One prompt is the plain
    extraction, unchanged.

    Args:
        extract: (prompt, generations, progress) -> what came back.
    """

    def from_here(before: int) -> Progress:
        def told(done: int, _total: int) -> None:
            if progress is not None:
                progress(before + done, generations)

        return told

    parts = shares(generations, len(prompts))
    found = [
        extract(prompt, part, from_here(sum(parts[:index])))
        for index, (prompt, part) in enumerate(zip(prompts, parts, strict=True))
        if part
    ]
    if len(found) == 1:
        return found[0]
    # The published search keeps all of its cliques, whatever N_0 is.
    limit = None if recipe.clustering == "cliques" and recipe.published_quirks else pictures
    extractions = merge([rows for rows, _ in found], recipe.cluster_similarity, limit)
    return extractions, {**added([measures for _, measures in found]), "prompts": len(found)}


def merge(found: Sequence[Sequence[Extraction]], radius: float, limit: int | None) -> list[Extraction]:
    """The best extractions of several prompts, ranked anew, each picture once.

    Args:
        radius: cosine similarity of descriptors from which on two are the same picture; the one of the
            higher score stays, and of equal scores the one of the earlier prompt.
        limit: most extractions returned; None for all.
    """
    rows = [(-one.score, index, one) for index, part in enumerate(found) for one in part]
    kept: list[Extraction] = []
    for _, _, one in sorted(rows, key=lambda row: (row[0], row[1], row[2].rank)):
        if len(kept) == limit:
            break
        if all(float(one.descriptor @ other.descriptor) < radius for other in kept):
            kept.append(one)
    return [replace(one, rank=rank) for rank, one in enumerate(kept)]


def added(measures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts summed up, lists joined, and similarities averaged."""
    totals: dict[str, Any] = {}
    for name in measures[0]:
        values = [one[name] for one in measures]
        if isinstance(values[0], list):
            totals[name] = [item for value in values for item in value]
        elif isinstance(values[0], float):
            totals[name] = sum(values) / len(values)
        else:
            totals[name] = sum(values)
    return totals
