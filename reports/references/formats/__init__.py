"""The field's list formats, one file each; all are read as they are, entry by entry, in constant memory."""

from reports.references.formats.listed import Entry, ListedSignal, Tombstone, Unmatchable
from reports.references.formats.reading import FORMS, read_list

__all__ = ["FORMS", "Entry", "ListedSignal", "Tombstone", "Unmatchable", "read_list"]
