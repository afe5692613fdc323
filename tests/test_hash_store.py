"""Sealed hashes: opened all at once, or of the extractions that are asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from reports.matching.hash_store import HashedExtraction, HashStore
from reports.matching.hashes import PdqState, PictureHashes
from scanner.vault import Vault, VaultError

VAULT = Vault(bytes(32))
NAMES = ("cats-000", "cats-001", "it's-000")


def hashed(name: str, phash: bytes) -> HashedExtraction:
    picture = PictureHashes(
        phash=phash,
        phash_mirror=phash[::-1],
        phash256=None,
        phash256_mirror=None,
        pdq=None,
        pdq_mirror=None,
        pdq_quality=None,
        pdq_state=PdqState.NOT_INSTALLED,
    )
    return HashedExtraction(
        extraction_id=name,
        created_at=datetime(2026, 11, 24, tzinfo=UTC),
        hasher="phash@1",
        picture=picture,
        control=picture,
    )


@pytest.fixture
def store(tmp_path: Path) -> HashStore:
    made = HashStore(tmp_path / "hashes", VAULT)
    made.put_hashes(hashed(name, bytes([number]) * 8) for number, name in enumerate(NAMES))
    return made


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (None, NAMES),
        (["cats-001"], ["cats-001"]),
        (["it's-000", "cats-000", "dogs-000"], ["cats-000", "it's-000"]),
        (["x' OR true --"], []),
        ([], []),
    ],
)
def test_those_asked_for_are_opened(store: HashStore, ids: list[str] | None, found: list[str]) -> None:
    rows = store.hashes(ids).to_pylist()
    assert [row["extraction_id"] for row in rows] == list(found)
    assert all(row["phash"] == bytes([NAMES.index(row["extraction_id"])]) * 8 for row in rows)


def test_nothing_but_those_is_opened(store: HashStore) -> None:
    HashStore(store.path, Vault(bytes([1]) * 32)).put_hashes([hashed("dogs-000", bytes(8))])
    assert store.hashes(["cats-000"])["phash"].to_pylist() == [bytes(8)]
    with pytest.raises(VaultError, match="dogs-000"):
        store.hashes()
