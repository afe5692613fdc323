"""What lies where in the store, and under which name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crawler.checkpoint import Hub, RemoteFile

PART = ".part"
STATE = ".part.json"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A whole file of the store, or a part of one."""

    path: Path
    size: int
    used_at: float
    """Seconds since the epoch."""

    @property
    def name(self) -> str:
        """SHA-256 of the content; of a part as `file_name` gives it."""
        return self.path.name.partition(".")[0]


def file_name(file: RemoteFile, hub: Hub) -> str:
    """64 hex digits: the file's digest, or that of hub and address where the hub tells no digest."""
    if file.sha256:
        return file.sha256.lower()
    return hashlib.sha256(f"{hub}\n{file.url}".encode("utf-8", "surrogatepass")).hexdigest()


class Shelves:
    """The folders of one store, made where they are missing.

    files/      whole files, `<digest><suffix>`
    parts/      unfinished ones, `<name>.part`, each with a JSON file that says what the bytes belong to
    urls/       digests of files whose hub tells none, by name
    folders/    repositories, as links into files/
    locks/      one lock for each file that is being downloaded
    claims/     what living processes have laid claim to
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files, self.parts, self.urls, self.folders, self.locks, self.claims = (
            root / name for name in ("files", "parts", "urls", "folders", "locks", "claims")
        )
        for folder in (self.files, self.parts, self.urls, self.folders, self.locks, self.claims):
            folder.mkdir(parents=True, exist_ok=True)

    def stored(self) -> Iterator[StoredFile]:
        """The whole files, in no order."""
        return _listed(self.files, "*")

    def unfinished(self) -> Iterator[StoredFile]:
        """The parts, in no order."""
        return _listed(self.parts, f"*{PART}")

    def of(self, digest: str) -> list[Path]:
        """The whole files of this content; more than one when it has come under several suffixes."""
        return sorted(self.files.glob(f"{digest}.*"))

    def digest_of(self, name: str) -> str:
        """The digest that a name stands for: itself, unless the file's hub tells none and it has come."""
        try:
            return (self.urls / name).read_text(encoding="ascii") or name
        except (FileNotFoundError, UnicodeDecodeError):
            return name

    def remember(self, name: str, digest: str) -> None:
        """Write down the digest that a name stands for. The caller holds the lock of the name."""
        part = self.urls / f".{name}"
        part.write_text(digest, encoding="ascii")
        part.replace(self.urls / name)

    def drop_part(self, name: str) -> None:
        """Remove what has come of a file."""
        for ending in (PART, STATE):
            (self.parts / f"{name}{ending}").unlink(missing_ok=True)


def is_whole(path: Path) -> bool:
    """Whether a stored file still has the content that its name tells.

    Raises:
        FileNotFoundError: it is gone.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == path.name.partition(".")[0]


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _listed(folder: Path, pattern: str) -> Iterator[StoredFile]:
    for path in folder.glob(pattern):
        try:
            stat = path.stat()
        except FileNotFoundError:  # another process was quicker
            continue
        yield StoredFile(path, stat.st_size, stat.st_mtime)
