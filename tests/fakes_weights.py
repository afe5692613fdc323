"""Small files that begin as safetensors do, for the tests of downloads."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from dataclasses import replace

from crawler.checkpoint import Checkpoint, RemoteFile


def weights(seed: int, size: int = 1000) -> bytes:
    """`size` bytes, the same for the same seed."""
    data = size - 200
    header = json.dumps({"a": {"dtype": "U8", "shape": [data], "data_offsets": [0, data]}}).encode()
    head = struct.pack("<Q", 192) + header.ljust(192)
    return head + random.Random(seed).randbytes(data)


def remote(url: str, body: bytes, **fields: object) -> RemoteFile:
    """The file as a hub that tells everything lists it."""
    told = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "path": "w.safetensors", **fields}
    return RemoteFile(url=url, **told)  # type: ignore[arg-type]


def holding(checkpoint: Checkpoint, *files: RemoteFile) -> Checkpoint:
    """The checkpoint with these files."""
    return replace(checkpoint, files=files)
