"""Where the stores lie: everything that leaksweep writes is under one folder, readable by its owner only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
    def lance(self) -> Path:
        """Extractions, their pictures, references and matches."""
        return self.root / "lance"

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
        """Something has been written here before, or the database is elsewhere."""
        return self.database is not None or (self.root / "catalog.db").exists() or self.lance.exists()

    def prepare(self) -> None:
        """Make the folders. Others on this machine cannot look into the stores.

        Raises:
            OSError: the folder cannot be made here.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.lance, self.store, self.report):
            folder.mkdir(mode=0o700, exist_ok=True)

    def sizes(self) -> dict[str, int]:
        """Bytes on disk of each store that exists, by its name."""
        parts = {path.name: path for path in (self.root / "catalog.db", self.lance, self.store, self.report)}
        return {name: _bytes(path) for name, path in parts.items() if path.exists()}


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
