"""Whose file is this? Civitai's look-up by SHA-256, many at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import httpx

from crawler.checkpoint import Hub
from crawler.civitai.api import AnswerError, Api
from crawler.civitai.rows import is_id
from crawler.evidence import families
from crawler.evidence.identity import Identity
from crawler.evidence.plain_text import clean

MAX_DIGESTS = 10_000
"""SHA-256 in one question; the hub's limit."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


def identify(client: httpx.Client, digests: Sequence[str]) -> Mapping[str, Identity]:
    """The digests that Civitai knows, each with its model's version. The others are left out.

    One file may lie in a hundred models: the hub answers with its oldest, which need not be its author's. It
    does not leave out here what its listings hide; such a model has no title and no family. The addresses of
    downloads in these answers name no host, and are not read.

    Args:
        digests: SHA-256 as 64 hex digits; anything else is passed over.

    Raises:
        SourceError: the hub does not answer, or not as documented.
    """
    api = Api(client)
    wanted = list(dict.fromkeys(low for text in digests if _SHA256.fullmatch(low := text.lower())))
    places: dict[str, tuple[int, int]] = {}
    for start in range(0, len(wanted), MAX_DIGESTS):
        some = wanted[start : start + MAX_DIGESTS]
        known = set(some)
        for digest, place in _places(api, some):
            if digest in known:
                # Of several places the smallest version: whatever the order of the answer, the same.
                places[digest] = min(place, places.get(digest, place), key=lambda pair: pair[1])
    versions = _versions(api, {model for model, _ in places.values()})
    return {digest: _identity(*place, versions) for digest, place in places.items()}


def _places(api: Api, digests: Sequence[str]) -> Iterable[tuple[str, tuple[int, int]]]:
    content = api.ask("POST", "/api/v1/model-versions/by-hash/ids", json=list(digests))
    if not isinstance(content, list):
        raise AnswerError("civitai: the look-up by hash answers with no list")
    for entry in content:
        match entry:
            case {"hash": str(text), "modelId": model, "modelVersionId": version} if is_id(model) and is_id(
                version
            ):
                yield text.lower(), (model, version)


def _versions(api: Api, models: Iterable[int]) -> dict[int, tuple[str, str | None]]:
    """Title and family of every version of these models, by its id, as far as the hub lists them."""
    found: dict[int, tuple[str, str | None]] = {}
    listed, _ = api.by_ids(sorted(models))
    for model in listed:
        versions = model.get("modelVersions")
        for version in versions if isinstance(versions, list) else ():
            if isinstance(version, dict) and is_id(version.get("id")):
                found[version["id"]] = _title(model, version), _family(version)
    return found


def _identity(model: int, version: int, versions: Mapping[int, tuple[str, str | None]]) -> Identity:
    title, family = versions.get(version, ("", None))
    return Identity(hub=Hub.CIVITAI, repo=str(model), revision=str(version), title=title, family=family)


def _title(model: Mapping[str, Any], version: Mapping[str, Any]) -> str:
    names = (part for part in (model.get("name"), version.get("name")) if isinstance(part, str))
    return clean(" ".join(names))


def _family(version: Mapping[str, Any]) -> str | None:
    family = families.family_of_label(str(version.get("baseModel")))
    return None if family == families.UNKNOWN else family
