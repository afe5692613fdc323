"""Which files of the download store the ledger's jobs still need. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydantic import TypeAdapter
from sqlalchemy import Engine, select

from crawler.checkpoint import Base, Hub, RemoteFile
from crawler.store.shelves import file_name
from scanner.job import State
from scanner.tables import jobs

_FILES = TypeAdapter(tuple[RemoteFile, ...])


def needed_files(engine: Engine, bases: Callable[[str], Base | None]) -> frozenset[str]:
    """Names in the store of all weights and base models that queued and leased jobs of any recipe need.

    Jobs that failed are not among them, though the next plan queues them again: one that failed for want of
    room must not keep from others the room that it has, or there could be a night in which nobody gets any.

    Args:
        engine: of the ledger.
        bases: the base model of a repository's name.
    """
    job = jobs.c.job
    query = select(job["checkpoint"]["hub"], job["checkpoint"]["files"], job["base_repo"]).where(
        jobs.c.state.in_([State.QUEUED, State.LEASED])
    )
    names: set[str] = set()
    repos: set[str] = set()
    with engine.connect().execution_options(yield_per=500) as db:
        for hub, files, repo in db.execute(query):
            names |= {file_name(file, Hub(hub)) for file in _FILES.validate_python(files)}
            repos.add(repo)
    return frozenset(names | set(_base_names(repos, bases)))


def _base_names(repos: set[str], bases: Callable[[str], Base | None]) -> Iterator[str]:
    for repo in repos:
        base = bases(repo)
        yield from (file_name(file, Hub.HUGGINGFACE) for file in (base.files if base else ()))
