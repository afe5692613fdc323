"""Paths that strangers chose, and what may become of them here."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from crawler.checkpoint import SkipReason
from crawler.store.refusal import DownloadError

MAX_PATH = 1024
"""Bytes; every file system in use takes more, but the store's own folder comes in front."""

_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in "0123456789\u00b9\u00b2\u00b3"}
)
"""Names that mean a device to Windows, whatever comes after a dot."""


def local_path(path: str) -> PurePosixPath:
    """A hub's path as one that stays inside a folder, whatever the file system.

    Raises:
        DownloadError: it is absolute, climbs with "..", or has a drive, a backslash, a character that does
            not print (control characters, right-to-left marks), or a part that is empty, overlong, begins or
            ends with a space, ends with a dot, or is the name of a Windows device.
    """
    parts = path.split("/")
    if "\\" in path or ":" in path or not all(_is_name(part) for part in parts):
        raise _unsafe(path, "no safe path for a file")
    if len(path.encode()) > MAX_PATH:
        raise _unsafe(path, f"no safe path for a file, longer than {MAX_PATH} bytes")
    return PurePosixPath(*parts)


def check_tree(paths: Iterable[PurePosixPath]) -> None:
    """See that the paths can lie in one folder.

    Raises:
        DownloadError: two have one name, case and Unicode normal form aside, or one is a file where another
            needs a folder.
    """
    seen: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        name = _folded(path)
        folders |= {_folded(parent) for parent in path.parents}
        if name in seen:
            raise _unsafe(str(path), "two files of this name")
        seen.add(name)
    if clash := seen & folders:
        raise _unsafe(min(clash), "both a file and a folder")


def _folded(path: PurePosixPath) -> str:
    """What file systems that ignore case and normal form (macOS, Windows, some of Linux) take for the name.

    Caseless matching as the Unicode standard has it, with compatible forms taken as one to be safe.
    """
    folded = unicodedata.normalize("NFKD", str(path)).casefold()
    return unicodedata.normalize("NFKD", folded).casefold()


def _is_name(part: str) -> bool:
    try:
        short = len(part.encode()) <= 255
    except UnicodeEncodeError:  # a lone surrogate
        return False
    plain = part.isprintable() and part == part.strip(" ") and not part.endswith(".")
    device = part.partition(".")[0].rstrip(" ").lower() in _DEVICES
    return bool(part) and short and plain and not device


def _unsafe(path: str, why: str) -> DownloadError:
    return DownloadError(SkipReason.UNSAFE_FILE, f"{path[:200]!r}: {why}; the repository is left alone")
