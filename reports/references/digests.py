"""What was seen before, of many million things, in 20 bytes each."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 16
"""Two of ten million things share a digest with a chance of 1 in 10^25."""
_NUMBER_BYTES = 4
_RECORD = np.dtype(f"S{DIGEST_BYTES + _NUMBER_BYTES}")


def digest(kind: str, value: bytes) -> bytes:
    """The digest of one thing of a kind."""
    return blake2b(value, digest_size=DIGEST_BYTES, person=kind.encode()).digest()


class Digests:
    """Digests, each with a number: sorted arrays that are merged as they grow, so that adding stays cheap."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.bytes_]] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def find(self, wanted: list[bytes]) -> NDArray[np.int64]:
        """Return the number of each digest, or -1 where it was not added."""
        out = np.full(len(wanted), -1, np.int64)
        # The number 0 behind a digest sorts before every record of it.
        sought = _records(wanted, np.zeros(len(wanted), np.int64))
        order = np.argsort(sought)
        sought = sought[order]
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, sought), len(run) - 1)
            found, asked = _bytes(run[at]), _bytes(sought)
            same = (found[:, :DIGEST_BYTES] == asked[:, :DIGEST_BYTES]).all(axis=1)
            numbers = np.ascontiguousarray(found[same, DIGEST_BYTES:]).view(">u4").reshape(-1)
            out[order[same]] = numbers
        return out

    def add(self, digests: list[bytes], numbers: NDArray[np.int64]) -> None:
        """Add digests that are not there yet, with numbers below 2^32."""
        if not digests:
            return
        self._runs.append(np.sort(_records(digests, numbers)))
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            # Two runs in order: a stable sort merges them in one pass.
            merged = np.concatenate((self._runs.pop(), self._runs.pop()))
            merged.sort(kind="stable")
            self._runs.append(merged)


def _records(digests: list[bytes], numbers: NDArray[np.int64]) -> NDArray[np.bytes_]:
    out = np.empty((len(digests), _RECORD.itemsize), np.uint8)
    out[:, :DIGEST_BYTES] = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)
    out[:, DIGEST_BYTES:] = numbers.astype(">u4").view(np.uint8).reshape(-1, _NUMBER_BYTES)
    return out.view(_RECORD).reshape(-1)


def _bytes(records: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(records).view(np.uint8).reshape(-1, _RECORD.itemsize)
