"""Civitai's REST API, as far as a crawler goes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from leaksweep.hub.blob import Blob
from leaksweep.hub.changes import Changes, Schedule
from leaksweep.hub.civitai_answers import json_answer, unauthorized
from leaksweep.hub.civitai_downloads import Downloads, Version
from leaksweep.hub.civitai_listing import MAX_PAGE, SORTS, Refused, filtered, first_cursor, listing, sort_key
from leaksweep.hub.civitai_rows import (
    Json,
    by_id_row,
    hashes,
    is_listed,
    list_row,
    shown_versions,
    version_row,
)
from leaksweep.hub.civitai_vocabulary import ENUMS, version_name
from leaksweep.hub.content import CivitaiFile, CivitaiModel, CivitaiVersion
from leaksweep.hub.disguises import Disguises
from leaksweep.hub.editing import ModelEditor
from leaksweep.hub.faults import Striker
from leaksweep.hub.paging import Paging
from leaksweep.hub.shelf import Computed, Shelf
from leaksweep.hub.storage import LOGIN_PAGE

_SHA256 = re.compile("[0-9a-fA-F]{64}")
_MAX_ID = 2**31 - 1
_MAX_HASHES, _MAX_HASH_IDS = 100, 10_000


class Civitai:
    """Answers requests for a set of models."""

    def __init__(
        self,
        url: str,
        striker: Striker,
        downloads: Downloads,
        paging: Paging,
        foreign_url: str,
        schedule: Schedule | None = None,
    ) -> None:
        self._url = url
        self._striker = striker
        self._downloads = downloads
        self._paging = paging
        self._foreign_url = foreign_url
        self._schedule = schedule
        self._disguises = Disguises(striker)
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
            return self._disguises.file(file)
        if file not in self._held:
            self._held[file] = self._disguises.file(file)
        return self._held[file]

    def _stated(self, file: CivitaiFile) -> Blob:
        """A file as the answers speak of it."""
        return self._disguises.statement(file, self._blobs(file))

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        try:
            return await self._route(request, request.url.path.split("/")[1:])
        except Refused as refusal:
            return json_answer({"error": refusal.error}, refusal.status)

    async def _route(self, request: Request, segments: Sequence[str]) -> Response:
        url = self._url
        match segments:
            case ["api", "v1", "models"]:
                return self._list(request)
            case ["api", "v1", "models", text]:
                return json_answer(by_id_row(self._model(text), self._stated, url))
            case ["api", "v1", "model-versions", "by-hash"] if request.method == "POST":
                # The real hub forgets its own name in this one answer.
                found = self._by_hashes(await _texts(request), _MAX_HASHES)
                return json_answer(
                    [version_row(*pair, self._stated, "https://undefined") for _, pair in found]
                )
            case ["api", "v1", "model-versions", "by-hash", "ids"] if request.method == "POST":
                found = self._by_hashes(await _texts(request), _MAX_HASH_IDS)
                ids = ((text, model.id, version.id) for text, (model, version) in found)
                return json_answer([{"hash": text, "modelId": m, "modelVersionId": v} for text, m, v in ids])
            case ["api", "v1", "model-versions", "by-hash", text]:
                model, version = self._by_hash(text)
                return json_answer(version_row(model, version, self._stated, url))
            case ["api", "v1", "model-versions", text]:
                model, version = self._version(text)
                return json_answer(version_row(model, version, self._stated, url))
            case ["api", "v1", "enums"]:
                return json_answer(ENUMS)
            case ["api", "v1", "me"]:
                me = {"id": 1000001, "username": "someone"}
                return json_answer(me) if self._downloads.is_member(request) else unauthorized()
            case ["api", "download", "models", text]:
                return self._downloads.answer(request, partial(self._version, text), self._blobs)
            case ["login"]:
                return HTMLResponse(LOGIN_PAGE)
        page = "<!DOCTYPE html>\n<html><body>404: This page could not be found.</body></html>"
        return HTMLResponse(page, 404)

    def _list(self, request: Request) -> Response:
        if self._paging.refuses(request):
            raise Refused(400, f"Invalid cursor: {request.query_params['cursor']}")
        query = self._paging.query(request, MAX_PAGE)
        every = "ids" in query or "username" in query
        with self.shelf.lock:
            found = listing(self.shelf, query, member=self._downloads.is_member(request))
        if "ids" not in query:
            self.changes.after_listing()
        for model in found.models:
            self._break_on(model)
        # Models that have versions but show none are dropped after the page was cut: a page may be short,
        # or empty, with more to come.
        items = [
            list_row(model, self._stated, self._url, every_availability=every)
            for model in found.models
            if not model.versions or shown_versions(model, every_availability=every)
        ]
        cursor, turn = found.next_cursor, self._paging.turn(request)
        if turn != "next" and found.models:
            cursor = query.get("cursor") or first_cursor(query, found.models[0])
        metadata: Json = {"currentPage": found.page, "pageSize": found.limit} if found.page else {}
        if cursor:
            self._paging.issue(cursor)
            host = self._foreign_url if self._paging.leads_away(request) else self._url
            asked = request.query_params.multi_items()
            kept = [(key, value) for key, value in asked if key not in ("cursor", "page")]
            metadata["nextCursor"] = cursor
            metadata["nextPage"] = f"{host}/api/v1/models?{urlencode([*kept, ('cursor', cursor)])}"
        return json_answer({"items": [] if turn == "empty" else items, "metadata": metadata})

    def _break_on(self, model: CivitaiModel) -> None:
        """Refuse the whole answer where one row is bad, as the hub does (civitai#926)."""
        if self._striker.afflicts("bad_row", f"civitai/models/{model.id}/"):
            raise Refused(500, "An unexpected error occurred")

    def _model(self, text: str) -> CivitaiModel:
        model_id = _id(text)
        model = self.shelf.find(str(model_id))
        if model is None or model.poi or self._is_missing(f"models/{text}"):
            raise Refused(404, f"No model with id {model_id}")
        self._break_on(model)
        return model

    def _is_missing(self, what: str) -> bool:
        return self._striker.strikes("false_missing", f"civitai/api/v1/{what}")

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
                self._break_on(model)
                if self._is_missing(f"model-versions/{text}"):
                    break
                return model, version
        raise Refused(404, "Model not found")

    def _oldest(self, wanted: Collection[str]) -> dict[str, Version]:
        """Return the oldest version with a file of each hash, of any kind: several may share one.

        All models are looked through, which takes seconds for a hundred thousand.
        """
        found: dict[str, Version] = {}
        for model, version in self._versions():
            known = {text for file in version.files for text in hashes(file, self._stated(file)).values()}
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


def shown(query: QueryParams) -> Callable[[CivitaiModel], bool]:
    """Return whether the listing of a query has a model."""
    keep = filtered(query)
    return lambda model: keep(model) and is_listed(model)


def _names(model: CivitaiModel) -> list[str]:
    return [str(model.id), *(version_name(version.id) for version in model.versions)]


def _reachable(version: CivitaiVersion) -> bool:
    return version.status == "Published" and bool(version.nsfw_level)


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
