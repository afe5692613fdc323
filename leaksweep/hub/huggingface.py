"""The Hugging Face Hub's API, as far as a crawler goes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import parse_qs, unquote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from leaksweep.hub.changes import Changes, Schedule
from leaksweep.hub.content import HubRepo
from leaksweep.hub.delivery import deliver
from leaksweep.hub.disguises import Disguises
from leaksweep.hub.editing import RepoEditor
from leaksweep.hub.faults import Striker
from leaksweep.hub.huggingface_answers import answer, link_next, moved, refusal
from leaksweep.hub.huggingface_listing import MAX_PAGE, SORTS, BadQuery, first_cursor, page, shown, sort_key
from leaksweep.hub.huggingface_rows import EXPANDABLE, FULL_FIELDS, INFO_FIELDS, LIST_FIELDS, Served, row
from leaksweep.hub.limits import Limits, Meter
from leaksweep.hub.paging import Paging
from leaksweep.hub.shelf import Computed, Shelf
from leaksweep.hub.storage import Storage

TREE_PAGE, EXPANDED_TREE_PAGE = 1000, 50
"""Entries of a page of a tree."""


class HuggingFace:
    """Answers requests for a set of repositories."""

    def __init__(
        self,
        url: str,
        storage: Storage,
        striker: Striker,
        limits: Limits,
        meter: Meter,
        tokens: Mapping[str, Collection[str]],
        paging: Paging,
        foreign_url: str,
        schedule: Schedule | None = None,
    ) -> None:
        self._url = url
        self._storage = storage
        self._striker = striker
        self._limits = limits
        self._meter = meter
        self._tokens = tokens
        self._schedule = schedule
        self._paging = paging
        self._disguises = Disguises(striker)
        self._foreign_url = foreign_url
        self.publish(())

    def publish(self, repos: Sequence[HubRepo], computed: Computed[Served] | None = None) -> None:
        """Serve these repositories from now on, and those that are computed."""
        orders = {sort: sort_key(sort) for sort in SORTS}
        self.shelf = Shelf(orders, lambda served: served.repo.names, computed, map(Served, repos))
        self.changes = Changes(self.shelf, RepoEditor(), shown, self._schedule)

    async def __call__(self, request: Request) -> Response:
        """Answer one request, with the headers that every answer has."""
        segments = [unquote(part) for part in request.scope["raw_path"].decode().split("/")[1:]]
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        bucket, quota = self._bucket(segments)
        standing = self._meter.spend(token or "anonymous", bucket, quota)
        if standing.exceeded:
            response = refusal(429, "We had to rate limit you. Please retry later.")
        elif token and token not in self._tokens:
            response = refusal(401, "Invalid credentials in Authorization header")
        else:
            response = await self._route(request, segments, token)
        response.headers.update(standing.headers())
        return response

    def _bucket(self, segments: Sequence[str]) -> tuple[str, int]:
        if segments[0] == "api":
            return "api", self._limits.api
        if "resolve" in segments:
            return "resolvers", self._limits.resolvers
        return "pages", self._limits.pages

    async def _route(self, request: Request, segments: Sequence[str], token: str) -> Response:
        match segments:
            case ["api", "models"]:
                return self._list(request)
            case ["api", "whoami-v2"] if token:
                return answer(
                    {
                        "type": "user",
                        "id": hashlib.sha256(token.encode()).hexdigest()[:24],
                        "name": "someone",
                        "orgs": [],
                    }
                )
            case ["api", "whoami-v2"]:
                return refusal(401, "Invalid username or password.")
            case ["api", "models", owner, name, *rest]:
                served = self._find(request, f"{owner}/{name}", token)
                return served if isinstance(served, Response) else await self._about(request, served, rest)
            case [owner, name, "resolve", revision, *path]:
                served = self._find(request, f"{owner}/{name}", token)
                if isinstance(served, Response):
                    return served
                return self._resolve(request, served, revision, "/".join(path), token)
        return HTMLResponse("<h1>404</h1>Sorry, we can't find the page you are looking for.", 404)

    async def _about(self, request: Request, served: Served, rest: Sequence[str]) -> Response:
        match rest:
            case []:
                return self._info(request, served)
            case ["scan"]:
                return answer(served.scan())
            case ["revision" | "tree" | "paths-info", revision, *_] if revision not in served.revisions:
                return refusal(404, f"Invalid rev id: {revision}", code="RevisionNotFound")
            case ["revision", _]:
                return self._info(request, served)
            case ["tree", revision, *folder]:
                return self._tree(request, served, revision, "/".join(folder))
            case ["paths-info", _] if request.method == "POST":
                asked = parse_qs((await request.body()).decode())
                expand = asked.get("expand", [""])[0].lower() == "true"
                entries = (served.entry(path, expand=expand) for path in asked.get("paths", ()))
                return answer([entry for entry in entries if entry])
        return refusal(404, "Sorry, we can't find the page you are looking for.")

    def _list(self, request: Request) -> Response:
        if self._paging.refuses(request):
            return refusal(400, "Invalid cursor")
        query = self._paging.query(request, MAX_PAGE)
        try:
            fields = _expanded(request) or _listed(request)
            with self.shelf.lock:
                served, cursor = page(self.shelf, query)
                rows = [row(self._disguises.repo(one), fields, self.shelf.find) for one in served]
            self.changes.after_listing()
        except BadQuery as error:
            return refusal(400, str(error))
        turn = self._paging.turn(request)
        if turn != "next" and served:
            cursor = query.get("cursor") or first_cursor(query, served[0])
        response = answer([] if turn == "empty" else rows)
        if cursor:
            self._paging.issue(cursor)
            away = self._paging.leads_away(request)
            link_next(response, request, self._foreign_url if away else self._url, cursor)
        return response

    def _info(self, request: Request, served: Served) -> Response:
        query = request.query_params
        try:
            expanded = _expanded(request)
        except BadQuery as error:
            return refusal(400, str(error))
        info = row(served, expanded or INFO_FIELDS, self.shelf.find, blobs=query.get("blobs") == "true")
        if query.get("securityStatus") == "true":
            info["securityRepoStatus"] = served.scan()
        return answer(info)

    def _tree(self, request: Request, served: Served, revision: str, folder: str) -> Response:
        query = request.query_params
        expand = query.get("expand", "").lower() == "true"
        recursive = query.get("recursive", "").lower() == "true"
        entries = served.entries(folder, recursive=recursive, expand=expand)
        if folder and not entries:
            message = f"{folder} does not exist on {revision!r}"
            return refusal(404, message, code="EntryNotFound", headers={"X-Repo-Commit": served.sha})
        size = EXPANDED_TREE_PAGE if expand else TREE_PAGE
        asked = query.get("limit", "")
        limit = min(int(asked), size) if asked.isdecimal() and int(asked) else size
        start = 0
        if cursor := query.get("cursor"):
            # The cursor names the tree it was made for: after a commit it is void.
            known = [_tree_cursor(entry["path"], served.sha) for entry in entries]
            if cursor not in known:
                return refusal(400, "Invalid cursor")
            start = known.index(cursor) + 1
        response = answer(entries[start : start + limit])
        if len(entries) > start + limit:
            link_next(
                response, request, self._url, _tree_cursor(entries[start + limit - 1]["path"], served.sha)
            )
        return response

    def _resolve(self, request: Request, served: Served, revision: str, path: str, token: str) -> Response:
        repo = served.repo
        if repo.disabled:
            return refusal(403, "Access to this resource is disabled.")
        if repo.gated and repo.id not in self._tokens.get(token, ()):
            restricted = f"Access to model {repo.id} is restricted"
            if not token:
                restricted += ". You must have access to it and be authenticated to access it. Please log in."
                return refusal(401, restricted, code="GatedRepo")
            restricted += (
                f" and you are not in the authorized list. Visit {self._url}/{repo.id} to ask for access."
            )
            return refusal(403, restricted, code="GatedRepo")
        if revision not in served.revisions:
            return refusal(404, f"Invalid rev id: {revision}", code="RevisionNotFound")
        commit = {"X-Repo-Commit": served.sha if revision == "main" else revision}
        blob = served.blobs.get(path)
        if blob is None:
            return refusal(404, "Entry not found", code="EntryNotFound", headers=commit)
        if not served.is_lfs(path):
            plain = {"ETag": f'"{served.oid(path)}"', "Content-Type": "text/plain; charset=utf-8"}
            return deliver(request, blob, commit | plain)
        linked = {"X-Linked-Size": str(served.size(path)), "X-Linked-ETag": f'"{served.sha256(path)}"'}
        away = self._striker.strikes("foreign_download", f"huggingface{request.url.path}")
        location = self._storage.sign(blob, path.rpartition("/")[2], self._foreign_url if away else None)
        return Response(
            status_code=302, headers=commit | linked | {"Accept-Ranges": "bytes", "Location": location}
        )

    def _find(self, request: Request, name: str, token: str) -> Served | Response:
        """Return the repository, a redirect if it was renamed, or a refusal if this token may not see it."""
        served = self.shelf.find(name)
        original = self._disguises.original(name) if served is None else None
        if original and (before := self.shelf.find(original)):
            return self._disguises.repo(self._disguises.under(before, name))
        path = f"huggingface{request.url.path}"
        if served is not None and self._striker.strikes("false_missing", path):
            served = None
        if served is None or (served.repo.private and served.repo.id not in self._tokens.get(token, ())):
            if token:
                return refusal(404, "Repository not found", code="RepoNotFound")
            # The real hub may leave the code out. The client library needs it to tell what is meant, because
            # only from https addresses does it take a bare 401 for a missing repository.
            bare = self._striker.strikes("bare_unauthorized", path)
            return refusal(401, "Invalid username or password.", code=None if bare else "RepoNotFound")
        if served.repo.id == name:
            to = self._disguises.moved(served, path)
            return moved(request, name, to) if to else self._disguises.repo(served)
        return moved(request, name, served.repo.id)


def _expanded(request: Request) -> tuple[str, ...]:
    """Return the fields named by expand, which replace all others."""
    query = request.query_params
    names = (*query.getlist("expand"), *query.getlist("expand[]"))
    if any(name not in EXPANDABLE for name in names):
        options = "|".join(json.dumps(name) for name in EXPANDABLE)
        raise BadQuery(f"✖ Invalid option: expected one of {options}\n  → at expand[0]")
    return names


def _listed(request: Request) -> tuple[str, ...]:
    """Return a list row's fields when nothing is expanded; flags add to them."""
    query = request.query_params
    more = [field for field in ("cardData", "config") if query.get(field, "").lower() == "true"]
    return (*(FULL_FIELDS if query.get("full", "").lower() == "true" else LIST_FIELDS), *more)


def _tree_cursor(path: str, tree: str) -> str:
    inner = base64.b64encode(json.dumps({"file_name": path, "tree_oid": tree}).encode())
    return base64.b64encode(inner + b":1000").decode()
