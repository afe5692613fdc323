"""The stores of a home, opened together: each is made when it is first asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from leaksweep.run import Run

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from crawler.catalog import Catalog
    from reports.custody.audit import AuditLog
    from reports.custody.holds import Holds
    from reports.custody.succession import EarlierKey
    from reports.findings.store import FindingStore
    from reports.findings.suppressions import Suppressions
    from reports.matching.hash_store import HashStore
    from reports.matching.stage import Desk
    from reports.references.store import References
    from reports.review.labels import Labels
    from scanner.extraction_store import ExtractionStore
    from scanner.ledger import Ledger
    from scanner.picture_keys import PictureKeys
    from scanner.vault import Vault


@dataclass
class Stores:
    """SQL by one engine, LanceDB by folders. What is heavy is imported by the store that needs it."""

    run: Run
    engine: Engine

    @cached_property
    def catalog(self) -> Catalog:
        from crawler.catalog import Catalog

        catalog = Catalog(self.engine)
        catalog.create()
        return catalog

    @cached_property
    def ledger(self) -> Ledger:
        from scanner.ledger import Ledger

        return Ledger(self.engine, attempts=self.run.settings.scanner.attempts)

    @cached_property
    def vault(self) -> Vault:
        """Of this home's master key, which is made with the home.

        Raises:
            VaultError: the key is missing, malformed, or not this home's.
        """
        from scanner.vault import open_vault
        from scanner.vault_claim import claim, claimed

        known = claimed(self.engine)
        vault = open_vault(self.run.key_file, os.environ, make=known is None)
        claim(self.engine, vault)
        return vault

    @cached_property
    def earlier_keys(self) -> dict[str, EarlierKey]:
        """Keys that were this home's before, by public half: what they signed still holds."""
        from reports.custody.succession import earlier_keys
        from scanner.key_change import KeyChanges

        return earlier_keys(KeyChanges(self.engine).receipts(), self.vault)

    @cached_property
    def keys(self) -> PictureKeys:
        from scanner.picture_keys import PictureKeys

        return PictureKeys(self.engine, self.vault)

    @cached_property
    def extractions(self) -> ExtractionStore:
        from scanner.extraction_store import ExtractionStore

        keep = self.run.settings.reports.pixels != "never"
        return ExtractionStore(self.run.home.extractions, self.keys, keep_pixels=keep)

    @cached_property
    def hashes(self) -> HashStore:
        from reports.matching.hash_store import HashStore

        return HashStore(self.run.home.hashes, self.vault)

    @cached_property
    def references(self) -> References:
        from reports.references.store import References

        return References(self.run.home.references, self.vault, self.engine)

    @cached_property
    def findings(self) -> FindingStore:
        from reports.findings.store import FindingStore

        return FindingStore(self.run.home.findings, self.engine)

    @cached_property
    def suppressions(self) -> Suppressions:
        from reports.findings.suppressions import Suppressions

        return Suppressions(self.engine)

    @cached_property
    def labels(self) -> Labels:
        from reports.review.labels import Labels

        return Labels(self.engine)

    @cached_property
    def audit(self) -> AuditLog:
        from reports.custody.audit import AuditLog

        return AuditLog(self.engine)

    @cached_property
    def holds(self) -> Holds:
        from reports.custody.holds import Holds

        return Holds(self.engine)

    @cached_property
    def desk(self) -> Desk:
        """What matching works with."""
        from reports.matching.stage import Desk

        return Desk(
            extractions=self.extractions,
            hashes=self.hashes,
            references=self.references,
            findings=self.findings,
            suppressions=self.suppressions,
            holds=self.holds,
        )


@contextmanager
def opened(run: Run) -> Iterator[Stores]:
    """The stores of the home folder, made where they are missing.

    Raises:
        CrawlError, ScanError, ReportError: a store cannot be used, or the database goes away while it is; or
            the home's master key is being changed.
    """
    from leaksweep.home_lock import among_others
    from scanner.key_change import refuse_while_changing

    run.home.prepare()
    with among_others(run.home.root), engine_of(run) as engine:
        refuse_while_changing(engine)
        yield Stores(run=run, engine=engine)


@contextmanager
def engine_of(run: Run) -> Iterator[Engine]:
    """The home's database.

    Raises:
        CrawlError: it cannot be used, or goes away while it is.
    """
    from sqlalchemy.exc import OperationalError

    from crawler.catalog.engine import open_engine, unusable

    engine = open_engine(run.home.database_url)
    try:
        yield engine
    except OperationalError as error:
        raise unusable(engine, error) from error
    finally:
        engine.dispose()
