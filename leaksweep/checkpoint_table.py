"""The catalog's checkpoints, and a sample's members, as tables for other programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from crawler.catalog import tables
from crawler.catalog.rows import checkpoint_json
from crawler.catalog.sample import Sample
from crawler.catalog.selection import Place, Selection, places
from reports.export.columns import Column
from reports.export.tables import write_table
from reports.export.typed import frame

_IDENTITY = (
    Column("checkpoint_id", "string", "Hub, repository, revision and path: the same from run to run."),
    Column("hub", "string", "`huggingface` or `civitai`."),
    Column("repo", "string", "`owner/name` on Hugging Face, the model's number on Civitai."),
    Column("revision", "string", "Commit on Hugging Face, the version's number on Civitai."),
    Column("path", "string", "The weights file in the repository; empty for a folder."),
    Column("kind", "string", "`full`, `lora`, `dora`, `lokr`, `loha` or `textual_inversion`."),
    Column("family", "string", "Model family, such as `sd1`."),
    Column("title", "string", "The name that its author gave it."),
    Column("sha256", "string", "Digest of the weights, where the hub tells it."),
    Column("places", "int64", "Checkpoints with these very weights that hubs show now, this one included."),
)

CHECKPOINTS = (
    *_IDENTITY,
    Column("base_repo", "string", "Base model, as the best statement names it."),
    Column("base_source", "string", "Who names it."),
    Column("base_grade", "string", "How far that can be trusted; see docs/base-models.md."),
    Column("downloads", "int64", "Of the repository, on Civitai of the model, as last listed."),
    Column("licence", "string", "As the hub names it."),
    Column("created_at", "string", "When the repository was made, ISO 8601, UTC; Civitai does not tell."),
    Column("updated_at", "string", "When it last changed, ISO 8601, UTC."),
    Column("images", "int64", "Distinct training pictures (N_0)."),
    Column("steps", "int64", "Optimiser steps."),
    Column("batch", "int64", "Pictures in one optimiser step."),
    Column("resolution", "int64", "Of training, the shorter side in pixels."),
    Column("rank", "int64", "Of a LoRA."),
    Column("prompts", "int64", "Captions and trigger words that are known."),
    Column("prompt_origin", "string", "Where the best of them was found."),
)

MEMBERS = (
    *_IDENTITY,
    Column("content", "string", "What was drawn: digest of the weights, or the id where it is unknown."),
    Column("stratum", "string", "Its values, in the order of --by, with a / between them."),
    Column("population", "int64", "Distinct contents in the stratum (N)."),
    Column("drawn", "int64", "Of these, how many are in the sample (n)."),
    Column("probability", "double", "Of being drawn: n / N."),
    Column("weight", "double", "Contents that it stands for: N / n."),
)

_BATCH = 5000
"""Rows that are in memory at a time."""


def write_checkpoints(engine: Engine, selection: Selection, path: Path) -> int:
    """Write what a selection fits as .csv or .parquet, whole or not at all; return the number of rows.

    Raises:
        SelectionError: a filter names what is not known.
        ReportError: the file cannot be written, or has another ending.
    """
    copies = _copies(engine)
    rows = (_row(place, copies) for place in places(engine, selection, records=True))
    return write_table(path, _frames(rows, CHECKPOINTS), CHECKPOINTS)


def write_members(engine: Engine, sample: Sample, path: Path) -> int:
    """Write a sample that was just drawn as .csv or .parquet, one row for each member.

    Raises:
        SelectionError, ReportError: as `write_checkpoints`.
    """
    members = {one.checkpoint_id: one for one in sample.members}
    copies = _copies(engine)

    def rows() -> Iterator[Mapping[str, Any]]:
        for place in places(engine, sample.selection, records=True):
            member = members.get(place.id)
            if member is None:
                continue
            stratum = sample.strata[member.stratum]
            yield {
                **_row(place, copies),
                "content": member.content,
                "stratum": "/".join(stratum.values),
                "population": stratum.population,
                "drawn": stratum.drawn,
                "probability": float(stratum.probability),
                "weight": float(stratum.weight),
            }

    return write_table(path, _frames(rows(), MEMBERS), MEMBERS)


def _frames(rows: Iterable[Mapping[str, Any]], columns: tuple[Column, ...]) -> Iterator[Any]:
    rows = iter(rows)
    while batch := [dict(row) for row in islice(rows, _BATCH)]:
        yield frame(batch, columns)


def _copies(engine: Engine) -> Mapping[str, int]:
    """How many current checkpoints share their weights with others, by digest."""
    digest = tables.checkpoint.c.sha256
    several = select(digest, func.count()).where(tables.checkpoint.c.current, digest.is_not(None))
    with engine.connect() as db:
        found = db.execute(several.group_by(digest).having(func.count() > 1))
        return {row[0]: row[1] for row in found}


def _row(place: Place, copies: Mapping[str, int]) -> dict[str, Any]:
    checkpoint = checkpoint_json.validate_json(place.record)
    base, training, prompts = checkpoint.base, checkpoint.training, checkpoint.prompts
    return {
        "checkpoint_id": checkpoint.id,
        "hub": str(checkpoint.hub),
        "repo": checkpoint.repo,
        "revision": checkpoint.revision,
        "path": checkpoint.path,
        "kind": str(checkpoint.kind),
        "family": checkpoint.family,
        "title": checkpoint.title,
        "sha256": checkpoint.sha256,
        "places": copies.get(checkpoint.sha256 or "", 1),
        "base_repo": base.repo if base else None,
        "base_source": base.source if base else None,
        "base_grade": base.grade.name.lower() if base else None,
        "downloads": place.downloads,
        "licence": place.licence,
        "created_at": place.created_at,
        "updated_at": place.updated_at,
        **{name: getattr(training, name) for name in ("images", "steps", "batch", "resolution", "rank")},
        "prompts": len(prompts),
        "prompt_origin": str(prompts[0].origin) if prompts else None,
    }
