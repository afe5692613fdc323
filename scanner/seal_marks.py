"""Which seals are to be gone from the disk, in eight bytes each: there may be millions of them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from scanner.vault import HEAD

_BYTES = 8


class SealMarks:
    """Digests of what seals begin with. Another seal is taken for one of a million once in 10^13 times."""

    def __init__(self, stored: bytes = b"") -> None:
        """Take what `stored` gave."""
        self._digests: NDArray[np.uint64] = np.frombuffer(stored, "<u8")

    @classmethod
    def of(cls, seals: Iterable[bytes]) -> SealMarks:
        """Remember seals by what they begin with."""
        digests = np.fromiter((_digest(one[:HEAD]) for one in seals), "<u8")
        return cls(np.unique(digests).tobytes())

    @property
    def stored(self) -> bytes:
        """To be kept. No seal can be found in it by its mark."""
        return self._digests.tobytes()

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, head: object) -> bool:
        if not isinstance(head, bytes) or not len(self._digests):
            return False
        wanted = np.uint64(_digest(head))
        at = int(np.searchsorted(self._digests, wanted))
        return at < len(self._digests) and bool(self._digests[at] == wanted)


def _digest(head: bytes) -> int:
    return int.from_bytes(blake2b(head, digest_size=_BYTES).digest(), "little")
