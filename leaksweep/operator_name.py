"""Who runs this: the name that acts are recorded under."""

from __future__ import annotations

import getpass


def operator() -> str:
    """The user of this process; "unknown" in a container that has no name for its user."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
