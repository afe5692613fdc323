"""A Ray of one's own on this machine: nobody else reaches it, and it is told no secret that it does not need.

Ray keeps what workers return in shared memory and, when that is full, in plain files; its logs and sockets
lie in a folder that is open to all users; and its workers, who read strangers' weights, have the environment
of the driver. None of that is for pictures and keys.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from scanner.job import Job, Outcome
from scanner.vault import KEY_BYTES, NEW_VARIABLE, VARIABLE, Vault

SECRETS = (VARIABLE, NEW_VARIABLE, "LEAKSWEEP_WEBHOOK_SECRET", "HF_TOKEN", "CIVITAI_TOKEN", "PGPASSWORD")
"""Environment variables that only the driver needs: it alone downloads, stores and tells."""


class Sealer:
    """Seals outcomes on their way through Ray, with a key that lives as long as the pool."""

    def __init__(self, key: bytes) -> None:
        self._vault = Vault(key, origin="the pool's own key")

    def seal(self, job: Job, outcome: Outcome) -> bytes:
        return self._vault.seal(pickle.dumps(outcome), job.id)

    def open(self, job: Job, sealed: bytes) -> Outcome:
        """Return the outcome of a job.

        Raises:
            VaultError: it is not what a worker of this pool sealed for this job.
        """
        # Opened, it is known to come from a worker of ours.
        outcome: Outcome = pickle.loads(self._vault.open(sealed, job.id))
        return outcome


def new_pool_key() -> bytes:
    """A key for `Sealer`."""
    return os.urandom(KEY_BYTES)


@contextmanager
def private_folder() -> Iterator[str]:
    """A folder for Ray's sockets, logs and spilled objects that its owner alone can look into; gone after."""
    # A short name: that of a socket may have 107 characters. Its servers may still be writing when it goes.
    where = os.environ.get("RAY_TMPDIR")
    with TemporaryDirectory(prefix="ls-ray-", dir=where, ignore_cleanup_errors=True) as place:
        # Ray opens the folder that it is given to everybody, but nobody comes past the one around it.
        yield f"{place}/r"


@contextmanager
def told_nothing() -> Iterator[None]:
    """Have processes that are started here begin without `SECRETS`, and make files for their owner only."""
    held = {name: os.environ.pop(name) for name in SECRETS if name in os.environ}
    mask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(mask)
        os.environ.update(held)
