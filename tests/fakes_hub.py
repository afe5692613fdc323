"""Listings of the local hub, read to their end by the links that they give."""

from __future__ import annotations

from typing import Any

import httpx

from leaksweep.hub import LocalHub


def repos(hub: LocalHub, query: str) -> list[Any]:
    """All rows of a listing of Hugging Face."""
    rows: list[Any] = []
    url: str | None = f"{hub.url}/api/models?{query}"
    with httpx.Client() as client:
        while url:
            answer = client.get(url)
            rows += answer.json()
            url = answer.links.get("next", {}).get("url")
    return rows


def models(hub: LocalHub, query: str) -> list[Any]:
    """All rows of a listing of Civitai, walked by the link it gives."""
    rows: list[Any] = []
    url: str | None = f"{hub.civitai_url}/api/v1/models?{query}"
    with httpx.Client() as client:
        while url:
            answer = client.get(url).json()
            rows += answer["items"]
            url = answer["metadata"].get("nextPage")
    return rows
