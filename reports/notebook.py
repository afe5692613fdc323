"""A home read for notebooks: typed frames, no torch, and nothing written, not even a lock file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import lancedb
import pandas as pd
import pyarrow as pa
from sqlalchemy import Engine, create_engine, inspect
from sqlalchemy.exc import OperationalError

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine
from extraction.recipe import Recipe
from reports.export.frames import NEEDED
from reports.export.links import PUBLIC
from reports.finding import ReportError, Severity
from reports.findings.restating import restated
from reports.findings.store import FindingStore
from reports.findings.suppressions import Suppressions
from reports.matching.stage import last_summary
from reports.rates.frame import rates_frame
from reports.rates.read import read_rates
from reports.rates.table import EACH
from reports.references.store import References
from reports.report import Report, build_report
from reports.review.labels import Labels
from reports.review.labels import labels as labels_table
from reports.settings import ReportsSettings
from scanner.ledger import Ledger
from scanner.vault import Vault

_STORES = ("lance/extractions", "lance/findings")
"""Folders that hold what a report is made from; a home without one of them has not come that far."""


def load_findings(
    home: Path | str, *, database: str | None = None, two_person: bool | None = None
) -> pd.DataFrame:
    """Return a home's findings as they stand now, strongest first, with what reviewers have settled.

    The columns are those of docs/exports.md, with pandas' nullable types. `label` is what counts of the
    reviewers' labels, and missing while nothing is settled: the last label of each person is taken, who is
    unsure is left out unless all are, and what more people say than say anything else is settled. By the
    one-person rule one is enough for that; by the two-person rule two have to say the same.

    Args:
        home: the folder that leaksweep calls --home.
        database: SQLAlchemy URL, for a home whose catalog lies elsewhere than in the folder.
        two_person: the rule to settle by; None is the last matching's setting.

    Raises:
        ReportError: there is no such home, nothing was matched in it, or another version wrote it.
    """
    return load_report(home, database=database, two_person=two_person).findings


def load_extractions(home: Path | str, *, database: str | None = None) -> pd.DataFrame:
    """Return a home's extractions, matched or not. As `load_findings`."""
    return load_report(home, database=database).extractions


def load_checkpoints(home: Path | str, *, database: str | None = None) -> pd.DataFrame:
    """Return a home's checkpoints, with what was left out and why. As `load_findings`."""
    return load_report(home, database=database).checkpoints


def load_rates(
    home: Path | str,
    *,
    database: str | None = None,
    by: Sequence[Sequence[str]] = EACH,
    fail_on: str | None = None,
    sample: str | None = None,
) -> pd.DataFrame:
    """Return leakage rates with their denominators, intervals and corrections. As `load_findings`.

    Args:
        by: groupings, each a name of `reports.rates.groups.NAMES` or several, which are crossed.
        fail_on: least severity of a finding that makes a checkpoint leak; None is the last matching's.
        sample: name of a stratified sample, whose weights are then used.
    """
    with _opened(home, database) as (engine, folder):
        report = _report(engine, folder, fail_on)
        store = FindingStore(folder / "lance/findings", engine)
        return rates_frame(read_rates(report, engine, store, by=by, sample=sample))


def load_report(
    home: Path | str,
    *,
    database: str | None = None,
    fail_on: str | None = None,
    two_person: bool | None = None,
) -> Report:
    """Return everything that a home's report shows. As `load_findings`."""
    with _opened(home, database) as (engine, folder):
        return _report(engine, folder, fail_on, two_person)


def _report(engine: Engine, home: Path, fail_on: str | None, two_person: bool | None = None) -> Report:
    now = datetime.now(UTC)
    findings = FindingStore(home / "lance/findings", engine)
    last = findings.last_run()
    settings = ReportsSettings.model_validate_json(last.settings) if last else ReportsSettings()
    if fail_on is not None:
        settings = settings.model_copy(update={"fail_on": Severity[fail_on.upper()].label})
    extractions, recipe, descriptor = _extractions(home / "lance/extractions")
    catalog = Catalog(engine)
    # Withdrawals are not sealed, so any key does.
    references = home / "lance/references"
    withdrawn = References(references, Vault(bytes(32)), engine).withdrawn() if references.is_dir() else {}
    return build_report(
        checkpoints=catalog.checkpoints(),
        skips=catalog.skips(),
        ledger=Ledger(engine).rows(recipe.id),
        extractions=extractions,
        findings=restated(
            findings.each_finding(),
            Suppressions(engine).active(now),
            withdrawn,
            now,
            run=last.number if last else 1,
        ),
        matching=last_summary(findings),
        settings=settings,
        recipe=recipe,
        descriptor=descriptor,
        generated_at=now,
        version=version("leaksweep"),
        hubs=PUBLIC,
        evidence=findings.evidence(),
        labels=_settled(engine, settings.review.two_person if two_person is None else two_person),
    )


def _settled(engine: Engine, two_person: bool) -> dict[str, str]:
    """The label that counts of each finding that has one; none where nobody has ever reviewed."""
    if not inspect(engine).has_table(labels_table.name):
        return {}
    return {name: str(label) for name, label in Labels(engine).settled(two_person=two_person).items()}


def _extractions(path: Path) -> tuple[pa.Table, Recipe, str]:
    """Return the extractions without their vectors, and the newest one's recipe and descriptor."""
    table = lancedb.connect(path).open_table("extractions")
    wanted = [*NEEDED, "recipe", "created_at"]
    rows = (
        table.search().select(wanted).to_arrow().sort_by([("created_at", "ascending"), ("id", "ascending")])
    )
    if not len(rows):
        return rows, Recipe(), Recipe().descriptor
    newest = rows.slice(len(rows) - 1).to_pylist()[0]
    return rows, Recipe.model_validate_json(newest["recipe"]), newest["descriptor_name"]


@contextmanager
def _opened(home: Path | str, database: str | None) -> Iterator[tuple[Engine, Path]]:
    folder = Path(home)
    if not folder.is_dir():
        raise ReportError(f"{folder}: there is no such folder; give the one that leaksweep calls --home")
    for name in _STORES:
        if not (folder / name).is_dir():
            raise ReportError(f"{folder}: nothing was matched here yet; run leaksweep match first")
    engine = open_engine(database) if database else _read_only(folder / "catalog.db")
    try:
        yield engine, folder
    except OperationalError as error:
        raise ReportError(
            f"{folder}: the database cannot be read ({error.orig}); if an older leaksweep wrote it, run "
            "leaksweep status once with this one"
        ) from error
    finally:
        engine.dispose()


def _read_only(file: Path) -> Engine:
    """Return an engine that reads an SQLite file.

    SQLite makes files beside a database with a write-ahead log even to read it, unless it is told that
    nobody writes; while somebody does, they are there already.
    """
    if not file.is_file():
        raise ReportError(f"{file}: there is no catalog; if it lies in another database, give its URL")
    busy = file.with_name(f"{file.name}-wal").exists()
    mode = "mode=ro" if busy else "mode=ro&immutable=1"
    return create_engine(f"sqlite:///file:{file.resolve()}?{mode}&uri=true")
