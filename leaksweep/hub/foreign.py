"""A host that nobody's token belongs to: it answers everything, and sees what it is sent."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from leaksweep.hub.storage import Storage


class Foreign:
    """Serves files that it was sent a signed URL for; and lists that are empty.

    A crawler that takes an empty list from here for the end of a hub's listing loses rows.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def __call__(self, request: Request) -> Response:
        """Answer one request, whose body is read first: the log is to have it."""
        await request.body()
        if request.url.path.startswith("/files/"):
            return await self._storage(request)
        if request.url.path.startswith("/api/v1/"):
            return JSONResponse({"items": [], "metadata": {}})
        return JSONResponse([])
