"""Old extractions and a new set: hashes and descriptors are enough, without pictures, model or GPU."""

from __future__ import annotations

import pytest
from fakes_matching import STRANGER, describe, fill, picture

from reports.finding import FindingState
from reports.settings import ReportsSettings

FORGETS = ReportsSettings(decoys=("decoys",), pixels="matched")


@pytest.fixture
def world(tmp_path):
    return fill(tmp_path)


def test_a_new_set_of_pictures_finds_what_an_old_extraction_was(world, monkeypatch):
    """The first matching drops the picture that nobody looked for; the second finds it by what is left."""
    world.match(settings=FORGETS)
    stranger = next(
        row["id"] for row in world.extractions.rows(["id", "rank"]).to_pylist() if row["rank"] == STRANGER
    )
    assert stranger not in world.extractions.image_ids()

    def no_pictures(ids):
        raise AssertionError("matching again asked for pictures")

    (world.home / "later").mkdir()
    picture(4).resize((80, 80)).save(world.home / "later" / "4.png")
    world.references.add_folder("later", world.home / "later", [describe])
    monkeypatch.setattr(world.extractions, "images", no_pictures, raising=True)
    summary = world.match(settings=FORGETS)
    assert summary.hashed == 0
    (found,) = (one for one in world.store.findings() if one.match.set_name == "later")
    assert (found.match.extraction_id, found.state) == (stranger, FindingState.NEW)
    assert found.match.similarity == pytest.approx(1, abs=0.02)
    assert found.match.phash256_distance is not None
    assert found.match.control_phash256_distance is not None
    assert stranger not in world.extractions.image_ids()
