"""Matches held against wrong checkpoints: other fine-tunes, which were not trained on the reference.

A wrong checkpoint is any other place (repository, or model of a hub), since the files of one place are
often one training at several epochs. Only those count that the same recipe and descriptor gave
extractions of: of the same base model where there are enough, else of any.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from extraction.evidence import WrongCheckpoints, wrong_checkpoints
from reports.finding import Match
from reports.matching.columns import KINDS, Probes
from reports.matching.dense import NONE, measure
from reports.matching.hashes import FAR
from reports.references.index import ReferenceIndex

if TYPE_CHECKING:
    from scanner.extraction_store import ExtractionStore

_EXTRACTIONS, _REFERENCES = 8192, 256
"""Compared at once: two million pairs, some 60 bytes each."""
_DIGITS = 5
_MEASURES = ("similarity", *KINDS)
"""What a p-value is taken by: the first of these that a match has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scans:
    """Which extractions belong together: one group for each place, recipe, descriptor and base model."""

    group: NDArray[np.int64]
    """(E,) the group of each extraction, in the order of `Probes`."""
    place: NDArray[np.object_]
    """(G,) such as "huggingface:owner/name"."""
    recipe: NDArray[np.object_]
    """(G,) recipe's id and descriptor's name."""
    base: NDArray[np.object_]
    """(G,) the base model's repository."""
    digests: Sequence[frozenset[str]]
    """(G,) SHA-256 of the weights, where known: the same weights elsewhere are no other checkpoint."""

    def others(self, group: int, *, same_base: bool) -> NDArray[np.bool_]:
        """(G,) which groups are wrong checkpoints to this one."""
        found = (self.recipe == self.recipe[group]) & (self.place != self.place[group])
        if same_base:
            found &= self.base == self.base[group]
        if self.digests[group]:
            found &= [self.digests[group].isdisjoint(one) for one in self.digests]
        return np.asarray(found, np.bool_)


def place_of(checkpoint_id: str) -> str:
    """The place that a checkpoint's id begins with. Neither hub has an "@" in the names of places."""
    return checkpoint_id.partition("@")[0]


def load_scans(extractions: ExtractionStore, digests: Mapping[str, str | None]) -> Scans:
    """Group all extractions, in the order of their ids.

    Args:
        digests: SHA-256 of the weights by checkpoint id, where known.
    """
    groups: dict[tuple[str, str, str], int] = {}
    known: dict[int, set[str]] = defaultdict(set)
    members = []
    columns = ["checkpoint_id", "recipe_id", "descriptor_name", "base_repo"]
    for row in extractions.rows(columns).to_pylist():
        key = (
            place_of(row["checkpoint_id"]),
            f"{row['recipe_id']} {row['descriptor_name']}",
            row["base_repo"],
        )
        members.append(groups.setdefault(key, len(groups)))
        if digest := digests.get(row["checkpoint_id"]):
            known[members[-1]].add(digest)
    return Scans(
        group=np.array(members, np.int64),
        place=np.array([place for place, _, _ in groups], object),
        recipe=np.array([recipe for _, recipe, _ in groups], object),
        base=np.array([base for _, _, base in groups], object),
        digests=[frozenset(known[index]) for index in range(len(groups))],
    )


def held_against(
    found: Sequence[Match],
    probes: Probes,
    scans: Scans,
    index: ReferenceIndex,
    least: int,
    *,
    block: tuple[int, int] = (_EXTRACTIONS, _REFERENCES),
) -> list[Match]:
    """Return the matches with what wrong checkpoints reach at their references, in the same order.

    Args:
        found: matches with references of `index`.
        least: others that a p-value takes.
        block: what is compared at once; changes nothing.
    """
    names = pa.array([one.ref_id for one in found], pa.string())
    wanted = np.asarray(pc.index_in(names, value_set=index.ref_ids), np.int64)
    references = np.unique(wanted)
    group_of = dict(zip(probes.ids, scans.group.tolist(), strict=True))
    columns: dict[int, list[int]] = defaultdict(list)
    for row, reference in enumerate(wanted.tolist()):
        columns[reference].append(row)
    out = list(found)
    for start in range(0, len(references), block[1]):
        part = references[start : start + block[1]]
        best = _best(probes, scans, index.take(part), block[0])
        for column, reference in enumerate(part.tolist()):
            reached = {name: values[:, column] for name, values in best.items()}
            for row in columns[reference]:
                out[row] = _held(out[row], group_of[out[row].extraction_id], scans, reached, least)
    return out


def _best(probes: Probes, scans: Scans, index: ReferenceIndex, block: int) -> dict[str, NDArray[np.float64]]:
    """(G, R) by measure: how near each group's best comes to each reference, higher nearer, NaN: unknown."""
    best = {name: np.full((len(scans.place), len(index)), -np.inf) for name in _MEASURES}
    for start in range(0, len(probes.ids), block):
        rows = np.arange(start, min(start + block, len(probes.ids)))
        found = measure(probes, index, rows, range(len(index)), control=False)
        similarity = np.maximum(found.similarity, found.similarity_mirror).astype(np.float64)
        near = {"similarity": np.where(similarity > NONE, similarity, -np.inf)}
        for name in KINDS:
            distance = found.distance(name).astype(np.float64)
            near[name] = np.where(distance < FAR, -distance, -np.inf)
        for name, values in near.items():
            np.maximum.at(best[name], scans.group[rows], values)
    return {name: np.where(np.isfinite(values), values, np.nan) for name, values in best.items()}


def _held(
    match: Match, group: int, scans: Scans, reached: Mapping[str, NDArray[np.float64]], least: int
) -> Match:
    observed = _observed(match)
    by = next(name for name in _MEASURES if name in observed)
    same_base = True
    allowed = scans.others(group, same_base=True)
    if np.isfinite(reached[by][allowed]).sum() < least:
        wider = scans.others(group, same_base=False)
        if np.isfinite(reached[by][wider]).sum() >= least:
            same_base, allowed = False, wider
    tests = {name: _test(value, reached[name][allowed], least) for name, value in observed.items()}
    typical = {name: tests[name].typical if name in tests else None for name in _MEASURES}
    return replace(
        match,
        others=tests[by].others,
        others_same_base=same_base and tests[by].others > 0,
        others_as_near=tests[by].as_near,
        p_value=tests[by].p_value,
        others_similarity=typical["similarity"],
        others_pdq_distance=_distance(typical["pdq"]),
        others_phash_distance=_distance(typical["phash"]),
        others_phash256_distance=_distance(typical["phash256"]),
    )


def _observed(match: Match) -> dict[str, float]:
    """The measures that a match has, higher nearer; it has one at least."""
    given = {
        "similarity": match.similarity,
        "pdq": _nearness(match.pdq_distance),
        "phash256": _nearness(match.phash256_distance),
        "phash": _nearness(match.phash_distance),
    }
    return {name: float(value) for name, value in given.items() if value is not None}


def _nearness(distance: int | None) -> int | None:
    return None if distance is None else -distance


def _test(observed: float, others: NDArray[np.float64], least: int) -> WrongCheckpoints:
    # A product of another shape may differ in its last bits, which must not break a tie.
    known = np.round(others[np.isfinite(others)], _DIGITS)
    return wrong_checkpoints(round(observed, _DIGITS), known, least=least)


def _distance(nearness: float | None) -> float | None:
    return None if nearness is None else abs(nearness)
