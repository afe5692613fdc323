"""The store's byte budget, shared by all processes, and what makes room in it.

Whatever is needed or claimed stays. Of the rest, what was not used for longest goes first. When that is not
enough the download is refused for want of room, and nothing is removed for it.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from crawler.checkpoint import SkipReason
from crawler.store.claims import Claims
from crawler.store.refusal import DownloadError
from crawler.store.shelves import PART, Shelves, StoredFile

logger = logging.getLogger(__name__)

Needed = Callable[[], Collection[str]]
"""Names (`crawler.store.shelves.file_name`) of the files that queued and leased jobs need."""


class Quota:
    """Room for downloads.

    Args:
        budget: bytes that whole files, parts, and what is still to come of claimed parts may take together.
        needed: asked only when something has to make room.
        disk_free: bytes left on the disk that holds a folder.
    """

    def __init__(
        self,
        shelves: Shelves,
        *,
        budget: int,
        needed: Needed,
        disk_free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._shelves = shelves
        self._claims = Claims(shelves.claims)
        self._budget = budget
        self._needed = needed
        self._disk_free = disk_free
        self.lock_path = shelves.locks / "quota.lock"

    @contextmanager
    def using(self, names: Collection[str]) -> Iterator[None]:
        """Keep files, those that come only now included, from being removed until the block ends."""
        with self._claims.laid(names):
            yield

    @contextmanager
    def downloading(self, name: str) -> Iterator[Callable[[int], None]]:
        """Claim a part until the block ends. Gives what sees to it that a part of so many bytes fits.

        That raises DownloadError when it does not; what was claimed before stays claimed.
        """
        with self._claims.laid([name]) as claim:

            def reserve(size: int) -> None:
                # One at a time, so that two processes cannot both take the last room.
                with FileLock(self.lock_path):
                    self._make_room(name, size)
                    self._claims.resize(claim, [name], size)

            yield reserve

    def usage(self) -> int:
        """Bytes taken by files and by parts of files."""
        return sum(file.size for file in (*self._shelves.stored(), *self._shelves.unfinished()))

    def protected(self) -> set[str]:
        """Digests and names of all that may not be removed."""
        names = set(self._needed())
        for claim in self._claims.living():
            names |= claim.names
        return names | {self._shelves.digest_of(name) for name in names if self._is_told(name)}

    def _is_told(self, name: str) -> bool:
        return (self._shelves.urls / name).exists()

    def _make_room(self, name: str, size: int) -> None:
        promised = {next(iter(claim.names)): claim.size for claim in self._claims.living() if claim.size}
        promised[name] = size
        parts = list(self._shelves.unfinished())
        come = {part.name: part.size for part in parts}
        to_come = sum(max(0, whole - come.get(one, 0)) for one, whole in promised.items())
        over = self.usage() + to_come - self._budget
        short = to_come - self._disk_free(self._shelves.files)
        if over <= 0 and short <= 0:
            return
        protected = self.protected() | {name}
        idle = [one for one in (*self._shelves.stored(), *parts) if one.name not in protected]
        if sum(one.size for one in idle) < max(over, short):
            raise DownloadError(SkipReason.BUDGET, self._no_room(size, over, short))
        self._remove_oldest(idle, max(over, short))

    def _no_room(self, size: int, over: int, short: int) -> str:
        rest = "what is left is needed by queued jobs or in use, and later jobs may free it"
        if short > over:
            return (
                f"{self._shelves.root}: a file of {size} bytes lacks {short} on the disk; {rest}; make room"
            )
        return (
            f"{self._shelves.root}: a file of {size} bytes does not fit into the {self._budget} of "
            f"crawler.store_bytes; {rest}; raise it"
        )

    def _remove_oldest(self, idle: list[StoredFile], excess: int) -> None:
        for file in sorted(idle, key=lambda file: (file.used_at, file.path.name)):
            if excess <= 0:
                break
            logger.info("%s: removed to make room, unused for longest", file.path.name)
            if file.path.name.endswith(PART):
                self._shelves.drop_part(file.name)
            else:
                file.path.unlink(missing_ok=True)
            excess -= file.size
