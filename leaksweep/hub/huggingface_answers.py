"""How the Hugging Face Hub answers: JSON with a weak ETag, refusals with codes, redirects, links."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from leaksweep.hub.json_body import json_body


def answer(value: Any) -> Response:
    """Return a value as JSON."""
    body = json_body(value)
    headers = {"ETag": f'W/"{len(body):x}-{hashlib.sha256(body).hexdigest()[:27]}"', "Vary": "Origin"}
    return Response(body, 200, headers, "application/json")


def refusal(
    status: int, message: str, *, code: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error; what it is about is in `X-Error-Code`, if the hub says so."""
    said = {"X-Error-Message": message.replace("\n", " ").encode("ascii", "ignore").decode().strip()}
    said |= {"X-Error-Code": code} if code else {}
    return Response(json.dumps({"error": message}), status, {**said, **(headers or {})}, "application/json")


def moved(request: Request, name: str, to: str) -> Response:
    """Redirect a request about one repository to another: relative, with status 307."""
    path: str = request.scope["raw_path"].decode()
    location = path.replace(f"/{quote(name)}", f"/{quote(to)}", 1)
    location += f"?{request.url.query}" if request.url.query else ""
    body = f"Temporary Redirect. Redirecting to {location}"
    return Response(body, 307, {"Location": location}, "text/plain")


def link_next(response: Response, request: Request, host: str, cursor: str) -> None:
    """Give an answer the header that leads to the next page: the same query, with a cursor."""
    kept = [(key, value) for key, value in request.query_params.multi_items() if key != "cursor"]
    path = request.scope["raw_path"].decode()
    response.headers["Link"] = f'<{host}{path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'
