"""Progress bars on stderr, shaped as the callbacks that the stages take."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def counter(unit: str, no_bar: bool | None, description: str = "") -> Iterator[Callable[[int, int], None]]:
    """A bar that is told (done, of how many).

    Args:
        no_bar: True never shows it; None shows it on a terminal only.
    """
    with tqdm(unit=unit, desc=description or None, disable=no_bar, file=sys.stderr, unit_scale=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
