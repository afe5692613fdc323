"""Erasing on real stores: nothing is left on the disk, and a receipt says so."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from fakes_databases import copied
from fakes_matching import NOW, World, extraction, fill, picture, scan
from fakes_scanner import VAULT

from crawler.catalog.engine import open_engine
from reports.custody import receipt
from reports.custody.audit import AuditLog
from reports.custody.erasing import Eraser
from reports.custody.journal import Journal
from reports.custody.traces import read_back
from reports.finding import ReportError
from scanner.vault import Vault, heads

pytest_plugins = ("fakes_postgres",)


def on_disk(folder: Path, content: bytes) -> bool:
    return any(content in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def eraser(world: World) -> Eraser:
    return Eraser(
        desk=world.desk,
        vault=VAULT,
        audit=AuditLog(world.engine),
        root=world.home,
        report=world.home / "report",
        clock=lambda: NOW,
    )


@pytest.fixture(scope="module")
def matched(tmp_path_factory: pytest.TempPathFactory, home_database: str | None) -> World:
    world = fill(tmp_path_factory.mktemp("matched"), home_database)
    scan(world.extractions, "dogs", extraction(0, picture(1), picture(30)))
    world.match()
    world.engine.dispose()
    return world


@pytest.fixture
def world(matched: World, tmp_path: Path) -> Iterator[World]:
    shutil.copytree(matched.home, tmp_path / "home")
    with copied(matched.database) as database:
        world = World(tmp_path / "home", database)
        yield world
        world.engine.dispose()


def ids(world: World) -> list[str]:
    return world.extractions.rows(["id"])["id"].to_pylist()


def test_an_extraction_goes_with_all_that_is_known_of_it(world: World) -> None:
    (world.home / "report" / "report.html").write_text("<img src=data:image/png;base64,AAAA>")
    name = next(one.match.extraction_id for one in world.store.findings() if one.match.ref_id == "2.png")
    seals = [*world.extractions.seals([name]), *world.desk.hashes.seals([name])]
    described = world.extractions.row(name)["descriptor"]
    before, others = ids(world), len(world.store.findings())
    in_home = seals if world.database is None else seals[1:]  # the first is the picture's key, in SQL
    assert all(on_disk(world.home, seal) for seal in in_home)

    done = eraser(world).erase_extractions(name, [name], who="ann", why="asked by the person shown")

    assert ids(world) == [one for one in before if one != name]
    assert name not in world.desk.hashes.known()
    assert name not in {one.extraction_id for one in world.store.matches()}
    assert len(world.store.findings()) == others - 1
    assert not any(on_disk(world.home, seal) for seal in seals)
    assert not on_disk(world.home, np.float32(described).tobytes()[:64])
    assert list((world.home / "report").iterdir()) == []
    assert done.read.found == ()
    assert done.read.files > 5


def test_what_else_there_is_stays_as_it_was(world: World) -> None:
    name = ids(world)[0]
    kept = {one: list(world.extractions.images([one])) for one in ids(world) if one != name}
    eraser(world).erase_extractions(name, [name], who="ann", why="asked")
    assert {one: list(world.extractions.images([one])) for one in ids(world)} == kept
    assert world.match().unhashed == 0


def test_the_receipt_is_signed_and_a_changed_one_is_refused(world: World) -> None:
    name = ids(world)[0]
    done = eraser(world).erase_extractions(name, [name], who="ann", why="asked")
    content = receipt.check(done.receipt, VAULT)
    assert content["subject"] == name
    assert content["asked_by"] == "ann"
    assert content["extraction_ids"] == [name]
    assert content["found"] == 0
    assert content["looked_for"] == 6  # the key, the picture, its control, their descriptors, the hashes
    assert content["files_read"] == done.read.files
    entry = next(AuditLog(world.engine).entries(subject=name))
    assert (entry.act, entry.digest) == ("erase", content["audit_entry"])

    forged = json.loads(done.receipt.read_text()) | {"extraction_ids": []}
    done.receipt.write_text(json.dumps(forged))
    with pytest.raises(ReportError, match="was changed after it was signed"):
        receipt.check(done.receipt, VAULT)


def test_a_receipt_of_something_else_is_refused(tmp_path: Path) -> None:
    head = receipt.signed({"what": "head of an audit log", "digest": "0"}, VAULT)
    path = receipt.write(tmp_path / "receipts", "x", head)
    with pytest.raises(ReportError, match="is signed, but it is no receipt of an erasure"):
        receipt.check(path, VAULT, what="receipt of an erasure")


def test_another_homes_receipt_is_told(world: World, tmp_path: Path) -> None:
    other = Vault(bytes(31) + b"x")
    path = receipt.write(tmp_path / "receipts", "x", receipt.signed({"subject": "x"}, other))
    assert receipt.check(path)["subject"] == "x"
    with pytest.raises(ReportError, match="signed by another home's key"):
        receipt.check(path, VAULT)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"signature": "!"}', '{"signature": "", "public_key": "AA=="}']
)
def test_what_is_no_receipt_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ReportError, match="is no receipt"):
        receipt.check(tmp_path / "x.json")


def test_a_missing_receipt_says_so(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="cannot be read: No such file"):
        receipt.check(tmp_path / "x.json")


def test_a_set_goes_with_its_findings_and_the_pictures_kept_for_it(world: World) -> None:
    seals = world.references.seals("artist")
    assert all(on_disk(world.home, seal) for seal in seals)
    assert world.extractions.image_ids()
    eraser(world).erase_set("artist", who="ann", why="the agreement ended")
    assert [one.name for one in world.references.sets()] == ["decoys"]
    assert world.store.findings() == []
    assert world.store.matches() == []
    assert world.extractions.image_ids() == set()
    assert not any(on_disk(world.home, seal) for seal in seals)
    assert len(ids(world)) == 6


def test_a_hold_stands_in_the_way(world: World) -> None:
    name = ids(world)[0]
    with world.engine.begin() as db:
        world.desk.holds.put(db, name, "ben", "court")
        world.desk.holds.put(db, "set artist", "ben", "court")
    with pytest.raises(ReportError, match=f"{name}: is under a legal hold, so nothing was erased"):
        eraser(world).erase_extractions(name, [name], who="ann", why="asked")
    with pytest.raises(ReportError, match="set artist: is under a legal hold"):
        eraser(world).erase_set("artist", who="ann", why="asked")
    assert name in ids(world)
    assert Journal(world.engine).unfinished() == []


def test_what_was_found_with_a_set_and_is_held_stands_in_its_way(world: World) -> None:
    (held, *_) = (one for one in world.store.findings() if one.match.ref_id == "2.png")
    with world.engine.begin() as db:
        world.desk.holds.put(db, held.id, "ben", "court")
    with pytest.raises(ReportError, match=f"{held.match.extraction_id}: is under a legal hold"):
        eraser(world).erase_set("artist", who="ann", why="the agreement ended")
    assert held in world.store.findings()
    with world.engine.begin() as db:
        world.desk.holds.release(db, held.id, "ben")
    eraser(world).erase_set("artist", who="ann", why="the agreement ended")
    assert world.extractions.image_ids() == set()


def test_a_database_beside_the_home_is_read_back_too(matched: World, tmp_path: Path) -> None:
    if matched.database is not None:
        return
    shutil.copytree(matched.home, tmp_path / "home")
    place = (tmp_path / "home" / "catalog.db").rename(tmp_path / "elsewhere.db")
    world = World(tmp_path / "home", f"sqlite:///{place}")
    name = ids(world)[0]
    (key,) = world.extractions.keys.sealed([name])
    assert on_disk(tmp_path, key)
    with closing(sqlite3.connect(place)) as reader:
        # As it was before the erasure, so that the write-ahead log cannot go.
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM picture_key")
        with pytest.raises(ReportError, match=r"traces are still in /.*elsewhere\.db"):
            eraser(world).erase_extractions(name, [name], who="ann", why="asked")
    world.engine.dispose()
    world = World(tmp_path / "home", world.database)
    world.extractions.erase_dropped()
    (done,) = eraser(world).go_on()
    assert not on_disk(tmp_path, key)
    assert receipt.check(done.receipt)["not_read"] == []
    world.engine.dispose()


def test_without_a_reason_nothing_is_erased(world: World) -> None:
    before = ids(world)
    with pytest.raises(ReportError, match="say why"):
        eraser(world).erase_extractions(before[0], before[:1], who="ann", why="  ")
    with pytest.raises(ReportError, match='"nobody" does not exist'):
        eraser(world).erase_set("nobody", who="ann", why="asked")
    assert ids(world) == before


def test_traces_that_are_left_are_an_error_and_the_work_can_go_on(world: World) -> None:
    name = ids(world)[0]
    copy = world.home / "copy.bin"
    copy.write_bytes(b"xx" + world.extractions.seals([name])[1])
    with pytest.raises(ReportError, match=r"traces are still in copy\.bin.*leaksweep erase --go-on"):
        eraser(world).erase_extractions(name, [name], who="ann", why="asked")
    copy.unlink()
    (ended,) = eraser(world).go_on()
    assert (ended.subject, ended.read.found) == (name, ())
    assert eraser(world).go_on() == []


def test_reading_back_finds_a_seal_anywhere_in_a_file(tmp_path: Path) -> None:
    seals = [VAULT.seal(bytes([number]) * 50, "it") for number in range(3)]
    (tmp_path / "a").write_bytes(b"." * 5000 + seals[0] + seals[1])
    (tmp_path / "empty").touch()
    gone = heads([seals[1], None, b"no seal"])
    engine = open_engine(f"sqlite:///{tmp_path / 'database'}")
    assert read_back(tmp_path, gone, engine).found == ("a",)
    assert read_back(tmp_path, heads([seals[2]]), engine).found == ()
    assert read_back(tmp_path, gone, engine).files == 2
    assert read_back(tmp_path, gone, engine).not_read == []


def test_a_database_elsewhere_is_read_back_too(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'database'}")
    (tmp_path / "home").mkdir()
    seal = VAULT.seal(bytes(50), "it")
    assert read_back(tmp_path / "home", heads([seal]), engine).found == ()
    (tmp_path / "database-wal").write_bytes(seal)
    assert read_back(tmp_path / "home", heads([seal]), engine).found == (str(tmp_path / "database-wal"),)
