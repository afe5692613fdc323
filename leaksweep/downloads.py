"""The download store of a home: with what its ledger needs, and what was taken down in it."""

from __future__ import annotations

from functools import partial

from crawler.catalog import Catalog
from crawler.store import Store, open_store
from crawler.store.takedowns import Takedowns
from leaksweep.crawling import shared_budget
from leaksweep.run import Run
from leaksweep.tokens import environment_tokens
from scanner.needs import needed_files


def store_of(run: Run, catalog: Catalog) -> Store:
    """The store; catalog and ledger share one database."""
    return open_store(
        run.settings.crawler,
        run.home.store,
        environment_tokens(),
        needed=partial(needed_files, catalog.engine, catalog.bases.get),
        taken_down=Takedowns(catalog.engine).why,
        guest=shared_budget(run),
    )
