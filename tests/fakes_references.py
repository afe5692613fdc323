"""Reference stores and lists of hashes for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crawler.catalog.engine import open_engine
from reports.references.store import References
from scanner.vault import Vault

KEY = bytes(32)


def open_references(folder: Path, *, key: bytes = KEY) -> References:
    """The store in a folder, as every process opens it: with an engine of its own."""
    return References(folder / "lance", Vault(key), open_engine(f"sqlite:///{folder / 'home.db'}"))


def codes(count: int, seed: int = 0, size: int = 32) -> list[bytes]:
    """Hashes with half of their bits set, as real ones have."""
    rng = np.random.default_rng(seed)
    bits = np.zeros((count, 8 * size), np.uint8)
    bits[:, ::2] = 1
    return [row.tobytes() for row in np.packbits(rng.permuted(bits, axis=1), axis=1)]


def plain_list(path: Path, hashes: list[bytes]) -> Path:
    """A list of PDQ hashes, one a line."""
    path.write_text("".join(f"{code.hex()}\n" for code in hashes))
    return path


def csv_list(path: Path, *rows: dict[str, str]) -> Path:
    """A list of PDQ hashes in CSV, with the columns that its rows have."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [",".join(columns), *(",".join(row.get(name, "") for name in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def on_disk(folder: Path) -> bytes:
    """All bytes of all files of a store."""
    return b"".join(file.read_bytes() for file in sorted((folder / "lance").rglob("*")) if file.is_file())
