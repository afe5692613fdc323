"""A throw-away PostgreSQL server for the tests of what is kept in SQL, and engines on both databases.

Not a fake at all: the real server, on a socket in a temporary folder, without durability. It is found on the
PATH or where Debian keeps it, and started at most once a run, by the first test that asks. A test module that
wants it says `pytest_plugins = ("fakes_postgres",)`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes_databases import new_database

UNPRIVILEGED = ("postgres", "nobody")
"""The server refuses to run as root, who runs it as one of these."""


def binaries() -> Path | None:
    """The folder of `postgres` and `initdb`, the newest version's; None when it is not installed."""
    on_path = shutil.which("postgres")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parts[-2]))
    folders = [*([Path(on_path).resolve().parent] if on_path else []), *reversed(installed)]
    return next((one for one in folders if (one / "initdb").exists() and (one / "postgres").exists()), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a running server's database `postgres`; the test is skipped where there is no server.

    Its collation is a language's, as most servers' is: "a" < "B" < "c". What needs the order of bytes has to
    ask for it.
    """
    pytest.importorskip("psycopg", reason="psycopg is not installed (the extra [postgres])")
    bin_ = binaries()
    if bin_ is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    user = _user()
    # A socket's path may have 107 bytes, so not in pytest's own folder.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        initdb = [bin_ / "initdb", "-D", folder / "data", "-U", "tester", "-A", "trust", "-E", "UTF8"]
        initdb += ["--locale=C", "--locale-provider=icu", "--icu-locale=en", "--no-sync"]
        made = subprocess.run(initdb, user=user, cwd=folder, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        quick = [f"-c{name}=off" for name in ("fsync", "synchronous_commit", "full_page_writes")]
        serve = [bin_ / "postgres", "-D", folder / "data", "-k", folder, "-h", "", *quick]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(serve, user=user, cwd=folder, stdout=log, stderr=log)
        try:
            _wait(server, folder)
            yield f"postgresql+psycopg://tester@/postgres?host={folder}"
        finally:
            server.send_signal(signal.SIGINT)  # the orderly stop that does not wait for open connections
            server.wait(30)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database, once on SQLite and once on a PostgreSQL server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new' / 'catalog.db'}"
        return
    with new_database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def home_database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Where the tests of a module keep a home's database: None is in the home's folder."""
    if request.param == "sqlite":
        yield None
        return
    with new_database(request.getfixturevalue("postgres")) as url:
        yield url


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    found = next((name for name in UNPRIVILEGED if name in names), None)
    if found is None:
        pytest.skip(f"PostgreSQL does not run as root, and there is no user {' or '.join(UNPRIVILEGED)}")
    return found


def _wait(server: subprocess.Popen[bytes], folder: Path) -> None:
    import psycopg

    for _ in range(300):
        assert server.poll() is None, (folder / "log").read_text()
        try:
            psycopg.connect(host=str(folder), user="tester", dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError((folder / "log").read_text())
