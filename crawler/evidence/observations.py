"""What headers give away of the people behind them: paths, names, addresses, sessions, comments, subjects.

Recorded to count how often it happens and to recognise the same person's files, not to be read: under the
default only a keyed hash is kept. A plain hash of a short name could be guessed; the key stays in the home.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from crawler.evidence.datasets import class_words, read_dataset
from crawler.evidence.facts import Observation
from crawler.evidence.plain_text import MAX_TEXT, clean, paths_in

MAX_OBSERVATIONS = 200
"""Of one header."""
_SKIPPED = ("modelspec.thumbnail", "ss_tag_frequency", "ss_bucket_info")
"""Large values that hold pictures and captions, not people."""
_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_USER = re.compile(r"(?:/home/|/Users/|[A-Za-z]:[\\/]Users[\\/])([^\\/\s]{1,64})", re.IGNORECASE)
_SHARE = re.compile(r"\\\\([\w.$-]{1,64})\\")
_NOBODY = {
    "root",
    "user",
    "ubuntu",
    "runner",
    "app",
    "public",
    "default",
    "administrator",
    "admin",
    "workspace",
}
_SESSIONS = ("ss_session_id",)
_COMMENTS = ("ss_training_comment", "modelspec.description", "modelspec.comment")
_MACHINES = ("hostname", "ss_hostname", "host")


class KeepLeaks(StrEnum):
    """What is kept of an observation."""

    HASHED = "hashed"
    PLAIN = "plain"
    NOTHING = "nothing"


class Observer:
    """Finds what a header's metadata gives away.

    Args:
        key: 16 to 64 bytes of this home (`observation_key`), so that hashes mean nothing elsewhere.
    """

    def __init__(self, key: bytes, keep: KeepLeaks = KeepLeaks.HASHED) -> None:
        if not 16 <= len(key) <= 64:
            raise ValueError(f"a key of {len(key)} bytes; 16 to 64 are needed")
        self._key = key
        self._keep = keep

    def __call__(self, metadata: Mapping[str, Any]) -> tuple[Observation, ...]:
        """Each thing once, at most `MAX_OBSERVATIONS`; none when nothing is to be kept."""
        if self._keep is KeepLeaks.NOTHING:
            return ()
        found: dict[tuple[str, str], Observation] = {}
        for what, source, text in _leaks(metadata):
            if len(found) >= MAX_OBSERVATIONS:
                break
            found.setdefault((what, text), self._observation(what, source, text))
        return tuple(found.values())

    def _observation(self, what: str, source: str, text: str) -> Observation:
        folded = " ".join(text.casefold().split())
        hashed = hashlib.blake2b(folded.encode("utf-8", "replace"), key=self._key, digest_size=16)
        plain = clean(text) if self._keep is KeepLeaks.PLAIN else ""
        return Observation(what=what, source=source, digest=hashed.hexdigest(), text=plain)


def observation_key(path: Path) -> bytes:
    """The home's key, 32 bytes; made at the first call, for its owner's eyes only.

    Raises:
        OSError: it can neither be read nor made.
        ValueError: the file is something else.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_bytes()
        if len(key) != 32:
            raise ValueError(f"{path} is no key of 32 bytes; move it away to get a new one") from None
        return key
    key = secrets.token_bytes(32)
    with os.fdopen(handle, "wb") as file:
        file.write(key)
    return key


def _leaks(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what was found, the key that it stands under, and its text."""
    for key, value in list(metadata.items())[:1000]:
        if key in _SKIPPED or not isinstance(value, str) or not value.strip():
            continue
        text, name = value[:MAX_TEXT], clean(key, 100)
        if text.startswith(("{", "[")):
            text = text.replace("\\\\", "\\")  # JSON doubles them.
        for path in paths_in(text):
            yield "path", name, path
        for found, what in ((_USER, "user name"), (_SHARE, "machine name"), (_MAIL, "e-mail address")):
            for word in found.findall(text):
                if word.casefold() not in _NOBODY:
                    yield what, name, word
        if text.casefold() not in ("none", "null"):
            if key in _SESSIONS:
                yield "session", name, text
            if key in _COMMENTS:
                yield "comment", name, text
            if key in _MACHINES:
                yield "machine name", name, text
    dataset = read_dataset(metadata)
    for folder in dataset.folders:
        if subject := class_words(folder):
            yield "subject", dataset.counted_in or dataset.tags_in, subject
