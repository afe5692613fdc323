"""Tables with a column mapping: which column holds what; for CSV and parquet alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from reports.finding import ReportError
from reports.references.formats.listed import SIGNALS, UNMATCHABLE, Entry, Place, Said, entry, kind_of
from reports.references.formats.said import moment, opinion

SAID = (
    "ref_id",
    "signal",
    "quality",
    "opinion",
    "classification",
    "tags",
    "source",
    "fetched_at",
    "disable_until",
)
"""What a column may say of a hash besides its value."""
_DIGITS = re.compile(rb"[0-9a-fA-F]{16,}")
FIELDS = ("value", *SAID, *SIGNALS, *UNMATCHABLE)
"""What a column may hold. One named for a kind of hash, such as md5, holds values of that kind."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a row each thing stands."""

    file: str
    said: Mapping[str, int]
    values: tuple[tuple[str | None, int], ...]
    """Kind and place of each column of values; None: the column `signal` tells the kind, or the digits do."""

    @classmethod
    def of(cls, file: str, header: Sequence[str], mapping: Mapping[str, str] | None) -> Self:
        """Find the columns in a header; without a mapping, those that have our own names.

        Raises:
            ReportError: the mapping asks for what does not exist, or no column holds a hash.
        """
        named = [name.strip() for name in header]
        mapping = mapping or _own_names(file, named)
        for name, column in mapping.items():
            if name not in FIELDS:
                raise ReportError(f'--map: there is no "{name}"; there are {", ".join(FIELDS)}')
            if named.count(column) != 1:
                how_many = "no" if column not in named else "more than one"
                raise ReportError(f'{file}: has {how_many} column "{column}"; correct --map {name}=COLUMN')
        places = {name: named.index(column) for name, column in mapping.items()}
        values = tuple(
            (None if name == "value" else name, at) for name, at in places.items() if name not in SAID
        )
        if not values:
            raise ReportError(
                f"{file}: does not tell which column holds the hash; name it: "
                "--map value=COLUMN,ref_id=COLUMN, or another format with --format"
            )
        return cls(file, {name: at for name, at in places.items() if name in SAID}, values)

    @property
    def needed(self) -> tuple[int, ...]:
        """Places of all columns that are read, ascending."""
        return tuple(sorted({*self.said.values(), *(at for _, at in self.values)}))

    def entries(self, place: Place, number: int, row: Sequence[Any]) -> Iterator[Entry]:
        """Yield a row's entries: one for each of its values.

        Raises:
            ReportError: the row is malformed, or has no value.
        """
        own_id = self._text(row, "ref_id")
        said = self._said(place, row)
        said["numbered"] = not own_id
        empty = True
        for column, at in self.values:
            value = _as_text(row[at])
            if value:
                empty = False
                kind = column or self._text(row, "signal") or kind_of(place, value)
                yield entry(place, own_id or str(number), kind, value, **said)
        if empty:
            raise place.fault("has no hash")

    def _said(self, place: Place, row: Sequence[Any]) -> Said:
        return Said(
            quality=self._quality(place, row),
            opinion=opinion(place, self._text(row, "opinion")),
            classification=self._text(row, "classification"),
            tags=self._tags(row),
            source=self._text(row, "source"),
            fetched_at=moment(place, self._cell(row, "fetched_at"), "fetched_at"),
            disable_until=moment(place, self._cell(row, "disable_until"), "disable_until"),
        )

    def _cell(self, row: Sequence[Any], name: str) -> Any:
        return row[self.said[name]] if name in self.said else None

    def _text(self, row: Sequence[Any], name: str) -> str:
        return _as_text(self._cell(row, name))

    def _tags(self, row: Sequence[Any]) -> tuple[str, ...]:
        cell = self._cell(row, "tags")
        return tuple(map(_as_text, cell)) if isinstance(cell, list) else tuple(_as_text(cell).split())

    def _quality(self, place: Place, row: Sequence[Any]) -> int | None:
        text = self._text(row, "quality")
        if not text:
            return None
        if not text.isdecimal() or len(text) > 3 or int(text) > 100:
            raise place.fault("its quality is no whole number from 0 to 100")
        return int(text)


def _own_names(file: str, named: Sequence[str]) -> dict[str, str]:
    """The columns that have our names, in small letters or capitals."""
    found: dict[str, str] = {}
    for column in named:
        name = column.lower()
        if name in found:
            raise ReportError(f'{file}: has more than one column "{name}"; name one: --map {name}=COLUMN')
        if name in FIELDS:
            found[name] = column
    return found


def _as_text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bytes):
        # A binary column holds a hash itself, or its digits; no hash looks like digits by chance.
        return cell.decode("ascii") if _DIGITS.fullmatch(cell) else cell.hex()
    return str(cell).strip()
