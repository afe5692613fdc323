"""The table of leakage rates: denominators, interval, bounds and correction of each group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crawler.catalog.sample import Sample
from crawler.catalog.samples import Weight
from reports.finding import ReportError
from reports.rates import groups
from reports.rates.about import origin_of
from reports.rates.accuracy import FalseFindings, Sensitivity, compared, false_findings
from reports.rates.correction import Correction, corrected
from reports.rates.estimate import Design, Estimate, Floats, bounds, clustered, simple, weighted
from reports.rates.facts import Facts
from reports.rates.rate import NO_RATE, NO_REFERENCES, Rate, RateTable
from reports.rates.units import MISSING, Fate, sampled, units

if TYPE_CHECKING:
    from reports.report import Report

Cluster = Literal["auto", "owner", "none"]
Places = NDArray[np.int64]
"""Of units in their frame."""

EACH = (("hub",), ("family",), ("kind",), ("age",), ("popularity",))
"""The groupings of a table that nobody asked otherwise for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A stratified sample of the catalog, under its name."""

    name: str
    sample: Sample
    weights: Mapping[str, Weight]
    """By checkpoint id, as `crawler.catalog.samples.weights` gives them."""


def rate_table(
    report: Report,
    *,
    by: Sequence[Sequence[str]] = EACH,
    facts: Facts | None = None,
    decoy_hits: Collection[str] | None = None,
    unmatched: Collection[str] = (),
    drawn: Drawn | None = None,
    sensitivity: Sensitivity | None = None,
    cluster: Cluster = "auto",
) -> RateTable:
    """Return the rates at the report's `fail_on` and above. The same arguments give the same table.

    Args:
        by: groupings; each is one name of `groups.NAMES` or several, which are crossed.
        facts: of the catalog; without them age, popularity and year are unknown, and each place is a unit.
        decoy_hits: checkpoints that matched a decoy, as `reports.rates.accuracy.decoy_hits` gives them;
            None: not known, and so no correction.
        unmatched: checkpoints with extractions that no matching has seen; they are open.
        drawn: counts the sample's members alone, with their weights.
        sensitivity: of the method; None corrects for false findings alone.
        cluster: whether the checkpoints of one owner are taken to be alike. "auto": where owners repeat,
            and no sample was drawn, whose chance does not ask for owners.

    Raises:
        ReportError: there is no such group, or clusters are asked for beside a sample.
    """
    if drawn is not None and cluster == "owner":
        raise ReportError(
            f'sample "{drawn.name}": its interval comes from how it was drawn, where owners have no part; '
            "ask for clusters without a sample"
        )
    groupings = [groups.check(names) for names in by]
    rows = units(
        report.checkpoints,
        report.ranked.standing,
        report.fail_on,
        facts or Facts(),
        report.generated_at,
        unmatched=unmatched,
        decoy_hits=decoy_hits or (),
    )
    wrong = _wrong(rows, report, known=decoy_hits is not None, cluster=cluster)
    if drawn is not None:
        rows = sampled(rows, drawn.sample, drawn.weights)
    design = _design(rows, drawn) if drawn else None
    count = _Counting(
        rows=rows,
        design=design,
        drawn_weights=_drawn_weights(rows, drawn) if drawn else np.ones(len(rows)),
        clustered=_clustered(rows, drawn, cluster),
        compared=compared(report.matching, report.settings.negatives) > 0,
        false_findings=wrong,
        sensitivity=sensitivity,
    )
    made = [count.rate({}, np.arange(len(rows)))]
    for names in groupings:
        made += count.grouped(names)
    return RateTable(
        rates=tuple(made),
        severity=report.fail_on,
        sample=drawn.name if drawn else None,
        false_findings=wrong,
        sensitivity=sensitivity,
        origin=origin_of(report),
        unreached=_unreached(design) if design else 0.0,
    )


def _wrong(rows: pd.DataFrame, report: Report, *, known: bool, cluster: Cluster) -> FalseFindings | str:
    """Of all that was scanned, drawn or not: the match is one and the same."""
    scanned = rows[rows["fate"] == Fate.SCANNED]
    met = scanned["met_decoy"].to_numpy(bool)
    estimate = clustered(met, _owners(scanned)) if _clustered(rows, None, cluster) else None
    return false_findings(
        report.matching,
        int(met.sum()) if known else None,
        len(scanned),
        report.settings,
        estimate.effective_size if estimate else None,
    )


def _clustered(rows: pd.DataFrame, drawn: Drawn | None, cluster: Cluster) -> bool:
    if cluster == "auto":
        return drawn is None and bool(rows.loc[rows["fate"] == Fate.SCANNED, "owner"].duplicated().any())
    return cluster == "owner"


def _owners(scanned: pd.DataFrame) -> Places:
    """A number for each owner, from 0."""
    return np.asarray(pd.factorize(scanned["owner"])[0], np.int64)


def _design(rows: pd.DataFrame, drawn: Drawn) -> Design:
    """Weights N / r, with r the members of a stratum whose fate is known: those missing are taken to be like
    the others of their stratum. Members that are no fine-tune are known, and in no rate."""
    known = rows["fate"].isin([Fate.SCANNED, Fate.OUTSIDE]).to_numpy()
    strata = rows["stratum"].to_numpy(np.int64)
    population = {number: float(one.population) for number, one in enumerate(drawn.sample.strata)}
    answered = Counter(strata[known].tolist())
    weights = [population[stratum] / answered[stratum] if answered[stratum] else 0.0 for stratum in strata]
    return Design(
        weights=np.where(known, weights, 0.0), strata=np.where(known, strata, -1), population=population
    )


def _unreached(design: Design) -> float:
    reached = set(design.strata.tolist())
    return sum(size for stratum, size in design.population.items() if stratum not in reached)


def _drawn_weights(rows: pd.DataFrame, drawn: Drawn) -> Floats:
    """N / n: what a member stands for before anybody knows whether it can be scanned."""
    strata = drawn.sample.strata
    return np.array([float(strata[number].weight) for number in rows["stratum"]], np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counting:
    """What all groups have in common."""

    rows: pd.DataFrame
    design: Design | None
    drawn_weights: Floats
    """1 for each without a sample."""
    clustered: bool
    compared: bool
    false_findings: FalseFindings | str
    sensitivity: Sensitivity | None

    def grouped(self, names: tuple[str, ...]) -> list[Rate]:
        labels = self.rows[list(names)].astype(str)
        places = labels.groupby(list(names), sort=False).indices
        keys = [key if isinstance(key, tuple) else (key,) for key in places]
        found = [
            self.rate(dict(zip(names, map(str, key), strict=True)), np.asarray(inside, np.int64))
            for key, inside in zip(keys, places.values(), strict=True)
        ]
        return sorted(found, key=lambda rate: groups.order(rate.group))

    def rate(self, group: Mapping[str, str], places: Places) -> Rate:
        inside = self.rows.iloc[places]
        fates = inside["fate"]
        scanned = places[(fates == Fate.SCANNED).to_numpy(bool)]
        leaking = scanned[self.rows["leaks"].to_numpy(bool)[scanned]]
        missing = places[fates.isin(MISSING).to_numpy(bool)]
        counts = fates.value_counts()
        reasons = inside.loc[fates == Fate.SKIPPED, "reason"].value_counts()
        estimate = self._estimate(leaking, scanned) if self.compared else None
        correction: Correction | str = NO_RATE if self.compared else NO_REFERENCES
        if estimate is not None:
            wrong = self.false_findings
            correction = wrong if isinstance(wrong, str) else corrected(estimate, wrong, self.sensitivity)
        return Rate(
            group=group,
            fates={fate: int(counts.get(fate, 0)) for fate in Fate},
            leaked=len(leaking),
            skipped_by_reason={
                str(reason) or "not given": int(number)
                for reason, number in sorted(reasons.items(), key=lambda item: (-item[1], str(item[0])))
            },
            estimate=estimate,
            bounds=bounds(*(self._sum(which) for which in (leaking, scanned, missing))) if estimate else None,
            correction=correction,
        )

    def _estimate(self, leaking: Places, scanned: Places) -> Estimate | None:
        if self.design is not None:
            return weighted(self._mask(leaking), self._mask(scanned), self.design)
        leaks = np.isin(scanned, leaking)
        if self.clustered:
            return clustered(leaks, _owners(self.rows.iloc[scanned]))
        return simple(leaks)

    def _mask(self, places: Places) -> NDArray[np.bool_]:
        mask = np.zeros(len(self.rows), bool)
        mask[places] = True
        return mask

    def _sum(self, which: Places) -> float:
        return float(self.drawn_weights[which].sum())
