"""NCMEC's hash sharing, version 2: the XML of its entries.

`<queryResult><images><image><member id/><timestamp/><id/><classification/><fingerprints><pdq/>...`,
and `<deletedImage>` for what was taken back. Read without DTD, entities or anything external.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from reports.finding import Opinion, ReportError
from reports.references.formats.files import Stream, readable
from reports.references.formats.listed import Entry, Place, Tombstone, Unmatchable, entry
from reports.references.formats.said import moment

_ROOT = "queryResult"
_DELETED = "deleted"
_DEEPEST = 32
"""Levels of elements; an entry's feedback has 8."""


def read_ncmec(path: Path) -> Iterator[Entry]:
    """Yield the entries: one for each fingerprint of an image, all under the member's number and its id.

    Raises:
        ReportError: the file cannot be read, is no XML of this kind or wants a DTD, or an element
            is malformed.
    """
    for place, element in _elements(path):
        ref_id = f"{_member(place, element)[0]}-{_text(place, element, 'id')}"
        what = _name(element).lower()
        if what.startswith(_DELETED):
            yield Tombstone(place=place.name, ref_id=ref_id)
        else:
            yield from _fingerprints(place, ref_id, what, element)


def _fingerprints(place: Place, ref_id: str, what: str, element: Element) -> Iterator[Entry]:
    said_of = element.find("{*}fingerprints")
    prints = [] if said_of is None else list(said_of)
    if not prints:
        yield Unmatchable(place=place.name, ref_id=ref_id, kind="no_fingerprint")
    for one in prints:
        kind = _name(one) if what == "image" else f"{what}_{_name(one)}"
        if one.text is None and one.get("href"):
            # Large ones are only linked to.
            yield Unmatchable(place=place.name, ref_id=ref_id, kind=kind.lower().replace("-", "_"))
            continue
        yield entry(
            Place(place.file, f"{place.name}/fingerprints"),
            ref_id,
            kind,
            (one.text or "").strip(),
            opinion=_opinion(element, _name(one)),
            classification=(element.findtext("{*}classification") or "").strip(),
            source=_member(place, element)[1],
            fetched_at=moment(place, element.findtext("{*}timestamp"), "timestamp"),
        )


def _opinion(element: Element, fingerprint: str) -> Opinion:
    """Every entry is a report; a member who has voted against this fingerprint disputes it."""
    against = element.iterfind("{*}feedback/{*}negativeFeedback")
    disputed = any((one.get("type") or "").lower() == fingerprint.lower() for one in against)
    return Opinion.DISPUTED if disputed else Opinion.POSITIVE


def _elements(path: Path) -> Iterator[tuple[Place, Element]]:
    """Yield what lies in the containers <images>, <videos>, ..., and forget it again."""
    open_elements: list[Element] = []
    count = 0
    with readable(path), path.open("rb") as file:
        stream = Stream(file, path.name)
        for event, element in _events(stream, path.name):
            if event == "start":
                open_elements.append(element)
                if len(open_elements) > _DEEPEST:
                    raise Place(path.name, f"after {stream.entries} entries").fault(
                        f"is nested more than {_DEEPEST} levels deep"
                    )
                if len(open_elements) == 1 and _name(element) != _ROOT:
                    raise ReportError(
                        f"{path.name}: is XML, but not NCMEC's, whose first element is {_ROOT}; "
                        "convert the list to CSV"
                    )
                if len(open_elements) == 2:
                    count = 0
                continue
            open_elements.pop()
            if len(open_elements) == 2 and _name(open_elements[1]) != "paging":
                count += 1
                container = _name(open_elements[1])[:40]
                place = Place(path.name, f"{_ROOT}/{container}/{_name(element)[:40]}[{count}]")
                stream.ended()
                yield place, element
            if len(open_elements) <= 2 and open_elements:
                del open_elements[-1][:]


def _events(stream: Stream, name: str) -> Iterator[tuple[str, Element]]:
    parsed: Iterator[Any] = iterparse(
        stream, events=("start", "end"), forbid_dtd=True, forbid_entities=True, forbid_external=True
    )
    while True:
        try:
            found = next(parsed, None)
        except DefusedXmlException:
            raise ReportError(
                f"{name}: has a DTD or entities, which a list needs for nothing; it is not read"
            ) from None
        except ParseError as error:
            line, column = error.position
            raise Place(name, f"line {line}").fault(
                f"is no XML from column {column + 1}", "export the list again"
            ) from None
        if found is None:
            return
        yield found


def _member(place: Place, element: Element) -> tuple[str, str]:
    """Number and name of the member who gave it."""
    member = element.find("{*}member")
    number = "" if member is None else member.get("id", "").strip()
    if member is None or not number:
        raise place.fault("its member has no id, or is missing")
    return number, (member.text or "").strip()


def _text(place: Place, element: Element, name: str) -> str:
    found = (element.findtext("{*}" + name) or "").strip()
    if not found:
        raise place.fault(f"{name} is missing")
    return found


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
