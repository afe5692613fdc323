"""NCMEC's hash sharing, version 2: the XML of its entries.

`<queryResult><images><image><member id/><timestamp/><id/><classification/><fingerprints><pdq/>...`,
and `<deletedImage>` for what was taken back. A fingerprint may also be `<fingerprint type="PDQ">`.
Read without DTD, entities or anything external.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn
from xml.etree.ElementTree import Element, ParseError
from xml.parsers.expat import errors

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from reports.finding import Opinion, ReportError
from reports.references.formats.files import Stream, readable
from reports.references.formats.listed import (
    NO_FINGERPRINT,
    Entry,
    Place,
    Tombstone,
    Unmatchable,
    entry,
    more_follows,
    normal_kind,
)
from reports.references.formats.said import moment

_ROOT = "queryResult"
_PAGING = "paging"
_PARTS = frozenset(("member", "timestamp", "id", "classification", "fingerprints", "feedback"))
"""What is read of an entry, each once."""
_AGAIN = errors.codes[errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT]
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
        what = _name(element).lower()
        if what == "next":
            yield more_follows()
            continue
        parts = _parts(place, element)
        number, member = _member(place, parts)
        ref_id = f"{number}-{_said(parts, 'id') or _missing(place, 'id')}"
        if what.startswith(_DELETED):
            yield Tombstone(place=place.name, ref_id=ref_id)
        else:
            yield from _fingerprints(place, ref_id, what, member, parts)


def _fingerprints(
    place: Place, ref_id: str, what: str, member: str, parts: Mapping[str, Element]
) -> Iterator[Entry]:
    prints = list(parts.get("fingerprints", ()))
    if not prints:
        yield Unmatchable(place=place.name, ref_id=ref_id, kind=NO_FINGERPRINT)
    at = Place(place.file, f"{place.name}/fingerprints")
    seen = moment(place, _said(parts, "timestamp"), "timestamp")
    for one in prints:
        name = _name(one)
        if name.lower() == "fingerprint":
            name = one.get("type", name)
        kind = name if what == "image" else f"{what}_{name}"
        if one.text is None and one.get("href"):
            # Large ones are only linked to.
            yield Unmatchable(place=place.name, ref_id=ref_id, kind=normal_kind(at, kind))
            continue
        yield entry(
            at,
            ref_id,
            kind,
            (one.text or "").strip(),
            opinion=_opinion(parts, name),
            classification=_said(parts, "classification"),
            source=member,
            fetched_at=seen,
        )


def _parts(place: Place, element: Element) -> dict[str, Element]:
    parts: dict[str, Element] = {}
    for one in element:
        name = _name(one)
        if name in parts and name in _PARTS:
            raise place.fault(f"has more than one <{name}>")
        parts[name] = one
    return parts


def _opinion(parts: Mapping[str, Element], fingerprint: str) -> Opinion:
    """Every entry is a report; a member who has voted against this fingerprint disputes it."""
    disputed = any(
        _name(vote) == "negativeFeedback" and vote.get("type", "").lower() == fingerprint.lower()
        for vote in parts.get("feedback", ())
    )
    return Opinion.DISPUTED if disputed else Opinion.POSITIVE


def _elements(path: Path) -> Iterator[tuple[Place, Element]]:
    """Yield what lies in the containers <images>, <videos>, ..., and forget it again.

    Of <paging> only the <next> page is yielded, where there is one.
    """
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
            if len(open_elements) == 2 and _worth(open_elements[1], element):
                count += 1
                container = _name(open_elements[1])[:40]
                place = Place(path.name, f"{_ROOT}/{container}/{_name(element)[:40]}[{count}]")
                stream.ended()
                yield place, element
            if len(open_elements) <= 2 and open_elements:
                del open_elements[-1][:]


def _worth(container: Element, element: Element) -> bool:
    if _name(container) != _PAGING:
        return True
    return _name(element) == "next" and bool((element.text or "").strip())


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
            if error.code == _AGAIN:
                raise Place(name, f"line {line}").fault(
                    "a second document begins, or something else follows the first",
                    f"put the entries of all pages into one <{_ROOT}>",
                ) from None
            raise Place(name, f"line {line}").fault(
                f"is no XML from column {column + 1}", "export the list again"
            ) from None
        except (LookupError, ValueError):
            # What the parser raises for an encoding that is no text's, or has several bytes a character.
            raise ReportError(f"{name}: is in an encoding that is not read; save the list as UTF-8") from None
        if found is None:
            return
        yield found


def _member(place: Place, parts: Mapping[str, Element]) -> tuple[str, str]:
    """Number and name of the member who gave it."""
    member = parts.get("member")
    number = "" if member is None else member.get("id", "").strip()
    return number or _missing(place, "its member's id"), _said(parts, "member")


def _said(parts: Mapping[str, Element], name: str) -> str:
    """The text of a part, empty where there is none."""
    part = parts.get(name)
    return "" if part is None else (part.text or "").strip()


def _missing(place: Place, what: str) -> NoReturn:
    raise place.fault(f"{what} is missing")


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
