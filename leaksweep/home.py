"""Where the stores lie: everything that leaksweep writes is under one folder, readable by its owner only."""

from __future__ import annotations

import logging
import stat
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Home:
    """The folder given by --home. Nothing is made before `prepare`."""

    root: Path
    database: str | None = None
    """SQLAlchemy URL of a database elsewhere; None keeps catalog.db in this folder."""

    @property
    def database_url(self) -> str:
        """Catalog, crawl cursors, job ledger."""
        return self.database or f"sqlite:///{self.root.resolve() / 'catalog.db'}"

    @property
    def extractions(self) -> Path:
        """Extractions and, in a table of their own, their pictures."""
        return self.root / "lance" / "extractions"

    @property
    def references(self) -> Path:
        """Reference sets."""
        return self.root / "lance" / "references"

    @property
    def hashes(self) -> Path:
        """Hashes of extractions, sealed."""
        return self.root / "lance" / "hashes"

    @property
    def findings(self) -> Path:
        """Matches and findings."""
        return self.root / "lance" / "findings"

    @property
    def store(self) -> Path:
        """Downloaded weights, by digest."""
        return self.root / "store"

    @property
    def report(self) -> Path:
        """The latest report."""
        return self.root / "report"

    @property
    def exists(self) -> bool:
        """Something has been written here before."""
        return self.root.is_dir()

    def prepare(self) -> None:
        """Make the folders. Others on this machine cannot look into the stores.

        A folder that was there before is closed to others while it is empty; else it is as its owner wants
        it, who is told that others can look into it.

        Raises:
            OSError: the folder cannot be made here.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            self._close()
        else:
            # The home lies in the working folder by default, which is often a repository. It holds the key.
            (self.root / ".gitignore").write_text("*\n", encoding="utf-8")
        for folder in (self.root / "lance", self.store, self.report):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _close(self) -> None:
        if not self.root.stat().st_mode & stat.S_IRWXO:
            return
        if any(self.root.iterdir()):
            logger.warning("%s: others on this machine can look into it; chmod 700 %s", self.root, self.root)
        else:
            self.root.chmod(0o700)

    def forget_shown_pictures(self) -> bool:
        """Remove the last report's page if it shows pictures, for some of them may go; say whether it did.

        What a killed writing of it has left goes too.
        """
        pages = (*self.report.glob("report.html"), *self.report.glob(".report.html.*.part"))
        showing = [page for page in pages if b"data:image/" in page.read_bytes()]
        for page in showing:
            page.unlink(missing_ok=True)
        return bool(showing)

    def open_sweep(self) -> str | None:
        """Name of the sweep that has begun and not ended; None when there is none."""
        try:
            return self._sweep.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def begin_sweep(self) -> None:
        """Give a new sweep its name, or go on with the one that was cut off."""
        if self.open_sweep() is None:
            part = self._sweep.with_suffix(".part")
            part.write_text(uuid4().hex, encoding="utf-8")
            part.replace(self._sweep)

    def end_sweep(self) -> None:
        """The report is written: the next sweep is another one."""
        self._sweep.unlink(missing_ok=True)

    @property
    def _sweep(self) -> Path:
        return self.root / "sweep"

    def sizes(self) -> dict[str, int]:
        """Bytes on disk of each store that exists, by its name."""
        parts = (self.root / name for name in ("catalog.db", "lance", "store", "report"))
        return {path.name: _bytes(path) for path in parts if path.exists()}


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
