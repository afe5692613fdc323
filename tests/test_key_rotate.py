"""The key of a home is changed for another: everything opens with the new one, nothing with the old one."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes_home import opened_home
from fakes_rotation import fill, opened, seals
from test_references_sealed import as_nobody

from leaksweep.cli import main
from leaksweep.home_lock import alone, among_others
from reports.custody import receipt, succession
from reports.references.sealed_store import SealedStore
from scanner import picture_keys
from scanner.key_change import KeyChanges
from scanner.picture_keys import PictureKeys
from scanner.seal_marks import SealMarks
from scanner.vault import HEAD, MARK, TwoKeys, Vault, VaultError, heads, new_key, vault_in, vault_of

pytest_plugins = ("fakes_postgres",)

Call = Callable[..., int]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    fill(folder / "home", folder)
    return folder / "home"


@pytest.fixture
def home(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "home"))


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.chdir(tmp_path)
    for name in ("LEAKSWEEP_KEY", "LEAKSWEEP_NEW_KEY"):
        monkeypatch.delenv(name, raising=False)
    return lambda *argv: main([*argv, "--home", str(home)])


def on_disk(folder: Path, found: list[bytes]) -> int:
    """How many of these seals lie in the files of a folder, whole or not."""
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return sum(one[:HEAD] in content for one in found)


def sealed(home: Path) -> list[bytes]:
    with opened_home(home) as stores:
        return seals(stores)


def test_everything_opens_with_the_new_key_and_nothing_of_the_old_one_is_left(
    home: Path, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    old, before, content = vault_in(home / "key"), sealed(home), opened(home)
    assert len(before) == on_disk(home, before) == 3 + 6 + 3 + 2 + 5
    (home / "key").chmod(0o640)

    assert call("key", "rotate", "--why", "an operator left", "--json") == 0

    said = json.loads(capsys.readouterr().out)
    new = vault_in(home / "key")
    kept = home / f"key.{old.fingerprint}"
    assert (said["from"], said["to"]) == (old.fingerprint, new.fingerprint)
    assert (said["seals"], said["key"], said["old_key"]) == (len(before), str(home / "key"), str(kept))
    assert vault_in(kept).fingerprint == old.fingerprint != new.fingerprint
    assert stat.S_IMODE((home / "key").stat().st_mode) == 0o640
    assert not (home / "key.new").exists()
    assert on_disk(home, before) == 0
    assert opened(home) == content
    assert on_disk(home, sealed(home)) == len(before)
    with opened_home(home) as stores:
        (entry,) = stores.audit.entries("master key")
        assert entry.details() == {"from": old.fingerprint, "to": new.fingerprint, "why": "an operator left"}
        assert stores.audit.verify().whole
        assert receipt.check(Path(said["receipt"]), new)["audit_entry"] == entry.digest
        assert KeyChanges(stores.engine).under_way() is None
    with pytest.raises(
        VaultError, match=rf"this home's \({new.fingerprint}\); it was this home's key until it"
    ):
        opened(home, key_file=str(kept))


def test_the_database_may_lie_elsewhere(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    home, elsewhere = tmp_path / "home", f"database={database_url}"
    fill(home, tmp_path, database=database_url)
    content = opened(home, database=database_url)
    with opened_home(home, database=database_url) as stores:
        before = seals(stores)
    assert main(["key", "rotate", "--home", "home", "--set", elsewhere, "--json"]) == 0
    said = json.loads(Path(json.loads(capsys.readouterr().out)["receipt"]).read_text())
    assert said["not_read"] == ([] if "sqlite" in database_url else ["the database server's own files"])
    assert on_disk(tmp_path, before) == 0
    assert opened(home, database=database_url) == content


def test_keys_are_sealed_anew_in_parts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_keys, "_AT_ONCE", 2)
    with opened_home(home) as stores:
        later = Vault(bytes(32))
        names = sorted(stores.keys.held())
        known = stores.keys.of(names)
        assert list(stores.keys.opened_seals()) == stores.keys.sealed(names)
        PictureKeys(stores.engine, TwoKeys(stores.vault, later)).reseal()
        assert PictureKeys(stores.engine, later).of(names) == known


@pytest.mark.parametrize(
    ("closed", "said"),
    [
        ("", r"home: cannot be written \(Permission denied\); make it writable"),
        ("lance", r"lance: is read-only, so reference sets cannot change; make it writable"),
        ("keys", r"keys/key.new: a new key cannot be written: Permission denied"),
    ],
)
def test_where_nothing_can_be_written_nothing_is_begun(
    closed: str, said: str, filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(shutil.copytree(filled, Path(name) / "home"))
        (home / "keys").mkdir()
        (home / "key").rename(home / "keys" / "key")
        (home / "open.lock").unlink()
        for path in (Path(name), home, *home.rglob("*")):
            shutil.chown(path, 65534 if os.getuid() == 0 else os.getuid())
        (home / closed).chmod(0o555)
        with as_nobody():
            found = main(["key", "rotate", "--home", str(home), "--set", f"key_file={home / 'keys' / 'key'}"])
        assert found == 2
        assert re.search(said, capsys.readouterr().err)
        (home / closed).chmod(0o755)
        content = opened(home, key_file=str(home / "keys" / "key"))
        assert content == opened(filled)


def test_a_key_to_come_that_was_made_before_stays_in_its_file(
    home: Path, call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, old = opened(home), (home / "key").read_text()
    assert call("key", "new", "keys/2027") == 0
    made = (tmp_path / "keys" / "2027").read_text()
    assert call("key", "rotate", "--to", "keys/2027") == 0
    assert (
        f'now name it in the settings: key_file = "{tmp_path / "keys" / "2027"}"' in capsys.readouterr().out
    )
    assert ((tmp_path / "keys" / "2027").read_text(), (home / "key").read_text()) == (made, old)
    assert opened(home, key_file="keys/2027") == content
    # The same again, as after a kill at the very end.
    assert call("key", "rotate", "--to", "keys/2027") == 0
    assert "this home has the new key already; nothing to do" in capsys.readouterr().out
    assert call("key", "show") == 2
    assert call("key", "show", "--set", "key_file=keys/2027") == 0
    assert "until 20" in capsys.readouterr().out


def test_keys_in_the_environment_are_changed_without_a_file(
    home: Path, call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, old, new = opened(home), (home / "key").read_text(), new_key()
    (home / "key").unlink()
    monkeypatch.setenv("LEAKSWEEP_KEY", old)
    assert call("key", "rotate") == 4
    assert "is in LEAKSWEEP_KEY, which nobody but you can change: give the new one in LEAKSWEEP_NEW_KEY" in (
        capsys.readouterr().err
    )
    monkeypatch.setenv("LEAKSWEEP_NEW_KEY", new)
    assert call("key", "rotate", "--to", "new") == 4
    assert "a new key is in LEAKSWEEP_NEW_KEY too" in capsys.readouterr().err
    assert call("key", "rotate") == 0
    assert "now set LEAKSWEEP_KEY to the new key, which LEAKSWEEP_NEW_KEY holds" in capsys.readouterr().out
    assert not list(home.glob("key*"))
    monkeypatch.setenv("LEAKSWEEP_KEY", new)
    assert opened(home) == content


def test_what_an_earlier_key_signed_holds_and_says_so(
    home: Path, call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = vault_in(home / "key").fingerprint
    assert call("audit", "head", "--out", "head.json") == 0
    with opened_home(home) as stores:
        name = sorted(stores.hashes.known())[0]
    assert call("erase", name, "--why", "asked") == 0
    erased = home / "receipts" / "erasure-000001.json"
    assert call("key", "rotate") == call("key", "rotate") == 0
    capsys.readouterr()
    assert call("audit", "verify", "--head", "head.json") == 0
    assert f"the head (signed by an earlier key of this home, {first}, until 20" in capsys.readouterr().out
    assert call("erase", "--check", str(erased), "--json") == 0
    told = json.loads(capsys.readouterr().out)["signed_by"]
    assert (told["fingerprint"], told["until"] is None) == (first, False)
    assert call("audit", "head", "--out", "now.json") == 0
    assert call("audit", "verify", "--head", "now.json", "--json") == 0
    assert json.loads(capsys.readouterr().out.split("\n", 1)[1])["signed_by"] == {
        "fingerprint": vault_in(home / "key").fingerprint,
        "until": None,
    }


def test_only_the_next_key_can_vouch_for_an_earlier_one() -> None:
    keys = [Vault(bytes([number]) * 32) for number in range(4)]

    def paper(earlier: Vault, signer: Vault) -> str:
        content = {"what": succession.WHAT, "ended_at": "2026-11-24", **succession.named(earlier)}
        return receipt.signed(content, signer)

    chain = [paper(keys[0], keys[1]), paper(keys[1], keys[2])]
    found = succession.earlier_keys(chain, keys[2])
    assert [one.fingerprint for one in found.values()] == [keys[1].fingerprint, keys[0].fingerprint]
    assert succession.earlier_keys([*chain, paper(keys[3], keys[3])], keys[2]) == found
    assert succession.earlier_keys(chain[:1], keys[2]) == {}


def test_another_key_changes_nothing(home: Path, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    before = sealed(home)
    assert call("key", "new", "wrong") == 0
    assert call("key", "rotate", "--set", "key_file=wrong") == 2
    assert "wrong: is another key" in capsys.readouterr().err
    assert call("key", "rotate", "--to", str(home / "key")) == 4
    assert "holds the key that this home has" in capsys.readouterr().err
    (home / "text").write_text("no key")
    assert call("key", "rotate", "--to", str(home / "text")) == 2
    assert "text: is no key in base64" in capsys.readouterr().err
    assert on_disk(home, before) == len(before)


def test_a_key_that_was_given_up_does_not_come_back(
    home: Path, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    old = vault_in(home / "key").fingerprint
    assert call("key", "rotate") == 0
    assert call("key", "rotate", "--to", str(home / f"key.{old}")) == 4
    assert "a key that was given up does not come back" in capsys.readouterr().err


def test_a_home_without_a_key_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["key", "rotate", "--home", "absent"]) == 2
    assert "absent: holds nothing yet" in capsys.readouterr().err
    assert not Path("absent").exists()
    assert main(["audit", "list", "--home", "fresh"]) == 0
    (tmp_path / "fresh" / "key").write_text(new_key())
    assert main(["key", "rotate", "--home", "fresh"]) == 2
    assert "fresh: has sealed nothing yet" in capsys.readouterr().err


def test_what_does_not_open_stops_the_change_before_it_begins(
    home: Path, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sealed(home)
    with opened_home(home) as stores:
        name = sorted(stores.keys.held())[0]
        foreign = Vault(bytes(32)).seal(bytes(32), f"key of picture {name}")
        with stores.engine.begin() as db:
            db.exec_driver_sql(
                "UPDATE picture_key SET sealed_key = ? WHERE extraction_id = ?", (foreign, name)
            )
    assert call("key", "rotate") == 2
    said = capsys.readouterr().err
    assert f"key of picture {name}: cannot be opened" in said
    assert "Nothing was changed; what is damaged can be erased: leaksweep erase ID" in said
    assert on_disk(home, before) >= len(before) - 1
    assert call("erase", name, "--why", "damaged") == 0
    assert call("key", "rotate") == 0


def test_an_erasure_that_was_cut_off_is_ended_first(
    home: Path, call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(SealedStore, "sweep", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        call("erase", "--set", "partner", "--why", "ended")
    assert call("key", "rotate") == 2
    assert "an erasure was cut off; end it first: leaksweep erase --go-on" in capsys.readouterr().err
    assert call("erase", "--go-on") == call("key", "rotate") == 0


def test_a_change_that_was_cut_off_is_ended_with_its_own_keys(
    home: Path, call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, old, new = opened(home), vault_in(home / "key").fingerprint, new_key()
    monkeypatch.setenv("LEAKSWEEP_NEW_KEY", new)
    with monkeypatch.context() as patch:
        patch.setattr(SealedStore, "reseal", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        assert call("key", "rotate") == 2
    capsys.readouterr()
    both = f"from {old} to {vault_of(new, '').fingerprint}"
    for argv in (["refs", "list"], ["key", "show"], ["audit", "list"], ["status"]):
        assert call(*argv) == 2
        said = capsys.readouterr().err
        assert f"the master key of this home is being changed {both} (begun 20" in said
        assert "end it first: leaksweep key rotate" in said
    assert call("key", "rotate", "--to", "elsewhere") == 4
    assert "--to elsewhere: a change to the key in LEAKSWEEP_NEW_KEY was begun" in capsys.readouterr().err
    monkeypatch.setenv("LEAKSWEEP_NEW_KEY", new_key())
    assert call("key", "rotate") == 2
    assert f"but the change {both.removeprefix('x')} was begun and needs" in capsys.readouterr().err
    monkeypatch.delenv("LEAKSWEEP_NEW_KEY")
    assert call("key", "rotate") == 2
    assert f"LEAKSWEEP_NEW_KEY: is not set, and the change {both} needs it until its end" in (
        capsys.readouterr().err
    )
    monkeypatch.setenv("LEAKSWEEP_NEW_KEY", new)
    assert call("key", "rotate") == 0
    monkeypatch.setenv("LEAKSWEEP_KEY", new)
    assert opened(home) == content


def test_a_lost_file_of_the_key_to_come_is_not_made_anew(
    home: Path,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(SealedStore, "reseal", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        assert call("key", "rotate", "--to", "new") == 2
    (tmp_path / "new").rename(tmp_path / "mislaid")
    assert call("key", "rotate", "--to", "new") == 2
    assert "new: the master key is not there" in capsys.readouterr().err
    (tmp_path / "mislaid").rename(tmp_path / "new")
    assert call("key", "rotate") == 0


def test_traces_that_are_left_end_nothing(home: Path, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "copy").write_bytes(b"..." + sealed(home)[0])
    old = vault_in(home / "key").fingerprint
    assert call("key", "rotate") == 2
    assert f"seals of {old} are still in copy; close whatever else" in capsys.readouterr().err
    assert vault_in(home / "key").fingerprint == old
    (home / "copy").unlink()
    assert call("key", "rotate") == 0
    assert vault_in(home / "key").fingerprint != old


def test_nobody_else_has_the_home_open_meanwhile(
    home: Path, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened_home(home), opened_home(home):
        assert call("key", "rotate") == 2
    said = capsys.readouterr().err
    assert "something else has this home open, such as a sweep or a review page; stop it or wait" in said
    with alone(home):
        assert call("refs", "list") == 2
    assert (
        "its master key is being changed by another process; wait until it is done" in capsys.readouterr().err
    )
    with among_others(home), among_others(home), pytest.raises(VaultError), alone(home):
        pass
    with opened_home(home) as stores:
        assert KeyChanges(stores.engine).under_way() is None


def test_a_key_file_is_replaced_where_a_link_leads(home: Path, call: Call, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (home / "key").rename(tmp_path / "etc" / "key")
    (home / "key").symlink_to(tmp_path / "etc" / "key")
    old = vault_in(home / "key").fingerprint
    assert call("key", "rotate") == 0
    assert (home / "key").is_symlink()
    assert sorted(one.name for one in (tmp_path / "etc").iterdir()) == ["key", f"key.{old}"]


def test_two_keys_open_what_either_sealed() -> None:
    old, new = Vault(bytes(32)), Vault(bytes(31) + b"x", origin="the new one")
    both = TwoKeys(old, new)
    anew = both.reseal(old.seal(b"text", "it"), "it")
    assert new.open(anew, "it") == both.open(both.reseal(anew, "it"), "it") == b"text"
    assert both.fingerprint == new.fingerprint
    assert [both.holds(one.fingerprint) for one in (old, new, Vault(bytes(31) + b"y"))] == [True, True, False]
    with pytest.raises(VaultError):
        both.open(Vault(bytes(31) + b"y").seal(b"text", "it"), "it")


def test_marks_know_what_they_were_made_of_and_hold_no_seal() -> None:
    vault = Vault(bytes(32))
    made = [vault.seal(b"x", str(number)) for number in range(1000)]
    marks = SealMarks(SealMarks.of(made[:500]).stored)
    assert len(marks) == 500
    assert all(one in marks for one in heads(made[:500]))
    assert not any(one in marks for one in heads(made[500:]))
    assert len(marks.stored) == 4000
    assert MARK not in marks.stored
    assert b"" not in SealMarks()
