"""Labels: what people say of a finding that they looked at. Every label stays, the last of each counts."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, Text, insert, select

from crawler.catalog.engine import make_tables
from crawler.catalog.rows import storable
from reports.finding import ReportError

LONGEST_NOTE = 2000
"""Characters."""

metadata = MetaData()
labels = Table(
    "review_label",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("finding_id", Text, nullable=False, index=True),
    Column("label", String(32), nullable=False),
    Column("note", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("at", Text, nullable=False),
)


class LabelName(StrEnum):
    """What a person says of a finding."""

    CONFIRMED = "confirmed"
    """The extraction shows what the reference shows."""
    FALSE_POSITIVE = "false_positive"
    """It does not."""
    UNSURE = "unsure"
    """Abstains: it speaks for no other label and against none."""
    ESCALATE = "escalate"
    """For somebody else to decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One label that one person gave to one finding."""

    finding_id: str
    label: LabelName
    note: str
    who: str
    at: str
    """ISO 8601, UTC."""

    @property
    def person(self) -> str:
        """Their name as it is compared, so that "Ann" and "ann " are one person."""
        return person(self.who)


class Labels:
    """All labels of a home. The findings themselves may come and go; their ids are stable.

    Args:
        engine: from `crawler.catalog.engine.open_engine`.
        clock: the time that is written down.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = engine
        self._clock = clock
        with engine.begin() as db:
            make_tables(db, metadata.sorted_tables)

    def put(
        self, finding_id: str, label: str, who: str, note: str = "", *, db: Connection | None = None
    ) -> Label:
        """Record a label, and return it. What was said before stays in the history.

        Args:
            db: a transaction to take part in.

        Raises:
            ReportError: there is no such label, nobody is named, or the note is too long.
        """
        names = ", ".join(LabelName)
        # As browsers write line ends in forms, but do not count them.
        note = note.replace("\r\n", "\n").strip()
        if label not in list(LabelName):
            raise ReportError(f"{finding_id}: there is no such label; give one of {names}")
        if not person(who):
            raise ReportError(f"{finding_id}: nobody is named who gives the label; say so with --as NAME")
        if len(note) > LONGEST_NOTE:
            said = f"the note has {len(note):,} characters, and {LONGEST_NOTE:,} are kept; shorten it"
            raise ReportError(f"{finding_id}: {said}")
        given = Label(
            finding_id=finding_id,
            label=LabelName(label),
            note=storable(note),
            who=storable(who.strip()),
            at=self._clock().astimezone(UTC).isoformat(timespec="seconds"),
        )
        values = {name: str(getattr(given, name)) for name in Label.__slots__}
        with nullcontext(db) if db is not None else self._engine.begin() as transaction:
            transaction.execute(insert(labels).values(values))
        return given

    def of(self, finding_id: str) -> list[Label]:
        """Every label of a finding, the oldest first."""
        return self._read(finding_id)

    def all(self) -> dict[str, list[Label]]:
        """Every label by finding, the oldest first."""
        found: dict[str, list[Label]] = defaultdict(list)
        for one in self._read():
            found[one.finding_id].append(one)
        return dict(found)

    def settled(self, *, two_person: bool = False) -> dict[str, LabelName]:
        """The label that counts of each finding that has one, by `settle`."""
        return {
            name: found
            for name, history in self.all().items()
            if (found := settle(history, two_person=two_person)) is not None
        }

    def conflicts(self) -> dict[str, tuple[Label, ...]]:
        """The findings of which people say different things, with what each of them says."""
        return {name: standing(history) for name, history in self.all().items() if differ(history)}

    def for_calibration(self, *, two_person: bool = False) -> Mapping[str, bool]:
        """Whether each settled finding is a true match, by its id; unsure and escalated ones are left out."""
        truth = {LabelName.CONFIRMED: True, LabelName.FALSE_POSITIVE: False}
        settled = self.settled(two_person=two_person)
        return {name: truth[label] for name, label in settled.items() if label in truth}

    def _read(self, finding_id: str | None = None) -> list[Label]:
        query = select(*(labels.c[name] for name in Label.__slots__)).order_by(labels.c.number)
        if finding_id is not None:
            query = query.where(labels.c.finding_id == storable(finding_id))
        with self._engine.connect() as db:
            rows = db.execute(query).mappings().all()
        return [Label(**{**row, "label": LabelName(row["label"])}) for row in rows]


def person(name: str) -> str:
    """A name as it is compared: two spellings of one name are one person."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def standing(history: Iterable[Label]) -> tuple[Label, ...]:
    """What each person says now: the last of their labels, in the order in which these were given."""
    last: dict[str, Label] = {}
    for one in history:
        last.pop(one.person, None)
        last[one.person] = one
    return tuple(last.values())


def settle(history: Sequence[Label], *, two_person: bool) -> LabelName | None:
    """The label that counts: what more people say than say anything else, and two at least by that rule.

    Who is unsure is not counted, unless all are.
    """
    if not history:
        return None
    said = [one.label for one in standing(history)]
    votes: list[LabelName] = [label for label in said if label != LabelName.UNSURE] or said
    ranked = Counter(votes).most_common(2)
    if ranked[0][1] < (2 if two_person else 1):
        return None
    tied = len(ranked) > 1 and ranked[0][1] == ranked[1][1]
    return None if tied else ranked[0][0]


def differ(history: Iterable[Label]) -> bool:
    """Whether people say different things; who is unsure contradicts nobody."""
    return len({one.label for one in standing(history)} - {LabelName.UNSURE}) > 1
