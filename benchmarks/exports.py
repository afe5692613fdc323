"""Exports of many findings: seconds, peak memory and size of each format, every one in a process of its own.

    python -m benchmarks.exports --findings 1000000 --json

The findings are made as they are asked for, so that the memory is the export's own. "report" is what
`leaksweep report` does with all of them in memory: frames, every table, SARIF, the summary and the page.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import pyarrow as pa

from crawler.checkpoint import BaseClaim, Checkpoint, Grade, Hub, Kind, Layout
from extraction.recipe import Recipe
from reports.export.columns import FINDINGS
from reports.export.finding_frames import findings_frames
from reports.export.frames import NEEDED, extractions_frame
from reports.export.links import PUBLIC
from reports.export.write import WRITERS, Format, write_report
from reports.finding import Finding, FindingState, Match, Severity
from reports.report import build_report
from reports.settings import ReportsSettings
from scanner.job import LedgerRow, State

DESCRIPTOR = "sscd_disc_mixup@onnx-int8"
PER_CHECKPOINT = 20
"""Findings of one checkpoint."""


@dataclass(frozen=True, slots=True)
class World:
    """Checkpoints, their extractions, and findings that are made one by one."""

    findings: int

    @property
    def checkpoints(self) -> list[Checkpoint]:
        count = -(-self.findings // PER_CHECKPOINT)
        return [_checkpoint(number) for number in range(count)]

    def each(self, checkpoints: list[Checkpoint]) -> Iterator[Finding]:
        for number in range(self.findings):
            yield _finding(number, checkpoints[number // PER_CHECKPOINT])


def measure(name: str, findings: int, folder: Path) -> dict[str, Any]:
    """Write one format, or the whole report, and return what it took."""
    world = World(findings)
    checkpoints = world.checkpoints
    known = {checkpoint.id: checkpoint for checkpoint in checkpoints}
    table = _extractions(checkpoints)
    before, start, busy = _peak_mb(), time.perf_counter(), time.process_time()
    if name == "report":
        _write_whole(world, checkpoints, table, folder)
    else:
        format_ = Format(name)
        extractions = extractions_frame(table, known, PUBLIC, {})
        frames = findings_frames(world.each(checkpoints), extractions, known, PUBLIC)
        with (folder / f"findings.{format_}").open("wb") as file:
            rows = WRITERS[format_](file, frames, FINDINGS)
        assert rows == findings
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - busy
    return {
        "format": name,
        "findings": findings,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "rss_mb": round(_peak_mb()),
        "rss_before_mb": round(before),
        "file_mb": {path.name: round(path.stat().st_size / 1e6, 1) for path in sorted(folder.iterdir())},
    }


def _write_whole(world: World, checkpoints: list[Checkpoint], table: pa.Table, folder: Path) -> None:
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
    report = build_report(
        checkpoints=checkpoints,
        skips=(),
        ledger=ledger,
        extractions=table,
        findings=list(world.each(checkpoints)),
        matching=None,
        settings=ReportsSettings(),
        recipe=Recipe(),
        descriptor=DESCRIPTOR,
        generated_at=datetime(2026, 11, 24, tzinfo=UTC),
        version="0",
    )
    write_report(report, folder)


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
    parser.add_argument("--only", choices=[*map(str, WRITERS), "report"], help="one of them, in this process")
    arguments = parser.parse_args()
    if arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(arguments.only, arguments.findings, Path(folder))))
        return
    measured = {}
    for name in (*map(str, WRITERS), "report"):
        command = [sys.executable, "-m", "benchmarks.exports", "--only", name]
        done = subprocess.run(
            [*command, "--findings", str(arguments.findings)], check=True, stdout=subprocess.PIPE, text=True
        )
        measured[name] = json.loads(done.stdout.splitlines()[-1])
        if not arguments.json:
            print(f"{name}: {measured[name]['seconds']} s, {measured[name]['rss_mb']} MB")
    if arguments.json:
        print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
