"""The crawl as a stage: both hubs' clients from the settings, one budget for all processes, and a summary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from crawler.checkpoint import Hub
from leaksweep.progress import bar
from leaksweep.run import Run
from leaksweep.stores import opened
from leaksweep.summaries import CLEAN, INCOMPLETE, Summary, counted
from leaksweep.tokens import environment_tokens

if TYPE_CHECKING:
    from crawler.catalog.changes import Change
    from crawler.crawl import Identify, SourceSummary
    from crawler.guest.budget import Budget
    from crawler.source import Source


def crawl(run: Run, *, limit: int | None = None) -> Summary:
    """Read the hubs into the catalog.

    Args:
        limit: end after so many checkpoints; None is the settings'.

    Raises:
        CrawlError: the catalog or the shared budget cannot be used.
    """
    from crawler.civitai import Civitai
    from crawler.civitai.by_hash import identify
    from crawler.crawl import crawl as crawl_hubs
    from crawler.evidence.observations import Observer, observation_key
    from crawler.guest.client import civitai_client, hub_api
    from crawler.guest.traffic import Traffic
    from crawler.huggingface import HuggingFace

    settings, tokens, traffic = run.settings.crawler, environment_tokens(), Traffic()
    with opened(run) as stores, ExitStack() as stack:
        catalog = stores.catalog
        budget = shared_budget(run)
        api = hub_api(settings, tokens[Hub.HUGGINGFACE], budget=budget, traffic=traffic)
        observe = Observer(observation_key(run.home.root / "observations.key"), settings.keep_leaks)
        hugging_face = HuggingFace(api, settings, catalog.asked, observe)
        sources: dict[Hub, Source] = {Hub.HUGGINGFACE: hugging_face}
        whose: Identify | None = None
        if Hub.CIVITAI in settings.sources:
            client = civitai_client(settings, tokens[Hub.CIVITAI], budget=budget, traffic=traffic)
            stack.enter_context(client)
            sources[Hub.CIVITAI] = Civitai(client, settings, catalog.asked, observe=observe)
            whose = partial(identify, client)
        show = stack.enter_context(bar("checkpoints", run.no_bar, "crawling"))

        def progress(hub: Hub, what: str, found: int) -> None:
            show.set_postfix_str(f"{hub} {what}", refresh=False)
            show.update(found)

        found = crawl_hubs(
            [sources[hub] for hub in settings.sources],
            catalog,
            settings,
            resolve_base=hugging_face.resolve_base,
            identify=whose,
            limit=limit or settings.max_checkpoints,
            progress=progress,
        )
    spent = traffic.spent()
    return Summary(
        stage="crawl",
        exit_code=CLEAN if found.complete else INCOMPLETE,
        content={
            **asdict(found),
            "complete": found.complete,
            "spent": [{**asdict(one), "answers": dict(one.answers)} for one in spent],
        },
        lines=(
            *(line for source in found.sources for line in _lines(source)),
            f"{found.bases} base models, {found.missing_bases} missing",
            *map(str, spent),
        ),
    )


def import_dump(run: Run, path: Path) -> Summary:
    """Read the public dump of the Hugging Face Hub into the catalog, in place of its listings.

    Raises:
        CrawlError: the catalog cannot be used, or the file is no such dump.
    """
    from crawler.catalog.changes import change_counts
    from crawler.huggingface.hub_stats import hub_stats_pages
    from crawler.huggingface.listing import hub_rules

    settings, hub = run.settings.crawler, Hub.HUGGINGFACE
    # Another day's dump has another size: a cursor into this one means nothing there.
    shard = f"dump {path.name}, {path.stat().st_size} bytes"
    with opened(run) as stores, bar(" repositories", run.no_bar, "reading") as show:
        catalog = stores.catalog
        walk = catalog.walks.begin_dump(hub)
        catalog.walks.take(walk, [shard])
        begun = int(catalog.walks.cursor(hub, shard) or 0)
        for page in hub_stats_pages(path, settings, begun):
            catalog.commit(walk, shard, page, hub_rules(settings))
            show.update(len(page.listings))
        catalog.walks.end(walk, complete=True)
        listed = sum(row.listed for row in catalog.walks.shards(hub))
        changed = change_counts(catalog.engine, hub, walk.started_at)
        waiting = catalog.counts(hub)["unlooked"]
    return Summary(
        stage="crawl",
        exit_code=CLEAN,
        content={"dump": str(path), "listed": listed, "changes": changed, "waiting": waiting},
        lines=(
            f"{path.name}: {listed} repositories that may hold checkpoints; {counted(changed)}",
            f"{waiting} wait to be looked into: leaksweep crawl",
        ),
    )


def changes_since(run: Run, since: datetime) -> Iterator[Change]:
    """Yield what crawls have seen change since a moment, oldest first.

    Raises:
        CrawlError: the catalog cannot be used.
    """
    from crawler.catalog.changes import changes

    with opened(run) as stores:
        yield from changes(stores.catalog.engine, since.astimezone(UTC).isoformat(timespec="seconds"))


def shared_budget(run: Run) -> Budget:
    """What all processes of this home may ask of the hubs together."""
    from crawler.guest.budget import Budget

    return Budget(run.home.root / "guest.db")


def _lines(source: SourceSummary) -> Iterator[str]:
    how = f"{source.mode}{', gone on with' if source.resumed else ''}"
    read = f"{source.listed} rows on {source.pages} pages, {source.looked} looked into"
    end = "" if source.complete else f"; stopped early: {source.reason or 'pages are left'}"
    yield f"{source.hub} ({how}): {read}{end}"
    waiting = f"; {source.waiting} wait to be looked into" if source.waiting else ""
    yield f"{source.hub}: {source.checkpoints} checkpoints and {source.skips} skips in the catalog{waiting}"
    yield (
        f"{source.hub}: {counted(source.changes)}" if source.changes else f"{source.hub}: nothing has changed"
    )
