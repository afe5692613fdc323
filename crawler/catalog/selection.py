"""Which of the catalog's checkpoints are meant: one set of filters for the plan, samples and exports."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import from_json
from sqlalchemy import ColumnElement, Engine, and_, func, or_, select

from crawler.catalog import tables
from crawler.checkpoint import CrawlError, Grade, Hub, Kind
from crawler.evidence.family_table import FAMILIES

Word = Annotated[str, Field(min_length=1, max_length=200)]
Id = Annotated[str, Field(min_length=1, max_length=2000)]

place, listed = tables.checkpoint.c, tables.repository.c

downloads: ColumnElement[int] = func.coalesce(listed.downloads, place.downloads)
"""Of the repository (on Civitai: of the model), as last listed."""
content: ColumnElement[str] = func.coalesce(place.sha256, place.id)
"""What is the same wherever the same weights lie."""


class SelectionError(CrawlError):
    """A filter asks for what the catalog has never heard of."""


class Selection(BaseModel):
    """Filters over the checkpoints that hubs show now. All that are given must fit; none fits everything.

    A checkpoint whose date, downloads or licence no hub tells fits no filter of these.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    families: tuple[Word, ...] = ()
    """Families, such as "sd1"; any of them."""
    kinds: tuple[Kind, ...] = ()
    """Kinds, such as "lora"; any of them."""
    hubs: tuple[Hub, ...] = ()
    """Hubs; any of them."""
    min_downloads: int | None = Field(default=None, ge=0, lt=2**63)
    """Least downloads of the repository, on Civitai of the model."""
    max_downloads: int | None = Field(default=None, ge=0, lt=2**63)
    """Most downloads of the repository, on Civitai of the model."""
    created_since: date | None = None
    """First day, UTC, on which the repository was made."""
    created_before: date | None = None
    """The day, UTC, before which it was made."""
    updated_since: date | None = None
    """First day, UTC, on which it last changed."""
    updated_before: date | None = None
    """The day, UTC, before which it last changed."""
    licences: tuple[Word, ...] = ()
    """Licences as the hub names them, such as "apache-2.0"; any of them, in any case."""
    words: tuple[Word, ...] = ()
    """Texts that must all occur in title, repository or prompts, in any case; taken literally."""
    bases: tuple[Word, ...] = ()
    """Repositories of base models; any of them."""
    base_grade: Grade | None = Field(default=None, strict=False)
    """Least grade of the best statement about the base: 1 label, 2 declared, 3 digest."""
    ids: tuple[Id, ...] = Field(default=(), max_length=10_000)
    """Checkpoints by id, or by the 16 hex digits of its key; any of them."""
    sample: Word | None = None
    """Name of a sample: its members alone, wherever their weights lie."""

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for least, most in (
            ("min_downloads", "max_downloads"),
            ("created_since", "created_before"),
            ("updated_since", "updated_before"),
        ):
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and low > high:
                raise ValueError(f"{least} {low} is above {most} {high}: nothing can fit both")
        return self

    def given(self) -> dict[str, Any]:
        """The filters that are in force, as plain values."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def where(self) -> list[ColumnElement[bool]]:
        """Conditions over `checkpoint` joined with `repository`: all but `words`, which SQL would fold
        differently from one database to the next."""
        conditions = [
            column.in_(values)
            for column, values in (
                (place.family, self.families),
                (place.kind, self.kinds),
                (place.hub, self.hubs),
                (place.base_repo, self.bases),
                (func.lower(listed.license), [each.lower() for each in self.licences]),
            )
            if values
        ]
        for limit, condition in (
            (self.min_downloads, downloads >= self.min_downloads),
            (self.max_downloads, downloads <= self.max_downloads),
            (self.created_since, _day(listed.created_at) >= str(self.created_since)),
            (self.created_before, _day(listed.created_at) < str(self.created_before)),
            (self.updated_since, _day(listed.updated_at) >= str(self.updated_since)),
            (self.updated_before, _day(listed.updated_at) < str(self.updated_before)),
            (self.base_grade, place.base_grade >= self.base_grade),
        ):
            if limit is not None:
                conditions.append(condition)
        if self.ids:
            conditions.append(or_(place.id.in_(self.ids), place.key.in_(self.ids)))
        if self.sample is not None:
            member = tables.sample_member.c
            conditions.append(content.in_(select(member.content).where(member.sample == self.sample)))
        return conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A checkpoint that was selected, with what its hub says of the repository."""

    id: str
    content: str
    """SHA-256 of the weights; the id where no hub tells it."""
    hub: str
    repo: str
    family: str
    kind: str
    downloads: int | None
    created_at: str | None
    """ISO 8601, UTC."""
    updated_at: str | None
    licence: str | None
    record: str
    """The Checkpoint as JSON; "" when it was not asked for."""


def places(engine: Engine, selection: Selection, *, records: bool = False) -> Iterator[Place]:
    """Yield the checkpoints that a selection fits, by id; those that no hub shows any more are left out.

    Args:
        records: give each with its record, which takes many times as long to read.

    Raises:
        SelectionError: the catalog and our tables do not know a family or a sample.
    """
    refuse_unknown(engine, selection)
    columns = [place.id, content, place.hub, place.repo, place.family, place.kind]
    columns += [downloads, listed.created_at, func.coalesce(listed.updated_at, None), listed.license]
    columns += [place.record] if records or selection.words else []
    words = [word.casefold() for word in selection.words]
    statement = select(*columns, *([place.title] if words else [])).select_from(joined())
    statement = statement.where(place.current, *selection.where()).order_by(place.id.collate(_bytewise(engine)))
    with engine.connect().execution_options(yield_per=1000) as db:
        for row in db.execute(statement):
            if words and not _occur(words, title=row[-1], repo=row[3], record=row[10]):
                continue
            yield Place(**dict(zip(Place.__slots__, (*row[:10], row[10] if records else ""), strict=True)))
