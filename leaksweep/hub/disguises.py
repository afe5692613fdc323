"""Faults that lie in what a hub holds, the same for every request: headers of files, stated sizes, cards."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import replace

from leaksweep.hub.blob import Blob
from leaksweep.hub.content import CivitaiFile, Content, HubRepo
from leaksweep.hub.faults import Striker
from leaksweep.hub.huggingface_rows import Served

HEADERS = {"big_header": 200_000, "huge_header": 26_000_000}
"""Bytes that a header is filled up to."""
LIE = 2**40
NO_BASE = "nobody/no-such-base"
_MOVES = {"renamed": "-moved", "replaced": "-instead"}
"""Endings of an owner's name after a move."""


class Disguises:
    """Alters what is served as far as faults lie on it."""

    def __init__(self, striker: Striker) -> None:
        self._striker = striker
        self._on_files = striker.lasting(*HEADERS, "lying_header", "lying_size", "lying_hash")
        self._on_repos = striker.lasting(*self._on_files, "scan_unfinished", "lying_base")

    def repo(self, served: Served) -> Served:
        """Return the repository as the faults have it be."""
        if not self._on_repos:
            return served
        repo, path = served.repo, f"huggingface/{served.repo.id}"
        made = replace(
            repo,
            object_id=served.object_id,
            sha=served.sha,
            scans_done=repo.scans_done and not self._striker.afflicts("scan_unfinished", path),
            card=_lying(repo.card) if self._striker.afflicts("lying_base", path) else repo.card,
        )
        return self._files(Served(made), path) if self._on_files else Served(made)

    def file(self, file: CivitaiFile) -> Blob:
        """Return a file on Civitai as it is served."""
        return Blob(self._altered(_civitai(file), file.content))

    def statement(self, file: CivitaiFile, blob: Blob) -> Blob:
        """Return a file on Civitai as it is spoken of."""
        longer = self._striker.afflicts("lying_size", _civitai(file))
        other = self._striker.afflicts("lying_hash", _civitai(file))
        return Misstated(blob, longer=longer, other=other) if longer or other else blob

    def moved(self, served: Served, path: str) -> str | None:
        """Return the name that a request for a repository is redirected to; None for no redirect."""
        for fault, ending in _MOVES.items():
            if self._striker.strikes(fault, path):
                owner, _, name = served.repo.id.partition("/")
                return f"{owner}{ending}/{name}"
        return None

    def original(self, name: str) -> str | None:
        """Return the name a repository had before it was moved; None where the name is not of that kind."""
        owner, _, rest = name.partition("/")
        for fault in self._striker.lasting(*_MOVES):
            if owner.endswith(_MOVES[fault]):
                return f"{owner.removesuffix(_MOVES[fault])}/{rest}"
        return None

    def under(self, served: Served, name: str) -> Served:
        """Return the repository under the name it was moved to."""
        object_id = served.object_id
        if name.partition("/")[0].endswith(_MOVES["replaced"]):
            object_id = object_id[:8] + hashlib.sha256(object_id.encode()).hexdigest()[:16]
        return Served(replace(served.repo, id=name, renamed_from=(), sha=served.sha, object_id=object_id))

    def _files(self, served: Served, path: str) -> Served:
        repo: HubRepo = served.repo
        files = {name: self._altered(f"{path}/{name}", content) for name, content in repo.files.items()}
        made = Served(replace(repo, files=files))
        lies = {
            fault: [name for name in files if self._striker.afflicts(fault, f"{path}/{name}")]
            for fault in ("lying_size", "lying_hash")
        }
        sizes = {name: made.blobs[name].size + 1 for name in lies["lying_size"]}
        hashes = {name: false_hash(made.blobs[name].sha256) for name in lies["lying_hash"]}
        return Served(replace(made.repo, stated_sizes=sizes, stated_hashes=hashes))

    def _altered(self, path: str, content: Content) -> Content:
        if not path.endswith(".safetensors"):
            return content
        for fault, size in HEADERS.items():
            if self._striker.afflicts(fault, path):
                return lambda: padded(Blob(content).read(), size)
        if self._striker.afflicts("lying_header", path):
            return lambda: struct.pack("<Q", LIE) + Blob(content).read()[8:]
        return content


class Misstated(Blob):
    """A file that is said to be a byte longer, or to have another SHA-256, than it has."""

    def __init__(self, blob: Blob, *, longer: bool, other: bool) -> None:
        super().__init__(blob.read)
        self.size = blob.size + longer
        self.sha256 = false_hash(blob.sha256) if other else blob.sha256


def padded(weights: bytes, size: int) -> bytes:
    """Return a safetensors file with a header of so many bytes, filled up with spaces; others unchanged."""
    if weights[8:9] != b"{":
        return weights
    end = 8 + int.from_bytes(weights[:8], "little")
    return struct.pack("<Q", size) + weights[8:end].ljust(size) + weights[end:]


def false_hash(sha256: str) -> str:
    """Return another SHA-256: the hash of the hash."""
    return hashlib.sha256(sha256.encode()).hexdigest()


def _civitai(file: CivitaiFile) -> str:
    return f"civitai/{file.id}/{file.name}"


def _lying(card: Mapping[str, object]) -> Mapping[str, object]:
    declared = card.get("base_model")
    bases = [declared] if isinstance(declared, str) else list(declared) if isinstance(declared, list) else []
    return {**card, "base_model": [*bases, *bases, NO_BASE]}
