"""All rows of a hub in every order it lists them in: most computed from their number, some held.

A page is found in O(page + log N) steps, and a million computed rows take no memory. A row that changes is
held from then on in place of the computed one.
"""

from __future__ import annotations

import random
import threading
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge
from typing import Any, Generic, Protocol, TypeVar

from starlette.datastructures import QueryParams as Query

Key = tuple[Any, ...]
"""Where a row stands in an order: rows are listed by ascending keys. What is listed in descending order has
negative numbers in its keys."""

Row = TypeVar("Row")
Row_co = TypeVar("Row_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """One order of computed rows, by arithmetic: place p is that of row `(p * multiplier + offset) % count`.

    Places come in groups of `ties` that share a value; within a group `tie` decides.

    Raises:
        ValueError: the multiplier has a factor in common with the count, so that rows would be missing.
    """

    count: int
    value: Callable[[int], Any]
    """Value of a group in the key; never falls from one listed group to the next."""
    tie: Callable[[int], Any]
    """What orders the rows of a group, by their number."""
    ties: int = 1
    multiplier: int = 1
    offset: int = 0
    descending: bool = False
    """Whether the last group is listed first."""
    _inverse: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_inverse", pow(self.multiplier, -1, max(1, self.count)))

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return -(-self.count // self.ties)

    def group(self, index: int) -> int:
        """The group of a row."""
        return (index - self.offset) * self._inverse % self.count // self.ties

    def key(self, index: int) -> Key:
        """The key of a row."""
        return self.value(self.group(index)), self.tie(index)

    def after(self, start: Key, wanted: Callable[[int], bool]) -> Iterator[tuple[Key, int]]:
        """Yield the key and the number of each row from a key on whose number is wanted."""
        listed = range(self.groups)[::-1] if self.descending else range(self.groups)
        first = bisect_left(listed, start[0], key=self.value) if start else 0
        for group in listed[first:]:
            places = range(group * self.ties, min((group + 1) * self.ties, self.count))
            rows = [(place * self.multiplier + self.offset) % self.count for place in places]
            if rows := [index for index in rows if wanted(index)]:
                value = self.value(group)
                for tie, index in sorted([(self.tie(index), index) for index in rows]):
                    if (value, tie) >= start:
                        yield (value, tie), index


class Computed(Protocol[Row_co]):
    """Rows that follow from their number, 0 to `count - 1`."""

    count: int
    rankings: Mapping[str, Ranking]
    """By the name of the order."""

    latest: int
    """The latest date of any row, in seconds since 1970."""

    def make(self, index: int) -> Row_co: ...

    def identity(self, index: int) -> str:
        """What outlives a rename."""
        ...

    def name(self, index: int) -> str:
        """What the row is looked up by."""
        ...

    def shows(self, query: Query) -> Callable[[int], bool]:
        """Return whether the answers to a query, taken together, hold a row of this number."""
        ...

    def tester(self, query: Query) -> Callable[[int], bool]:
        """Return a quick test of a row's number: False only if the query's filters leave the row out."""
        ...

    def few(self, query: Query) -> Sequence[int] | None:
        """Return the only rows that the query's filters may let through, where that is known and few do."""
        ...

    def number(self, name: str) -> int | None:
        """The row that has, or had, this name; None when no computed row has."""
        ...


class Shelf(Generic[Row]):
    """Rows by name and by order.

    Args:
        orders: each order's name, and the key of a row in it.
        names: what a row can be found by, its present name first.
        computed: rows that are not held.
    """

    def __init__(
        self,
        orders: Mapping[str, Callable[[Row], Key]],
        names: Callable[[Row], Iterable[str]],
        computed: Computed[Row] | None = None,
        held: Iterable[Row] = (),
    ) -> None:
        self.lock = threading.RLock()
        """To be held while a page is read, or a row changed: tests change rows from a thread of their own."""
        self._orders = orders
        self._names = names
        self.computed = computed
        self._replaced: set[int] = set()
        self._by_name: dict[str, Row] = {}
        rows = list(held)
        for row in rows:
            self._by_name |= dict.fromkeys(names(row), row)
        self._sorted = {
            order: sorted(((key(row), row) for row in rows), key=lambda pair: pair[0])
            for order, key in orders.items()
        }

    def __iter__(self) -> Iterator[Row]:
        """Yield all rows: those that are held, then the computed ones, by number."""
        yield from self.held()
        if self.computed:
            yield from map(self.computed.make, self.numbers())

    def held(self) -> Iterator[Row]:
        """Yield the rows that are not computed."""
        return (row for _, row in next(iter(self._sorted.values())))

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of the rows that are computed."""
        count = self.computed.count if self.computed else 0
        return (number for number in range(count) if number not in self._replaced)

    def any(self, drawn: random.Random) -> Row | None:
        """A row drawn at random, all with the same chance; None when there is none."""
        held, computed = next(iter(self._sorted.values())), self.computed
        left = computed.count - len(self._replaced) if computed else 0
        if not held and not left:
            return None
        place = drawn.randrange(len(held) + left)
        if computed is None or place < len(held):
            return held[place][1]
        while (number := drawn.randrange(computed.count)) in self._replaced:
            pass
        return computed.make(number)

    def find(self, name: str) -> Row | None:
        """The row that has, or had, this name."""
        if (row := self._by_name.get(name)) is not None or self.computed is None:
            return row
        number = self.computed.number(name)
        return None if number is None or number in self._replaced else self.computed.make(number)

    def walk(self, order: str, start: Key, query: Query) -> Iterator[tuple[Key, Row]]:
        """Yield the rows of an order from a key on, each with its key.

        Args:
            query: computed rows that its filters leave out are passed over; others need not be.
        """
        held = self._sorted[order]
        first = bisect_left(held, start, key=lambda pair: pair[0])
        one = ((key, row) for key, row in (held[at] for at in range(first, len(held))))
        if self.computed is None or not self.computed.count:
            return one
        return merge(one, self._made(self.computed, order, start, query), key=lambda pair: pair[0])

    def _made(
        self, computed: Computed[Row], order: str, start: Key, query: Query
    ) -> Iterator[tuple[Key, Row]]:
        ranking, few = computed.rankings[order], computed.few(query)
        if few is None:
            rows = ranking.after(start, computed.tester(query))
        else:
            keys = sorted((ranking.key(number), number) for number in few)
            rows = (pair for pair in keys if pair[0] >= start)
        for key, number in rows:
            if number not in self._replaced:
                yield key, computed.make(number)

    def put(self, row: Row) -> None:
        """Hold a row, in place of any that has one of its names."""
        names = list(self._names(row))
        for name in names:
            self.remove(name)
        self._by_name |= dict.fromkeys(names, row)
        for order, key in self._orders.items():
            insort(self._sorted[order], (key(row), row), key=lambda pair: pair[0])

    def remove(self, name: str) -> None:
        """Take the row that has, or had, this name off; nothing when there is none."""
        row = self._by_name.get(name)
        if row is not None:
            for known in self._names(row):
                self._by_name.pop(known, None)
            for order, key in self._orders.items():
                rows, at = self._sorted[order], key(row)
                place = bisect_left(rows, at, key=lambda pair: pair[0])
                while rows[place][1] is not row:
                    place += 1
                del rows[place]
        elif self.computed and (number := self.computed.number(name)) is not None:
            self._replaced.add(number)
