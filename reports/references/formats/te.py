"""ThreatExchange's `.te` files: indicator, [id,] first_descriptor_id, added_on, labels; no header.

They come one a kind of indicator, which only the file's name tells: `simple.HASH_PDQ.te`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from reports.finding import Opinion
from reports.references.formats.files import rows
from reports.references.formats.listed import Entry, Place, entry, kind_of
from reports.references.formats.said import moment, together

_NAME = re.compile(r"simple\.([A-Za-z0-9_]+)\.te")
_LABELS = {
    "true_positive": Opinion.POSITIVE,
    "false_positive": Opinion.NEGATIVE,
    "disputed": Opinion.DISPUTED,
}
"""Labels that threatexchange's own client adds for what members have said of an indicator."""
_MINE = "mine"
"""In place of the date, when the opinion is the exporting member's own."""


def read_te(path: Path) -> Iterator[Entry]:
    """Yield the entries. An entry's id is the indicator's, or else its first descriptor's.

    Raises:
        ReportError: the file cannot be read, or a row is malformed.
    """
    named = _NAME.fullmatch(path.name)
    for number, row in rows(path):
        place = Place(path.name, f"line {number}")
        if len(row) not in (4, 5):
            raise place.fault(f"{len(row)} cells, but a .te file has 4 or 5")
        value, ref_id, added_on, labels = row[0].strip(), row[1].strip(), row[-2].strip(), row[-1].split()
        if not (ref_id.isdecimal() and row[-3].strip().isdecimal()):
            raise place.fault("its id is no number")
        yield entry(
            place,
            ref_id,
            named[1] if named else kind_of(place, value),
            value,
            opinion=together([_LABELS[one] for one in labels if one in _LABELS], Opinion.POSITIVE),
            tags=tuple(one for one in labels if one not in _LABELS),
            fetched_at=None if added_on == _MINE else moment(place, added_on, "added_on"),
        )
