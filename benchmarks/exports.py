"""The report of many findings, read from a store as `leaksweep report` reads it: seconds, peak memory, sizes.

    python -m benchmarks.exports --findings 1000000 --json

The store is made by a process of its own, so that the memory is the report's. "read" is what takes findings
from the store and ranks them; "csv", "parquet" and "jsonl" are what writes all of them as one of these, and
"report" every file at once: all tables, SARIF, the summary and the page. `rss_mb` is the peak of the process
so far.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import pyarrow as pa
from sqlalchemy import create_engine

from crawler.checkpoint import BaseClaim, Checkpoint, Grade, Hub, Kind, Layout
from extraction.recipe import Recipe
from reports.export.frames import NEEDED
from reports.export.write import WRITERS, write_report
from reports.finding import Finding, FindingState, Match, Severity
from reports.findings.restating import restated
from reports.findings.store import FindingStore
from reports.report import Report, build_report
from reports.settings import ReportsSettings
from scanner.job import LedgerRow, State

DESCRIPTOR = "sscd_disc_mixup@onnx-int8"
PER_CHECKPOINT = 20
"""Findings of one checkpoint."""


@dataclass(frozen=True, slots=True)
class World:
    """Checkpoints and their findings, each always the same."""

    findings: int

    @property
    def checkpoints(self) -> list[Checkpoint]:
        count = -(-self.findings // PER_CHECKPOINT)
        return [_checkpoint(number) for number in range(count)]


def store_of(home: Path) -> FindingStore:
    return FindingStore(home / "findings", create_engine(f"sqlite:///{home / 'runs.db'}"))


def make(world: World, home: Path) -> None:
    """Write the findings into a store, in the order of their ids, as matching does."""
    checkpoints = world.checkpoints

    def made(number: int) -> Finding:
        return _finding(number, checkpoints[number // PER_CHECKPOINT])

    numbers = sorted(range(world.findings), key=lambda number: made(number).id)
    store_of(home).replace_findings(made(number) for number in numbers)


def measure(world: World, home: Path, out: Path) -> dict[str, Any]:
    """Read and write a report, and return what each step took."""
    checkpoints = world.checkpoints
    table = _extractions(checkpoints)
    before = _peak_mb()
    reports: list[Report] = []
    measured = {"read": _took(lambda: reports.append(_report(world, checkpoints, table, home)))}
    for format_ in WRITERS:
        folder = out / format_
        measured[format_] = _took(lambda one=format_, to=folder: write_report(reports[0], to, formats=[one]))
        measured[format_] |= {"file_mb": _sizes(folder)}
    measured["report"] = _took(lambda: write_report(reports[0], out / "report"))
    measured["report"] |= {"file_mb": _sizes(out / "report")}
    return {"findings": world.findings, "rss_before_mb": round(before), **measured}


def _took(step: Callable[[], object]) -> dict[str, Any]:
    start, busy = time.perf_counter(), time.process_time()
    step()
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - busy, 1),
        "rss_mb": round(_peak_mb()),
    }


def _sizes(folder: Path) -> dict[str, float]:
    return {path.name: round(path.stat().st_size / 1e6, 1) for path in sorted(folder.iterdir())}


def _report(world: World, checkpoints: list[Checkpoint], table: pa.Table, home: Path) -> Report:
    ledger = [
        LedgerRow(
            job_id=one.key,
            checkpoint_id=one.id,
            recipe_id="0" * 12,
            state=State.DONE,
            reason="",
            detail="",
            attempts=1,
            seconds=40.0,
            extractions=1,
            measures={"generations": 250},
            updated_at="2026-11-24T02:40:00+00:00",
        )
        for one in checkpoints
    ]
    now = datetime(2026, 11, 24, tzinfo=UTC)
    return build_report(
        checkpoints=checkpoints,
        skips=(),
        ledger=ledger,
        extractions=table,
        findings=restated(store_of(home).each_finding(), {}, {}, now, run=26),
        matching=None,
        settings=ReportsSettings(),
        recipe=Recipe(),
        descriptor=DESCRIPTOR,
        generated_at=now,
        version="0",
    )


def _checkpoint(number: int) -> Checkpoint:
    return Checkpoint(
        hub=Hub.HUGGINGFACE,
        repo=f"owner-{number % 997}/lora-{number}",
        revision=f"{number:040x}",
        path="pytorch_lora_weights.safetensors",
        kind=Kind.LORA,
        layout=Layout.FILE,
        family="sd1",
        files=(),
        claims=(BaseClaim(repo="base/sd", family="sd1", source="card", grade=Grade.DECLARED),),
        prompts=(),
    )


def _finding(number: int, checkpoint: Checkpoint) -> Finding:
    similarity = 0.5 + (number * 7919 % 5000) / 10_000
    severities, states = list(Severity), list(FindingState)
    match = Match(
        extraction_id=f"{checkpoint.key}-000",
        checkpoint_id=checkpoint.id,
        set_name=f"set-{number % 7}",
        ref_id=f"folder-{number % 1000}/{number:08d}.jpg",
        similarity=similarity,
        descriptor=DESCRIPTOR,
        pdq_distance=number * 31 % 52,
        phash_distance=number * 17 % 8,
        phash256_distance=number * 13 % 50,
        control_similarity=similarity / 3,
        mirrored=number % 9 == 0,
        others=40,
        others_same_base=True,
        others_as_near=number % 3,
        p_value=(1 + number % 3) / 41,
    )
    return Finding(
        match=match,
        severity=severities[number % 4],
        state=states[number % 10] if number % 10 < len(states) else FindingState.KNOWN,
        rule="pdq<=30 & sscd>=0.75",
        checkpoint_sha256=f"{number // PER_CHECKPOINT:064x}",
        first_seen="2026-11-01T02:00:00+00:00",
        last_seen="2026-11-24T02:00:00+00:00",
        first_run=3,
        last_run=26,
    )


def _extractions(checkpoints: list[Checkpoint]) -> pa.Table:
    count = len(checkpoints)
    fixed: dict[str, Any] = {
        "recipe_id": "0" * 12,
        "rank": 0,
        "seed": 7,
        "prompt": "a photo of sks harbour",
        "prompt_origin": "instance_prompt",
        "cluster_size": 12,
        "cohesion": 0.93,
        "score": 0.9,
        "control_similarity": 0.2,
        "likelihood_ratio": 0.1,
        "descriptor_name": DESCRIPTOR,
    }
    columns = {name: [value] * count for name, value in fixed.items()}
    columns["id"] = [f"{one.key}-000" for one in checkpoints]
    columns["checkpoint_id"] = [one.id for one in checkpoints]
    return pa.table({name: columns[name] for name in NEEDED})


def _peak_mb() -> float:
    return getrusage(RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--findings", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    parser.add_argument("--make", type=Path, help="make the store in this folder, and do no more")
    arguments = parser.parse_args()
    world = World(arguments.findings)
    if arguments.make:
        make(world, arguments.make)
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        command = [sys.executable, "-m", "benchmarks.exports", "--make", folder]
        subprocess.run([*command, "--findings", str(arguments.findings)], check=True)
        measured = measure(world, home, home / "out")
    if arguments.json:
        print(json.dumps(measured, indent=2))
        return
    for name in ("read", *WRITERS, "report"):
        print(f"{name}: {measured[name]['seconds']} s, {measured[name]['rss_mb']} MB")


if __name__ == "__main__":
    main()
