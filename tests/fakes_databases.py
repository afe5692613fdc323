"""Databases on a PostgreSQL server that runs already, each gone at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

_NUMBERS = count(1)


@contextmanager
def new_database(server: str, *, like: str = "template1") -> Iterator[str]:
    """An empty database, or a copy of another one, which nobody may have open; gone at the end."""
    import psycopg

    name = f"test_{next(_NUMBERS)}"
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name} TEMPLATE {like} STRATEGY file_copy")
        yield server.replace("/postgres?", f"/{name}?")
        db.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def copied(database: str | None) -> Iterator[str | None]:
    """A copy of a home's database; one in the home's folder goes with that."""
    if database is None:
        yield None
        return
    place, _, query = database.partition("?")
    server, _, name = place.rpartition("/")
    with new_database(f"{server}/postgres?{query}", like=name) as url:
        yield url
