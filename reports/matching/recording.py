"""Hashes of pictures as a scan makes them, before they are stored: for whoever stores no pictures at all."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from PIL import Image

from reports.matching.hash_store import HashedExtraction, HashStore
from reports.matching.hashes import Hasher, PictureHashes, canonical, open_hasher
from scanner.extraction_rows import extraction_id
from scanner.job import Job, Outcome

if TYPE_CHECKING:
    from extraction.extraction import Pixels


class Recording:
    """Called with each job that is done, as `scanner.scan.Record`."""

    def __init__(self, store: HashStore, hasher: Hasher | None = None) -> None:
        self._store = store
        self._hasher = hasher or open_hasher()

    def __call__(self, job: Job, outcome: Outcome, now: datetime) -> None:
        self._store.put_hashes(
            HashedExtraction(
                extraction_id=extraction_id(job.id, one),
                created_at=now,
                hasher=self._hasher.name,
                picture=self._hashed(one.pixels),
                control=self._hashed(one.control_pixels),
            )
            for one in outcome.extractions
        )

    def _hashed(self, pixels: Pixels) -> PictureHashes:
        return self._hasher(canonical(Image.fromarray(pixels)))
