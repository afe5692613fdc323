"""Progress bars on stderr, shaped as the callbacks that the stages take."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from tqdm import tqdm


def bar(unit: str, no_bar: bool | None, description: str) -> tqdm[NoReturn]:
    """A bar that its owner moves.

    Args:
        no_bar: True never shows it; None shows it on a terminal only.
    """
    return tqdm(unit=unit, desc=description, disable=no_bar, file=sys.stderr, dynamic_ncols=True)


@contextmanager
def counter(unit: str, no_bar: bool | None, description: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that is told (done, of how many)."""
    with bar(unit, no_bar, description) as shown:

        def show(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield show
