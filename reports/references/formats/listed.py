"""What a list says: the records that every format is read into, and how one entry is judged."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypedDict, Unpack

from reports.finding import Opinion, ReportError
from reports.matching.hashes import plausible
from reports.references.pictures import Rejected

Signal = Literal["pdq", "phash", "phash256"]

SIGNALS: dict[str, tuple[Signal, int]] = {
    "pdq": ("pdq", 64),
    "phash": ("phash", 16),
    "phash256": ("phash256", 64),
}
"""What can be matched with a generated picture, and its hexadecimal digits."""

UNMATCHABLE: dict[str, int | None] = {
    "md5": 32,
    "netclean": None,
    "pdq_ocr": None,
    "photodna": None,
    "raw_text": None,
    "sha1": 40,
    "sha256": 64,
    "sha512": 128,
    "ssvh_pdna": None,
    "ssvh_safer_hash": None,
    "text": None,
    "text_tlsh": None,
    "tlsh_pdf": None,
    "tmk_pdqf": None,
    "trend_query": None,
    "url": None,
    "url_md5": 32,
    "videntifier": None,
    "video_md5": 32,
    "video_sha256": 64,
    "video_tmk": None,
    "vpdq": None,
}
"""What lists hold besides, by its name in them; with its hexadecimal digits where they are fixed."""

_ALIASES = {"pdna": "photodna", "vmd5": "video_md5", "image_pdq": "pdq", "sha_1": "sha1", "sha_256": "sha256"}
_BY_DIGITS = {16: "phash", 32: "md5", 40: "sha1", 64: "pdq", 128: "sha512"}
"""A value that stands alone. 64 digits are PDQ: a list of SHA-256 has to say so."""
_NOT_HEX = re.compile(r"[^0-9a-fA-F]")
_KIND = re.compile(r"[a-z0-9_]{1,40}")
NO_FINGERPRINT = "no_fingerprint"
"""The kind of an entry of NCMEC's without any."""
_LONGEST_ID = 512
_LONGEST_SAID = 4096
"""Characters: of an id, which stands in reports, and of all else that is said of a hash. Many entries are in
memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSignal:
    """A hash that can be looked for."""

    place: str
    """Where it stands in the file, such as "line 12" or "element 5"."""
    ref_id: str
    """The list's own id of the entry, or its number where it has none; see `numbered`."""
    signal: Signal
    code: bytes = field(repr=False)
    """Most significant bit first. Confidential."""
    quality: int | None = None
    """0 to 100, where the list tells."""
    opinion: Opinion = Opinion.POSITIVE
    classification: str = ""
    """In the giver's words."""
    tags: tuple[str, ...] = ()
    source: str = field(default="", repr=False)
    """Who gave it. Confidential."""
    fetched_at: datetime | None = None
    """UTC: the date that the list gives for the entry."""
    disable_until: datetime | None = None
    """UTC: not matched before then; see `FOREVER`."""
    numbered: bool = False
    """The list gives no id: `ref_id` is a number that moves when an entry before it goes, and only
    `signal` and `code` know the entry again in a newer list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatchable:
    """A value that no generated picture can be compared with: counted, and dropped."""

    place: str
    ref_id: str
    kind: str
    """A key of `UNMATCHABLE`, or the list's own word in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """The list says that an entry was deleted or withdrawn."""

    place: str
    ref_id: str
    signal: Signal | None = None
    code: bytes | None = field(default=None, repr=False)
    """The value, where the list knows its entries by nothing else; None where `ref_id` names it."""


Entry = ListedSignal | Unmatchable | Tombstone | Rejected
"""`Rejected`: a hash so plain that it would match every plain picture."""


class Said(TypedDict, total=False):
    """What a list says of a hash besides; as in `ListedSignal`."""

    quality: int | None
    opinion: Opinion
    classification: str
    tags: tuple[str, ...]
    source: str
    fetched_at: datetime | None
    disable_until: datetime | None
    numbered: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list, for what is said of it."""

    file: str
    name: str

    def fault(self, reason: str, remedy: str = "remove the entry or correct it") -> ReportError:
        """What is wrong there. The reason must not hold anything that was read from the list."""
        return ReportError(f"{self.file}, {self.name}: {reason}; {remedy}")


def entry(place: Place, ref_id: str, kind: str, value: str, **said: Unpack[Said]) -> Entry:
    """Judge one value of a kind as the list names it.

    Raises:
        ReportError: the value cannot be of this kind.
    """
    kind = normal_kind(place, kind)
    if kind not in SIGNALS:
        digits = UNMATCHABLE.get(kind)
        if digits:
            hexadecimal(place, value, kind, digits)
        return Unmatchable(place=place.name, ref_id=ref_id, kind=kind)
    signal, digits = SIGNALS[kind]
    code = hexadecimal(place, value, kind, digits)
    if not plausible(code):
        return too_plain(ref_id)
    _short(place, ref_id, said)
    return ListedSignal(place=place.name, ref_id=ref_id, signal=signal, code=code, **said)


def _short(place: Place, ref_id: str, said: Said) -> None:
    if len(ref_id) > _LONGEST_ID:
        raise place.fault(f"its id is longer than {_LONGEST_ID} characters")
    words = (said.get("classification", ""), said.get("source", ""), *said.get("tags", ()))
    if sum(map(len, words)) + len(words) > _LONGEST_SAID:
        raise place.fault(f"its classification, tags and source are longer than {_LONGEST_SAID:,} characters")


def known_kind(kind: str) -> bool:
    """Whether we know what a kind of hash is, be it of a picture or a video."""
    known = {*SIGNALS, *UNMATCHABLE, NO_FINGERPRINT}
    return kind in known or kind.removeprefix("video_") in known


def more_follows() -> Rejected:
    """What stands for the pages that a list says there are, but that are not in it."""
    return Rejected(
        "the next page", "the list says that more entries follow; fetch them, and put all pages into one file"
    )


def too_plain(ref_id: str) -> Rejected:
    """Lists in the wild hold rows of zeros."""
    return Rejected(ref_id, "nearly all of its bits are 0 or 1: it would match every plain picture")


def normal_kind(place: Place, name: str) -> str:
    """Return one spelling of a kind of hash: "HASH_MD5", "MD5" and "md5" are one.

    Raises:
        ReportError: it cannot be the name of a kind.
    """
    kind = name.strip().lower().replace("-", "_").removeprefix("hash_")
    if not _KIND.fullmatch(kind):
        raise place.fault("the kind of its hash is no word of letters, digits and underscores")
    return _ALIASES.get(kind, kind)


def kind_of(place: Place, value: str) -> str:
    """Return what a value that stands alone is, by its number of digits.

    Raises:
        ReportError: nothing has as many, or it is no hexadecimal number.
    """
    no_digit(place, value)
    if len(value) not in _BY_DIGITS:
        raise place.fault(f"{len(value)} digits, but PDQ has 64 and pHash 16")
    return _BY_DIGITS[len(value)]


def hexadecimal(place: Place, value: str, kind: str, digits: int) -> bytes:
    """Return the bytes of a hash.

    Raises:
        ReportError: it has another length, or is no hexadecimal number.
    """
    no_digit(place, value)
    if len(value) != digits:
        raise place.fault(f"{len(value)} digits, but {kind} has {digits}")
    return bytes.fromhex(value)


def no_digit(place: Place, value: str) -> None:
    """Raise a ReportError that names the first character that is no hexadecimal digit."""
    if wrong := _NOT_HEX.search(value):
        raise place.fault(f"character {wrong.start() + 1} of the hash is no hexadecimal digit")
