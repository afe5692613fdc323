"""The key that is to come: where it is taken from, and how its file takes the earlier one's place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from scanner.vault import Vault, VaultError, settle_folder, vault_in, write_new_key


def made(file: Path, like: Path | None = None) -> Vault:
    """Return the key in a file, which is made where it is missing.

    Args:
        like: a file whose owner, group and mode it gets, since it is to take that one's place.

    Raises:
        VaultError: the file cannot be written, or holds no key.
    """
    if not file.exists():
        write_new_key(file)
    found = vault_in(file)
    if like is not None:
        _give_owner(file, like)
    return found


def aside(file: Path, fingerprint: str) -> Path:
    """Where a key file lies once a later one has taken its place."""
    return file.with_name(f"{file.name}.{fingerprint}")


def put_in_place(later: Path, file: Path, *, earlier_key: str, later_key: str) -> None:
    """Put a file with the later key in the place of one with the earlier key, which is kept beside it.

    At every moment the file is there and holds one of the two. Killed anywhere, it can be done again.

    Args:
        earlier_key: fingerprint of the key in `file`; likewise `later_key`.

    Raises:
        VaultError: one of the files holds another key, or the folder cannot be written.
    """
    if vault_in(file).fingerprint == later_key:
        return
    kept = aside(file, earlier_key)
    _expect(file, earlier_key)
    _expect(later, later_key)
    try:
        if not kept.exists():
            os.link(file, kept)
        _expect(kept, earlier_key)
        later.replace(file)
        settle_folder(file.parent)
    except OSError as error:
        raise VaultError(
            f"{file}: {later} cannot take its place ({error.strerror}); make the folder writable, and run "
            "again: leaksweep key rotate"
        ) from error


def _expect(file: Path, fingerprint: str) -> None:
    found = vault_in(file).fingerprint
    if found != fingerprint:
        raise VaultError(
            f"{file}: holds the key {found}, where {fingerprint} is expected; put that one there, and run "
            "again: leaksweep key rotate"
        )


def _give_owner(file: Path, like: Path) -> None:
    wanted, found = like.stat(), file.stat()
    try:
        if (wanted.st_uid, wanted.st_gid) != (found.st_uid, found.st_gid):
            shutil.chown(file, wanted.st_uid, wanted.st_gid)
        file.chmod(wanted.st_mode & 0o777)
    except OSError as error:
        raise VaultError(
            f"{file}: cannot be given the owner of {like} ({error.strerror}); run this as that file's owner"
        ) from error
