"""Strangers' text made fit to be kept and shown: one line, printable, cut; numbers within limits."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

MAX_PROMPT_LENGTH = 500
"""Characters; a caption that is longer is cut, as every tokenizer would."""
MAX_TEXT = 100_000
"""Characters of a text that are looked at. Real cards and hints are shorter."""

_PATH = re.compile(
    r"(?<![\w:/])/(?:[\w.@+-]+/)+[\w.@+ -]*"  # /home/me/pictures, but no https://host/page and no and/or
    r"|(?<!\w)~/[^\s,;\"']+"
    r"|(?<!\w)[A-Za-z]:[\\/][^\n\"',;]*"
    r"|\\\\[\w.$-]+\\[^\n\"',;]*"
)


def clean(text: str, limit: int = MAX_PROMPT_LENGTH) -> str:
    """One line of printable text, at most `limit` characters, whatever the length of the input."""
    line = " ".join(text[: 8 * limit].split())
    # Almost every line is printable as it is, and a million models have several each.
    kept = line if line.isprintable() else "".join(letter for letter in line if letter.isprintable())
    return kept[:limit].strip()


def printable(text: str, keep: str = "") -> str:
    """Text that a terminal shows as it is: what is not printable, such as ESC or a change of direction, is
    escaped, but for the characters in `keep`."""
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode()
        for letter in text
    )


def paths_in(text: str) -> list[str]:
    """The local paths that a text holds, in its first `MAX_TEXT` characters."""
    return [match.strip() for match in _PATH.findall(text[:MAX_TEXT])]


def without_folders(text: str) -> str:
    """The last part of what is a path or a file's name; anything else, such as "owner/name", as it is."""
    if paths_in(text) or "\\" in text:
        return text.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return text


def prompt_text(text: object) -> str:
    """A text fit for a prompt; "" for what is none: a path, a placeholder, no text at all."""
    if not isinstance(text, str) or paths_in(text):
        return ""
    line = clean(text)
    return line if any(letter.isalnum() for letter in line) and line.casefold() not in _NO_WORDS else ""


_NO_WORDS = {"none", "null", "nan", "n/a", "undefined", "[trigger]"}


def table(value: object) -> Mapping[str, Any]:
    """A table, as such or as JSON text; empty when it is neither."""
    found = parsed(value)
    return found if isinstance(found, dict) else {}


def parsed(value: object) -> Any:
    """What JSON text holds, None when it is none; what is no text is returned as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def whole(value: object) -> int | None:
    """A positive whole number below 10^15, as such or as text; None otherwise."""
    if type(value) is int:
        return value if 0 < value < 10**15 else None
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return whole(int(value))
    text = value.strip() if isinstance(value, str) and len(value) <= 40 else ""
    return int(text) or None if re.fullmatch(r"[0-9]{1,15}", text) else None


def shorter_side(value: object) -> int | None:
    """The smaller number of "512", "(512, 768)", "1024x1024", in pixels; None outside of 16 to 65536."""
    texts = re.findall(r"[0-9]+", str(value)[:100]) if isinstance(value, (str, int, list, tuple)) else []
    smallest = min((int(text[:9]) for text in texts), default=0)
    return smallest if 16 <= smallest <= 65_536 else None
