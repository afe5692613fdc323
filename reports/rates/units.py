"""What rates count: distinct weights, each once, with what became of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum

import pandas as pd

from crawler.catalog.sample import Sample
from crawler.catalog.samples import Weight
from crawler.checkpoint import SkipReason
from reports.coverage import UNPLANNED
from reports.finding import Severity
from reports.rates import groups
from reports.rates.facts import Facts
from reports.rates.leakage import UNKNOWN, leaking
from scanner.job import State


class Fate(StrEnum):
    """What became of a unit. Of several places with the same weights, the first of these counts."""

    SCANNED = "scanned"
    FAILED = "failed"
    OPEN = "open"
    SKIPPED = "skipped"
    """Left out for a reason that says nothing of whether it leaks: missing, and not at random."""
    OUTSIDE = "outside"
    """No fine-tune of its own, so that no rate is about it."""
    UNPLANNED = "unplanned"


MISSING = (Fate.FAILED, Fate.OPEN, Fate.SKIPPED)
"""It is not known whether these leak."""

NO_FINE_TUNE = frozenset(
    {SkipReason.SAME_CONTENT, SkipReason.BASE_MODEL, SkipReason.SAME_AS_BASE, SkipReason.NO_WEIGHTS}
)
"""Skips of what is a copy, a base model or no model at all."""

GONE = "shown by no hub any more"
"""Reason of a sample's member that the catalog has no current checkpoint of."""

_FATES: Mapping[str, Fate] = {
    State.DONE: Fate.SCANNED,
    State.FAILED: Fate.FAILED,
    State.QUARANTINED: Fate.FAILED,
    State.QUEUED: Fate.OPEN,
    State.LEASED: Fate.OPEN,
    State.SKIPPED: Fate.SKIPPED,
    UNPLANNED: Fate.UNPLANNED,
}

COLUMNS = ("content", "hub", "owner", "family", "kind", "age", "popularity", "year", "fate", "reason")


def units(
    checkpoints: pd.DataFrame,
    findings: pd.DataFrame,
    at: Severity,
    facts: Facts,
    now: datetime,
    *,
    unmatched: Collection[str] = (),
    decoy_hits: Collection[str] = (),
) -> pd.DataFrame:
    """Return one row for each distinct content, with `COLUMNS`, `leaks`, `met_decoy` and `checkpoint_id`.

    Weights that lie in many places are one unit, at the place that was scanned; where they were not, at the
    first by id of the places that came furthest.

    Args:
        checkpoints, findings: of a report.
        at: least severity of a finding that makes a checkpoint leak.
        now: what ages are counted to, UTC.
        unmatched: checkpoints with extractions that no matching has seen: open, whatever their scan says.
        decoy_hits: checkpoints that matched a decoy.
    """
    rows = checkpoints[["checkpoint_id", "hub", "repo", "family", "kind", "state", "reason"]].astype("object")
    rows = rows.merge(facts.checkpoints, on="checkpoint_id", how="left")
    rows = rows.merge(facts.repositories, on=["hub", "repo"], how="left")
    downloads = rows["downloads"].where(rows["downloads"].notna(), rows["own_downloads"])
    told = rows.assign(
        content=rows["content"].where(rows["content"].notna(), rows["checkpoint_id"]),
        owner=[
            f"{hub}:{str(repo).partition('/')[0]}"
            for hub, repo in zip(rows["hub"], rows["repo"], strict=True)
        ],
        family=_known(rows["family"]),
        kind=_known(rows["kind"]),
        age=[groups.age(one, now) for one in rows["created_at"]],
        popularity=[groups.popularity(one) for one in downloads],
        year=[groups.year(one) for one in rows["created_at"]],
        fate=[_fate(state, reason) for state, reason in zip(rows["state"], rows["reason"], strict=True)],
        reason=rows["reason"].where(rows["reason"].notna(), ""),
    )
    told.loc[(told["fate"] == Fate.SCANNED) & told["checkpoint_id"].isin(list(unmatched)), "fate"] = Fate.OPEN
    for name, places in (("leaks", leaking(findings, at)), ("met_decoy", decoy_hits)):
        here = told["checkpoint_id"].isin(list(places))
        told[name] = here.groupby(told["content"]).transform("any").astype(bool)
    told["rank"] = told["fate"].map(list(Fate).index)
    first = told.sort_values(["rank", "checkpoint_id"]).drop_duplicates("content")
    return first.sort_values("checkpoint_id")[["checkpoint_id", *COLUMNS, "leaks", "met_decoy"]].reset_index(
        drop=True
    )


def sampled(rows: pd.DataFrame, sample: Sample, weights: Mapping[str, Weight]) -> pd.DataFrame:
    """Return the members of a sample, each with its `stratum`; nothing of a member is unplanned.

    A member that no row tells of stands in as open, with what its stratum says of it.

    Args:
        weights: as `crawler.catalog.samples.weights` gives them.
    """
    drawn = {one.content: one.stratum for one in weights.values()}
    inside = rows[rows["content"].isin(list(drawn))]
    waiting = inside["fate"] == Fate.UNPLANNED
    found = inside.assign(fate=inside["fate"].mask(waiting, Fate.OPEN))
    here = set(found["content"])
    gone = []
    for member in sample.members:
        if member.content in here:
            continue
        told = dict(zip(sample.design.by, sample.strata[member.stratum].values, strict=True))
        told = {("popularity" if name == "downloads" else name): value for name, value in told.items()}
        hub = member.checkpoint_id.partition(":")[0]
        owner = member.checkpoint_id.partition("@")[0].partition("/")[0]
        row = {name: told.get(name, UNKNOWN) for name in COLUMNS}
        own = {"content": member.content, "hub": hub, "owner": owner, "fate": Fate.OPEN, "reason": GONE}
        gone.append({"checkpoint_id": member.checkpoint_id, **row, **own, "leaks": False, "met_decoy": False})
    whole = pd.concat([found, pd.DataFrame(gone, columns=found.columns)]) if gone else found
    return whole.assign(stratum=whole["content"].map(drawn).astype("int64")).reset_index(drop=True)


def _known(column: pd.Series) -> pd.Series:
    return column.where(column.notna(), UNKNOWN)


def _fate(state: object, reason: object) -> Fate:
    fate = _FATES[str(state)]
    return Fate.OUTSIDE if fate is Fate.SKIPPED and reason in NO_FINE_TUNE else fate
