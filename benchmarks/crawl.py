"""A crawl of a synthetic hub beside the library's own listing, in one run on one machine.

    python -m benchmarks.crawl --records 1000000 --json

The hub (`leaksweep.hub`, in a process of its own) computes its rows from their numbers. Ours reads one
listing of it into a new catalog (SQLite, a transaction a page), parses every row and keeps cursors; it looks
inside nothing. The peer is `HfApi.list_models` over the same listing with the same fields: it makes objects,
and writes nothing. `ratio` is ours over the peer's, in records a second. Memory is that of the crawling
process alone, after a tenth of the records and at the end. Then a thousand repositories change, and an
increment reads them, with a day of overlap.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import psutil

from leaksweep.hub.process import HubProcess

CHANGES = 1000
FILTER = "diffusers"
"""The tag that all of the synthetic hub's repositories carry."""
_MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Crawled:
    """What one crawl did."""

    records: int
    seconds: float
    rss_mb_early: float
    rss_mb_end: float
    rss_mb_peak: float
    requests: int
    received_mb: float


def crawl_once(url: str, database: Path, now: datetime, total: int, answer: Connection) -> None:
    """Crawl the listing into a catalog, in a process of its own, and send a `Crawled`.

    Args:
        now: what the catalog takes for the time: the hub's, whose dates lie in the past.
        total: records expected, for the early measure.
    """
    from crawler.catalog import Catalog
    from crawler.catalog.engine import open_engine
    from crawler.crawl import crawl
    from crawler.guest.client import hub_api
    from crawler.guest.traffic import Traffic
    from crawler.huggingface import HuggingFace
    from crawler.settings import CrawlerSettings

    settings = CrawlerSettings(
        huggingface_url=url,
        include=(FILTER,),
        list_by_base=False,
        look_inside=False,
        page_size=1000,
        headroom=0.0,
        contact="benchmark",
    )
    process, early, peak = psutil.Process(), 0.0, 0.0
    engine = open_engine(f"sqlite:///{database}")
    catalog = Catalog(engine, clock=lambda: now.isoformat(timespec="seconds"))
    catalog.create()
    traffic = Traffic()
    source = HuggingFace(hub_api(settings, None, traffic=traffic), settings, catalog.asked)
    pages = 0

    def progress(hub: object, what: str, found: int) -> None:
        nonlocal pages, early, peak
        pages += 1
        if pages % 10 == 0 or not early:
            now = process.memory_info().rss / _MIB
            peak = max(peak, now)
            if not early and pages * settings.page_size >= total / 10:
                early = now

    begun = time.perf_counter()
    summary = crawl([source], catalog, settings, resolve_base=source.resolve_base, progress=progress)
    seconds = time.perf_counter() - begun
    engine.dispose()
    if not summary.complete:
        raise SystemExit(f"the crawl is not complete: {summary.sources[0].reason}")
    end = process.memory_info().rss / _MIB
    answer.send(
        Crawled(
            records=summary.sources[0].listed,
            seconds=seconds,
            rss_mb_early=early,
            rss_mb_end=end,
            rss_mb_peak=max(peak, end),
            requests=sum(spent.requests for spent in traffic.spent()),
            received_mb=sum(spent.bytes_received for spent in traffic.spent()) / _MIB,
        )
    )


def list_once(url: str, answer: Connection) -> None:
    """List with the library alone, with our fields, and send (records, seconds)."""
    from huggingface_hub import HfApi

    from crawler.huggingface.rows import EXPAND

    begun, records = time.perf_counter(), 0
    fields: Any = list(EXPAND)
    for _ in HfApi(endpoint=url, token=False).list_models(filter=FILTER, sort="created_at", expand=fields):
        records += 1
    answer.send((records, time.perf_counter() - begun))


def in_process(work: Callable[..., None], *arguments: object) -> Any:
    """What `work` sends from a fresh process."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    child = context.Process(target=work, args=(*arguments, theirs))
    child.start()
    theirs.close()
    try:
        return mine.recv()
    except EOFError:
        child.join()
        raise SystemExit(f"it ended with {child.exitcode}; its own message stands above") from None
    finally:
        child.join()


def measure(records: int, seed: int) -> dict[str, Any]:
    """Crawl, list, and crawl the changes, against one hub."""
    with tempfile.TemporaryDirectory() as folder, HubProcess(synthetic=records, seed=seed) as hub:
        database = Path(folder) / "catalog.db"
        query = {"sort": "lastModified", "limit": "1", "expand": "lastModified"}
        (row,) = httpx.get(f"{hub.url}/api/models", params=query).json()
        newest = datetime.fromisoformat(row["lastModified"])
        ours: Crawled = in_process(crawl_once, hub.url, database, newest, records)
        size = sum(path.stat().st_size for path in Path(folder).glob("catalog.db*"))
        theirs, seconds = in_process(list_once, hub.url)
        hub.change("edit", CHANGES)
        increment: Crawled = in_process(crawl_once, hub.url, database, newest + timedelta(hours=1), records)
        if theirs != ours.records:
            raise SystemExit(f"the peer listed {theirs} records, ours {ours.records}")
    speed, peer = ours.records / ours.seconds, theirs / seconds
    return {
        "records": ours.records,
        "seconds": round(ours.seconds, 1),
        "records_per_s": round(speed, 1),
        "peer_records_per_s": round(peer, 1),
        "ratio": round(speed / peer, 3),
        "rss_mb_early": round(ours.rss_mb_early, 1),
        "rss_mb_end": round(ours.rss_mb_end, 1),
        "rss_mb_peak": round(ours.rss_mb_peak, 1),
        "catalog_mb": round(size / _MIB, 1),
        "increment_changes": CHANGES,
        "increment_records": increment.records,
        "increment_seconds": round(increment.seconds, 1),
        "increment_requests": increment.requests,
        "increment_received_mb": round(increment.received_mb, 1),
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crawl", description=__doc__)
    parser.add_argument("--records", type=int, default=100_000, help="repositories of the synthetic hub")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print one line of JSON, last")
    arguments = parser.parse_args()
    found = measure(arguments.records, arguments.seed)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name, value in found.items():
        print(f"{name:>20} {value:>14,}")


if __name__ == "__main__":
    main()
