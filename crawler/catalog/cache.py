"""What never has to be asked for again: safetensors headers by digest, and answers that cannot change."""

from __future__ import annotations

import zlib
from typing import Any

from sqlalchemy import Engine, Table, select

from crawler.catalog import tables
from crawler.catalog.engine import upsert


class AskedOnce:
    """Headers and answers in the catalog, deflated: a file list of a thousand names shrinks to a tenth."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def header(self, digest: str) -> bytes | None:
        """The header kept for a file, by the SHA-256 of the file."""
        return self._get(tables.header, "digest", digest)

    def put_header(self, digest: str, data: bytes) -> None:
        """Keep a file's safetensors header under the SHA-256 of the file."""
        self._put(tables.header, "digest", digest, data)

    def answer(self, name: str) -> bytes | None:
        """What was kept under this name."""
        return self._get(tables.answer, "name", name)

    def put_answer(self, name: str, data: bytes) -> None:
        """Keep an answer that cannot change, such as the file list of a commit."""
        self._put(tables.answer, "name", name, data)

    def _get(self, table: Table, column: str, key: str) -> bytes | None:
        with self._engine.connect() as db:
            found: bytes | None = db.scalar(select(table.c.data).where(table.c[column] == key))
        return None if found is None else zlib.decompress(found)

    def _put(self, table: Table, column: str, key: str, data: bytes) -> None:
        row: dict[str, Any] = {column: key, "data": zlib.compress(data)}
        with self._engine.begin() as db:
            upsert(db, table, [row])
