"""What the extractions match, and how it is shown. No torch but behind the descriptor.

For notebooks: `reports.load_findings(home)` and its like; see `reports.notebook`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.notebook import (
        load_checkpoints,
        load_extractions,
        load_findings,
        load_rates,
        load_report,
    )

__all__ = ["load_checkpoints", "load_extractions", "load_findings", "load_rates", "load_report"]


def __getattr__(name: str) -> Any:
    """Import what notebooks use when it is first asked for: it brings pandas, which commands do without."""
    if name in __all__:
        from reports import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module 'reports' has no attribute {name!r}")
