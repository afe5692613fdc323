"""What all threads and processes of one machine may ask of the hubs together, kept in a small SQLite file.

A request reserves its place before it leaves, in one transaction with everything that speaks against it. The
file holds no secrets and nothing that cannot be learnt anew: it may be removed at any time.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TypeVar

from huggingface_hub.utils._http import RateLimitInfo
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from crawler.checkpoint import CrawlError
from crawler.guest.circuit import Circuit
from crawler.guest.window import Delay, Window

LOCKED = 10.0
"""Seconds that the file may be locked; the budget's own transactions take less than a thousandth."""
_FORGOTTEN = 7 * 86_400
_VERSION = 1
_State = TypeVar("_State", Circuit, Window)


class BudgetError(CrawlError):
    """The file cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What a hub counts together."""

    host: str
    name: str
    account: str = ""
    """Whose quota it is; see `account`."""

    def __str__(self) -> str:
        return f"{self.host} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """One request may leave, now."""

    bucket: Bucket
    window: int
    strained: bool
    """The host's last request failed: say when it answers."""
    trial: bool
    """The host had been left alone: one attempt, no more."""


def account(token: str | None) -> str:
    """Tells accounts apart without telling the token: 32 bits of its SHA-256; "" for the anonymous."""
    return hashlib.sha256(token.encode()).hexdigest()[:8] if token else ""


class Budget:
    """The quotas, waits and circuit breakers of all hosts.

    Processes that are to share a quota open one file, on a local disk. Nobody can hold anything for longer
    than a window or a cool-down: what a killed process has reserved runs out by itself.

    Args:
        path: the file; None keeps the budget in memory, for this process alone.
        clock: seconds since the epoch, the same for all processes.
        locked: seconds to wait for the file.

    Raises:
        BudgetError: from every method: the file is no budget, cannot be written, or stays locked.
    """

    def __init__(
        self, path: Path | None = None, *, clock: Callable[[], float] = time.time, locked: float = LOCKED
    ) -> None:
        self._path = path
        self._clock = clock
        self._locked = locked
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    def reserve(self, bucket: Bucket, *, interval: float = 0.0, headroom: float = 0.0) -> Permit | Delay:
        """Let one request leave, or say why and until when it must wait.

        Args:
            interval: least seconds between two requests to this host.
            headroom: share of the quota that stays unused, 0 to 1.
        """
        with self._transaction() as connection:
            now = self._clock()
            circuit = _load(connection, Circuit, bucket.host)
            window = _load(connection, Window, _key(bucket)).at(now)
            delay = circuit.delay(now) or window.delay(now, headroom) or circuit.pause(now, interval)
            if delay is not None:
                return delay
            _save(connection, circuit.taken(now, interval), bucket.host, now)
            _save(connection, window.taken(now), _key(bucket), now)
        strained = circuit.failures > 0
        return Permit(bucket=bucket, window=window.number, strained=strained, trial=circuit.broken)

    def answered(self, permit: Permit, limit: RateLimitInfo | None) -> None:
        """The answer's headers are here, with what they tell of the quota."""
        self._change(permit.bucket, lambda window, now: window.answered(permit.window, now, limit))

    def lost(self, permit: Permit) -> None:
        """No answer came."""
        self._change(permit.bucket, lambda window, now: window.lost())

    def hold(self, bucket: Bucket, seconds: float, reason: str) -> None:
        """Nobody asks for so long: the hub wants it."""
        self._change(bucket, lambda window, now: window.held(now + seconds, reason))

    def failed(self, host: str, reason: str) -> None:
        """A request came to nothing, its attempts spent."""
        self._judge(host, lambda circuit, now: circuit.failed(now, reason))

    def recovered(self, host: str) -> None:
        """A host that had failed answers."""
        self._judge(host, lambda circuit, now: circuit.recovered())

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def _change(self, bucket: Bucket, change: Callable[[Window, float], Window]) -> None:
        with self._transaction() as connection:
            now = self._clock()
            _save(connection, change(_load(connection, Window, _key(bucket)).at(now), now), _key(bucket), now)

    def _judge(self, host: str, change: Callable[[Circuit, float], Circuit]) -> None:
        with self._transaction() as connection:
            now = self._clock()
            _save(connection, change(_load(connection, Circuit, host), now), host, now)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                connection = self._open()
                connection.execute("BEGIN IMMEDIATE")
                with connection:  # commits, or rolls back
                    yield connection
            except sqlite3.Error as error:
                raise BudgetError(self._explained(error)) from error

    def _open(self) -> sqlite3.Connection:
        # A connection must not be used on the other side of a fork.
        if self._connection is None or self._process != os.getpid():
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            place = self._path or ":memory:"
            connection = sqlite3.connect(
                place, timeout=self._locked, isolation_level=None, check_same_thread=False
            )
            weakref.finalize(self, connection.close)
            # SQLite gives up at once where two processes make the switch together.
            Retrying(
                retry=retry_if_exception(_is_locked),
                stop=stop_after_delay(self._locked),
                wait=wait_random(0.005, 0.05),
                reraise=True,
            )(connection.execute, "PRAGMA journal_mode=WAL")
            _prepare(connection, self._clock())
            self._connection, self._process = connection, os.getpid()
        return self._connection

    def _explained(self, error: sqlite3.Error) -> str:
        if _is_locked(error):
            remedy = f"another program has held it for over {self._locked:g} s; end that, then crawl again"
        elif isinstance(error, sqlite3.OperationalError):
            remedy = "it must lie on a local disk with room, and be writable"
        else:
            remedy = "remove it, it is made anew"
        return f"{self._path or 'the budget in memory'}: {error}; {remedy}"


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def _key(bucket: Bucket) -> str:
    return f"{bucket.host} {bucket.name} {bucket.account}".rstrip()


def _prepare(connection: sqlite3.Connection, now: float) -> None:
    """Make the tables, or make them anew when another version made them, and forget old rows."""
    # A crash of the machine may cost the last requests, which is no harm; a sync for each would cost more.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    stale = connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION
    for state in (Circuit, Window):
        table = state.__name__.lower()
        if stale:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        columns = ", ".join(("key TEXT PRIMARY KEY", "touched REAL", *_columns(state)))
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) WITHOUT ROWID")
        connection.execute(f"DELETE FROM {table} WHERE touched NOT BETWEEN ? AND ?", _recent(now))
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("COMMIT")


def _columns(state: type[Circuit] | type[Window]) -> list[str]:
    return [field.name for field in fields(state)]


def _recent(now: float) -> tuple[float, float]:
    return now - _FORGOTTEN, now + _FORGOTTEN


def _load(connection: sqlite3.Connection, state: type[_State], key: str) -> _State:
    columns, table = ", ".join(_columns(state)), state.__name__.lower()
    row = connection.execute(f"SELECT {columns} FROM {table} WHERE key = ?", (key,)).fetchone()
    return state() if row is None else state(**dict(zip(_columns(state), row, strict=True)))


def _save(connection: sqlite3.Connection, state: Circuit | Window, key: str, now: float) -> None:
    values = (key, now, *astuple(state))
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT OR REPLACE INTO {type(state).__name__.lower()} VALUES ({marks})", values)
