"""Hashes, list members, pixels and prompts are in nothing that leaves the stores."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pyarrow.parquet
import pytest
from fakes_home import opened_home
from fakes_matching import HASHER, picture
from fakes_receiver import receiver
from fakes_swept import CLASSIFICATION, MEMBER, Swept, swept_home

from leaksweep.cli import main
from reports.finding import Reference
from reports.matching.hash_store import HashedExtraction
from reports.notices.webhook import SECRET
from reports.references.formats.listed import ListedSignal

PROMPT = b"a cat"
WITH_PROMPTS = {f"extractions.{ending}" for ending in ("csv", "jsonl", "parquet", "parquet, read")}
"""Where a prompt may stand, since a picture cannot be made again without it."""
HOOK_SECRET = "a secret of some length"
COMMON = ("--set", "recipe.descriptor=thumbnail", "--set", 'reports.decoys=["decoys"]')


@dataclass(frozen=True, slots=True)
class Outputs:
    """Everything that a run says and writes outside of its stores, by name."""

    swept: Swept
    said: dict[str, bytes]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    folder = tmp_path_factory.mktemp("confidential")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(SECRET, HOOK_SECRET)
        with _logged() as records:
            swept = swept_home(folder / "home")
            said = _run_all(swept, folder)
    said["log"] = "\n".join(f"{record.getMessage()} {record.exc_text}" for record in records).encode()
    return Outputs(swept, said)


def _run_all(swept: Swept, folder: Path) -> dict[str, bytes]:
    """Run every command that shows something, and return what each gave."""
    said: dict[str, bytes] = {}
    bad = folder / "bad.txt"
    with opened_home(swept.root) as stores:
        extraction = stores.extractions.rows(["id"])["id"].to_pylist()[0]
    bad.write_text(f"{swept.listed[1].hex()}\n{swept.listed[2].hex()[:-1]}x\n")
    with receiver([204, 401]) as hook:
        told = ("--set", f"reports.notices.webhook_url={hook.url}")
        metrics = ("--set", f"reports.notices.prometheus_file={folder / 'leaksweep.prom'}")
        for argv, expected in (
            (["match", "-vv"], 0),
            (["report", "--out", str(folder / "report"), "-vv"], 1),
            (["notify", *told, *metrics, "-vv"], 0),
            (["notify", *told], 2),
            (["status", "--json"], 0),
            (["refs", "list", "--json"], 0),
            (["refs", "list"], 0),
            (["refs", "add", "bad", str(bad)], 2),
            (["refs", "withdraw", "hotline", "9", "--reason", "asked by its giver"], 0),
            (["refs", "withdrawn", "--json"], 0),
            (["explain", extraction], 0),
            (["explain", extraction, "--json"], 0),
            (["audit", "list", "--json"], 0),
            (["rates", "--json"], 0),
        ):
            out, err = StringIO(), StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                code = main([*argv, *COMMON, "--home", str(swept.root)])
            assert code == expected, err.getvalue()
            said[" ".join(argv)] = f"{out.getvalue()}\n{err.getvalue()}".encode()
        said["webhook"] = b"\n".join(one.body + json.dumps(one.headers).encode() for one in hook.sent)
        assert len(hook.sent) == 2
    for path in [*(folder / "report").iterdir(), folder / "leaksweep.prom"]:
        said[path.name] = path.read_bytes()
        if path.suffix == ".parquet":
            rows = pyarrow.parquet.read_table(path).to_pylist()
            said[f"{path.name}, read"] = json.dumps(rows, ensure_ascii=False).encode()
    return said


@contextmanager
def _logged() -> Iterator[list[logging.LogRecord]]:
    """Collect what our packages log at -vv, and what anything else logs from a warning upwards."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        yield records
    finally:
        logging.getLogger().removeHandler(handler)


def forms(secret: bytes) -> dict[str, bytes]:
    """Return the ways in which bytes may be written down, by name."""
    found = {"raw": secret, "hex": secret.hex().encode(), "HEX": secret.hex().upper().encode()}
    # Base64 of a longer text that holds them: three ways to begin, without the ends that depend on the rest.
    for offset in range(3):
        coded = base64.b64encode(bytes(offset) + secret)
        found[f"base64 at {offset}"] = coded[-(-8 * offset // 6) : 8 * (offset + len(secret)) // 6]
    found["decimal"] = str(int.from_bytes(secret, "big")).encode()
    return found


def holding(outputs: Outputs, secrets: Iterator[bytes]) -> list[str]:
    """Return where any of these bytes stand in any form; hex without regard to case."""
    told = []
    for secret in secrets:
        for form, written in forms(secret).items():
            for name, content in outputs.said.items():
                if written in content or (form == "hex" and written in content.lower()):
                    told.append(f"{name}: {form}")
    return told


def test_something_was_said_in_every_way(outputs):
    names = set(outputs.said)
    assert {"webhook", "log", "leaksweep.prom", "report.html", "summary.md", "findings.sarif"} <= names
    assert {"findings.jsonl", "findings.parquet, read", "findings.csv", "refs list --json"} <= names
    assert b"hotline" in outputs.said["findings.csv"]
    assert b"hotline" in outputs.said["refs list --json"]
    assert b"webhook was not told: 127.0.0.1 refused the notice: status 401" in outputs.said["log"]
    assert b"line 2" in outputs.said[next(name for name in names if name.startswith("refs add"))]


def test_no_hash_is_told_in_any_form(outputs):
    assert len(outputs.swept.hashes) > 50
    assert holding(outputs, outputs.swept.hashes) == []


def test_no_pixels_are_told(outputs):
    # A piece from the middle of each picture's compressed data: a header is the same for all.
    pieces = [png[len(png) // 2 : len(png) // 2 + 24] for png in outputs.swept.pictures]
    assert holding(outputs, pieces) == []


def test_no_member_is_named(outputs):
    for form in (MEMBER, MEMBER.lower(), base64.b64encode(MEMBER.encode()).decode()[:-4]):
        assert [name for name, content in outputs.said.items() if form.encode() in content] == []


def test_no_classification_of_a_list_is_told(outputs):
    assert [name for name, content in outputs.said.items() if CLASSIFICATION.encode() in content] == []


def test_no_prompt_is_told_but_where_extractions_are(outputs):
    told = {name for name, content in outputs.said.items() if PROMPT in content}
    assert {name for name in told if not name.startswith("explain ")} <= WITH_PROMPTS
    assert PROMPT in outputs.said["extractions.csv"]


def test_neither_the_secret_nor_the_address_of_the_webhook_is_told(outputs):
    assert [name for name, content in outputs.said.items() if HOOK_SECRET.encode() in content] == []
    assert [name for name, content in outputs.said.items() if b"T0KEN" in content] == []


def test_the_webhook_names_no_set_no_reference_and_no_checkpoint(outputs):
    for name in (b"hotline", b"artist", b"decoys", b"1.png", b"ann/", b"cats"):
        assert name not in outputs.said["webhook"]


def test_no_listed_hash_and_no_member_lies_open_in_the_home(outputs):
    contents = b"\0".join(
        path.read_bytes() for path in sorted(outputs.swept.root.rglob("*")) if path.is_file()
    )
    for secret in [*outputs.swept.hashes, MEMBER.encode()]:
        assert [form for form, written in forms(secret).items() if written in contents] == []


def test_no_record_shows_a_hash():
    hashes = HASHER(picture(1))
    codes = [value for value in (hashes.phash, hashes.pdq, hashes.phash256) if value]
    records = [
        hashes,
        HashedExtraction(extraction_id="x", created_at=None, hasher="", picture=hashes, control=hashes),
        Reference(set_name="s", ref_id="r", phash=codes[0], pdq=codes[1], pdq_quality=100, source=MEMBER),
        ListedSignal(place="line 1", ref_id="r", signal="pdq", code=codes[1], source=MEMBER),
    ]
    for record in records:
        for shown in (repr(record), str(record)):
            assert MEMBER not in shown
            assert not [one for one in codes if one.hex() in shown or repr(one) in shown]
