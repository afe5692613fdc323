"""A row of a dump, in whatever form its columns have, as the hub's API would give it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_FALSE = frozenset({"", "false", "no", "none", "null", "0"})


def api_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same row with the API's types.

    Tables and lists may come as JSON text, flags as text, dates as such; tables of Parquet hold every key of
    every row, most of them empty.
    """
    found = dict(row)
    for name in ("cardData", "config"):
        if name in found:
            found[name] = _decoded(found[name])
    if "tags" in found:
        found["tags"] = texts(found["tags"])
    if "siblings" in found:
        found["siblings"] = _siblings(_decoded(found["siblings"]))
    if "baseModels" in found:
        found["baseModels"] = _base_models(_decoded(found["baseModels"]))
    for name in ("gated", "disabled", "private"):
        value = found.get(name)
        if isinstance(value, str) and value.strip().casefold() in _FALSE:
            found[name] = False
    for name in ("createdAt", "lastModified"):
        value = found.get(name)
        if isinstance(value, datetime):
            found[name] = (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    downloads = found.get("downloads")
    if isinstance(downloads, float) and downloads.is_integer():
        found["downloads"] = int(downloads)
    return found


def texts(value: Any) -> list[str]:
    """The texts of a list, or of a JSON list."""
    value = _decoded(value)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _siblings(value: Any) -> list[Any] | None:
    """Files as tables with their names; None when the dump does not tell, which is not the same as none."""
    if not isinstance(value, list):
        return None
    return [{"rfilename": item} if isinstance(item, str) else item for item in value]


def _base_models(value: Any) -> Any:
    """The relation and the bases; a list of bases may come without the relation, or with one each."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        return value
    models = [{"id": item} if isinstance(item, str) else item for item in value]
    relations = {item.get("relation") for item in models if isinstance(item, dict)} - {None}
    return {"relation": relations.pop() if len(relations) == 1 else None, "models": models}


def _decoded(value: Any) -> Any:
    """JSON text decoded; a text that is no JSON stays one."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
