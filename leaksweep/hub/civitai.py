"""Civitai's REST API, as far as a crawler goes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from leaksweep.hub.blob import Blob
from leaksweep.hub.changes import Changes, Schedule
from leaksweep.hub.civitai_listing import SORTS, Refused, filtered, listing, sort_key
from leaksweep.hub.civitai_rows import Json, by_id_row, hashes, is_listed, list_row, version_row
from leaksweep.hub.civitai_vocabulary import ENUMS, version_name
from leaksweep.hub.content import CivitaiFile, CivitaiModel, CivitaiVersion
from leaksweep.hub.editing import ModelEditor
from leaksweep.hub.faults import Striker
from leaksweep.hub.json_body import json_body
from leaksweep.hub.limits import Limits, Meter
from leaksweep.hub.shelf import Computed, Shelf
from leaksweep.hub.storage import LOGIN_PAGE, Storage

_BROWSER = re.compile("mozilla|chrome|safari|firefox|opera|edge", re.IGNORECASE)
_SHA256 = re.compile("[0-9a-fA-F]{64}")
_MAX_ID = 2**31 - 1
_MAX_HASHES, _MAX_HASH_IDS = 100, 10_000


Version = tuple[CivitaiModel, CivitaiVersion]


class Civitai:
    """Answers requests for a set of models."""

    def __init__(
        self,
        url: str,
        storage: Storage,
        striker: Striker,
        limits: Limits,
        meter: Meter,
        tokens: Collection[str],
        downloads_need_token: bool,
        schedule: Schedule | None = None,
    ) -> None:
        self._url = url
        self._storage = storage
        self._striker = striker
        self._limits = limits
        self._meter = meter
        self._tokens = tokens
        self._downloads_need_token = downloads_need_token
        self._schedule = schedule
        self.publish(())

    def publish(self, models: Sequence[CivitaiModel], computed: Computed[CivitaiModel] | None = None) -> None:
        """Serve these models from now on, and those that are computed."""
        orders = {sort: sort_key(sort) for sort in SORTS}
        self.shelf = Shelf(orders, _names, computed, models)
        self.changes = Changes(self.shelf, ModelEditor(), shown, self._schedule)
        self._held: dict[CivitaiFile, Blob] = {}

    def _blobs(self, file: CivitaiFile) -> Blob:
        """A file's bytes. Those that are on disk, or in memory anyway, are hashed once."""
        if callable(file.content):
            return Blob(file.content)
        return self._held.setdefault(file, Blob(file.content))

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        try:
            return await self._route(request, request.url.path.split("/")[1:])
        except Refused as refusal:
            return _json({"error": refusal.error}, refusal.status)

    async def _route(self, request: Request, segments: Sequence[str]) -> Response:
        url = self._url
        match segments:
            case ["api", "v1", "models"]:
                return self._list(request)
            case ["api", "v1", "models", text]:
                return _json(by_id_row(self._model(text), self._blobs, url))
            case ["api", "v1", "model-versions", "by-hash"] if request.method == "POST":
                # The real hub forgets its own name in this one answer.
                found = self._by_hashes(await _texts(request), _MAX_HASHES)
                return _json([version_row(*pair, self._blobs, "https://undefined") for _, pair in found])
            case ["api", "v1", "model-versions", "by-hash", "ids"] if request.method == "POST":
                found = self._by_hashes(await _texts(request), _MAX_HASH_IDS)
                ids = ((text, model.id, version.id) for text, (model, version) in found)
                return _json([{"hash": text, "modelId": m, "modelVersionId": v} for text, m, v in ids])
            case ["api", "v1", "model-versions", "by-hash", text]:
                model, version = self._by_hash(text)
                return _json(version_row(model, version, self._blobs, url))
            case ["api", "v1", "model-versions", text]:
                model, version = self._version(text)
                return _json(version_row(model, version, self._blobs, url))
            case ["api", "v1", "enums"]:
                return _json(ENUMS)
            case ["api", "v1", "me"]:
                me = {"id": 1000001, "username": "someone"}
                return _json(me) if self._member(request) else _unauthorized()
            case ["api", "download", "models", text]:
                return self._download(request, text)
            case ["login"]:
                return HTMLResponse(LOGIN_PAGE)
        page = "<!DOCTYPE html>\n<html><body>404: This page could not be found.</body></html>"
        return HTMLResponse(page, 404)

    def _list(self, request: Request) -> Response:
        query = request.query_params
        every = "ids" in query or "username" in query
        with self.shelf.lock:
            found = listing(self.shelf, query, member=self._member(request))
        if "ids" not in query:
            self.changes.after_listing()
        rows = [
            (model, list_row(model, self._blobs, self._url, every_availability=every))
            for model in found.models
        ]
        # Models that have versions but show none are dropped after the page was cut: a page may be short,
        # or empty, with more to come.
        items = [row for model, row in rows if row["modelVersions"] or not model.versions]
        metadata: Json = {"currentPage": found.page, "pageSize": found.limit} if found.page else {}
        if found.next_cursor:
            kept = [(key, value) for key, value in query.multi_items() if key not in ("cursor", "page")]
            following = urlencode([*kept, ("cursor", found.next_cursor)])
            metadata["nextCursor"] = found.next_cursor
            metadata["nextPage"] = f"{self._url}/api/v1/models?{following}"
        return _json({"items": items, "metadata": metadata})

    def _model(self, text: str) -> CivitaiModel:
        model_id = _id(text)
        model = self.shelf.find(str(model_id))
        if model is None or model.poi:
            raise Refused(404, f"No model with id {model_id}")
        return model

    def _versions(self) -> Iterator[Version]:
        """Yield what can be reached by id or hash: POI models too, as on the hub."""
        for model in self.shelf:
            for version in model.versions:
                if _reachable(version):
                    yield model, version

    def _version(self, text: str) -> Version:
        version_id = _id(text)
        model = self.shelf.find(version_name(version_id))
        for version in model.versions if model else ():
            if model and version.id == version_id and _reachable(version):
                return model, version
        raise Refused(404, "Model not found")

    def _oldest(self, wanted: Collection[str]) -> dict[str, Version]:
        """Return the oldest version with a file of each hash, of any kind: several may share one.

        All models are looked through, which takes seconds for a hundred thousand.
        """
        found: dict[str, Version] = {}
        for model, version in self._versions():
            known = {text for file in version.files for text in hashes(file, self._blobs(file)).values()}
            for text in known.intersection(wanted):
                if text not in found or version.published_at < found[text][1].published_at:
                    found[text] = model, version
        return found

    def _by_hash(self, text: str) -> Version:
        found = self._oldest({text.upper()})
        if not found:
            raise Refused(404, "Model not found")
        return found[text.upper()]

    def _by_hashes(self, texts: Sequence[str], limit: int) -> Iterator[tuple[str, Version]]:
        """Yield the version of each known SHA-256; the unknown are left out without a word."""
        if len(texts) > limit or any(not _SHA256.fullmatch(text) for text in texts):
            raise Refused(400, {"issues": [{"message": f"expected up to {limit} SHA-256 of 64 digits"}]})
        found = self._oldest({text.upper() for text in texts})
        yield from ((text, found[text.upper()]) for text in texts if text.upper() in found)

    def _download(self, request: Request, text: str) -> Response:
        """Redirect to the storage, or refuse; the refusals come in the hub's order."""
        member = self._member(request)
        caller = request.headers.get("authorization") or "anonymous"
        limit = self._limits.civitai_downloads
        if limit is not None and self._meter.spend(caller, "downloads", limit).exceeded:
            raise Refused(429, "We've noticed an unusual amount of downloading from your account.")
        model, version = self._version(text)
        file = _chosen(version, request)
        if model.poi or file is None:
            raise Refused(404, "File not found")
        if model.mode == "Archived":
            raise Refused(410, "Model archived, not available for download")
        if version.usage_control != "Download":
            return _unauthorized("The creator of this asset has disabled downloads on this file")
        if self._downloads_need_token and not member:
            if _BROWSER.search(request.headers.get("user-agent", "")):
                here = quote(request.url.path, safe="")
                return RedirectResponse(f"{self._url}/login?returnUrl={here}", 307)
            return _unauthorized("The creator of this asset requires you to be logged in to download it")
        if version.availability == "EarlyAccess":
            about = {"deadline": "2100-01-01T00:00:00.000Z", "message": "This asset is in Early Access."}
            return _json({"error": "Early Access"} | about, 403)
        if version.availability == "Private":
            return _json({"error": "Forbidden", "message": "You may not download this file"}, 403)
        return RedirectResponse(self._storage.sign(self._blobs(file), file.name), 307)

    def _member(self, request: Request) -> bool:
        """Tell whether a valid token came along. A bad one counts as none, silently, as on the hub."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return (token or request.query_params.get("token", "")) in self._tokens


def shown(query: QueryParams) -> Callable[[CivitaiModel], bool]:
    """Return whether the listing of a query has a model."""
    keep = filtered(query)
    return lambda model: keep(model) and is_listed(model)


def _names(model: CivitaiModel) -> list[str]:
    return [str(model.id), *(version_name(version.id) for version in model.versions)]


def _reachable(version: CivitaiVersion) -> bool:
    return version.status == "Published" and bool(version.nsfw_level)


def _chosen(version: CivitaiVersion, request: Request) -> CivitaiFile | None:
    """Return the file asked for by id, else the primary one; None for any query besides."""
    query = {key: value for key, value in request.query_params.items() if key != "token"}
    wanted = query.pop("fileId", None)
    if query:
        return None
    if wanted is not None:
        return next((file for file in version.files if str(file.id) == wanted), None)
    return next((file for file in version.files if file.primary), None)


def _id(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_ID:
        raise Refused(400, {"issues": [{"path": ["id"], "message": f"Invalid input: {text}"}]})
    return int(text)


async def _texts(request: Request) -> list[str]:
    try:
        texts = json.loads(await request.body())
    except ValueError as error:
        raise Refused(400, "Invalid JSON") from error
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refused(400, "Invalid input: expected an array of strings")
    return texts


def _unauthorized(message: str | None = None) -> Response:
    return _json({"error": "Unauthorized"} | ({"message": message} if message else {}), 401)


def _json(value: Any, status: int = 200) -> Response:
    return Response(json_body(value), status, media_type="application/json")
