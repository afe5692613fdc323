"""The storage both hubs redirect to: signed URLs on a host of its own that expire and want no token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from urllib.parse import parse_qs, quote, unquote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from leaksweep.hub.blob import Blob
from leaksweep.hub.delivery import deliver
from leaksweep.hub.faults import Striker
from leaksweep.hub.limits import Clock

_REMEMBERED = 10_000
"""Files that there are signed URLs for."""

LOGIN_PAGE = "<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>Please log in.</body></html>\n"


class Storage:
    """Hands out signed URLs and serves the files behind them."""

    def __init__(self, url: str, striker: Striker, clock: Clock, lifetime: int) -> None:
        self._url = url
        self._striker = striker
        self._clock = clock
        self._lifetime = lifetime
        self._key = secrets.token_bytes(16)
        self._blobs: OrderedDict[str, Blob] = OrderedDict()

    def sign(self, blob: Blob, name: str, host: str | None = None) -> str:
        """Return a URL for a file, good for the lifetime; `name` is what a browser would save it as.

        Args:
            host: where the file is, if not here.
        """
        self._blobs[blob.sha256] = blob
        while len(self._blobs) > _REMEMBERED:
            self._blobs.popitem(last=False)
        path = f"/files/{blob.sha256}/{quote(name, safe='')}"
        expires = int(self._clock()) + self._lifetime
        query = {"Expires": expires, "Signature": self._signature(path, str(expires))}
        return f"{host or self._url}{path}?{urlencode(query)}"

    async def __call__(self, request: Request) -> Response:
        """Serve a signed URL."""
        if request.method not in ("GET", "HEAD"):
            return _refusal(405, "MethodNotAllowed", "The specified method is not allowed.")
        if "authorization" in request.headers:
            return _refusal(400, "InvalidArgument", "Only one auth mechanism allowed")
        path, name = request.scope["raw_path"].decode(), f"storage{request.url.path}"
        query = {key: values[0] for key, values in parse_qs(request.url.query).items()}
        expires = query.get("Expires", "")
        if not hmac.compare_digest(query.get("Signature", ""), self._signature(path, expires)):
            return _refusal(403, "SignatureDoesNotMatch", "The signature does not match.")
        if self._clock() > int(expires) or self._striker.strikes("expired_url", name):
            return _refusal(403, "AccessDenied", "Request has expired")
        if self._striker.strikes("html_body", name):
            return HTMLResponse(LOGIN_PAGE)
        _, _, digest, filename = path.split("/")
        blob = self._blobs.get(digest)
        if blob is None:
            return _refusal(404, "NoSuchKey", "The specified key does not exist.")
        headers = {
            "ETag": f'"{digest}"',
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(unquote(filename), safe='')}",
        }
        return deliver(
            request,
            _longer(blob) if self._striker.strikes("long_body", name) else blob,
            headers,
            ignore_range="range" in request.headers and self._striker.strikes("ignored_range", name),
            spoil=self._striker.strikes("wrong_content", name),
        )

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()


def _longer(blob: Blob) -> Blob:
    return Blob(lambda: blob.read() + bytes(1024))


def _refusal(status: int, code: str, message: str) -> Response:
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{error}', status, media_type="application/xml")
