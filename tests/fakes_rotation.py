"""A home with something of everything that is sealed with the master key, and what opens of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes_home import opened_home
from fakes_matching import NOW, describe, extraction, picture, scan
from fakes_pictures import scene
from fakes_references import csv_list

from leaksweep.stores import Stores
from reports.matching.stage import match_stage
from reports.references import blocks
from reports.settings import ReportsSettings


def fill(root: Path, side: Path, **settings: Any) -> None:
    """Pictures, hashes, a set of pictures and a list in several blocks, made of what `side` will hold."""
    folder = side / "artist"
    folder.mkdir(parents=True)
    for seed in (1, 2):
        picture(seed).save(folder / f"{seed}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    codes = np.random.default_rng(5).bytes(32 * 50)
    listed = csv_list(side / "list.csv", *({"value": codes[at : at + 32].hex()} for at in range(0, 1600, 32)))
    with opened_home(root, **settings) as stores, pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "ROWS", 20)
        stores.references.add_folder("artist", folder, [describe], now=NOW)
        stores.references.add_list("partner", listed, now=NOW)
        found = [extraction(rank, picture(rank + 1), scene(rank + 21, (96, 96))) for rank in range(3)]
        scan(stores.extractions, "cats", *found)
        match_stage(desk=stores.desk, settings=ReportsSettings(pixels="all"), digests={}, now=lambda: NOW)
        stores.audit.append("ann", "label", "finding-1")


def opened(root: Path, **settings: Any) -> dict[str, Any]:
    """All that the home's key opens."""
    with opened_home(root, **settings) as stores:
        ids = sorted(stores.extractions.image_ids())
        read = stores.references._store.read
        return {
            "pictures": list(stores.extractions.images(ids)),
            "extractions": stores.extractions.rows().to_pylist(),
            "hashes": stores.hashes.hashes().to_pylist(),
            "sets": {
                one.name: (one.entries, one.rejected, dict(one.parts)) for one in stores.references.sets()
            },
            "rows": {
                (one.name, kind): [row for table in read(one, kind) for row in table.to_pylist()]
                for one in stores.references.sets()
                for kind in one.parts
            },
        }


def seals(stores: Stores) -> list[bytes]:
    """All that is sealed with the master key, as it lies on the disk."""
    ids = stores.hashes.known()
    sets = stores.references
    return [
        *stores.keys.sealed(stores.keys.held()),
        *stores.extractions.opened_seals(),
        *stores.hashes.seals(ids),
        *sets._store.sets.seals(),
        *(one for name in sets._store.sets.editions() for one in sets.seals(name)),
    ]
