"""Samples as the catalog keeps them, and the weights that lead from a sample back to the hubs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Engine, delete, func, insert, or_, select

from crawler.catalog import tables
from crawler.catalog.allocation import Allocation
from crawler.catalog.sample import Design, Member, Sample, SampleError, Stratum
from crawler.catalog.selection import Selection, content, place, refuse_unknown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BATCH = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """What a checkpoint that was drawn stands for.

    Weights that lie in many places have as many ids and one content: count each content once.
    """

    content: str
    stratum: int
    """Index into `Sample.strata`."""
    population: int
    """Contents in its stratum (N)."""
    drawn: int
    """Of these, how many are in the sample (n)."""

    @property
    def probability(self) -> float:
        """Of being drawn: n / N, above 0, at most 1."""
        return self.drawn / self.population

    @property
    def weight(self) -> float:
        """Contents of the population that it stands for: N / n, at least 1."""
        return self.population / self.drawn


def keep(engine: Engine, name: str, sample: Sample, *, drawn_at: str, replace: bool = False) -> None:
    """Write a sample under a name, whole or not at all.

    Args:
        drawn_at: ISO 8601, UTC.
        replace: forget the sample that has the name already.

    Raises:
        SampleError: the name is taken, or no name.
    """
    if not _NAME.fullmatch(name):
        raise SampleError(
            f"{name!r} is no name for a sample: letters, digits, dots, dashes and underscores, 64 at most"
        )
    head, member, design = tables.sample, tables.sample_member, sample.design
    with engine.begin() as db:
        taken = db.scalar(select(head.c.drawn_at).where(head.c.name == name))
        if taken is not None and not replace:
            raise SampleError(
                f"sample {name!r} is there since {taken}; give another --name, or --replace to forget it"
            )
        db.execute(delete(member).where(member.c.sample == name))
        db.execute(delete(head).where(head.c.name == name))
        row = {
            "name": name,
            "drawn_at": drawn_at,
            "seed": design.seed,
            "size": design.size,
            "strata_by": ",".join(design.by),
            "allocation": design.allocation,
            "minimum": design.minimum,
            "selection": json.dumps(sample.selection.given()),
            "strata": json.dumps([asdict(stratum) for stratum in sample.strata]),
            "contents": sample.contents,
            "places": sample.places,
            "catalog_places": db.scalar(select(func.count()).where(place.current)),
        }
        db.execute(insert(head), row)
        rows = [_member_row(name, sample, number, one) for number, one in enumerate(sample.members)]
        for start in range(0, len(rows), _BATCH):
            db.execute(insert(member), rows[start : start + _BATCH])


def kept(engine: Engine, name: str) -> Sample:
    """The sample of a name.

    Raises:
        SelectionError: there is none.
    """
    refuse_unknown(engine, Selection(sample=name))
    head, member = tables.sample, tables.sample_member
    with engine.connect() as db:
        row = db.execute(select(head).where(head.c.name == name)).one()
        columns = (member.c.content, member.c.checkpoint_id, member.c.stratum)
        members = db.execute(select(*columns).where(member.c.sample == name).order_by(member.c.place)).all()
    return Sample(
        design=Design(
            size=row.size,
            by=tuple(filter(None, row.strata_by.split(","))),
            seed=row.seed,
            allocation=Allocation(row.allocation),
            minimum=row.minimum,
        ),
        selection=Selection.model_validate_json(row.selection),
        strata=tuple(
            Stratum(**{**stratum, "values": tuple(stratum["values"])}) for stratum in json.loads(row.strata)
        ),
        members=tuple(Member(**one._asdict()) for one in members),
        contents=row.contents,
        places=row.places,
    )


def weights(engine: Engine, name: str) -> Mapping[str, Weight]:
    """The weight of every checkpoint whose content was drawn, by checkpoint id.

    That is: of all places of the content that the catalog knows, those that are no longer current included,
    because a scan picks the place with the best evidence. Sum over contents, not over ids.

    Raises:
        SelectionError: there is no such sample.
    """
    sample = kept(engine, name)
    by_content = {
        one.content: Weight(
            content=one.content,
            stratum=one.stratum,
            population=sample.strata[one.stratum].population,
            drawn=sample.strata[one.stratum].drawn,
        )
        for one in sample.members
    }
    found = {one.checkpoint_id: by_content[one.content] for one in sample.members}
    member = tables.sample_member.c
    drawn = select(member.content).where(member.sample == name)
    statement = select(place.id, content).where(or_(place.sha256.in_(drawn), place.id.in_(drawn)))
    with engine.connect() as db:
        for id_, what in db.execute(statement):
            found[id_] = by_content[what if what in by_content else id_]
    return found


def absent(engine: Engine, name: str) -> int:
    """How many members no hub shows any more: gated, gone, or replaced by a newer revision."""
    member = tables.sample_member
    here = select(content).where(place.current)
    left = select(func.count()).where(member.c.sample == name, member.c.content.not_in(here))
    with engine.connect() as db:
        return db.scalar(left) or 0


def _member_row(name: str, sample: Sample, number: int, member: Member) -> dict[str, object]:
    stratum = sample.strata[member.stratum]
    return {
        "sample": name,
        "content": member.content,
        "place": number,
        "checkpoint_id": member.checkpoint_id,
        "stratum": member.stratum,
        "probability": float(stratum.probability),
        "weight": float(stratum.weight),
    }
