"""What is known of an extraction without any reference: other checkpoints and other recipes that gave it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from extraction.evidence import Stability, nearest_elsewhere, stability
from reports.finding import ExtractionEvidence
from reports.findings.ladder import same_picture
from reports.matching.wrong_checkpoints import place_of
from reports.references.index import unit_rows
from reports.settings import ReportsSettings

if TYPE_CHECKING:
    from scanner.extraction_store import ExtractionStore

_COLUMNS = ("id", "checkpoint_id", "recipe_id", "base_repo", "descriptor_name")


def neighbours(extractions: ExtractionStore, settings: ReportsSettings) -> list[ExtractionEvidence]:
    """Compare extractions with those of other places with the same base, and with those of other recipes.

    Takes the square of the time, not of the memory, of the extractions of one base: some minutes for
    100,000 of them on two cores.
    """
    rows = extractions.rows([*_COLUMNS, "recipe", "descriptor"])
    known = rows.select(list(_COLUMNS)).to_pandas()
    thresholds = _thresholds(rows)
    stable: dict[int, Stability] = {}
    for at, descriptors in _groups(rows, known, ["checkpoint_id", "descriptor_name"]):
        recipes = known["recipe_id"].iloc[at].tolist()
        stable.update(zip(at.tolist(), stability(descriptors, recipes, thresholds[at]), strict=True))
    found = []
    for at, descriptors in _groups(rows, known, ["base_repo", "descriptor_name"]):
        owner = np.unique(known["checkpoint_id"].iloc[at].map(place_of), return_inverse=True)[1]
        limit = same_picture(known["descriptor_name"].iloc[at[0]], settings)
        for row, index, similarity in zip(at, *nearest_elsewhere(descriptors, owner), strict=True):
            found.append(
                ExtractionEvidence(
                    extraction_id=known["id"].iloc[row],
                    nearest_other=known["id"].iloc[at[index]] if index >= 0 else None,
                    nearest_other_similarity=float(similarity) if index >= 0 else None,
                    shared=bool(similarity >= limit),
                    recipes=stable[int(row)].recipes,
                    recipes_agreeing=stable[int(row)].agreeing,
                )
            )
    return sorted(found, key=lambda one: one.extraction_id)


def _groups(
    rows: pa.Table, known: Any, by: list[str]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield each group's rows and their descriptors."""
    for at in known.groupby(by, sort=True).indices.values():
        yield at, unit_rows(rows["descriptor"].take(pa.array(at)))


def _thresholds(rows: pa.Table) -> NDArray[np.float32]:
    """(N,) the cosine at which each one's recipe takes two generations for the same picture."""
    by_recipe: dict[str, float] = {}
    for name, text in zip(rows["recipe_id"].to_pylist(), rows["recipe"].to_pylist(), strict=True):
        if name not in by_recipe:
            by_recipe[name] = float(json.loads(text)["cluster_similarity"])
    return np.array([by_recipe[name] for name in rows["recipe_id"].to_pylist()], np.float32)
