"""Writers for processes of their own, in a module that imports little: each process imports it anew."""

from __future__ import annotations

from itertools import count
from typing import Protocol

from crawler.catalog.engine import open_engine
from reports.custody.audit import AuditLog
from reports.review.acts import Acts, Reviewer
from reports.review.labels import Labels


class Barrier(Protocol):
    """Of multiprocessing."""

    def wait(self, timeout: float) -> int: ...


def append_many(url: str, who: str, begin: Barrier) -> None:
    """Twenty entries as soon as all writers are ready."""
    engine = open_engine(url)
    log = AuditLog(engine)
    begin.wait(120)
    for number in range(20):
        log.append(who, "label", str(number))
    engine.dispose()


def label_on(url: str, who: str, begin: Barrier) -> None:
    """Labels one finding after the other until the process is killed."""
    engine = open_engine(url)
    acts = Acts(
        engine=engine,
        audit=AuditLog(engine),
        labels=Labels(engine),
        reviewer=Reviewer(name=who, account="svc"),
    )
    begin.wait(120)
    for number in count():
        acts.label(f"f{number}", "confirmed", f"by {who}")
