"""All sets in turn: their matches with the extractions, judged by the ladder, and what each set came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reports.finding import Opinion, Severity
from reports.findings.ladder import judge
from reports.findings.states import Judged
from reports.matching.canaries import Canaries, CanaryCheck
from reports.matching.columns import Probes
from reports.matching.comparable import comparable, highest_similarities
from reports.matching.measures import Limits, measured, near_pairs
from reports.matching.normalise import Background
from reports.matching.wrong_checkpoints import Scans, held_against
from reports.references.index import ReferenceIndex
from reports.references.opinions import OPINIONS
from reports.references.store import References
from reports.settings import Ladder, ReportsSettings
from reports.summary import SetSummary

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many of it are done, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSets:
    """What matching with all sets gave."""

    judged: tuple[Judged, ...]
    """Of all sets, decoys and negative ones too; by set, extraction and reference."""
    sets: tuple[SetSummary, ...]
    opinions: dict[tuple[str, str], Opinion]
    """Of the references in `judged`, but for those that are POSITIVE."""
    canaries: CanaryCheck


def judge_all(
    probes: Probes,
    scans: Scans,
    references: References,
    settings: ReportsSettings,
    canaries: Canaries,
    report: Progress,
) -> JudgedSets:
    """Match and judge, one set in memory at a time. The background set is not looked for.

    Raises:
        ReportError: a set cannot be read.
    """
    judged: list[Judged] = []
    sets: list[SetSummary] = []
    opinions: dict[tuple[str, str], Opinion] = {}
    checks: list[CanaryCheck] = []
    sets_by_name = {one.name: one for one in references.sets() if one.name != settings.background}
    names = list(sets_by_name)
    background = _background(probes, references, settings)
    for index in references.load(names, min_pdq_quality=settings.min_pdq_quality):
        limits = _limits(settings.ladder_of(index.set_name), probes)
        pairs = near_pairs(probes, index, limits, canaries)
        checks.append(pairs.canaries)
        near = list(background.normalised(measured(probes, index, pairs)))
        found = held_against(near, probes, scans, index, settings.min_others)
        verdicts = ((match, judge(match, settings)) for match in found)
        mine = [Judged(match, verdict) for match, verdict in verdicts if verdict is not None]
        mine.sort(key=lambda one: (one.match.extraction_id, one.match.ref_id))
        judged += mine
        opinions |= _opinions(index, mine)
        known = sets_by_name[index.set_name]
        summary = _set_summary(probes, index, mine, decoy=index.set_name in settings.decoys)
        sets.append(replace(summary, unmatchable=dict(known.unmatchable)))
        report("matching", len(sets), len(names))
    return JudgedSets(
        judged=tuple(judged), sets=tuple(sets), opinions=opinions, canaries=CanaryCheck.together(checks)
    )


def _background(probes: Probes, references: References, settings: ReportsSettings) -> Background:
    """What the extractions reach on the background set; nothing when there is none, or nothing to compare."""
    if settings.background is None or not probes.described:
        return Background({})
    (index,) = references.load([settings.background], min_pdq_quality=settings.min_pdq_quality)
    return Background.of(probes, index)


def _opinions(index: ReferenceIndex, judged: Sequence[Judged]) -> dict[tuple[str, str], Opinion]:
    names = sorted({one.match.ref_id for one in judged})
    at = pc.index_in(pa.array(names, pa.string()), value_set=index.ref_ids).to_pylist()
    found = {name: OPINIONS[index.opinions[place]] for name, place in zip(names, at, strict=True)}
    return {(index.set_name, name): one for name, one in found.items() if one is not Opinion.POSITIVE}


def _limits(ladder: Ladder, probes: Probes) -> Limits:
    """The lowest rungs: what reaches none of them cannot become a finding."""
    return Limits(
        phash=ladder.phash_low,
        phash256=ladder.phash256_low,
        pdq=ladder.pdq_low,
        similarity={name: ladder.similarities(name).low for name in probes.described},
    )


def _set_summary(
    probes: Probes, index: ReferenceIndex, judged: Sequence[Judged], *, decoy: bool
) -> SetSummary:
    compared = comparable(probes, index)
    counts = Counter(one.verdict.severity.label for one in judged)
    highest = highest_similarities(probes, index) if decoy else {}
    return SetSummary(
        name=index.set_name,
        decoy=decoy,
        entries=len(index),
        pairs=compared.pairs,
        compared_by=compared.extractions,
        matches={severity.label: counts[severity.label] for severity in reversed(Severity)},
        highest={
            name: (float(np.median(values)), float(np.percentile(values, 99)), float(values.max()))
            for name, values in highest.items()
        },
    )
