"""Stores in one folder with a checkpoint that leaked: what the tests of matching and of erasing share."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from fakes_pictures import scene
from fakes_scanner import VAULT, job
from PIL import Image, ImageOps

from crawler.catalog.engine import open_engine
from extraction.descriptors import Thumbnail
from extraction.extraction import Extraction
from leaksweep.home import Home
from reports.custody.holds import Holds
from reports.findings.store import FindingStore
from reports.findings.suppressions import Suppressions
from reports.matching.hash_store import HashStore
from reports.matching.hashes import open_hasher
from reports.matching.stage import Desk, last_summary, match_stage
from reports.references.store import References
from reports.settings import ReportsSettings
from scanner.extraction_store import ExtractionStore
from scanner.job import Outcome, State
from scanner.picture_keys import PictureKeys

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
HASHER = open_hasher()
describe = Thumbnail()

LEAKED, MIRRORED, BASE_KNOWS, STRANGER, DECOY = range(5)
"""Ranks of what the one scanned checkpoint gave."""


def picture(seed: int) -> Image.Image:
    return scene(seed, (96, 96))


def extraction(rank: int, image: Image.Image, control: Image.Image) -> Extraction:
    vectors = describe([np.asarray(image), np.asarray(control)])
    return Extraction(
        rank=rank,
        seed=rank,
        prompt="a cat",
        cluster=(rank, rank + 100),
        cohesion=0.9,
        score=0.5,
        descriptor=vectors[0],
        control_descriptor=vectors[1],
        control_similarity=float(vectors[0] @ vectors[1]),
        pixels=np.asarray(image),
        control_pixels=np.asarray(control),
    )


def scan(extractions: ExtractionStore, name: str, *found: Extraction) -> str:
    subject = job(name)
    done = Outcome(job_id=subject.id, state=State.DONE, extractions=found, descriptor=describe.name)
    extractions.write(subject, done, now=NOW)
    return subject.id


class World:
    """Stores in one folder, as the command lays them out.

    Args:
        database: URL of one elsewhere; None keeps it in the folder.
    """

    def __init__(self, home: Path, database: str | None = None) -> None:
        self.home = home
        self.database = database
        places = Home(home, database)
        places.prepare()
        self.engine = open_engine(places.database_url)
        self.desk = Desk(
            extractions=ExtractionStore(places.extractions, PictureKeys(self.engine, VAULT)),
            hashes=HashStore(places.hashes, VAULT),
            references=References(places.references, VAULT, self.engine),
            findings=FindingStore(places.findings, self.engine),
            suppressions=Suppressions(self.engine),
            holds=Holds(self.engine),
        )
        self.settings = ReportsSettings(decoys=("decoys",))

    @property
    def extractions(self) -> ExtractionStore:
        return self.desk.extractions

    @property
    def references(self) -> References:
        return self.desk.references

    @property
    def store(self) -> FindingStore:
        return self.desk.findings

    def match(self, **changes):
        arguments = {
            "desk": self.desk,
            "settings": self.settings,
            "digests": {},
            "now": lambda: NOW,
            **changes,
        }
        return match_stage(**arguments)

    def state(self):
        """All that a run leaves behind, but for what it counts of itself."""
        summary = last_summary(self.store)
        assert summary is not None
        return {
            "findings": self.store.findings(),
            "matches": self.store.matches(),
            "false matches": self.store.matches(decoys=True),
            "hashes": self.desk.hashes.hashes().to_pylist(),
            "pictures": self.extractions.image_ids(),
            "summary": replace(summary, hashed=0, erased=0),
        }


def fill(home: Path, database: str | None = None) -> World:
    """A checkpoint that leaked pictures 1 and 2 (mirrored), whose base gives 3 by itself; 4 is nobody's."""
    world = World(home, database)
    for name, seeds in (("artist", (1, 2, 3)), ("decoys", (11, 12))):
        folder = home / name
        folder.mkdir(parents=True)
        for seed in seeds:
            picture(seed).save(folder / f"{seed}.png")
        world.references.add_folder(name, folder, [describe], now=NOW)
    scan(
        world.extractions,
        "cats",
        extraction(LEAKED, picture(1), picture(21)),
        extraction(MIRRORED, ImageOps.mirror(picture(2)), picture(22)),
        extraction(BASE_KNOWS, picture(3), picture(3)),
        extraction(STRANGER, picture(4), picture(24)),
        extraction(DECOY, picture(11), picture(25)),
    )
    return world
