"""Which format a list has, by what stands in it; its name tells nothing."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from pathlib import Path

from reports.finding import ReportError
from reports.references.formats import hma, stopncii
from reports.references.formats.columns import FIELDS
from reports.references.formats.dataset import HEADER
from reports.references.formats.files import head_of, readable
from reports.references.formats.json_elements import whereabouts

_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_DELIMITER = re.compile(r"[,;\t]")
_HASH = re.compile(r"[0-9a-fA-F]{16,}")
_WORD = re.compile(r"[A-Za-z_]*[g-zG-Z_][A-Za-z_]*")
"""The name of a table's only column."""


def sniff(path: Path, mapping: Mapping[str, str] | None = None) -> str:
    """Return the format of a list, a key of `FORMS`.

    Args:
        mapping: as for `read_list`; where there is one, a text is CSV.

    Raises:
        ReportError: the file cannot be read, is empty or packed, or could be more than one format.
    """
    head = unpacked(path)
    if head.startswith(b"PAR1"):
        return "parquet"
    if b"\0" in head:
        raise ReportError(
            f"{path.name}: holds zero bytes, as UTF-16 and binary files do; save the list as UTF-8"
        )
    start = head.lstrip()[:1]
    if not start:
        raise ReportError(f"{path.name}: holds no hash; a list has one entry at least")
    if start == b"<":
        return "ncmec"
    if start in (b"{", b"["):
        return _json(path, head)
    return "csv" if mapping else _text(path, head)


def unpacked(path: Path) -> bytes:
    """Return a list's first bytes.

    Raises:
        ReportError: it cannot be read, or is packed.
    """
    head = head_of(path)
    for magic, packer in _PACKED.items():
        if head.startswith(magic):
            raise ReportError(f"{path.name}: is packed with {packer}; unpack it first")
    return head


def _json(path: Path, head: bytes) -> str:
    _decoded(path, head)
    found = [
        form
        for form, keys in (("hma", hma.KEYS), ("stopncii", stopncii.KEYS))
        if whereabouts(head, keys) is not None
    ]
    if len(found) != 1:
        what = "fits both HMA and StopNCII" if found else "is neither HMA's nor StopNCII's, or is broken"
        raise ReportError(f"{path.name}: is JSON that {what}; name it with --format, or convert it to CSV")
    return found[0]


def _decoded(path: Path, head: bytes) -> str:
    with readable(path):
        # The head may end within a character.
        return codecs.getincrementaldecoder("utf-8")().decode(head)


def _text(path: Path, head: bytes) -> str:
    text = _decoded(path, head)
    line = next((one for one in text.splitlines() if one.strip() and not one.lstrip().startswith("#")), "")
    cells = [cell.strip().strip('"') for cell in _DELIMITER.split(line)]
    if cells == HEADER:
        return "dataset"
    if not any(_HASH.fullmatch(cell) for cell in cells):
        named = cells[0].lower() in FIELDS or _WORD.fullmatch(cells[0])
        return "csv" if len(cells) > 1 or named else "plain"
    if len(cells) == 1:
        return "plain"
    if _HASH.fullmatch(cells[0]) and len(cells) in (4, 5) and line.count(",") == len(cells) - 1:
        return "te"
    raise ReportError(
        f"{path.name}: has cells but no header, so it could be several formats; name it with --format, "
        "or write a header and name the columns with --map"
    )
