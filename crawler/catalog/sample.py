"""Stratified samples of the catalog: drawn without replacement, the same for the same catalog and seed.

What is drawn are contents: weights that lie in many places are one, and stand in the stratum of their first
place by id. Within a stratum the order of drawing is the order of a keyed hash of the content, so neither the
database nor the order of its rows has a say, and a larger sample holds the smaller one.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from crawler.catalog.allocation import Allocation, allocate
from crawler.catalog.selection import Place, Selection, SelectionError, nearest

UNKNOWN = "unknown"
"""The value of a stratum for what no hub tells."""


class SampleError(SelectionError):
    """A sample cannot be drawn as it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """How a sample is drawn. With the catalog it decides every member."""

    size: int
    """Contents to draw, at least 1."""
    by: tuple[str, ...]
    """What makes a stratum: names of `STRATA`; none makes a simple random sample."""
    seed: int
    allocation: Allocation = Allocation.PROPORTIONAL
    minimum: int = 2
    """Least that is drawn from a stratum that has so many: 2 are needed for a variance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """Contents that are alike in what the sample is stratified by."""

    values: tuple[str, ...]
    """One for each name in `Design.by`."""
    population: int
    """Contents in it (N)."""
    drawn: int
    """Of these, how many are in the sample (n)."""

    @property
    def probability(self) -> Fraction:
        """Of each content to be in the sample: n / N."""
        return Fraction(self.drawn, self.population)

    @property
    def weight(self) -> Fraction:
        """How many contents of the population each member stands for: N / n."""
        return Fraction(self.population, self.drawn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A content that was drawn."""

    content: str
    """SHA-256 of the weights; the checkpoint's id where no hub tells it."""
    checkpoint_id: str
    """Its first place by id."""
    stratum: int
    """Index into `Sample.strata`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A sample, with what it was drawn from."""

    design: Design
    selection: Selection
    strata: tuple[Stratum, ...]
    members: tuple[Member, ...]
    """Stratum by stratum, each in the order of drawing."""
    contents: int
    """Distinct contents that could be drawn (N over all strata)."""
    places: int
    """Checkpoints that hold them."""


def draw(rows: Iterable[Place], design: Design, selection: Selection) -> Sample:
    """Draw a sample. Holds one short row for each content in memory.

    Args:
        rows: what `selection` selects, in any order.

    Raises:
        SampleError: nothing is selected, the size does not fit, or a stratum's name is not known.
    """
    if selection.sample is not None:
        raise SampleError(
            "a sample of a sample would have other weights than are kept; draw from the catalog"
        )
    tell = [_stratum_by(name) for name in design.by]
    first: dict[str, tuple[str, tuple[str, ...]]] = {}
    labels_seen: dict[tuple[str, ...], tuple[str, ...]] = {}  # so that a million rows share them
    places = 0
    for row in rows:
        places += 1
        known = first.get(row.content)
        if known is None or row.id < known[0]:
            values = tuple(one(row) for one in tell)
            first[row.content] = row.id, labels_seen.setdefault(values, values)
    by_values: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for content, (_, values) in first.items():
        by_values[values].append(content)
    labels = sorted(by_values)
    shares = _shares([len(by_values[values]) for values in labels], design)
    strata, members = [], []
    for number, (values, share) in enumerate(zip(labels, shares, strict=True)):
        inside = by_values[values]
        strata.append(Stratum(values=values, population=len(inside), drawn=share))
        for content in sorted(inside, key=lambda one: _turn(design.seed, one))[:share]:
            members.append(Member(content=content, checkpoint_id=first[content][0], stratum=number))
    return Sample(
        design=design,
        selection=selection,
        strata=tuple(strata),
        members=tuple(members),
        contents=len(first),
        places=places,
    )


def _shares(sizes: Sequence[int], design: Design) -> list[int]:
    population, least = sum(sizes), sum(min(design.minimum, size) for size in sizes)
    if not population:
        raise SampleError("no checkpoint of the catalog is selected, so none can be drawn; ask for less")
    if design.size > population:
        raise SampleError(
            f"size {design.size} is more than there is: {population} distinct checkpoints are selected"
        )
    if design.size < least:
        raise SampleError(
            f"size {design.size} is too small: {design.minimum} of each of {len(sizes)} strata, or all where "
            f"there are fewer, take {least}; stratify by less, or lower the minimum"
        )
    return allocate(sizes, design.size, design.allocation, minimum=design.minimum)


def _turn(seed: int, content: str) -> bytes:
    """Where a content stands in the order of drawing: as good as random, and bound to nothing but itself."""
    return hashlib.sha256(f"{seed}\x1f{content}".encode()).digest()


def _stratum_by(name: str) -> Callable[[Place], str]:
    if name not in STRATA:
        known = ", ".join(STRATA)
        raise SampleError(f"cannot stratify by {name!r}{nearest(name, list(STRATA))}; known: {known}")
    return STRATA[name]


def bracket(downloads: int | None) -> str:
    """A decade of downloads, such as "100-999"; decades sort by their size."""
    if downloads is None:
        return UNKNOWN
    digits = len(str(downloads))
    return "0" if downloads <= 0 else f"{10 ** (digits - 1)}-{10**digits - 1}"


STRATA: Mapping[str, Callable[[Place], str]] = {
    "family": lambda place: place.family,
    "hub": lambda place: place.hub,
    "kind": lambda place: place.kind,
    "downloads": lambda place: bracket(place.downloads),
    "year": lambda place: (place.created_at or UNKNOWN)[:4] if place.created_at else UNKNOWN,
    "licence": lambda place: (place.licence or UNKNOWN).lower(),
}
"""What a sample can be stratified by. `year` is that of the repository's making."""
