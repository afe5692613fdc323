"""The HTTP library under huggingface_hub: httpx until 1.x, httpx2 since 2.0: alike, and not the same."""

from __future__ import annotations

from huggingface_hub.utils import httpx as hub_httpx  # type: ignore[attr-defined]  # no declared export

__all__ = ["hub_httpx"]
