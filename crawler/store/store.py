"""The download store: files by the SHA-256 of their content, within a byte budget."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath

from filelock import FileLock

from crawler.checkpoint import Hub, RemoteFile, SkipReason
from crawler.guest.budget import Budget
from crawler.guest.client import OpenStream, stream_opener
from crawler.settings import CrawlerSettings
from crawler.store.download import Download
from crawler.store.paths import check_tree, local_path
from crawler.store.quota import Needed, Quota
from crawler.store.refusal import DownloadError, full_disk
from crawler.store.shelves import PART, Shelves, StoredFile, file_name, is_whole, sync_folder

WANTED = frozenset({".safetensors", ".json", ".txt", ".model"})
"""Weights, configs and tokenizers. Whatever else a repository holds is not needed and not fetched."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Store:
    """Downloads, kept by content; the same bytes from two hubs are one file.

    A file without a digest (Hugging Face tells none for small text files) is kept by the digest of what came,
    and remembered by its address, which the sources pin to a commit or a version. Any number of threads and
    processes may share a store.

    Args:
        root: folder of the store, made when missing.
        budget: bytes that files and parts may take together. The files unused for longest make room.
        open_stream: how a file is opened on its hub (`crawler.guest.client.stream_opener`).
        needed: names (`crawler.store.shelves.file_name`) of files that are never removed to make room:
            those of queued and leased jobs.
        taken_down: why a digest may not be had (`crawler.store.takedowns`); None when it may.
        max_file_bytes: largest single file.
        retries: attempts after one that brought nothing new.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        root: Path,
        *,
        budget: int,
        open_stream: OpenStream,
        needed: Needed = tuple,
        taken_down: Callable[[str], str | None] = lambda digest: None,
        max_file_bytes: int = 32 * 2**30,
        retries: int = 5,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.shelves = Shelves(root)
        self.quota = Quota(self.shelves, budget=budget, needed=needed)
        self._open_stream = open_stream
        self._taken_down = taken_down
        self._max_file_bytes = max_file_bytes
        self._retries = retries
        self._clock = clock
        self._sleep = sleep

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
        name = file_name(file, hub)
        self._check_takedown(file, self.shelves.digest_of(name))
        with full_disk(self.shelves.root):
            if known := self._known(file, name, suffix):
                return known
            with self._locked(name):
                return self._known(file, name, suffix) or self._download(file, hub, suffix, name)

    def fetch_folder(self, files: Sequence[RemoteFile], hub: Hub) -> Path:
        """A folder in which the files lie under their paths in the repository, as links into the store.

        Raises:
            DownloadError: as `fetch`, or a path leads out of the folder, or two are in each other's way.
        """
        paths = [local_path(file.path) for file in files]
        check_tree(paths)
        # The last files must not drive out the first.
        with full_disk(self.shelves.root), self.using(files, hub):
            fetched = [self.fetch(file, hub) for file in files]
            links = dict(sorted(zip(paths, fetched, strict=True)))
            content = "\n".join(f"{path}\t{target.name}" for path, target in links.items())
            folder = self.shelves.folders / hashlib.sha256(content.encode()).hexdigest()[:32]
            with self._locked(folder.name):
                if not folder.exists():
                    self._link(folder, links)
        return folder

    def using(self, files: Collection[RemoteFile], hub: Hub) -> AbstractContextManager[None]:
        """Keep files from being removed to make room, as long as the block runs and this process lives."""
        return self.quota.using({file_name(file, hub) for file in files})

    def files(self) -> Iterator[StoredFile]:
        """The whole files, in no order."""
        return self.shelves.stored()

    def usage(self) -> int:
        """Bytes taken by files and by parts of files."""
        return self.quota.usage()

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        lock = FileLock(self.shelves.locks / f"{name}.lock")
        with lock:
            try:
                yield
            finally:
                # While it is held; who waits for it sees that, and makes a new one.
                Path(lock.lock_file).unlink(missing_ok=True)

    def _check_takedown(self, file: RemoteFile, digest: str) -> None:
        if why := self._taken_down(digest):
            raise DownloadError(
                SkipReason.TAKEN_DOWN,
                f"{file.url}: taken down here ({why}); leaksweep takedown --undo lifts that",
            )

    def _known(self, file: RemoteFile, name: str, suffix: str) -> Path | None:
        path = self.shelves.files / f"{self.shelves.digest_of(name)}{suffix}"
        try:
            # Another size means that a crash of the machine has cut it, or that the hub told a wrong one.
            if file.size not in (None, path.stat().st_size) and not is_whole(path):
                path.unlink()
                return None
            os.utime(path, (self._clock(), self._clock()))
        except FileNotFoundError:
            return None
        return path

    def _download(self, file: RemoteFile, hub: Hub, suffix: str, name: str) -> Path:
        with self.quota.downloading(name) as reserve:
            download = Download(
                hub=hub,
                file=file,
                part=self.shelves.parts / f"{name}{PART}",
                open_stream=self._open_stream,
                reserve=reserve,
                max_bytes=self._max_file_bytes,
                retries=self._retries,
                sleep=self._sleep,
            )
            digest = download.run()
            try:
                self._check_takedown(file, digest)
            except DownloadError:
                download.forget()
                raise
            # Whatever a kill leaves of these steps, the next run ends them without asking a hub again.
            path = self.shelves.files / f"{digest}{suffix}"
            if digest != name:
                self.shelves.remember(name, digest)
            os.utime(download.part, (self._clock(), self._clock()))
            download.state.unlink(missing_ok=True)
            download.part.replace(path)
            sync_folder(self.shelves.files)
        return path

    def _link(self, folder: Path, links: Mapping[PurePosixPath, Path]) -> None:
        """Make the folder whole or not at all; the caller holds its lock."""
        made = folder.with_name(f".making-{folder.name}")
        shutil.rmtree(made, ignore_errors=True)
        try:
            for path, target in links.items():
                link = made / path
                link.parent.mkdir(parents=True, exist_ok=True)
                # Relative to where the link will be, so that a home folder can be moved.
                link.symlink_to(os.path.relpath(target, folder.joinpath(path).parent))
            made.rename(folder)
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
            raise


def open_store(
    settings: CrawlerSettings,
    root: Path,
    tokens: Mapping[Hub, str | None],
    *,
    needed: Needed = tuple,
    taken_down: Callable[[str], str | None] = lambda digest: None,
    guest: Budget | None = None,
) -> Store:
    """The store as the settings have it; `tokens` are those of the environment.

    Args:
        guest: what all processes may ask of the hubs together; None for a budget in memory.
    """
    return Store(
        root,
        budget=settings.store_bytes,
        open_stream=stream_opener(settings, tokens, budget=guest),
        needed=needed,
        taken_down=taken_down,
        max_file_bytes=settings.max_file_bytes,
        retries=settings.retries,
    )
