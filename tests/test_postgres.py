"""What only PostgreSQL can get wrong, and what a user can get wrong about it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from fakes_catalog import begun, checkpoint, listing, page, skip
from fakes_scanner import RECIPE, job
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine
from crawler.checkpoint import Prompt, PromptOrigin
from leaksweep.cli import main
from scanner.job import Outcome, State
from scanner.ledger import Ledger

pytest_plugins = ("fakes_postgres",)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def catalog(engine: Engine) -> Catalog:
    catalog = Catalog(engine)
    catalog.create()
    return catalog


def test_numbers_beyond_32_bits(catalog: Catalog) -> None:
    many = listing(downloads=2**40)
    walk = begun(catalog)
    catalog.commit(
        walk, "all", page(replace(checkpoint(), downloads=2**40), listings=[replace(many, look=True)])
    )
    assert catalog.pending(walk, 1)[0].downloads == 2**40


def test_the_order_is_that_of_bytes(catalog: Catalog) -> None:
    names = ["a/B", "a/a", "a/a-b", "a/ab", "B/a", "a/ä", "a/z", "a/_"]
    catalog.commit(begun(catalog), "all", page(*(checkpoint(name) for name in names), skip("b"), skip("A")))
    ids = [one.id for one in catalog.checkpoints()]
    assert len(ids) == len(names)
    assert ids == sorted(ids)
    assert [one.repo for one in catalog.skips()] == ["A", "b"]


def test_text_that_json_can_carry_and_sql_cannot(catalog: Catalog) -> None:
    prompt = Prompt(text="a\0b \ud800 \\u0000 犬", origin=PromptOrigin.INSTANCE_PROMPT)
    catalog.commit(begun(catalog), "all", page(replace(checkpoint(), title="\0", prompts=(prompt,))))
    [found] = catalog.checkpoints()
    assert (found.title, found.prompts[0].text) == ("?", "a?b ? \\u0000 犬")


def test_the_longest_names_fit_into_an_index(catalog: Catalog) -> None:
    """PostgreSQL refuses index rows of more than 2,704 bytes, after compression."""
    letters = random.Random(0)
    long = "".join(chr(letters.randrange(0x20000, 0x2A000)) for _ in range(500))
    escaped = "".join(letters.choices("0123456789abcdef", k=5000))
    rows = (
        checkpoint("a" * 96 + "/" + "b" * 96, path=long),
        skip(path=escaped),
        skip(repo=long[:200], path=long),
    )
    catalog.commit(begun(catalog), "all", page(*rows))
    assert [one.path for one in catalog.checkpoints()] == [long]
    assert len(list(catalog.skips())) == 2


def test_two_processes_may_make_the_tables_at_once(engine: Engine) -> None:
    def make(_: int) -> None:
        Catalog(engine).create()
        Ledger(engine)

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(make, range(8)))


def test_a_job_whose_prompt_looks_like_a_nul(engine: Engine) -> None:
    ledger, subject = Ledger(engine), job("cats")
    odd = replace(subject, prompt=Prompt(text="a\\u0000 犬 ''", origin=PromptOrigin.OPERATOR))
    ledger.add([odd], RECIPE.id)
    assert ledger.lease(RECIPE.id, "me") == [odd]


def test_a_word_that_sql_cannot_hold_does_not_stop_a_scan(engine: Engine) -> None:
    """Details quote strangers' files, and a measure may be no number."""
    ledger, subject = Ledger(engine), job("cats")
    ledger.add([subject, replace(skip("b"), detail="x\0\ud800")], RECIPE.id)
    [taken] = ledger.lease(RECIPE.id, "me")
    measures = {"ratio": math.nan, "most": math.inf, "least": -math.inf, "steps": 3}
    ledger.record(
        Outcome(job_id=taken.id, state=State.SKIPPED, reason="odd", detail="a\0b\ud800", measures=measures)
    )
    done, left_out = ledger.rows()
    assert (done.detail, left_out.detail) == ("a?b?", "x??")
    assert done.measures == {"ratio": None, "most": None, "least": None, "steps": 3}


def status(database: str, home: Path) -> int:
    return main(["status", "--home", str(home), "--set", f"database={database}"])


def test_the_command_works_on_it(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(database_url, tmp_path / "home") == 0
    assert not (tmp_path / "home" / "catalog.db").exists()


@pytest.mark.parametrize(
    ("url", "said", "remedy"),
    [
        ("postgresql+psycopg://ann:geheim@127.0.0.1:1/leaks", "refused", "start the server, or correct"),
        ("postgresql+psycopg://ann:geheim@nowhere.invalid/leaks", "nowhere.invalid", "start the server"),
        (
            "postgresql+psycopg://ann:geheim@localhost:port/leaks",
            "is no database URL",
            "postgresql+psycopg://",
        ),
        ("oracle://ann:geheim@host/leaks", "is neither SQLite nor PostgreSQL", "postgresql+psycopg://"),
        ("mongodb://ann:geheim@host/leaks", "is neither SQLite nor PostgreSQL", "postgresql+psycopg://"),
        ("postgresql+nonsense://ann:geheim@host/leaks", "driver", "postgresql+psycopg://"),
    ],
)
def test_a_database_that_cannot_be_had(
    url: str, said: str, remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(url, tmp_path) == 2
    err = capsys.readouterr().err
    assert said in err
    assert remedy in err
    assert "geheim" not in err
    assert "Traceback" not in err


@pytest.mark.parametrize("url", ["ann:geheim@host/leaks", "host/leaks?password=geheim"])
def test_no_password_is_shown(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ("--home", str(tmp_path), "--set", f"database=postgresql+psycopg://{url}")
    assert main(["config", "show", *overrides]) == 0
    said = capsys.readouterr().out
    assert "host/leaks" in said
    assert "geheim" not in said


def test_a_server_that_stops_while_it_is_used(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(self: Catalog, *_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("server closed the connection"))

    monkeypatch.setattr(Catalog, "checkpoints", stopped)
    assert main(["plan", "--home", str(tmp_path), "--set", f"database={database_url}"]) == 2
    assert "cannot be used: server closed the connection; " in capsys.readouterr().err


def test_a_server_that_knows_no_such_database(
    postgres: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(postgres.replace("/postgres?", "/absent?"), tmp_path) == 2
    assert 'database "absent" does not exist' in capsys.readouterr().err
