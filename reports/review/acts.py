"""What a reviewer does: each act and its entry in the audit log are one transaction, whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from reports.custody.audit import AuditLog
from reports.review.labels import Label, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    """Who reviews."""

    name: str
    """As they call themselves; this is what the two-person rule goes by."""
    account: str
    """Their account on this machine, which they cannot choose; it is kept beside the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acts:
    """Labels and reveals of one reviewer."""

    engine: Engine
    audit: AuditLog
    labels: Labels
    reviewer: Reviewer

    def label(self, finding_id: str, label: str, note: str) -> Label:
        """Give a finding a label.

        Raises:
            ReportError: as `Labels.put`.
        """
        with self.engine.begin() as db:
            # First, as it makes whoever else wants to append wait for this transaction.
            self._append("label", finding_id, {"label": label}, db)
            return self.labels.put(finding_id, label, self.reviewer.name, note, db=db)

    def reveal(self, finding_id: str, extraction_id: str, **what: Any) -> None:
        """Record that a picture is shown. It must not be sent before this returns."""
        with self.engine.begin() as db:
            self._append("reveal", finding_id, {"extraction": extraction_id, **what}, db)

    def _append(self, act: str, finding_id: str, detail: dict[str, Any], db: Any) -> None:
        account = {"account": self.reviewer.account}
        self.audit.append(self.reviewer.name, act, finding_id, {**detail, **account}, db=db)
