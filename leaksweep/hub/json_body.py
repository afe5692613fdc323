"""JSON as both hubs put it on the wire: compact UTF-8."""

from __future__ import annotations

import json
from typing import Any

import orjson


def json_body(value: Any) -> bytes:
    """Return a value as JSON; what orjson refuses, such as cards nested hundreds deep, by the slower way."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
