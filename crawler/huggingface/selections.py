"""Which listings of the Hugging Face Hub hold image models: no single one shows them all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from crawler.evidence import families
from crawler.evidence.family_table import FAMILIES
from crawler.settings import CrawlerSettings


def selections(settings: CrawlerSettings) -> Sequence[str]:
    """Queries of the listings, each once, in the order they are walked.

    The operator's own, then, with `list_by_base`, what names a base model that the scanner knows, and what is
    a pipeline of a class that it knows: authors forget the other tags. Listings overlap.
    """
    tags = [*_bases(settings), *_classes()] if settings.list_by_base else []
    queries = [entry if "=" in entry else _tagged(entry) for entry in settings.include]
    return tuple(dict.fromkeys([*queries, *map(_tagged, tags)]))


def _tagged(tag: str) -> str:
    return urlencode({"filter": tag}, safe=":/")


def _bases(settings: CrawlerSettings) -> Iterator[str]:
    """The hub tags what was made from a base in whatever way with this and one more tag."""
    for family in FAMILIES:
        if family.scannable:
            named = [*family.bases, *filter(None, (family.labels or {}).values())]
            yield from (f"base_model:{repo}" for repo in named)
    yield from (f"base_model:{repo}" for repo in settings.base_models.values())


def _classes() -> Iterator[str]:
    names = [*families.AMBIGUOUS_PIPELINES]
    names += [name for family in FAMILIES if family.scannable for name in family.pipelines]
    yield from (f"diffusers:{name}" for name in names)
