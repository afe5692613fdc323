"""The master key, what it seals, and the home that holds on to one key."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.catalog.engine import open_engine
from scanner.vault import Vault, VaultError, new_key, open_vault, write_new_key
from scanner.vault_claim import claim, claimed

KEY = Vault(bytes(32))


@given(st.binary(max_size=2000), st.text(max_size=40))
def test_what_is_sealed_is_opened(data: bytes, about: str) -> None:
    assert KEY.open(KEY.seal(data, about), about) == data


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_changed_byte_is_noticed(data: bytes, draw: st.DataObject) -> None:
    sealed = bytearray(KEY.seal(data, "it"))
    at = draw.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(VaultError):
        KEY.open(bytes(sealed), "it")


def test_a_seal_tells_nothing_of_what_it_holds() -> None:
    first, second = KEY.seal(b"the same text", "it"), KEY.seal(b"the same text", "it")
    assert first != second
    assert b"same" not in first


def test_a_seal_about_one_thing_does_not_stand_for_another() -> None:
    with pytest.raises(VaultError, match="set b: cannot be opened"):
        KEY.open(KEY.seal(b"x", "set a"), "set b")


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(27)])
def test_what_is_no_seal_says_so(sealed: bytes) -> None:
    with pytest.raises(VaultError, match="it: cannot be opened"):
        KEY.open(sealed, "it")


def test_keys_are_told_apart_by_fingerprint_and_purpose() -> None:
    other = Vault(bytes(31) + b"x")
    assert KEY.fingerprint != other.fingerprint
    assert len(KEY.fingerprint) == 8
    assert KEY.signer().public_key() == Vault(bytes(32)).signer().public_key()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    write_new_key(file)
    text = new_key()
    assert open_vault(file, {"LEAKSWEEP_KEY": text}).origin == "LEAKSWEEP_KEY"
    assert open_vault(file, {}).origin == str(file)
    assert open_vault(file, {}).fingerprint != open_vault(file, {"LEAKSWEEP_KEY": text}).fingerprint


def test_a_new_key_is_its_owners_only_and_takes_no_others_place(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "key"
    write_new_key(file)
    before = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(VaultError, match="cannot be written: File exists"):
        write_new_key(file)
    assert file.read_text() == before
    assert [path.name for path in file.parent.iterdir()] == ["key"]


def test_a_missing_key_is_made_for_a_new_home_only(tmp_path: Path) -> None:
    with pytest.raises(
        VaultError, match=r"is not there, and nothing that it sealed can be read; put it back"
    ):
        open_vault(tmp_path / "key", {})
    made = open_vault(tmp_path / "key", {}, make=True)
    assert open_vault(tmp_path / "key", {}).fingerprint == made.fingerprint


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not base64!", "no key in base64"),
        ("QUJD", "has 3 bytes, not 32"),
        ("", "has 0 bytes"),
        ("é", "cannot be read"),
    ],
)
def test_a_malformed_key_file_says_what_is_wrong(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "key"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(VaultError, match=reason):
        open_vault(file, {})


def test_a_malformed_key_in_the_environment_is_not_shown() -> None:
    with pytest.raises(VaultError, match="LEAKSWEEP_KEY: is no key") as caught:
        open_vault(Path("nowhere"), {"LEAKSWEEP_KEY": "hunter2!"})
    assert "hunter2" not in str(caught.value)


def test_a_home_holds_on_to_the_key_it_was_begun_with(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'catalog.db'}")
    assert claimed(engine) is None
    claim(engine, KEY)
    claim(engine, KEY)
    assert claimed(engine) == KEY.fingerprint
    other = Vault(bytes(31) + b"x", origin="/etc/other.key")
    with pytest.raises(
        VaultError, match=rf"/etc/other.key: is another key.*this home's \({KEY.fingerprint}\);"
    ):
        claim(engine, other)
    assert claimed(engine) == KEY.fingerprint
    engine.dispose()
