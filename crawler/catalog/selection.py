"""Which of the catalog's checkpoints are meant: one set of filters for the plan, samples and exports."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from operator import ge, le, lt
from typing import Annotated, Any, Literal, Self
from unicodedata import normalize

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import ColumnElement, Engine, FromClause, and_, func, or_, select

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
    """[scanner.selection]: filters over the checkpoints that hubs show now; see docs/sampling.md.

    All that are given must fit; none fits everything. A checkpoint whose date, downloads or licence no hub
    tells fits no filter of these.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    families: tuple[Word, ...] = ()
    """Families, such as "sd1"; any of them."""
    kinds: tuple[Kind, ...] = ()
    """Kinds: "full", "lora", "dora", "lokr", "loha", "textual_inversion"; any of them."""
    hubs: tuple[Hub, ...] = ()
    """Hubs: "huggingface", "civitai"; any of them."""
    min_downloads: int | None = Field(default=None, ge=0, le=10**12)
    """Least downloads of the repository, on Civitai of the model."""
    max_downloads: int | None = Field(default=None, ge=0, le=10**12)
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
    base_grade: Literal["name", "label", "declared", "loaded", "digest"] | None = None
    """Least grade of the statement that names the base model."""
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
        conditions: list[ColumnElement[bool]] = [
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
        limits: tuple[tuple[ColumnElement[Any], Callable[[Any, Any], Any], int | date | None], ...] = (
            (downloads, ge, self.min_downloads),
            (downloads, le, self.max_downloads),
            (_day(listed.created_at), ge, self.created_since),
            (_day(listed.created_at), lt, self.created_before),
            (_day(listed.updated_at), ge, self.updated_since),
            (_day(listed.updated_at), lt, self.updated_before),
            (place.base_grade, ge, Grade[self.base_grade.upper()] if self.base_grade else None),
        )
        for column, compare, limit in limits:
            if limit is not None:
                conditions.append(compare(column, str(limit) if isinstance(limit, date) else int(limit)))
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
    columns += [downloads, listed.created_at, listed.updated_at, listed.license]
    columns += [place.record] if records or selection.words else []
    words = [_folded(word) for word in selection.words]
    columns += [place.title] if words else []
    statement = select(*columns).select_from(joined()).where(place.current, *selection.where())
    with engine.connect().execution_options(yield_per=1000) as db:
        for row in db.execute(statement.order_by(place.id)):
            if words and not _occur(words, title=row[-1], repo=row[3], record=row[10]):
                continue
            yield Place(**dict(zip(Place.__slots__, (*row[:10], row[10] if records else ""), strict=True)))


def selected_contents(engine: Engine, selection: Selection) -> frozenset[str] | None:
    """What is selected, as `Place.content`; None when the selection has no filters: everything.

    Raises:
        SelectionError: as `places` does.
    """
    if not selection.given():
        return None
    return frozenset(one.content for one in places(engine, selection))


def joined() -> FromClause:
    """Checkpoints beside their repositories, as far as these were listed: each once.

    A name may have had two repositories, one after the other: the one that was seen last is meant.
    """
    same_name = tables.repository.alias()
    newest = (
        select(same_name.c.number)
        .where(same_name.c.hub == place.hub, same_name.c.repo == place.repo)
        .order_by(same_name.c.walk.desc(), same_name.c.number)
        .limit(1)
        .scalar_subquery()
    )
    return tables.checkpoint.outerjoin(
        tables.repository, and_(listed.hub == place.hub, listed.number == newest)
    )


def refuse_unknown(engine: Engine, selection: Selection) -> None:
    """Refuse names that neither the catalog nor our table of families knows.

    Raises:
        SelectionError: it says what is known.
    """
    with engine.connect() as db:
        if selection.families:
            families = (
                select(place.family, func.count().label("number")).where(place.current).group_by(place.family)
            )
            counts = {row.family: row.number for row in db.execute(families)}
            known = [*counts, *(family.name for family in FAMILIES)]
            for family in selection.families:
                if family not in known:
                    here = ", ".join(f"{name} ({counts[name]})" for name in sorted(counts)) or "none yet"
                    raise SelectionError(
                        f"family {family!r} is not known{nearest(family, known)}; the catalog has: {here}"
                    )
        if selection.sample is not None:
            names = list(db.scalars(select(tables.sample.c.name).order_by(tables.sample.c.name)))
            if selection.sample not in names:
                drawn = f"drawn so far: {', '.join(names)}" if names else "leaksweep sample draws one"
                name = selection.sample
                raise SelectionError(f"there is no sample {name!r}{nearest(name, names)}; {drawn}")


def nearest(name: str, known: Sequence[str]) -> str:
    """A question that names what may have been meant, or nothing."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _day(column: ColumnElement[str | None]) -> ColumnElement[str]:
    """The day of an ISO time: as long as what it is compared with, so that no collation can have a say."""
    return func.substr(column, 1, 10)


def _occur(words: Sequence[str], *, title: str, repo: str, record: str) -> bool:
    prompts = (prompt["text"] for prompt in json.loads(record)["prompts"])
    text = _folded("\n".join((title, repo, *prompts)))
    return all(word in text for word in words)


def _folded(text: str) -> str:
    """Text as it is compared: without case, composed and decomposed letters the same."""
    return normalize("NFC", normalize("NFC", text).casefold())
