"""A folder's pictures written into blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from reports.finding import Reference, ReportError
from reports.references.blocks import BlockWriter
from reports.references.pictures import Rejected
from reports.references.rows import descriptor_rows, picture_rows

_AT_ONCE = 128
"""Views: large, and slow enough to make that progress is shown between."""


def write_pictures(
    rows: Iterable[Reference | Rejected], writer: BlockWriter, progress: Callable[[int], None] | None
) -> tuple[int, tuple[Rejected, ...]]:
    """Write the views of pictures, one picture after the other; return how many, and what is left out.

    Args:
        progress: called with the count of pictures so far.
    """
    entries, rejected, last = 0, [], None
    rows = iter(rows)
    while part := list(islice(rows, _AT_ONCE)):
        found = [one for one in part if isinstance(one, Reference)]
        rejected += [one for one in part if isinstance(one, Rejected)]
        numbers = []
        for one in found:
            entries, last = entries + (one.ref_id != last), one.ref_id
            numbers.append(entries - 1)
        if found:
            writer.put("hashes", picture_rows(found, numbers))
            writer.put("descriptors", descriptor_rows(found, numbers))
        if progress:
            progress(entries + len(rejected))
    return entries, tuple(rejected)


def without_rejected(rows: Iterable[Reference | Rejected]) -> Iterator[Reference | Rejected]:
    """Yield the same.

    Raises:
        ReportError: at the first picture that cannot be used.
    """
    for row in rows:
        if isinstance(row, Rejected):
            raise ReportError(f"{row.ref_id}: {row.reason}; nothing was added. Repair or remove the file")
        yield row
