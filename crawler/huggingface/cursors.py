"""Cursors of the Hugging Face Hub: what the link to the next page adds to our own query.

Without the host and without our parameters a cursor outlives a change of endpoint, of page size and of the
fields that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

_OURS = frozenset({"expand", "expand[]", "filter", "limit", "recursive", "sort"})


class NoCursor(ValueError):
    """A link to a next page that leads to this one again."""


def following(response: Any, asked: Iterable[tuple[str, str]]) -> str | None:
    """The cursor of the next page, as a query; None after the last.

    Args:
        response: of httpx or httpx2.
        asked: our own query.

    Raises:
        NoCursor: there is a next page, and no cursor that leads to it.
    """
    link = response.links.get("next", {}).get("url")
    if not link:
        return None
    ours = _OURS | {name for name, _ in asked}
    added = [pair for pair in parse_qsl(urlsplit(link).query) if pair[0] not in ours]
    if not added:
        raise NoCursor("the link to the next page has no cursor")
    return urlencode(added)


def unpacked(cursor: str | None) -> list[tuple[str, str]]:
    """The parameters that a cursor stands for; none at the beginning."""
    return parse_qsl(cursor or "")
