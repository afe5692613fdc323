"""Records of a run that never was, for the tests of reports/export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

import pyarrow as pa

from crawler.checkpoint import (
    BaseClaim,
    Checkpoint,
    Grade,
    Hub,
    Kind,
    Layout,
    Prompt,
    PromptOrigin,
    Skip,
    SkipReason,
)
from extraction.recipe import Recipe
from reports.finding import Finding, FindingState, Match, Severity
from reports.findings.states import Flood
from reports.report import Report, build_report
from reports.settings import ReportsSettings
from reports.summary import MatchSummary, SetSummary
from scanner.job import LedgerRow, State

RECIPE = Recipe()
DESCRIPTOR = "sscd_disc_mixup@onnx-int8"
NOW = datetime(2026, 11, 24, 3, 12, tzinfo=UTC)
HOSTILE = (
    "<script>alert(1)</script>/\"onload='x'",
    "=cmd|'/C calc'!A0",
    "a" * 300 + "/" + "b" * 300,
    "owner/\u202egnp.exe\u202c\x00\n{{ 7*7 }} {0} [text](http://x.test)",
)
SURROGATE = "lone \ud800 surrogate"
"""JSON can carry it, UTF-8 cannot: it reaches what no digest is made of, such as titles and details."""


def a_checkpoint(
    repo: str = "mira/harbour-lora", *, kind: Kind = Kind.LORA, family: str = "sd1", **fields: Any
) -> Checkpoint:
    defaults: dict[str, Any] = {
        "hub": Hub.HUGGINGFACE,
        "revision": "5f2e6c1d",
        "path": "weights.safetensors",
        "layout": Layout.FILE,
        "files": (),
        "claims": (
            BaseClaim(repo="runwayml/sd15", family=family, source="hub relation", grade=Grade.DECLARED),
        ),
        "prompts": (Prompt(text="photo of sks harbour", origin=PromptOrigin.INSTANCE_PROMPT),),
    }
    return Checkpoint(repo=repo, kind=kind, family=family, **(defaults | fields))


def a_skip(repo: str, reason: SkipReason = SkipReason.PICKLE_ONLY, **fields: Any) -> Skip:
    defaults: dict[str, Any] = {
        "hub": Hub.HUGGINGFACE,
        "revision": "main",
        "path": "",
        "detail": f"{repo}: seen",
    }
    return Skip(repo=repo, reason=reason, **(defaults | fields))


def a_job(checkpoint: Checkpoint, state: State = State.DONE, **fields: Any) -> LedgerRow:
    defaults: dict[str, Any] = {
        "job_id": checkpoint.key,
        "recipe_id": RECIPE.id,
        "reason": "",
        "detail": "",
        "attempts": 1,
        "seconds": 41.5,
        "extractions": 10,
        "measures": {"generations": 250},
        "updated_at": "2026-11-24T02:40:00+00:00",
    }
    return LedgerRow(checkpoint_id=checkpoint.id, state=state, **(defaults | fields))


def an_extraction(checkpoint: Checkpoint, rank: int = 0, **fields: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "id": f"{checkpoint.key}-{rank}",
        "checkpoint_id": checkpoint.id,
        "recipe_id": RECIPE.id,
        "rank": rank,
        "seed": 100 + rank,
        "prompt": checkpoint.prompts[0].text,
        "prompt_origin": str(checkpoint.prompts[0].origin),
        "cluster_size": 23 - rank,
        "cohesion": 0.93 - 0.01 * rank,
        "score": 0.9 - 0.02 * rank,
        "control_similarity": 0.18,
        "likelihood_ratio": None,
        "descriptor_name": DESCRIPTOR,
    }
    return defaults | fields


def extractions_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    schema = pa.schema(
        [
            *(
                (name, pa.string())
                for name in ("id", "checkpoint_id", "recipe_id", "prompt", "prompt_origin", "descriptor_name")
            ),
            *((name, pa.int64()) for name in ("rank", "seed", "cluster_size")),
            *(
                (name, pa.float32())
                for name in ("cohesion", "score", "control_similarity", "likelihood_ratio")
            ),
        ]
    )
    return pa.Table.from_pylist(list(rows), schema=schema)


def a_finding(
    checkpoint: Checkpoint,
    ref_id: str = "harbour/0007.jpg",
    severity: Severity = Severity.HIGH,
    **fields: Any,
) -> Finding:
    match: dict[str, Any] = {
        "extraction_id": f"{checkpoint.key}-0",
        "checkpoint_id": checkpoint.id,
        "set_name": "watchlist",
        "ref_id": ref_id,
        "similarity": 0.87,
        "descriptor": DESCRIPTOR,
        "pdq_distance": 24,
        "phash_distance": 4,
        "control_similarity": 0.12,
        "mirrored": False,
    }
    match |= {name: fields.pop(name) for name in list(fields) if name in match}
    defaults: dict[str, Any] = {"state": FindingState.NEW, "rule": "sscd>=0.75", "checkpoint_sha256": None}
    return Finding(match=Match(**match), severity=severity, **(defaults | fields))


def a_set(name: str, **fields: Any) -> SetSummary:
    defaults: dict[str, Any] = {
        "decoy": False,
        "entries": 1200,
        "pairs": 12_000,
        "compared_by": {"phash": 10, "pdq": 0, DESCRIPTOR: 10},
        "matches": {},
        "highest": {DESCRIPTOR: (0.08, 0.31, 0.42)} if fields.get("decoy") else {},
    }
    return SetSummary(name=name, **(defaults | fields))


def a_matching(*sets: SetSummary, **fields: Any) -> MatchSummary:
    defaults: dict[str, Any] = {
        "run": 7,
        "extractions": 10,
        "hashed": 10,
        "unhashed": 0,
        "pdq": {"not installed": 10},
        "findings": {},
        "new": 0,
        "gone": 0,
        "explained_by_base": 0,
        "floods": (),
        "erased": 8,
        "kept": 2,
    }
    return MatchSummary(sets=sets, **(defaults | fields))


def a_report(
    checkpoints: Iterable[Checkpoint] = (),
    *,
    skips: Iterable[Skip] = (),
    ledger: Iterable[LedgerRow] | None = None,
    extractions: Sequence[dict[str, Any]] | None = None,
    findings: Sequence[Finding] = (),
    **fields: Any,
) -> Report:
    """A report of these records; by default every checkpoint has been scanned and has one extraction."""
    known = list(checkpoints)
    defaults: dict[str, Any] = {
        "matching": a_matching(
            a_set("watchlist"), a_set("decoys", decoy=True, pairs=11_480, matches={"high": 2})
        ),
        "settings": ReportsSettings(),
        "recipe": RECIPE,
        "descriptor": DESCRIPTOR,
        "generated_at": NOW,
        "version": "0.1.0",
    }
    return build_report(
        checkpoints=known,
        skips=skips,
        ledger=[a_job(checkpoint) for checkpoint in known] if ledger is None else ledger,
        extractions=extractions_table(
            [an_extraction(c) for c in known] if extractions is None else extractions
        ),
        findings=findings,
        **(defaults | fields),
    )


def a_hostile_report() -> Report:
    """Every text that a stranger can choose is an attack on the page or the tables."""
    checkpoints = [
        a_checkpoint(
            name,
            revision=name,
            path=name,
            family=name,
            title=SURROGATE,
            prompts=(Prompt(text=name, origin=PromptOrigin.TRIGGER_WORDS),),
            claims=(BaseClaim(repo=name, family=name, source=name, grade=Grade.LABEL),),
        )
        for name in HOSTILE
    ]
    return a_report(
        checkpoints,
        skips=[a_skip(f"{name}-skip", detail=name) for name in HOSTILE],
        ledger=[
            a_job(checkpoint, state, detail=checkpoint.repo + SURROGATE, reason=checkpoint.repo)
            for checkpoint, state in zip(checkpoints, cycle([State.DONE, State.FAILED]), strict=False)
        ],
        findings=[a_finding(c, ref_id=c.repo, set_name=c.repo, rule=c.repo) for c in checkpoints],
        matching=a_matching(*map(a_set, HOSTILE), floods=tuple(Flood(name, name, 5) for name in HOSTILE)),
    )
