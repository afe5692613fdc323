"""A home folder with its stores, opened as the command opens them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leaksweep.home import Home
from leaksweep.run import Run
from leaksweep.settings import load
from leaksweep.stores import Stores, opened


def run_of(root: Path, **settings: Any) -> Run:
    """A quiet run on a home; settings by dotted key, with "__" for a dot."""
    overrides = {name.replace("__", "."): value for name, value in settings.items()}
    loaded = load(None, {"home": str(root), **overrides})
    return Run(
        loaded=loaded, home=Home(loaded.settings.home, loaded.settings.database), as_json=False, quiet=True
    )


@contextmanager
def opened_home(root: Path, **settings: Any) -> Iterator[Stores]:
    """Its stores."""
    with opened(run_of(root, **settings)) as stores:
        yield stores
