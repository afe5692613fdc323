"""Whether an author asks not to be processed by machines. Such a wish is obeyed: the checkpoint is a skip.

No hub has a field for it, so that authors use the words that web pages and picture files have for it. Which
ones count is listed in docs/base-models.md; a wish is read from fields that hold wishes, never from prose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

WORDS = frozenset(
    {"noai", "noimageai", "nomachinelearning", "noscan", "noscanning", "donotscan", "nocrawl", "donotcrawl"}
    | {"noindex", "noresearch", "notdm", "noleaksweep"}
)
"""As tags of a repository or a card, with or without hyphens, underscores and blanks."""
FIELDS = ("robots", "x-robots-tag", "ai", "ai-usage", "tdm-reservation", "leaksweep", "modelspec.robots")
"""Fields of a card, and keys of a header, that hold a wish."""
_FIELD_WORDS = WORDS | {"none", "no", "deny", "disallow", "optout", "false"}
_MAX_TAGS = 10_000


def wishes(card: object, tags: Iterable[object], metadata: Mapping[str, object]) -> str | None:
    """The first wish not to be processed, in words for a person; None when there is none.

    Args:
        card: metadata of a model card; anything that is no table is an empty one.
        tags: of the repository or the model.
        metadata: of a weights file's header.
    """
    for tag in islice(tags, _MAX_TAGS):
        if _folded(tag) in WORDS:
            return f"its tag {_folded(tag)!r} asks not to be processed"
    fields: Mapping[str, object] = card if isinstance(card, dict) else {}
    for where, table in (("card", fields), ("header", metadata)):
        for name, word in _fields(table):
            return f"its {where}'s {name}: {word} asks not to be processed"
    for tag in islice(_values(fields.get("tags")), _MAX_TAGS):
        if _folded(tag) in WORDS:
            return f"its card's tag {_folded(tag)!r} asks not to be processed"
    return None


def _fields(table: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the fields that hold a wish, with the word that is one. A reservation says 1 or true."""
    for key in islice(table, _MAX_TAGS):
        name = str(key)[:40].strip().casefold().replace("_", "-")
        if name not in FIELDS:
            continue
        for value in islice(_values(table[key]), 100):
            word = _folded(value)
            reserved = name == "tdm-reservation"
            if word in ({"1", "true", "yes"} if reserved else _FIELD_WORDS):
                yield name, word


def _values(value: object) -> Iterator[object]:
    """The words of a field: a list, or one text with commas."""
    if isinstance(value, (list, tuple)):
        yield from value
    elif isinstance(value, str):
        yield from value[:1000].split(",")
    elif isinstance(value, (bool, int)):
        yield value


def _folded(word: object) -> str:
    text = str(word)[:60].casefold() if isinstance(word, (str, bool, int)) else ""
    return re.sub(r"[\s_-]", "", text)
