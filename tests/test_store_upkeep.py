"""What kills, bad disks and time leave in a store, and what strangers would like to be called."""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fakes_weights import remote, weights
from filelock import FileLock

from crawler.checkpoint import Hub, RemoteFile, SkipReason
from crawler.store import Store
from crawler.store.paths import check_tree, local_path
from crawler.store.refusal import DownloadError
from crawler.store.upkeep import remove, tidy, verify

HF = Hub.HUGGINGFACE
BODIES = {f"http://hub.test/{number}": weights(number) for number in range(3)}
URLS = list(BODIES)


@contextmanager
def whole(hub: Hub, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
    yield httpx.Response(200, headers={"ETag": '"1"'}, content=BODIES[url])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", budget=10**6, open_stream=whole, sleep=lambda seconds: None)


def untold(number: int, path: str = "w.safetensors") -> RemoteFile:
    """A file whose hub tells nothing of it."""
    return RemoteFile(path=path, url=URLS[number], size=None, sha256=None)


def left(store: Store) -> list[str]:
    return sorted(
        path.relative_to(store.shelves.root).as_posix()
        for path in store.shelves.root.rglob("*")
        if not path.is_dir() or path.is_symlink()
    )


def test_what_rotted_is_found_and_fetched_anew(store: Store) -> None:
    files = [remote(url, BODIES[url]) for url in URLS]
    paths = [store.fetch(file, HF) for file in files]
    with paths[1].open("r+b") as out:
        out.seek(500)
        out.write(b"rot")
    seen: list[str] = []
    found = verify(store, progress=lambda file: seen.append(file.name))
    assert (found.files, found.bytes, found.damaged) == (3, 3000, (paths[1].name,))
    assert len(seen) == 3
    assert [path.exists() for path in paths] == [True, False, True]
    assert store.fetch(files[1], HF).read_bytes() == BODIES[URLS[1]]
    assert verify(store).damaged == ()


def test_a_file_that_a_crash_has_cut_is_fetched_anew(store: Store) -> None:
    file = remote(URLS[0], BODIES[URLS[0]])
    path = store.fetch(file, HF)
    os.truncate(path, 100)
    assert store.fetch(file, HF).read_bytes() == BODIES[URLS[0]]


def test_a_wrong_size_in_the_catalog_does_not_cost_a_whole_file(store: Store) -> None:
    path = store.fetch(remote(URLS[0], BODIES[URLS[0]]), HF)
    written = path.stat().st_ino
    assert store.fetch(remote(URLS[0], BODIES[URLS[0]], size=7), HF) == path
    assert path.stat().st_ino == written


def test_what_dead_processes_left_is_tidied_away(store: Store) -> None:
    shelves = store.shelves
    kept = store.fetch_folder([untold(0), untold(1, "b.safetensors")], HF)
    before = left(store)
    (shelves.locks / "stale.lock").touch()
    (shelves.claims / "dead").write_text('{"names": ["x"], "size": 10}')
    (shelves.claims / "dead.lock").touch()
    (shelves.claims / "dead.new").write_text("{")
    (shelves.urls / ".half").write_text("ab")
    (shelves.urls / "gone").write_text("ab" * 32)
    (shelves.parts / "orphan.part.json").write_text("{}")
    (shelves.folders / ".making-half").mkdir()
    (shelves.folders / "broken").mkdir()
    (shelves.folders / "broken" / "w.safetensors").symlink_to("../../files/nothing.safetensors")
    assert tidy(store, part_days=7) == 6
    assert left(store) == before
    assert kept.exists()


def test_parts_go_with_time_unless_they_are_needed_or_under_way(tmp_path: Path) -> None:
    store = Store(tmp_path, budget=10**6, open_stream=whole, needed=lambda: ["needed"])
    shelves = store.shelves
    names = ("old", "needed", "busy", "used", "new")
    for name in names:
        (shelves.parts / f"{name}.part").write_bytes(b"x")
        (shelves.parts / f"{name}.part.json").write_text("{}")
        if name != "new":
            os.utime(shelves.parts / f"{name}.part", (0, 0))
    with FileLock(shelves.locks / "busy.lock"), store.quota.using(["used"]):
        tidy(store, part_days=7)
    assert {path.name.partition(".")[0] for path in shelves.parts.iterdir()} == set(names) - {"old"}
    tidy(store, part_days=7, clock=lambda: time.time() + 8 * 86400)
    assert {path.name.partition(".")[0] for path in shelves.parts.iterdir()} == {"needed"}


def test_locks_do_not_pile_up(store: Store) -> None:
    store.fetch_folder([untold(0), untold(1, "b.safetensors")], HF)
    with pytest.raises(DownloadError):
        store.fetch(remote(URLS[2], b"x" * 900), HF)
    assert {path.name for path in store.shelves.locks.iterdir()} <= {"quota.lock"}


def test_removing_takes_files_parts_and_the_folders_that_show_them(store: Store) -> None:
    folder = store.fetch_folder([untold(0)], HF)
    other = store.fetch_folder([untold(1)], HF)
    digest = remote(URLS[0], BODIES[URLS[0]]).sha256
    (store.shelves.parts / f"{digest}.part").write_bytes(b"xyz")
    gone = remove(store, [str(digest), "0" * 64])
    assert (gone.files, gone.folders, gone.bytes) == (2, 1, 1003)
    assert (folder.exists(), other.exists()) == (False, True)


HOSTILE = [
    "../../etc/passwd.json", "/etc/passwd.json", "a/../../b.json", "..", ".", "...json/..", "a/./b.json",
    "~/../x.json/..", "c:\\windows\\x.json", "C:x.json", "\\\\host\\share\\x.json", "a\\..\\b.json",
    "file:///etc/x.json", "a\x00.json", "a\n.json", "a\x1b[31m.json", "a\x7f.json", "a\u202enosj.txt",
    "a\u200b.json", "a\u2066b.json", "a\ufeff.json", "a\ud800.json", "CON.json", "aux.json", "nul/x.json",
    "com1.json", "lpt\u00b9.json", "conin$.json", "a.json ", " a.json", "dir./x.json", "a.json.",
    "a" * 300 + ".json",
    "/".join(["d" * 200] * 6) + "/x.json", "a//b.json", "a/", "", "\u202e/x.json", "PRN .json",
]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE, ids=ascii)
def test_a_hostile_name_is_refused_by_name(store: Store, path: str) -> None:
    before = left(store)
    for fetch in (
        lambda: store.fetch(untold(0, path), HF),
        lambda: store.fetch_folder([untold(0, path)], HF),
    ):
        with pytest.raises(DownloadError) as caught:
            fetch()
        assert caught.value.reason is SkipReason.UNSAFE_FILE
        assert str(caught.value).isprintable()
    assert left(store) == before


PLAIN = ["a.json", "unet/Über.json", "日本/モデル.json", ".hidden.json", "a b.json",
         "console.json", "a..json", "-rf.json", "$(x).json", "%2e%2e.json", "x" * 250 + ".json",
         "comma, and 'quotes'.json"]  # fmt: skip


@pytest.mark.parametrize("path", PLAIN)
def test_an_odd_but_harmless_name_is_stored_inside(store: Store, path: str) -> None:
    folder = store.fetch_folder([untold(0, path)], HF)
    (link,) = (found for found in folder.rglob("*") if found.is_symlink())
    assert link.relative_to(folder).as_posix() == path
    assert link.resolve().is_relative_to(store.shelves.root.resolve())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.json", "A.json"),
        ("unet/a.json", "UNET/a.json"),
        (unicodedata.normalize("NFC", "é.json"), unicodedata.normalize("NFD", "é.json")),
        ("\u212bngstrom.json", "\u00c5ngstrom.json"),
        ("ﬁle.json", "file.json"),
        ("straße.json", "STRASSE.json"),
        ("Σ.json", "ς.json"),
        ("e\u0301/x.json", "\u00e9"),
        ("ſ.json", "s.json"),
        ("１.json", "1.json"),
    ],
    ids=ascii,
)
def test_names_that_some_file_system_takes_for_one_clash(one: str, other: str) -> None:
    with pytest.raises(DownloadError) as caught:
        check_tree([local_path(one), local_path(other)])
    assert caught.value.reason is SkipReason.UNSAFE_FILE


def test_names_that_differ_do_not_clash() -> None:
    check_tree(local_path(path) for path in ("a/b.json", "a/c.json", "ab.json", "é.json", "e.json"))
