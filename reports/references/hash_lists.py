"""Hash lists: a text file with one hexadecimal hash a line, and nothing said of what it shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reports.finding import ReportError
from reports.matching.hashes import PDQ_BYTES, PHASH_BYTES, plausible

Algorithm = Literal["phash", "pdq"]
_BY_DIGITS: dict[int, Algorithm] = {2 * PHASH_BYTES: "phash", 2 * PDQ_BYTES: "pdq"}
_CRYPTOGRAPHIC = {32: "MD5", 40: "SHA-1", 128: "SHA-512"}
_NOT_HEX = re.compile(r"[^0-9a-fA-F]")


@dataclass(frozen=True, slots=True)
class ListedHash:
    """One line of a list."""

    line: int
    """From 1, as an editor counts."""
    algorithm: Algorithm
    code: bytes


@dataclass(frozen=True, slots=True)
class HashList:
    """A whole list; `hashes` holds each value once."""

    hashes: tuple[ListedHash, ...]
    duplicates: int
    """Lines whose value stands on an earlier line."""
    implausible: tuple[int, ...]
    """Lines whose hash is left out: nearly all its bits are 0 or 1, so it would match every plain picture."""


def read_hash_list(path: Path) -> HashList:
    """Read a list of pHash (16 digits) and PDQ (64 digits) values, mixed as they come.

    A line may begin with "phash" or "pdq"; blank lines and lines that begin with # are passed over.

    Raises:
        ReportError: the file cannot be read, a line is no hash, or nothing is left. Lists are
            confidential: a message gives the line's number and never its digits.
    """
    first_seen: dict[bytes, ListedHash] = {}
    implausible: list[int] = []
    lines = 0
    for listed in _lines(path):
        lines += 1
        if plausible(listed.code):
            first_seen.setdefault(listed.code, listed)
        else:
            implausible.append(listed.line)
    if not lines:
        raise ReportError(f"{path.name}: holds no hash; write one hash a line, 16 or 64 hexadecimal digits")
    if not first_seen:
        raise ReportError(
            f"{path.name}: none of its {lines} hashes can be used, because nearly all bits of each "
            "are 0 or 1; export the list again"
        )
    hashes = tuple(first_seen.values())
    return HashList(hashes, lines - len(implausible) - len(hashes), tuple(implausible))


def _lines(path: Path) -> Iterator[ListedHash]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                text = line.strip()
                if text and not text.startswith("#"):
                    yield _parse(text, number, path.name)
    except UnicodeDecodeError as error:
        raise ReportError(f"{path.name}: is not UTF-8 text; save the list as plain text") from error
    except OSError as error:
        raise ReportError(
            f"{path}: cannot be read ({error.strerror}); give the path of a hash list"
        ) from error


def _parse(text: str, number: int, name: str) -> ListedHash:
    *prefix, digits = text.split()
    where = f"{name}, line {number}"
    if prefix and [word.lower() for word in prefix] not in (["phash"], ["pdq"]):
        raise ReportError(
            f'{where}: only "phash" or "pdq" may stand before a hash; remove the line or correct it'
        )
    if wrong := _NOT_HEX.search(digits):
        raise ReportError(
            f"{where}: character {wrong.start() + 1} of the hash is no hexadecimal digit; "
            "write one hash a line and nothing behind it"
        )
    algorithm = _BY_DIGITS.get(len(digits))
    if algorithm is None:
        likely = _CRYPTOGRAPHIC.get(len(digits))
        reason = f" (perhaps {likely}, which can never match a picture that was made again)" if likely else ""
        raise ReportError(
            f"{where}: {len(digits)} digits, but pHash has 16 and PDQ has 64{reason}; "
            "remove the line or correct it"
        )
    if prefix and prefix[0].lower() != algorithm:
        raise ReportError(
            f"{where}: says {prefix[0].lower()} but has the {len(digits)} digits of {algorithm}; correct it"
        )
    return ListedHash(number, algorithm, bytes.fromhex(digits))
