"""The match stage: hash, compare, judge, and erase what matched nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reports.custody.holds import Holds
from reports.custody.retention import to_drop
from reports.finding import Finding, ReportError
from reports.findings.negatives import hold_down, set_aside
from reports.findings.occurrences import occurrences
from reports.findings.states import against, calm, findings
from reports.findings.store import FindingStore, Run
from reports.findings.suppressions import Suppressions
from reports.matching.canaries import draw_canaries
from reports.matching.hash_store import HashStore
from reports.matching.hashes import Hasher, PdqState, open_hasher
from reports.matching.judging import Progress, judge_all
from reports.matching.neighbours import neighbours
from reports.matching.probes import hash_pictures, hashed_ids, load_probes
from reports.matching.wrong_checkpoints import load_scans
from reports.references.store import References
from reports.settings import ReportsSettings
from reports.summary import MatchSummary, count_findings
from scanner.picture_keys import overwriting

if TYPE_CHECKING:
    from scanner.extraction_store import ExtractionStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The stores that matching reads and writes."""

    extractions: ExtractionStore
    hashes: HashStore
    references: References
    findings: FindingStore
    suppressions: Suppressions
    holds: Holds

    def held(self, findings: Iterable[Finding]) -> frozenset[str]:
        """Ids of the extractions that a legal hold exempts, by whatever name; `findings` are all."""
        rows = self.extractions.rows(["id", "checkpoint_id"])
        pairs = zip(rows["id"].to_pylist(), rows["checkpoint_id"].to_pylist(), strict=True)
        return self.holds.extractions(findings, pairs)


def match_stage(
    desk: Desk,
    settings: ReportsSettings,
    *,
    digests: Mapping[str, str | None],
    sweep: str = "",
    hasher: Hasher | None = None,
    progress: Progress | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> MatchSummary:
    """Match every extraction with every reference set, settle the findings, and erase pictures.

    Killed anywhere and run again it comes to the same end: hashes are written before a picture may go,
    matches and findings each in one commit, then, in one transaction of the SQL store, the run's row, what
    it says of each picture, and the end of the keys of those that matched nothing. Without that row, or with
    one that names the same `sweep`, the run is the same one still, and what it found first stays new.

    Args:
        digests: SHA-256 of the weights by checkpoint id, where known.
        sweep: names the sweep that this belongs to; empty makes every matching a run of its own.

    Raises:
        ReportError: a set that the settings name does not exist, or another process writes to the store.
        VaultError: hashes or lists were sealed with another master key.
        EraseError: sealed pictures may still be on the disk.
    """
    report = progress or (lambda what, done, total: None)
    _check_names(desk.references, settings)
    with desk.findings.writing():
        hasher = hasher or open_hasher()
        hashed = hash_pictures(
            desk.extractions,
            desk.hashes,
            hasher,
            lambda done, total: report("hashing", done, total),
        )
        probes = load_probes(desk.extractions, desk.hashes, min_pdq_quality=settings.min_pdq_quality)
        scans = load_scans(desk.extractions, digests)
        done = judge_all(
            probes, scans, desk.references, settings, draw_canaries(settings.canaries, hasher), report
        )
        wrong = [one for one in done.judged if one.match.set_name in settings.decoys]
        looked_for = [one for one in done.judged if one.match.set_name not in settings.decoys]
        wanted, _ = set_aside(looked_for, settings.negatives, done.opinions)
        calmed, floods = calm(hold_down(wanted, done.opinions), settings.flood_cap)
        number = _number(desk.findings.last_run(), sweep)
        settled = against(
            findings(calmed, digests),
            desk.findings.findings(),
            number,
            now(),
            suppressions=desk.suppressions.active(now()),
            withdrawals=desk.references.withdrawn(),
        )
        desk.findings.replace_matches([*calmed, *wrong], frozenset(settings.decoys))
        desk.findings.replace_findings(settled)
        desk.findings.replace_occurrences(occurrences(calmed, digests))
        evidence = neighbours(desk.extractions, settings)
        with_hashes = hashed_ids(desk.extractions, desk.hashes)
        desk.findings.replace_evidence(evidence)
        summary = MatchSummary(
            run=number,
            extractions=len(probes.ids),
            hashed=hashed,
            unhashed=int((~(probes.picture.phash.usable | probes.picture.pdq.usable)).sum()),
            pdq=_pdq_states(desk.hashes, with_hashes, settings.min_pdq_quality),
            sets=done.sets,
            floods=floods,
            canaries=done.canaries,
            shared=sum(one.shared for one in evidence),
            erased=0,
            kept=0,
            **count_findings(settled),
        )
        matched = {one.match.extraction_id for one in calmed if not one.verdict.aside_by}
        held = desk.extractions.image_ids()
        dropped = to_drop(
            held,
            hashed=with_hashes,
            matched=matched,
            exempt=desk.held(settled),
            keep=settings.pixels,
        )
        summary = replace(summary, erased=len(dropped), kept=len(held) - len(dropped))
        return _end(desk, settings, summary, held & matched, held - matched, dropped, sweep, now())


def last_summary(store: FindingStore) -> MatchSummary | None:
    """Return the summary of the last matching that came to its end."""
    run = store.last_run()
    return MatchSummary.of(json.loads(run.summary)) if run else None


def _check_names(references: References, settings: ReportsSettings) -> None:
    known = {one.name for one in references.sets()}
    for setting, names in (
        ("decoys", settings.decoys),
        ("negatives", settings.negatives),
        ("background", (settings.background,) if settings.background else ()),
        ("sets", tuple(settings.sets)),
    ):
        for name in names:
            if name not in known:
                there_are = ", ".join(sorted(known)) or "none"
                raise ReportError(
                    f'reports.{setting} names the reference set "{name}", which does not exist; '
                    f"there are: {there_are}"
                )


def _number(last: Run | None, sweep: str) -> int:
    if last is None:
        return 1
    return last.number if sweep and last.name == sweep else last.number + 1


def _end(
    desk: Desk,
    settings: ReportsSettings,
    summary: MatchSummary,
    matched: Collection[str],
    unmatched: Collection[str],
    dropped: Sequence[str],
    sweep: str,
    now: datetime,
) -> MatchSummary:
    """Record the run, what it says of pictures and the end of keys in one transaction; then erase bytes."""
    keys = desk.extractions.keys
    with desk.findings.engine.begin() as db:
        overwriting(db)
        keys.settle(db, summary.run, matched, unmatched)
        keys.drop(db, dropped, "unmatched", now)
        desk.findings.put_run(
            db,
            Run(
                number=summary.run,
                name=sweep,
                finished_at=now.astimezone(UTC).isoformat(timespec="seconds"),
                # Without who is told of it: a web hook's address is mostly a secret.
                settings=settings.model_dump_json(exclude={"notices"}),
                summary=json.dumps(summary.as_dict()),
            ),
        )
    # With nothing dropped too: a run that was killed before this left bytes behind.
    desk.extractions.erase_dropped()
    return summary


def _pdq_states(hashes: HashStore, ids: Collection[str], min_quality: int) -> dict[str, int]:
    return dict(
        Counter(
            "low quality"
            if row["pdq_state"] == PdqState.HASHED and row["pdq_quality"] < min_quality
            else row["pdq_state"]
            for row in hashes.states().to_pylist()
            if row["extraction_id"] in ids
        )
    )
