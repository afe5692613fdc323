"""Plain lists, threatexchange's LocalFile among them: a hash a line, with or without its kind before it.

`pdq 1b6d...`, `md5 d41d...`, or the value alone: 64 digits are PDQ, 16 pHash, 32 MD5, 40 SHA-1.
Blank lines and lines that begin with # are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reports.matching.hashes import plausible
from reports.references.formats.files import lines
from reports.references.formats.listed import (
    SIGNALS,
    UNMATCHABLE,
    Entry,
    ListedSignal,
    Place,
    entry,
    kind_of,
    normal_kind,
    too_plain,
)


def read_plain(path: Path) -> Iterator[Entry]:
    """Yield the entries. An entry's id is the number of its line.

    Raises:
        ReportError: the file cannot be read, or a line is no hash.
    """
    for number, line in lines(path):
        text = line.strip()
        if text and text[0] != "#":
            yield _usual(number, text) or _entry(Place(path.name, f"line {number}"), str(number), text)


def _usual(number: int, text: str) -> Entry | None:
    """The line that nearly all lines are, in a third of the time; None for all others."""
    digits = text[4:] if text[:4] == "pdq " else text
    try:
        code = bytes.fromhex(digits)
    except ValueError:
        return None
    if len(digits) != 64 or len(code) != 32:  # fromhex passes over spaces
        return None
    if not plausible(code):
        return too_plain(str(number))
    return ListedSignal(place=f"line {number}", ref_id=str(number), signal="pdq", code=code, numbered=True)


def _entry(place: Place, ref_id: str, text: str) -> Entry:
    word, *rest = text.split(maxsplit=1)
    if not rest:
        return entry(place, ref_id, kind_of(place, text), text, numbered=True)
    known = word.replace("_", "").replace("-", "").isalnum()
    kind = normal_kind(place, word) if known else ""
    if kind not in SIGNALS and kind not in UNMATCHABLE:
        raise place.fault(
            "only the kind of a hash may stand before it, such as pdq, phash, phash256, md5 or sha256"
        )
    return entry(place, ref_id, kind, rest[0], numbered=True)
