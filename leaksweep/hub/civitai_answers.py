"""How Civitai answers: JSON, and errors of several shapes."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from leaksweep.hub.json_body import json_body


def json_answer(value: Any, status: int = 200) -> Response:
    """Return a value as JSON."""
    return Response(json_body(value), status, media_type="application/json")


def unauthorized(message: str | None = None) -> Response:
    """Return a 401, with the reason if the hub gives one."""
    return json_answer({"error": "Unauthorized"} | ({"message": message} if message else {}), 401)
