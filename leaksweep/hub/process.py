"""A local hub in a process of its own, so that what a benchmark measures is the crawler alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from leaksweep.hub.changes import Kind

_TITLES = {
    "Hugging Face": "url",
    "Civitai": "civitai_url",
    "storage": "storage_url",
    "foreign host": "foreign_url",
}


class HubProcessError(RuntimeError):
    """The process ended before it served anything."""


class HubProcess:
    """Runs `python -m leaksweep.hub`: `with HubProcess(synthetic=1_000_000, seed=7) as hub: hub.url`.

    Args:
        synthetic: rows that each hub has; its example is served when there are none.
        arguments: more of the command's options, such as `("--fault", "unavailable")`.
    """

    def __init__(self, *, synthetic: int = 0, seed: int = 0, arguments: Sequence[str] = ()) -> None:
        self.url = self.civitai_url = self.storage_url = self.foreign_url = ""
        """Addresses, known once it is started."""
        self._command = [
            sys.executable,
            "-m",
            "leaksweep.hub",
            "--until-eof",
            "--seed",
            str(seed),
            *arguments,
        ]
        self._command += ["--synthetic", str(synthetic)] if synthetic else []
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """The process's id, 0 when it is not started."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start the process and wait for its addresses.

        Raises:
            HubProcessError: it ends without having printed them; what it said is on our standard error.
        """
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            title, _, address = line.strip().rpartition(" ")
            if title.strip() in _TITLES:
                setattr(self, _TITLES[title.strip()], address)
            if self.foreign_url:
                return
        self.stop()
        raise HubProcessError(f"no local hub: {' '.join(self._command)!r} ended; see its message above")

    def change(self, kind: Kind, count: int) -> None:
        """Make so many changes of a kind to each hub, and wait for them. Both need a synthetic catalog.

        Raises:
            HubProcessError: the process ended.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(f"{kind} {count}", file=self._process.stdin, flush=True)
        if not self._process.stdout.readline().startswith("changed"):
            raise HubProcessError(f"the local hub could not {kind} {count}; see its message above")

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            # It serves until its standard input is closed, so that it does not outlive us if we are killed.
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
