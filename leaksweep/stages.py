"""One function for each stage: build what it needs from the settings, call its package, sum up.

What is heavy (torch, LanceDB, Ray) is imported by the stage that needs it, so that the rest stays quick.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from crawler.evidence.plain_text import printable
from leaksweep.progress import bar, counter
from leaksweep.run import Run
from leaksweep.stores import opened
from leaksweep.summaries import CLEAN, INCOMPLETE, NOTHING_SCANNABLE, Summary, counted

if TYPE_CHECKING:
    from extraction.descriptors import Descriptor
    from leaksweep.settings import Settings


def plan(run: Run) -> Summary:
    """Put the jobs of the recipe and the selection in force into the ledger.

    Raises:
        CrawlError, ScanError: the database cannot be used, or the selection names what is not known.
    """
    from crawler.catalog.samples import absent
    from crawler.store.takedowns import Takedowns
    from scanner.scan import write_plan

    recipe = run.settings.recipe
    with opened(run) as stores:
        catalog, ledger = stores.catalog, stores.ledger
        left_out = write_plan(
            catalog,
            ledger,
            recipe,
            run.settings.scanner,
            taken_down=Takedowns(catalog.engine).judge(),
        )
        states = {str(state): count for state, count in ledger.counts(recipe.id).items()}
        selection = run.settings.scanner.selection
        gone = absent(catalog.engine, selection.sample) if selection.sample else 0
    lines = [f"recipe {recipe.id}: jobs {counted(states)}", f"left out: {counted(left_out)}"]
    if given := selection.given():
        lines.insert(0, f"selected by {', '.join(f'{name} {value}' for name, value in given.items())}")
    if gone:
        lines.append(f"of sample {selection.sample}, {gone} members are shown by no hub any more")
    return Summary(
        stage="plan",
        exit_code=CLEAN if any(states.values()) else NOTHING_SCANNABLE,
        content={
            "recipe_id": recipe.id,
            "jobs": states,
            "left_out": left_out,
            "selection": given,
            "sample_members_gone": gone,
        },
        lines=tuple(lines),
    )


def scan(run: Run, *, retry_skipped: bool = False) -> Summary:
    """Work off the jobs, on this process or on a pool.

    Args:
        retry_skipped: try again what an earlier scan skipped, whatever the reason.

    Raises:
        CrawlError, ExtractionError, ScanError: a store cannot be used, no descriptor, no workers.
    """
    from crawler.store.takedowns import Takedowns
    from crawler.store.upkeep import tidy
    from leaksweep.downloads import store_of
    from reports.matching.recording import Recording
    from scanner.job import Outcome, State
    from scanner.scan import scan as scan_jobs

    settings = run.settings
    with opened(run) as stores, counter("checkpoints", run.no_bar, "scanning") as show:
        catalog, ledger = stores.catalog, stores.ledger

        def progress(done: int, total: int, outcome: Outcome | None) -> None:
            show(done, total)

        store = store_of(run, catalog)
        tidy(store, part_days=settings.crawler.part_days)
        found = scan_jobs(
            catalog,
            ledger,
            stores.extractions,
            store,
            settings.scanner,
            settings.recipe,
            progress=progress,
            taken_down=Takedowns(catalog.engine).judge(),
            retry_skipped=retry_skipped,
            record=Recording(stores.hashes),
        )
        states = ledger.counts(settings.recipe.id)
    unfinished = found.stopped or found.waiting or states[State.QUARANTINED]
    nothing = not states[State.DONE]
    return Summary(
        stage="scan",
        exit_code=INCOMPLETE if unfinished else NOTHING_SCANNABLE if nothing else CLEAN,
        content={**asdict(found), "recipe_id": settings.recipe.id},
        lines=(
            f"{found.done} of {found.planned} planned checkpoints done, {found.skipped} skipped, "
            f"{found.quarantined} quarantined, {found.waiting} waiting",
            f"{found.extractions} extractions in {found.seconds:.1f} s",
        ),
    )


def match(run: Run) -> Summary:
    """Compare with all reference sets, settle findings, erase pixels.

    Raises:
        CrawlError, ScanError, ReportError: a store cannot be used; pictures may still be on the disk.
    """
    from reports.matching.stage import match_stage

    shown = run.home.forget_shown_pictures()
    with opened(run) as stores, bar(" steps", run.no_bar, "matching") as show:
        digests = {
            checkpoint.id: checkpoint.sha256 for checkpoint in stores.catalog.checkpoints(superseded=True)
        }

        def progress(what: str, done: int, total: int) -> None:
            show.set_description(what, refresh=False)
            show.total = total
            show.update(done - show.n)

        found = match_stage(
            stores.desk,
            run.settings.reports,
            digests=digests,
            sweep=run.home.open_sweep() or "",
            progress=progress,
        )
    lines = [
        f"findings: {counted(found.findings)}; {found.new} new, {found.changed} changed, {found.gone} gone, "
        f"{found.explained_by_base} explained by the base, {found.explained_by_others} by other checkpoints",
        f"set aside: {found.suppressed} suppressed, {found.withdrawn} of withdrawn references",
        f"pictures: {found.erased} erased, {found.kept} kept",
        f"canaries: {found.canaries.found} of {found.canaries.planted} found",
    ]
    lines += [
        f"reference {printable(one.ref_id)} of {one.set_name} matches too much: quarantined"
        for one in found.floods
    ]
    if shown:
        lines.append("the last report's page showed pictures that may have gone, so it was removed")
    if not found.sets:
        lines.append("no reference sets, so nothing can match: leaksweep refs add NAME FOLDER")
    if found.canaries.missed:
        lines.append(
            f"{len(found.canaries.missed)} of {found.canaries.planted} canaries were missed, so what the "
            f"matching did not find proves nothing: {', '.join(found.canaries.missed[:5])}"
        )
    code = INCOMPLETE if found.canaries.missed else CLEAN
    return Summary(stage="match", exit_code=code, content=found.as_dict(), lines=tuple(lines))


def retain(run: Run) -> Summary:
    """End erasures that were cut off, and apply the retention rules.

    Raises:
        CrawlError, ScanError, ReportError: a store cannot be used; something may still be on the disk.
    """
    from leaksweep.erasing import eraser_of, expire

    with opened(run) as stores:
        ended = eraser_of(stores).go_on()
        done = expire(stores, datetime.now(UTC))
    lines = [
        f"{done.pictures} pictures, {done.findings} findings and {done.extractions} extractions erased by "
        f"retention; {done.held} extractions under a legal hold"
    ]
    lines += [f"{one.subject}: an erasure that was cut off has ended: {one.receipt}" for one in ended]
    content = {**asdict(done), "ended": [one.subject for one in ended]}
    return Summary(stage="retain", exit_code=CLEAN, content=content, lines=tuple(lines))


def report(
    run: Run,
    *,
    fail_on: str | None = None,
    out: Path | None = None,
    thumbs: bool = False,
    baseline: Path | None = None,
) -> Summary:
    """Write the report's files.

    Args:
        fail_on: a severity's label; None is the settings'.
        out: folder; None is the home's own.
        thumbs: show the pictures of findings, as far as they are kept.
        baseline: findings of an earlier report; with them, only what is new or changed makes the exit code 1.

    Raises:
        CrawlError, ScanError, ReportError: a store cannot be used, the baseline is malformed, or a file
            cannot be written.
    """
    from leaksweep.reporting import write

    return write(run, fail_on=fail_on, out=out, thumbs=thumbs, baseline=baseline)[1]


def sweep(
    run: Run,
    *,
    limit: int | None = None,
    fail_on: str | None = None,
    out: Path | None = None,
    thumbs: bool = False,
) -> Iterator[Summary]:
    """Yield each stage's summary as it ends. One that was cut off goes on, and its findings stay new."""
    from leaksweep.crawling import crawl
    from leaksweep.noticing import after_sweep
    from leaksweep.reporting import write

    run.home.prepare()
    run.home.begin_sweep()
    yield crawl(run, limit=limit)
    yield plan(run)
    yield scan(run)
    yield match(run)
    yield retain(run)
    made, said = write(run, fail_on=fail_on, out=out, thumbs=thumbs)
    yield said
    run.home.end_sweep()
    yield from after_sweep(run, made)


def open_descriptor_of(settings: Settings) -> Descriptor:
    """The descriptor that the recipe in force names.

    Raises:
        ExtractionError: it cannot be had.
    """
    from extraction.descriptors import open_descriptor

    scanner = settings.scanner
    return open_descriptor(
        settings.recipe.descriptor,
        sscd_path=scanner.sscd_path,
        sscd_sha256=scanner.sscd_sha256,
        threads=scanner.threads_per_worker,
    )
