"""The download store: files by the SHA-256 of their content, within a byte budget."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock

from crawler.checkpoint import Hub, RemoteFile, SkipReason
from crawler.guest.client import OpenStream, stream_opener
from crawler.settings import CrawlerSettings
from crawler.store.download import Download, DownloadError
from crawler.store.paths import check_tree, local_path

logger = logging.getLogger(__name__)

WANTED = frozenset({".safetensors", ".json", ".txt", ".model"})
"""Weights, configs and tokenizers. Whatever else a repository holds is not needed and not fetched."""
IN_USE = 3600.0
"""Seconds since its last use for which a file is not removed to make room."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the store."""

    path: Path
    size: int
    used_at: float
    """Seconds since the epoch."""

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return self.path.stem


class Store:
    """Downloads, kept by content; the same bytes from two hubs are one file.

    A file without a digest (Hugging Face tells none for small text files) is kept by the digest of what came,
    and remembered by its address, which the sources pin to a commit or a version.

    Args:
        root: folder of the store, made when missing.
        budget: bytes that files and parts may take together. The files unused for longest make room.
        open_stream: how a file is opened on its hub (`crawler.guest.client.stream_opener`).
        max_file_bytes: largest single file.
        retries: attempts after one that brought nothing new.
        in_use: seconds since its last use for which a file may not be removed.
    """

    def __init__(
        self,
        root: Path,
        *,
        budget: int,
        open_stream: OpenStream,
        max_file_bytes: int = 32 * 2**30,
        retries: int = 5,
        in_use: float = IN_USE,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._budget = budget
        self._open_stream = open_stream
        self._max_file_bytes = max_file_bytes
        self._retries = retries
        self._in_use = in_use
        self._clock = clock
        self._sleep = sleep
        self._files, self._parts, self._urls, self._folders, self._locks = (
            root / name for name in ("files", "parts", "urls", "folders", "locks")
        )
        for folder in (self._files, self._parts, self._urls, self._folders, self._locks):
            folder.mkdir(parents=True, exist_ok=True)

    def fetch(self, file: RemoteFile, hub: Hub) -> Path:
        """The whole and verified file on this machine, named by its digest; downloaded when it is not there.

        Raises:
            DownloadError: with the reason; the message names the address and the remedy.
        """
        suffix = local_path(file.path).suffix.lower()
        if suffix not in WANTED:
            raise DownloadError(
                SkipReason.NOT_WEIGHTS, f"{file.path}: only {', '.join(sorted(WANTED))} files are downloaded"
            )
        if file.sha256 is not None and not _DIGEST.fullmatch(file.sha256.lower()):
            raise DownloadError(
                SkipReason.MALFORMED, f"{file.url}: {file.sha256[:80]!r} is no SHA-256; crawl again"
            )
        known = self._known(file, hub, suffix)
        if known is not None:
            return known
        name = self._name(file, hub)
        with FileLock(self._locks / f"{name}.lock"):
            return self._known(file, hub, suffix) or self._download(file, hub, suffix, name)

    def fetch_folder(self, files: Sequence[RemoteFile], hub: Hub) -> Path:
        """A folder in which the files lie under their paths in the repository, as links into the store.

        Raises:
            DownloadError: as `fetch`, or a path leads out of the folder, or two are in each other's way.
        """
        paths = [local_path(file.path) for file in files]
        check_tree(paths)
        links = dict(sorted(zip(paths, (self.fetch(file, hub) for file in files), strict=True)))
        content = "\n".join(f"{path}\t{target.name}" for path, target in links.items())
        folder = self._folders / hashlib.sha256(content.encode()).hexdigest()[:32]
        if not folder.exists():
            self._link(folder, links)
        return folder

    def files(self) -> Iterator[StoredFile]:
        """The whole files, in no order."""
        return _stored(self._files)

    def usage(self) -> int:
        """Bytes taken by files and by parts of files."""
        return sum(file.size for file in (*self.files(), *_stored(self._parts, "*.part")))

    def _name(self, file: RemoteFile, hub: Hub) -> str:
        """What a download is called before its digest is known."""
        if file.sha256:
            return file.sha256.lower()
        return hashlib.sha256(f"{hub}\n{file.url}".encode()).hexdigest()

    def _known(self, file: RemoteFile, hub: Hub, suffix: str) -> Path | None:
        digest = self._name(file, hub)
        if file.sha256 is None:
            try:
                digest = (self._urls / digest).read_text()
            except FileNotFoundError:
                return None
        path = self._files / f"{digest}{suffix}"
        try:
            os.utime(path, (self._clock(), self._clock()))
        except FileNotFoundError:
            return None
        return path

    def _download(self, file: RemoteFile, hub: Hub, suffix: str, name: str) -> Path:
        if file.size is not None and file.size > self._max_file_bytes:
            raise DownloadError(
                SkipReason.TOO_LARGE,
                f"{file.url}: {file.size} bytes, crawler.max_file_bytes allows {self._max_file_bytes}",
            )
        download = Download(
            hub=hub,
            file=file,
            part=self._parts / f"{name}.part",
            open_stream=self._open_stream,
            reserve=self._reserve,
            max_bytes=self._max_file_bytes,
            retries=self._retries,
            sleep=self._sleep,
        )
        digest = download.run()
        path = self._files / f"{digest}{suffix}"
        download.part.replace(path)
        download.forget()
        os.utime(path, (self._clock(), self._clock()))
        if file.sha256 is None:
            _write_whole(self._urls / name, digest)
        _sync_folder(self._files)
        return path

    def _reserve(self, size: int) -> None:
        """See to it that `size` more bytes fit into the budget and on the disk.

        Raises:
            DownloadError: they do not, even without the files that are not in use.
        """
        free = shutil.disk_usage(self._files).free
        if size > free:
            raise DownloadError(
                SkipReason.BUDGET, f"{self._files}: {free} bytes are left on the disk, {size} are needed"
            )
        excess = self.usage() + size - self._budget
        if excess <= 0:
            return
        latest = self._clock() - self._in_use
        idle = [file for file in (*self.files(), *_stored(self._parts, "*.part")) if file.used_at < latest]
        if sum(file.size for file in idle) < excess:
            raise DownloadError(
                SkipReason.BUDGET,
                f"{size} more bytes do not fit into the {self._budget} of crawler.store_bytes; raise it, or "
                f"delete files in {self._files}",
            )
        for file in sorted(idle, key=lambda file: file.used_at):
            if excess <= 0:
                break
            logger.info("%s: removed to make room, unused for longest", file.path.name)
            file.path.unlink(missing_ok=True)
            file.path.with_name(f"{file.path.name}.json").unlink(missing_ok=True)
            excess -= file.size

    def _link(self, folder: Path, links: Mapping[PurePosixPath, Path]) -> None:
        """Make the folder whole or not at all."""
        made = Path(tempfile.mkdtemp(dir=self._folders, prefix=".making-"))
        for path, target in links.items():
            link = made / path
            link.parent.mkdir(parents=True, exist_ok=True)
            # Relative to where the link will be, so that a home folder can be moved.
            link.symlink_to(os.path.relpath(target, folder.joinpath(path).parent))
        made.chmod(0o755)
        try:
            made.rename(folder)
        except OSError:
            shutil.rmtree(made)
            if not folder.is_dir():  # else another process was quicker, with the same content
                raise


def open_store(settings: CrawlerSettings, root: Path, tokens: Mapping[Hub, str | None]) -> Store:
    """The store as the settings have it; `tokens` are those of the environment."""
    return Store(
        root,
        budget=settings.store_bytes,
        open_stream=stream_opener(settings, tokens),
        max_file_bytes=settings.max_file_bytes,
        retries=settings.retries,
    )


def _stored(folder: Path, pattern: str = "*") -> Iterator[StoredFile]:
    for path in folder.glob(pattern):
        try:
            stat = path.stat()
        except FileNotFoundError:  # another process was quicker
            continue
        yield StoredFile(path, stat.st_size, stat.st_mtime)


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    part.replace(path)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
