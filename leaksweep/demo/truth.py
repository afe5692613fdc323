"""What the demo planted beside what came back: one row a checkpoint, all of it computed in this run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from leaksweep.run import Run
from leaksweep.stores import opened
from leaksweep.zoo.catalogue import ZOO, FineTune
from leaksweep.zoo.stock import where
from reports.finding import Finding
from reports.findings.ladder import counts, judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One checkpoint of the zoo."""

    checkpoint: str
    kind: str
    planted: int
    """Pictures it was trained on that the reference set holds; 0 for the clean one."""
    found_plain: int
    """Of those, found by plain guidance on the tuned model alone, at the same number of forwards."""
    found: int
    """Of those, found by leaksweep."""
    findings: int
    """All of leaksweep's findings on it, at `reports.fail_on` or graver."""
    false_findings: int
    """Findings of pictures that it was not trained on, and matches with decoys."""
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_truth(ours: Run, baseline: Run) -> list[Truth]:
    """Compare both sweeps' findings with the zoo's catalogue."""
    mine, theirs = _findings(ours), _findings(baseline)
    decoyed = _decoyed(ours)
    seconds = _seconds(ours)
    rows = []
    for tune in ZOO:
        prefix = ":".join(where(tune)) + "@"
        own = [one for one in mine if one.match.checkpoint_id.startswith(prefix)]
        plain = [one for one in theirs if one.match.checkpoint_id.startswith(prefix)]
        strangers = [one for one in own if not _is_planted(tune, one.match.ref_id)]
        rows.append(
            Truth(
                checkpoint=tune.name,
                kind=tune.kind,
                planted=0 if tune.clean else len(tune.pictures),
                found_plain=sum(_is_planted(tune, one.match.ref_id) for one in plain),
                found=len(own) - len(strangers),
                findings=len(own),
                false_findings=len(strangers) + sum(one.startswith(prefix) for one in decoyed),
                seconds=round(sum(took for name, took in seconds.items() if name.startswith(prefix)), 1),
            )
        )
    return rows


def write_truth(truth: Sequence[Truth], path: Path) -> None:
    """Write the rows as CSV."""
    pd.DataFrame([row.as_dict() for row in truth]).to_csv(path, index=False, lineterminator="\n")


def table(truth: Sequence[Truth]) -> str:
    """The rows for a terminal, with a line of sums."""
    heads = [field.name for field in fields(Truth)]
    sums = [
        "all",
        "",
        *(round(sum(column), 1) for column in list(zip(*map(astuple, truth), strict=True))[2:]),
    ]
    cells = [heads, *(list(map(str, astuple(row))) for row in truth), list(map(str, sums))]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def _is_planted(tune: FineTune, reference: str) -> bool:
    return not tune.clean and PurePosixPath(reference).stem in tune.pictures


def _findings(run: Run) -> list[Finding]:
    """Findings that count and are grave enough."""
    least = run.settings.reports.fail_severity
    with opened(run) as stores:
        return [one for one in stores.findings.findings() if one.severity >= least and counts(one)]


def _decoyed(run: Run) -> list[str]:
    """The checkpoint of every match with a decoy that would have been a finding."""
    reports = run.settings.reports
    with opened(run) as stores:
        matches = stores.findings.matches(decoys=True)
    verdicts = [(one, judge(one, reports)) for one in matches]
    return [
        one.checkpoint_id
        for one, verdict in verdicts
        if verdict and verdict.severity >= reports.fail_severity
    ]


def _seconds(run: Run) -> dict[str, float]:
    """Seconds of scanning by checkpoint."""
    with opened(run) as stores:
        return {row.checkpoint_id: row.seconds for row in stores.ledger.rows(run.settings.recipe.id)}
