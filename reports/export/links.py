"""Where a checkpoint can be looked at: a page of its hub, or a name that leads nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from crawler.checkpoint import Hub

PUBLIC: Mapping[str, str] = {
    Hub.HUGGINGFACE: "https://huggingface.co",
    Hub.CIVITAI: "https://civitai.com",
}
"""Addresses for people. A run against another endpoint, such as the demo's, passes an empty mapping."""


def hub_page(hubs: Mapping[str, str], hub: str, repo: str, revision: str, path: str) -> str | None:
    """Return the address of a checkpoint's page; None for a hub without one. Names are percent-encoded."""
    if hub not in hubs:
        return None
    if hub == Hub.CIVITAI:
        return f"{hubs[hub]}/models/{quote(repo, safe='')}?modelVersionId={quote(revision, safe='')}"
    where = f"{hubs[hub]}/{quote(repo)}/{'blob' if path else 'tree'}/{quote(revision or 'main', safe='')}"
    return f"{where}/{quote(path)}" if path else where


def relative(hub: str, repo: str, revision: str, path: str) -> str:
    """Return a relative URI that names a checkpoint: never an address, never a local path, no way upwards."""
    where = [hub, *f"{repo}@{revision}".split("/"), *(path.split("/") if path else ())]
    return "/".join(quote(part, safe="@") if part.strip(".") else "%2E" * len(part) for part in where)
