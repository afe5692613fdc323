"""Paths that strangers chose, and what may become of them here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from crawler.checkpoint import SkipReason
from crawler.store.download import DownloadError


def local_path(path: str) -> PurePosixPath:
    """A hub's path as one that stays inside a folder, whatever the file system.

    Raises:
        DownloadError: it is absolute, climbs with "..", or has a drive, a backslash, a control character or
            an empty, overlong or dot-only part.
    """
    parts = path.split("/")
    if "\\" in path or ":" in path or not all(_is_name(part) for part in parts):
        raise _unsafe(path, "no safe path for a file")
    return PurePosixPath(*parts)


def check_tree(paths: Iterable[PurePosixPath]) -> None:
    """See that the paths can lie in one folder.

    Raises:
        DownloadError: two have one name, case aside, or one is a file where another needs a folder.
    """
    seen: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        name = str(path).casefold()
        folders |= {str(parent).casefold() for parent in path.parents}
        if name in seen:
            raise _unsafe(name, "two files of this name")
        seen.add(name)
    if clash := seen & folders:
        raise _unsafe(min(clash), "both a file and a folder")


def _is_name(part: str) -> bool:
    return bool(part.strip(". ")) and part.isprintable() and len(part.encode()) <= 255


def _unsafe(path: str, why: str) -> DownloadError:
    return DownloadError(SkipReason.UNSAFE_FILE, f"{path[:200]!r}: {why}; the repository is left alone")
