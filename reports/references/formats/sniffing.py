"""Which format a list has, by what stands in it; its name tells nothing."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from pathlib import Path

from reports.finding import ReportError
from reports.references.formats import hma, stopncii
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


def sniff(path: Path, mapping: Mapping[str, str] | None = None) -> str:
    """Return the format of a list, a key of `FORMS`.

    Args:
        mapping: as for `read_list`; where there is one, a text is CSV.

    Raises:
        ReportError: the file cannot be read, is empty or packed, or could be more than one format.
    """
    head = head_of(path)
    if head.startswith(b"PAR1"):
        return "parquet"
    for magic, packer in _PACKED.items():
        if head.startswith(magic):
            raise ReportError(f"{path.name}: is packed with {packer}; unpack it first")
    start = head.lstrip()[:1]
    if not start:
        raise ReportError(f"{path.name}: holds no hash; a list has one entry at least")
    if start == b"<":
        return "ncmec"
    if start in (b"{", b"["):
        return _json(path.name, head)
    return "csv" if mapping else _text(path, head)


def _json(name: str, head: bytes) -> str:
    found = [
        form
        for form, keys in (("hma", hma.KEYS), ("stopncii", stopncii.KEYS))
        if whereabouts(head, keys) is not None
    ]
    if len(found) != 1:
        what = "both HMA's and StopNCII's" if found else "neither HMA's nor StopNCII's"
        raise ReportError(f"{name}: is JSON, and {what}; name it with --format, or convert the list to CSV")
    return found[0]


def _text(path: Path, head: bytes) -> str:
    with readable(path):
        # The head may end within a character.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    line = next((one for one in text.splitlines() if one.strip() and not one.lstrip().startswith("#")), "")
    cells = [cell.strip().strip('"') for cell in _DELIMITER.split(line)]
    if cells == HEADER:
        return "dataset"
    if not any(_HASH.fullmatch(cell) for cell in cells):
        return "csv" if len(cells) > 1 or cells[0] == "value" else "plain"
    if len(cells) == 1:
        return "plain"
    if _HASH.fullmatch(cells[0]) and len(cells) in (4, 5) and line.count(",") == len(cells) - 1:
        return "te"
    raise ReportError(
        f"{path.name}: has cells but no header, so it could be several formats; name it with --format, "
        "or write a header and name the columns with --map"
    )
