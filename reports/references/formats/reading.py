"""A list of any format, entry by entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from reports.finding import ReportError
from reports.references.formats.csv_table import read_csv
from reports.references.formats.dataset import read_dataset
from reports.references.formats.hma import read_hma
from reports.references.formats.listed import Entry
from reports.references.formats.ncmec import read_ncmec
from reports.references.formats.parquet_table import read_parquet
from reports.references.formats.plain import read_plain
from reports.references.formats.sniffing import sniff, unpacked
from reports.references.formats.stopncii import read_stopncii
from reports.references.formats.te import read_te

_READERS: dict[str, Callable[[Path], Iterator[Entry]]] = {
    "plain": read_plain,
    "dataset": read_dataset,
    "te": read_te,
    "hma": read_hma,
    "stopncii": read_stopncii,
    "ncmec": read_ncmec,
}
_TABLES: dict[str, Callable[[Path, Mapping[str, str] | None], Iterator[Entry]]] = {
    "csv": read_csv,
    "parquet": read_parquet,
}
FORMS = (*_READERS, *_TABLES)
"""All formats, by the name that `form` takes."""


def read_list(
    path: Path, *, form: str | None = None, mapping: Mapping[str, str] | None = None
) -> Iterator[Entry]:
    """Read a list as it is, in constant memory.

    Args:
        form: one of `FORMS`; None: told by what stands in the file.
        mapping: for CSV and parquet, the column of each thing; see `columns.FIELDS`.

    Raises:
        ReportError: while reading, too: the file cannot be read, its format cannot be told, an entry
            is malformed, or there is none. Lists are confidential: a message gives the place and never
            what stands there.
    """
    if form is not None and form not in FORMS:
        raise ReportError(f'--format: there is no "{form}"; there are {", ".join(FORMS)}')
    if form is None:
        form = sniff(path, mapping)
    else:
        unpacked(path)
    if mapping and form in _READERS:
        raise ReportError(f"{path.name}: --map is for csv and parquet, but the list is {form}; leave it out")
    return _some(path, _READERS[form](path) if form in _READERS else _TABLES[form](path, mapping))


def _some(path: Path, entries: Iterator[Entry]) -> Iterator[Entry]:
    first = next(entries, None)
    if first is None:
        raise ReportError(f"{path.name}: holds no entry; a list has one at least")
    yield from chain([first], entries)
