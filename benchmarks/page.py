"""Weight of the page, time to its first paint and time to filter it, in real headless Chromium.

    python -m benchmarks.page --findings 10000 --json

Needs Chromium (Debian: apt-get install chromium) and the Python package playwright. Times are the middle one
of five loads from the disk. `filter_ms` is one letter more in the search field, until the frame that shows it
is done, of four letters the slowest. `filter_cpu_ms` is what the page's thread worked for a letter, the
mean of the four: on a machine that others use too it is the number to go by.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from playwright.sync_api import Browser, CDPSession, sync_playwright

from crawler.checkpoint import BaseClaim, Checkpoint, Grade, Hub, Kind, Layout, Prompt, PromptOrigin
from extraction.recipe import Recipe
from reports.export.frames import NEEDED
from reports.finding import Finding, FindingState, Match, Severity
from reports.page.page import page
from reports.report import Report, build_report
from reports.settings import ReportsSettings
from reports.summary import MatchSummary, SetSummary
from scanner.job import LedgerRow, State

LOADS = 5
NOW = datetime(2026, 11, 24, 3, 12, tzinfo=UTC)
DESCRIPTOR = "sscd_disc_mixup@onnx-int8"
WORDS = ("harbour", "portrait", "studio", "field", "anime", "film", "sketch", "night", "garden", "poster")
SETS = ("watchlist", "exchange", "artists", "press")


def a_report(findings: int) -> Report:
    """A made-up report of so many findings, the same every time, with every state and grade among them."""
    draw, recipe = random.Random(findings), Recipe()
    checkpoints = [_checkpoint(draw, number, recipe) for number in range(max(1, findings // 3))]
    return build_report(
        checkpoints=checkpoints,
        skips=(),
        ledger=[_job(one, recipe) for one in checkpoints],
        extractions=_extractions(draw, checkpoints, recipe),
        findings=list(_findings(draw, checkpoints, findings)),
        matching=_matching(len(checkpoints)),
        settings=ReportsSettings(),
        recipe=recipe,
        descriptor=DESCRIPTOR,
        generated_at=NOW,
        version="0.1.0",
    )


def measure(findings: int) -> dict[str, float]:
    """Return weight_kb, first_paint_ms, filter_ms and filter_cpu_ms."""
    html = page(a_report(findings), {}).encode()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        path = Path(folder, "report.html")
        path.write_bytes(html)
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        loads = [_load(browser, path) for _ in range(LOADS)]
        browser.close()
    paints, filters, works = zip(*loads, strict=True)
    return {
        "weight_kb": round(len(html) / 1000),
        "first_paint_ms": round(statistics.median(paints)),
        "filter_ms": round(statistics.median(filters)),
        "filter_cpu_ms": round(statistics.median(works)),
    }


def _load(browser: Browser, path: Path) -> tuple[float, float, float]:
    """Return milliseconds to the first paint with content, of the slowest of four letters of a filter, and of
    the thread's work for one."""
    tab = browser.new_page()
    tab.goto(path.as_uri())
    tab.wait_for_selector("#rows tr")
    paint = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    inside = tab.context.new_cdp_session(tab)
    inside.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = _worked(inside)
    slowest = tab.evaluate(
        """async () => {
            const field = document.getElementById("q"), times = [];
            for (const typed of ["h", "ha", "har", "harb"]) {
                const started = performance.now();
                field.value = typed;
                field.dispatchEvent(new Event("input", {bubbles: true}));
                await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
                times.push(performance.now() - started);
            }
            return Math.max(...times);
        }"""
    )
    worked = 1000 * (_worked(inside) - before) / len("harb")
    tab.close()
    return float(paint), float(slowest), worked


def _worked(inside: CDPSession) -> float:
    """Return the seconds that the page's thread has worked."""
    metrics = inside.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def _checkpoint(draw: random.Random, number: int, recipe: Recipe) -> Checkpoint:
    civitai = number % 3 == 0
    family = draw.choice(("sd1", "sd1", "sdxl", "sd2", "flux"))
    return Checkpoint(
        hub=Hub.CIVITAI if civitai else Hub.HUGGINGFACE,
        repo=str(100_000 + number) if civitai else f"maker{number % 700}/{draw.choice(WORDS)}-lora-v{number}",
        revision=str(900_000 + number) if civitai else f"{draw.getrandbits(160):040x}",
        path="" if civitai else f"{draw.choice(WORDS)}.safetensors",
        kind=draw.choice((Kind.LORA, Kind.LORA, Kind.FULL, Kind.LOKR)),
        family=family,
        layout=Layout.FILE,
        files=(),
        claims=(BaseClaim(repo="base/model", family=family, source="hub relation", grade=Grade.DECLARED),),
        prompts=(Prompt(text="a photo of sks", origin=PromptOrigin.INSTANCE_PROMPT),),
    )


def _job(one: Checkpoint, recipe: Recipe) -> LedgerRow:
    return LedgerRow(
        job_id=one.key,
        checkpoint_id=one.id,
        recipe_id=recipe.id,
        state=State.DONE,
        reason="",
        detail="",
        attempts=1,
        seconds=40.0,
        extractions=1,
        measures={"generations": 250},
        updated_at=NOW.isoformat(),
    )


def _extractions(draw: random.Random, checkpoints: list[Checkpoint], recipe: Recipe) -> pa.Table:
    rows = [
        {
            "id": f"{one.key}-000",
            "checkpoint_id": one.id,
            "recipe_id": recipe.id,
            "rank": 0,
            "seed": draw.getrandbits(31),
            "prompt": "a photo of sks",
            "prompt_origin": "instance_prompt",
            "cluster_size": draw.randint(3, 60),
            "cohesion": draw.uniform(0.7, 0.99),
            "score": draw.random(),
            "control_similarity": draw.uniform(0, 0.4),
            "likelihood_ratio": None,
            "descriptor_name": DESCRIPTOR,
        }
        for one in checkpoints
    ]
    return pa.table({name: [row[name] for row in rows] for name in NEEDED})


def _findings(draw: random.Random, checkpoints: list[Checkpoint], number: int) -> Iterator[Finding]:
    for n in range(number):
        one, severity = draw.choice(checkpoints), Severity(draw.choices((1, 2, 3, 4), (8, 4, 3, 1))[0])
        state = draw.choices(tuple(FindingState), (12, 60, 4, 10, 8, 6))[0]
        settled = state in {FindingState.SUPPRESSED, FindingState.WITHDRAWN}
        details: dict[str, Any] = {"settled_by": "lead@example", "settled_why": "a stock photograph"}
        yield Finding(
            match=_match(draw, one, n, severity),
            severity=severity,
            state=state,
            rule=draw.choice(("pdq<=20", "pdq<=30 & sscd>=0.75", "sscd>=0.75", "pdq<=52 & sscd>=0.6")),
            checkpoint_sha256=f"{draw.getrandbits(256):064x}" if one.hub == Hub.HUGGINGFACE else None,
            explained_by_base=draw.random() < 0.08,
            occurrences=draw.randint(1, 9),
            first_seen=(NOW - timedelta(days=draw.randint(0, 60))).isoformat(),
            last_seen=NOW.isoformat(),
            first_run=1,
            last_run=60,
            changed="severity high, was medium" if state is FindingState.CHANGED else "",
            **(details if settled else {}),
        )


def _match(draw: random.Random, one: Checkpoint, n: int, severity: Severity) -> Match:
    hash_only, near = draw.random() < 0.2, int(severity)
    others = draw.choice((7, 39, 120))
    return Match(
        extraction_id=f"{one.key}-000",
        checkpoint_id=one.id,
        set_name=draw.choice(SETS),
        ref_id=f"{draw.choice(WORDS)}/{n:05}.jpg",
        similarity=None if hash_only else min(1.0, 0.42 + 0.12 * near + draw.uniform(0, 0.08)),
        descriptor=None if hash_only else DESCRIPTOR,
        pdq_distance=2 * draw.randint(2, 10) + 10 * (4 - near),
        phash_distance=2 * draw.randint(0, 2) + 2 * (4 - near),
        control_similarity=None if hash_only else draw.uniform(0, 0.3),
        control_pdq_distance=2 * draw.randint(45, 70),
        control_phash_distance=2 * draw.randint(8, 16),
        mirrored=draw.random() < 0.1,
        others=others,
        others_same_base=True,
        others_as_near=0,
        p_value=1 / (others + 1) if others >= 19 else None,
        others_similarity=None if hash_only else draw.uniform(0, 0.3),
        others_pdq_distance=float(2 * draw.randint(50, 64)),
        others_phash_distance=float(2 * draw.randint(10, 16)),
    )


def _matching(extractions: int) -> MatchSummary:
    looked_for = {"entries": 40_000, "pairs": 40_000 * extractions, "matches": {}, "highest": {}}
    sets = [
        SetSummary(
            name=name, decoy=False, compared_by={"pdq": extractions, DESCRIPTOR: extractions}, **looked_for
        )
        for name in SETS
    ]
    decoys = SetSummary(
        name="decoys",
        decoy=True,
        entries=5000,
        pairs=5000 * extractions,
        compared_by={"pdq": extractions, DESCRIPTOR: extractions},
        matches={"low": 3},
        highest={DESCRIPTOR: (0.08, 0.31, 0.42)},
    )
    return MatchSummary(
        run=60,
        extractions=extractions,
        hashed=extractions,
        unhashed=0,
        pdq={"hashed": extractions},
        sets=(*sets, decoys),
        findings={},
        new=0,
        gone=0,
        explained_by_base=0,
        floods=(),
        erased=0,
        kept=0,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--findings", type=int, default=10_000, help="how many findings the page holds")
    parser.add_argument("--json", action="store_true", help="print one line of JSON and nothing else")
    options = parser.parse_args()
    figures = measure(options.findings)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:16} {value:,}")


if __name__ == "__main__":
    main()
