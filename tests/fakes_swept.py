"""A home that a sweep has been through, without hub and model: what the exports' tests read."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fakes_home import opened_home, run_of
from fakes_matching import HASHER, describe, extraction, picture
from fakes_references import codes, csv_list
from fakes_scanner import job
from PIL import Image

from crawler.catalog.engine import upsert
from crawler.catalog.rows import checkpoint_row
from crawler.catalog.tables import checkpoint as checkpoint_table
from leaksweep.run import Run
from leaksweep.stages import match
from leaksweep.stores import Stores
from reports.matching.hashes import PictureHashes
from scanner.job import Outcome, State

SETTINGS: dict[str, Any] = {"recipe__descriptor": "thumbnail", "reports__decoys": ["decoys"]}


MEMBER = "Hotline of Atlantis"
"""Who gave the list; a member's name is as confidential as the hashes."""
CLASSIFICATION = "A1-of-the-test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """The home, and what in it is confidential."""

    run: Run
    listed: tuple[bytes, ...]
    """Hashes of the list, those that match and those that do not."""
    hashes: frozenset[bytes]
    """Every hash: of the list, of references and of extractions."""
    pictures: tuple[bytes, ...]
    """PNG of references and extractions."""

    @property
    def root(self) -> Path:
        return self.run.home.root


def swept_home(root: Path, *, names: tuple[str, ...] = ("cats", "dogs", "clean")) -> Swept:
    """The first checkpoint leaked pictures 1 and 2, the second picture 2, the others nothing.

    Both pictures are references of the set "artist"; the hashes of the first, and eight others, are on the
    list "hotline". `names` are those of the checkpoints' repositories.
    """
    references = {seed: picture(seed) for seed in (1, 2, 3, 11, 12)}
    first = HASHER(picture(1))
    listed = tuple(one for one in (first.phash, first.pdq, *codes(8)) if one is not None)
    with opened_home(root, **SETTINGS) as stores:
        scan(stores, names)
        _refer(stores, root.parent / f"{root.name}-pictures", listed)
    match(run_of(root, **SETTINGS))
    with opened_home(root, **SETTINGS) as stores:
        kept = {value for row in stores.hashes.hashes().to_pylist() for value in row.values()}
    hashes = {one for image in references.values() for one in _of(HASHER(image))}
    return Swept(
        run=run_of(root, **SETTINGS),
        listed=listed,
        hashes=frozenset(listed) | hashes | {one for one in kept if isinstance(one, bytes)},
        pictures=tuple(_png(picture(seed)) for seed in (1, 2, 3, 11, 12, 40, 41, 42)),
    )


def _of(hashes: PictureHashes) -> tuple[bytes, ...]:
    return tuple(value for value in asdict(hashes).values() if isinstance(value, bytes))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def scan(stores: Stores, names: tuple[str, ...]) -> None:
    """Scan checkpoints of these repositories; the first of them leaks pictures 1 and 2, the second 2."""
    jobs = [job(name) for name in names]
    jobs = [replace(one, recipe=stores.run.settings.recipe) for one in jobs]
    with stores.engine.begin() as db:
        stores.catalog  # noqa: B018
        upsert(db, checkpoint_table, [checkpoint_row(one.checkpoint, "2026") for one in jobs])
    stores.ledger.add(jobs, stores.run.settings.recipe.id)
    gave = {0: (1, 2), 1: (2,)}
    for number, one in enumerate(jobs):
        seeds = [*gave.get(number, ()), 40 + number]
        found = tuple(
            extraction(rank, picture(seed), picture(20 + seed + number)) for rank, seed in enumerate(seeds)
        )
        outcome = Outcome(job_id=one.id, state=State.DONE, extractions=found, descriptor=describe.name)
        stores.extractions.write(one, outcome)
        stores.ledger.lease(stores.run.settings.recipe.id, "test")
        stores.ledger.start(one.id)
        stores.ledger.record(outcome)


def _refer(stores: Stores, pictures: Path, listed: tuple[bytes, ...]) -> None:
    for name, seeds in (("artist", (1, 2, 3)), ("decoys", (11, 12))):
        folder = pictures / name
        folder.mkdir(parents=True)
        for seed in seeds:
            picture(seed).save(folder / f"{seed}.png")
        stores.references.add_folder(name, folder, [describe])
    rows = [
        {
            "signal": "phash" if len(code) == 8 else "pdq",
            "value": code.hex(),
            "source": MEMBER,
            "classification": CLASSIFICATION,
        }
        for code in listed
    ]
    stores.references.add_list("hotline", csv_list(pictures / "hotline.csv", *rows))
