"""Strangers' words and places as SARIF writes them."""

from __future__ import annotations

from typing import Any

from reports.export.links import relative
from reports.export.text import visible
from reports.export.typed import Row


def plain(text: str) -> str:
    """Return text that stands for itself in a SARIF message, where [](), {0} and backslash have a meaning,
    with what cannot be seen in it named."""
    text = visible(text).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return text.replace("{", "{{").replace("}", "}}")


def location(row: Row) -> dict[str, Any]:
    """Return where a row's checkpoint is.

    The URI is relative and without a scheme, as a path under the hub's name: GitHub refuses the whole log
    for one that begins with https. The page for people is in the properties, the id in the logical location.
    """
    if row["repo"] is None:
        hub, _, rest = row["checkpoint_id"].partition(":")
        uri = relative(hub, rest, "", "")
    else:
        uri = relative(row["hub"], row["repo"], row["revision"], row["path"])
    found: dict[str, Any] = {
        # A place in a file is what GitHub wants to see; a weights file has no lines.
        "physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": 1}},
        "logicalLocations": [{"fullyQualifiedName": row["checkpoint_id"], "kind": "resource"}],
    }
    if row["url"] is not None:
        found["properties"] = {"page": row["url"]}
    return found
