"""A run's end told to those who asked for it: the webhook and the metrics file."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from leaksweep.run import Run
from leaksweep.settings import SettingsError
from leaksweep.summaries import CLEAN, INCOMPLETE, Summary
from reports.finding import ReportError

if TYPE_CHECKING:
    import httpx

    from reports.findings.store import Run as Matching
    from reports.notices.notice import Notice
    from reports.report import Report

logger = logging.getLogger(__name__)

TIMEOUT = 10.0
"""Seconds for the webhook's receiver to answer."""


def wanted(run: Run) -> bool:
    """Whether the settings name somebody to tell."""
    notices = run.settings.reports.notices
    return notices.webhook_url is not None or notices.prometheus_file is not None


def tell(
    run: Run,
    *,
    report: Report | None = None,
    client: httpx.Client | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Summary:
    """Tell of the last matching, each in its own way; one that cannot be told does not keep the next from it.

    The exit code is 2 when somebody was not told; a sweep leaves it at that and keeps its own.

    Args:
        report: of that matching; None reads it.
        client: for the webhook; None is one of its own.

    Raises:
        CrawlError, ScanError, ReportError: a store cannot be used.
    """
    from leaksweep.reporting import read_report
    from leaksweep.stores import opened
    from reports.notices.notice import run_notice
    from reports.notices.prometheus import write_metrics

    notices = run.settings.reports.notices
    with opened(run) as stores:
        told = report or read_report(stores, fail_on=None, now=datetime.now(UTC))
        key = _key(stores.findings.last_run())
    outcomes: dict[str, str | None] = {}
    if file := notices.prometheus_file:
        outcomes["prometheus"] = _failure(lambda: write_metrics(told, Path(file)))
    if notices.webhook_url:
        outcomes["webhook"] = _failure(lambda: _post(run, run_notice(told, key), client, sleep))
    return _summary(outcomes)


def try_webhook(
    run: Run, *, client: httpx.Client | None = None, sleep: Callable[[float], None] = time.sleep
) -> Summary:
    """Send a message that says nothing, to see whether it arrives.

    Raises:
        SettingsError: no webhook is set.
    """
    from reports.notices.notice import trial_notice

    if run.settings.reports.notices.webhook_url is None:
        raise SettingsError("no webhook is set; give one with --set reports.notices.webhook_url=https://...")
    notice = trial_notice(uuid4().hex, datetime.now(UTC))
    return _summary({"webhook": _failure(lambda: _post(run, notice, client, sleep))})


def after_sweep(run: Run, report: Report) -> Iterator[Summary]:
    """Yield what was told of a sweep's report; nothing where nobody is to be told. Never fails a run."""
    if wanted(run):
        said = tell(run, report=report)
        yield Summary(stage=said.stage, exit_code=CLEAN, content=said.content, lines=said.lines)


def _post(run: Run, notice: Notice, client: httpx.Client | None, sleep: Callable[[float], None]) -> None:
    import httpx

    from reports.notices.webhook import deliver, secret_of

    secret = secret_of(os.environ)
    url = run.settings.reports.notices.webhook_url or ""
    if client is not None:
        deliver(notice, url, secret, client=client, clock=time.time, sleep=sleep)
        return
    with httpx.Client(timeout=TIMEOUT) as own:
        deliver(notice, url, secret, client=own, clock=time.time, sleep=sleep)


def _failure(tell: Callable[[], object]) -> str | None:
    """Return why somebody was not told; None when they were."""
    try:
        tell()
    except ReportError as error:
        return str(error)
    return None


def _key(matching: Matching | None) -> str:
    """Return what names a run to a receiver: the sweep's own name, or the time at which matching ended."""
    if matching is None:
        return "unmatched"
    ended = f"{matching.number} {matching.finished_at}"
    return matching.name or hashlib.sha256(ended.encode()).hexdigest()[:32]


def _summary(outcomes: dict[str, str | None]) -> Summary:
    for name, failure in outcomes.items():
        if failure:
            logger.warning("%s was not told: %s", name, failure)
    lines = [f"{name} was not told: {why}" if why else f"{name} was told" for name, why in outcomes.items()]
    return Summary(
        stage="notify",
        exit_code=INCOMPLETE if any(outcomes.values()) else CLEAN,
        content={name: {"told": why is None, "error": why} for name, why in outcomes.items()},
        lines=tuple(lines),
    )
