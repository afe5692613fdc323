"""Who has a home open: any number of commands at once, or one that changes its key and nobody else.

The lock is the system's (flock): it goes with the process, killed or not, and closing another handle on the
file does not let go of it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scanner.vault import VaultError

NAME = "open.lock"


@contextmanager
def among_others(root: Path) -> Iterator[None]:
    """Hold a home open beside others.

    Raises:
        VaultError: a process is changing its key, or the folder is read-only.
    """
    refusal = "its master key is being changed by another process; wait until it is done"
    with _locked(root, fcntl.LOCK_SH, refusal):
        yield


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold a home open while nobody else does.

    Raises:
        VaultError: somebody does, or the folder is read-only.
    """
    refusal = (
        "something else has this home open, such as a sweep or a review page; stop it or wait until it is "
        "done, and run again: leaksweep key rotate"
    )
    with _locked(root, fcntl.LOCK_EX, refusal):
        yield


@contextmanager
def _locked(root: Path, kind: int, refusal: str) -> Iterator[None]:
    try:
        descriptor = os.open(root / NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise VaultError(
            f"{root}: cannot be written ({error.strerror}); make it writable, or give another --home"
        ) from error
    try:
        _take(descriptor, kind, f"{root}: {refusal}")
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, kind: int, refusal: str) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise VaultError(refusal) from error
