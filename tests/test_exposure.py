"""Safe exposure, proven: no pixel of a sweep lies anywhere on the disk, and after an erasure nothing does."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes_home import opened_home
from fakes_sweep import World, few, served
from PIL import Image

from extraction.extraction import Pixels
from leaksweep.hub import HubContent
from reports.matching.recording import Recording
from scanner.job import Job, Outcome

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> HubContent:
    return few(tmp_path_factory.mktemp("stock"))


@pytest.fixture
def world(content: HubContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    with served(content, tmp_path) as made:
        yield made


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Pixels]]:
    """Every picture that a scan made: those of extractions and of their controls, by job."""
    made: dict[str, list[Pixels]] = {}
    record = Recording.__call__

    def watched(self: Recording, job: Job, outcome: Outcome, now: object) -> None:
        pictures = [pixels for one in outcome.extractions for pixels in (one.pixels, one.control_pixels)]
        made.setdefault(job.id, []).extend(pictures)
        record(self, job, outcome, now)  # type: ignore[arg-type]

    monkeypatch.setattr(Recording, "__call__", watched)
    return made


def needles(pixels: Pixels) -> list[bytes]:
    """What would give a picture away: a piece of its rows, of its PNG, and of that in base64."""
    row = pixels[pixels.shape[0] // 2].tobytes()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    png = buffer.getvalue()
    return [row[32:96], png[43:91], base64.b64encode(png)[60:120]]


def found_in(root: Path, wanted: list[bytes], *, but: tuple[str, ...] = ()) -> list[str]:
    """Files under a folder that hold one of these, whatever they are: logs, databases, write-ahead logs."""
    hits = []
    for path in root.rglob("*"):
        inside = path.relative_to(root).parts
        if path.is_file() and not path.is_symlink() and inside[0] not in but:
            data = path.read_bytes()
            hits += [str(path.relative_to(root)) for needle in wanted if needle in data]
    return hits


def add_references(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("planted", "decoys"):
        assert world.call("refs", "add", name, str(world.pictures / name), capsys=capsys)[0] == 0


@pytest.mark.parametrize("pixels", ["matched", "never"])
def test_no_pixel_of_a_sweep_is_on_the_disk(
    world: World,
    seen: dict[str, list[Pixels]],
    pixels: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add_references(world, capsys)
    code, _ = world.call("sweep", "--set", f"reports.pixels={pixels}", capsys=capsys)
    assert code == 1
    pictures = [one for some in seen.values() for one in some]
    assert len(pictures) > 10
    wanted = [needle for one in pictures for needle in needles(one) if len(set(needle)) > 8]
    assert len(wanted) > 20
    # The search finds a picture that does lie there.
    (tmp_path / "home" / "left.log").write_bytes(b"..." + wanted[0] + b"...")
    assert found_in(tmp_path, wanted[:1]) == ["home/left.log"]
    (tmp_path / "home" / "left.log").unlink()

    assert found_in(tmp_path, wanted, but=("pictures",)) == []
    with opened_home(tmp_path / "home") as stores:
        held = stores.extractions.image_ids()
        matched = {one.match.extraction_id for one in stores.findings.findings()}
        # Sealed, those that matched are kept; with "never" not even these ever were.
        assert held == (matched if pixels == "matched" else set())
        assert (list(stores.keys.fates()) == []) == (pixels == "never")


def test_after_an_erasure_nothing_of_it_is_on_the_disk(
    world: World, seen: dict[str, list[Pixels]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_references(world, capsys)
    assert world.call("sweep", "--thumbs", capsys=capsys)[0] == 1
    home = tmp_path / "home"
    with opened_home(home) as stores:
        ids = stores.extractions.rows(["id"])["id"].to_pylist()
        seals = [*stores.extractions.seals(ids), *stores.hashes.seals(ids)]
        vectors = stores.extractions.rows(["descriptor"])["descriptor"].to_pylist()
        described = [np.float32(one).tobytes()[:64] for one in vectors]
        codes = [
            code for row in stores.hashes.hashes().to_pylist() for code in (row["phash"], row["pdq"]) if code
        ]
    pictures = [one for some in seen.values() for one in some]
    shown = [needle for one in pictures for needle in needles(one) if len(set(needle)) > 8]
    # The page was asked to show pictures: what it shows is there, and goes with the erasure.
    assert set(found_in(tmp_path, shown, but=("pictures",))) == {"home/report/report.html"}
    # Descriptors are small pictures here: sealed all the time.
    assert described
    assert not found_in(home, described)
    assert found_in(home, seals)

    code, done = world.call("erase", "--older-than", "0", "--why", "the test", capsys=capsys)
    assert code == 0
    (erased,) = done["erased"]
    assert erased["extractions"] == len(ids)
    assert erased["found"] == 0

    gone = [*shown, *described, *seals, *codes, *(code.hex().encode() for code in codes)]
    assert found_in(tmp_path, gone, but=("pictures",)) == []
    receipt = json.loads(Path(erased["receipt"]).read_text())
    assert receipt["extraction_ids"] == sorted(ids)
    code, checked = world.call("erase", "--check", erased["receipt"], capsys=capsys)
    assert (code, checked["genuine"]) == (0, True)
    with opened_home(home) as stores:
        assert stores.extractions.rows().num_rows == 0
        assert stores.findings.findings() == []
        assert stores.hashes.known() == {}
        assert stores.references.sets()
