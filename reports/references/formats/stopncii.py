"""StopNCII's hash records: one page of its API, or several in an array or one after the other.

`{"hashRecords": [{"lastModtimestamp", "hashValue", "hashStatus", "signalType", "caseNumbers",
"CSPFeedbacks": [{"source", "feedbackValue", "tags"}]}], "hasMoreRecords"}`. Case numbers belong to people and
are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reports.finding import Opinion
from reports.references.formats.json_elements import elements, text
from reports.references.formats.listed import Entry, ListedSignal, Place, Tombstone, entry, more_follows
from reports.references.formats.said import moment, together

KEYS = frozenset({"hashValue", "hashStatus", "signalType"})
_KINDS = {"imagepdq": "pdq", "videomd5": "video_md5", "videotmk": "video_tmk"}
_GONE = ("withdrawn", "deleted")
_STATUSES = (*_GONE, "active", "received", "unknown")
_FEEDBACK = {"Blocked": Opinion.POSITIVE, "NotBlocked": Opinion.DISPUTED}
"""NotBlocked says that a platform's reviewer could not tell. It is no proof of innocence, so it must
not make a negative of a hash that someone has asked to be protected by."""


def read_stopncii(path: Path) -> Iterator[Entry]:
    """Yield the entries. A record is known by its value alone: an entry's id is its number.

    What nobody has reviewed is a seed: the person who submitted it is believed, not checked.

    Raises:
        ReportError: the file cannot be read, is no JSON, or an element is malformed.
    """
    page: dict[str, Any] = {}
    for place, record in elements(path, KEYS, "hash record of StopNCII", page):
        ref_id = place.name.removeprefix("element ")
        kind = text(place, record, "signalType")
        feedbacks = _feedbacks(place, record)
        values = [text(place, one, "feedbackValue") for one in feedbacks]
        found = entry(
            place,
            ref_id,
            _KINDS.get(kind.lower(), kind),
            text(place, record, "hashValue"),
            opinion=together([_FEEDBACK[one] for one in values if one in _FEEDBACK], Opinion.SEED),
            tags=_tags(place, feedbacks),
            source=", ".join(sorted({text(place, one, "source", default="") for one in feedbacks} - {""})),
            fetched_at=moment(place, record.get("lastModtimestamp"), "lastModtimestamp"),
            numbered=True,
        )
        status = text(place, record, "hashStatus").lower()
        if status not in _STATUSES:
            raise place.fault(f"its hashStatus is none of {', '.join(_STATUSES)}")
        gone = status in _GONE
        if gone and isinstance(found, ListedSignal):
            yield Tombstone(place=place.name, ref_id=ref_id, signal=found.signal, code=found.code)
        elif gone:
            yield Tombstone(place=place.name, ref_id=ref_id)
        else:
            yield found
    if page.get("hasMoreRecords") is True:
        yield more_follows()


def _feedbacks(place: Place, record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = record.get("CSPFeedbacks") or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise place.fault("CSPFeedbacks is no array of objects")
    return found


def _tags(place: Place, feedbacks: list[Mapping[str, Any]]) -> tuple[str, ...]:
    found: set[str] = set()
    for one in feedbacks:
        tags = one.get("tags") or []
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise place.fault("tags are no array of text")
        found.update(tags)
    return tuple(sorted(found))
