"""Civitai's downloads: a redirect to the storage, or one of many refusals."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from leaksweep.hub.blob import Blob
from leaksweep.hub.civitai_answers import json_answer, unauthorized
from leaksweep.hub.civitai_listing import Refused
from leaksweep.hub.content import CivitaiFile, CivitaiModel, CivitaiVersion
from leaksweep.hub.faults import Striker
from leaksweep.hub.limits import Limits, Meter
from leaksweep.hub.storage import Storage

Version = tuple[CivitaiModel, CivitaiVersion]

_BROWSER = re.compile("mozilla|chrome|safari|firefox|opera|edge", re.IGNORECASE)


class Downloads:
    """Answers requests for files.

    Args:
        needs_token: whether only members may download.
        foreign_url: where the fault `foreign_download` leads.
    """

    def __init__(
        self,
        url: str,
        storage: Storage,
        striker: Striker,
        limits: Limits,
        meter: Meter,
        tokens: Collection[str],
        needs_token: bool,
        foreign_url: str,
    ) -> None:
        self._url = url
        self._storage = storage
        self._striker = striker
        self._limits = limits
        self._meter = meter
        self._tokens = tokens
        self._needs_token = needs_token
        self._foreign_url = foreign_url

    def answer(
        self, request: Request, find: Callable[[], Version], blobs: Callable[[CivitaiFile], Blob]
    ) -> Response:
        """Redirect to the storage, or refuse; the refusals come in the hub's order.

        Args:
            find: returns the version asked for.

        Raises:
            Refused: there is no such version or file, or too many were asked for.
        """
        member = self.is_member(request)
        caller = request.headers.get("authorization") or "anonymous"
        limit = self._limits.civitai_downloads
        if limit is not None and self._meter.spend(caller, "downloads", limit).exceeded:
            raise Refused(429, "We've noticed an unusual amount of downloading from your account.")
        model, version = find()
        file = _chosen(version, request)
        if model.poi or file is None:
            raise Refused(404, "File not found")
        if model.mode == "Archived":
            raise Refused(410, "Model archived, not available for download")
        if version.usage_control != "Download":
            return unauthorized("The creator of this asset has disabled downloads on this file")
        if self._needs_token and not member:
            if _BROWSER.search(request.headers.get("user-agent", "")):
                here = quote(request.url.path, safe="")
                return RedirectResponse(f"{self._url}/login?returnUrl={here}", 307)
            return unauthorized("The creator of this asset requires you to be logged in to download it")
        if version.availability == "EarlyAccess":
            about = {"deadline": "2100-01-01T00:00:00.000Z", "message": "This asset is in Early Access."}
            return json_answer({"error": "Early Access"} | about, 403)
        if version.availability == "Private":
            return json_answer({"error": "Forbidden", "message": "You may not download this file"}, 403)
        away = self._striker.strikes("foreign_download", f"civitai{request.url.path}", request.url.query)
        host = self._foreign_url if away else None
        return RedirectResponse(self._storage.sign(blobs(file), file.name, host), 307)

    def is_member(self, request: Request) -> bool:
        """Tell whether a valid token came along. A bad one counts as none, silently, as on the hub."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return (token or request.query_params.get("token", "")) in self._tokens


def _chosen(version: CivitaiVersion, request: Request) -> CivitaiFile | None:
    """Return the file asked for by id, else the primary one; None for any query besides."""
    query = {key: value for key, value in request.query_params.items() if key != "token"}
    wanted = query.pop("fileId", None)
    if query:
        return None
    if wanted is not None:
        return next((file for file in version.files if str(file.id) == wanted), None)
    return next((file for file in version.files if file.primary), None)
