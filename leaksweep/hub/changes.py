"""A hub that changes while it is crawled, and can tell afterwards what was there all the time.

A test changes rows one by one, or has a `Schedule` do so between the pages of a listing. What existed
throughout is what a crawler must have found in the end.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

from starlette.datastructures import QueryParams

from leaksweep.hub.editing import Editor
from leaksweep.hub.shelf import Shelf
from leaksweep.hub.synthetic_draws import STEP

Row = TypeVar("Row")
Kind = Literal["insert", "edit", "delete", "rename", "gate", "take_down"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_TRIES = 10_000


class NothingToChange(LookupError):
    """No row has this name, or no row is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """After every so many listing requests to a hub, so many changes of each kind, to any rows."""

    every: int = 1
    """Listing requests from one time to the next."""
    insert: int = 0
    edit: int = 0
    delete: int = 0
    rename: int = 0
    gate: int = 0
    take_down: int = 0
    times: int | None = None
    """How often at most; None for as long as requests come."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change that was made."""

    kind: Kind
    identity: str
    """`_id` on Hugging Face, the model's id on Civitai."""
    before: str | None
    """Id by which the row was known: None for a new one."""
    after: str | None
    """None for one that is gone."""
    listings: int
    """Listing requests that had been answered by then."""


class Changes(Generic[Row]):
    """Changes the rows of one hub, and remembers what it did.

    Args:
        shown: whether the listing of a query has a row.
    """

    def __init__(
        self,
        shelf: Shelf[Row],
        editor: Editor[Row],
        shown: Callable[[QueryParams], Callable[[Row], bool]],
        schedule: Schedule | None = None,
    ) -> None:
        self.done: list[Change] = []
        """In the order they were made."""
        self._shelf = shelf
        self._editor = editor
        self._shown = shown
        self._schedule = schedule or Schedule()
        self._drawn = random.Random(self._schedule.seed)
        self._listings = 0
        computed = shelf.computed.latest if shelf.computed else 0
        self._now = max(map(editor.date, shelf.held()), default=0)
        self._now = max(self._now, computed)

    def change(self, kind: Kind, name: str | None = None) -> Change:
        """Make one change, dated after all others; to a row drawn at random when none is named.

        Args:
            name: of "insert", the row that the new one is like.

        Raises:
            NothingToChange: no row has the name, or none is left.
        """
        with self._shelf.lock:
            row = self._shelf.find(name) if name is not None else self._any()
            if row is None:
                raise NothingToChange(f"{name}: no such row; nothing to {kind.replace('_', ' ')}")
            return self._make(kind, row)

    def after_listing(self) -> None:
        """Do what the schedule has for this moment. To be called once a listing request is answered."""
        self._listings += 1
        plan = self._schedule
        turn, rest = divmod(self._listings, plan.every)
        if rest == 0 and (plan.times is None or turn <= plan.times):
            for kind in KINDS:
                for _ in range(getattr(plan, kind)):
                    self.change(kind)

    def identities(self, *kinds: Kind) -> set[str]:
        """Return which rows had a change of these kinds."""
        return {change.identity for change in self.done if change.kind in kinds}

    def throughout(self, query: str = "") -> dict[str, str]:
        """Return what a listing shows that existed from the start to now: identity to present id.

        Args:
            query: of the listing, such as "filter=lora".
        """
        asked, inserted = QueryParams(query), self.identities("insert")
        with self._shelf.lock:
            rows = filter(self._shown(asked), self._shelf.held())
            found = {self._editor.identity(row): self._editor.name(row) for row in rows}
            found = {identity: name for identity, name in found.items() if identity not in inserted}
            if computed := self._shelf.computed:
                numbers = filter(computed.shows(asked), self._shelf.numbers())
                found |= {computed.identity(number): computed.name(number) for number in numbers}
            return found

    def _any(self) -> Row:
        for _ in range(_TRIES):
            row = self._shelf.any(self._drawn)
            if row is not None and self._editor.is_public(row):
                return row
        raise NothingToChange("no public row is left to be changed")

    def _make(self, kind: Kind, row: Row) -> Change:
        editor, serial = self._editor, len(self.done)
        self._now += STEP
        before = editor.name(row)
        if kind != "insert":
            self._shelf.remove(before)
        made = None
        if kind != "delete":
            build: Callable[[Row, int, int], Row] = getattr(editor, kind)
            made = build(row, serial, self._now)
            self._shelf.put(made)
        change = Change(
            kind=kind,
            identity=editor.identity(row if made is None else made),
            before=None if kind == "insert" else before,
            after=None if made is None else editor.name(made),
            listings=self._listings,
        )
        self.done.append(change)
        return change
