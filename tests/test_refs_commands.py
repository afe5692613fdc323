"""`leaksweep refs` with lists: what it says of them, and what it keeps to itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes_lists import csv_text, some_codes, stopncii_page, stopncii_record, write_list
from fakes_pictures import scene
from PIL import Image

from leaksweep.cli import main
from leaksweep.commands import refs

CODES = [code.hex() for code in some_codes(6)]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        code = main([*words, "--home", str(tmp_path / "home")])
        said = capsys.readouterr()
        for value in CODES:
            assert value[:8] not in said.out + said.err
        return code, said.out, said.err

    return run


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., str]:
    def write(text: str, name: str = "list.txt") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


def test_a_list_is_added_with_what_cannot_be_matched_counted(call, listed):
    path = listed(
        f"{CODES[0]}\n{CODES[1]}\n{CODES[0]}\nmd5 {CODES[2][:32]}\nsha1 {CODES[2][:40]}\n{'0' * 64}\n"
    )
    code, out, _ = call("refs", "add", "hotline", path)
    assert code == 0
    assert "hotline: 2 hashes (plain, list " in out
    assert "2 not matchable against generated pictures: 1 md5, 1 sha1" in out
    assert "1 duplicate" in out
    assert "left out: entry 6: nearly all of its bits" in out
    code, out, _ = call("refs", "list", "--json")
    (one,) = json.loads(out)["sets"]
    assert (one["entries"], one["unmatchable"], one["format"]) == (2, {"md5": 1, "sha1": 1}, "plain")
    assert (one["left_out"], one["opinions"], len(one["list_sha256"])) == (1, {"positive": 2}, 64)


def test_kinds_that_nobody_knows_and_missing_pages_are_told(call, listed):
    path = listed(csv_text([("value", "signal"), (CODES[0], "pdqhash"), (CODES[1], "md6"), ("x", "vpdq")]))
    code, out, _ = call("refs", "add", "odd", path)
    assert code == 0
    assert "odd: 0 hashes (csv, list " in out
    assert "nothing of it can be matched" in out
    assert "unknown kinds: md6, pdqhash; if one of them is PDQ" in out
    page = stopncii_page([stopncii_record(CODES[0])]) | {"hasMoreRecords": True}
    code, out, _ = call("refs", "add", "part", listed(json.dumps(page)))
    assert code == 0
    assert "part: 1 hash (stopncii, list " in out
    assert "left out: the next page: the list says that more entries follow" in out


def test_contradictions_are_told_with_what_becomes_of_them(call, listed):
    rows = [("value", "opinion", "ref_id"), (CODES[0], "positive", "a"), (CODES[0], "negative", "a")]
    _, out, _ = call("refs", "add", "partner", listed(csv_text(rows)))
    assert "1 duplicate, 1 contradictory" in out
    assert "contradictory, and so disputed or kept twice: line 3" in out


def test_other_files_of_a_folder_and_hostile_names_are_told(call, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    scene(1).save(folder / "a.png")
    (folder / "a.txt").touch()
    (folder / "b\x1b[31m\u202e\n.png").touch()
    Image.new("RGB", (64, 64), "red").save(folder / "red.png")
    code, out, err = call("refs", "add", "artist", str(folder))
    assert code == 0
    assert ", 2 left out, 1 other files passed over" in out
    assert "left out: red.png: is too plain" in out
    assert not set("\x1b\u202e") & set(out + err)
    assert "left out: b\\x1b[31m\\u202e" in out


def test_columns_are_mapped_and_the_source_is_not_shown(call, listed):
    path = listed(csv_text([("uuid", "hash"), ("a", CODES[0])]), "partner.csv")
    code, out, _ = call(
        "refs", "add", "partner", path, "--map", "value=hash,ref_id=uuid", "--source", "Secret Society"
    )
    assert code == 0
    assert "Secret" not in out + call("refs", "list", "--json")[1]
    assert call("refs", "withdraw", "partner", "a", "--reason", "mistake")[0] == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--format", "xlsx"], 'no "xlsx"; there are plain'),
        (["--map", "value"], "write FIELD=COLUMN"),
        (["--map", "hash=x"], 'no "hash"'),
        (["--strict"], "--strict is for pictures"),
    ],
)
def test_a_wrong_option_is_explained(call, listed, options, reason):
    code, _, said = call("refs", "add", "list", listed(csv_text([("x",), (CODES[0],)])), *options)
    assert code in (2, 4)
    assert reason in said


def test_options_of_lists_are_not_for_folders(call, tmp_path):
    code, _, said = call("refs", "add", "mine", str(tmp_path), "--format", "plain")
    assert code == 4
    assert "are for lists" in said


def test_a_newer_list_withdraws_what_it_has_no_longer(call, listed):
    records = [stopncii_record(value) for value in CODES[:3]]
    assert call("refs", "add", "ncii", listed(json.dumps(stopncii_page(records))))[0] == 0
    newer = [stopncii_record(CODES[1], hashStatus="Withdrawn"), *records[2:], stopncii_record(CODES[3])]
    code, out, _ = call(
        "refs", "update", "ncii", listed(json.dumps(stopncii_page(newer)), "newer.json"), "--json"
    )
    told = json.loads(out)
    assert (code, told["entries"], told["edition"], told["tombstones"]) == (0, 2, 2, 1)
    gone = json.loads(call("refs", "withdrawn", "--json")[1])["withdrawn"]
    assert [(one["ref_id"], one["who"]) for one in gone] == [("1", "list ncii"), ("2", "list ncii")]
    assert "2 withdrawn" in call("refs", "list")[1]


def test_a_reference_is_withdrawn_with_a_reason_and_restored(call, listed):
    call("refs", "add", "hotline", listed("\n".join(CODES)))
    code, _, said = call("refs", "withdraw", "hotline", "2")
    assert code == 4
    assert "--reason" in said
    assert call("refs", "withdraw", "hotline", "2", "--reason", "not ours")[0] == 0
    assert "not ours" in call("refs", "withdrawn")[1]
    assert call("refs", "restore", "hotline", "2")[0] == 0
    assert "nothing is withdrawn" in call("refs", "withdrawn")[1]
    code, _, said = call("refs", "restore", "hotline", "2")
    assert code == 2
    assert "is not withdrawn" in said
    assert call("refs", "withdraw", "hotline", "99", "--reason", "x")[0] == 2


def test_what_is_done_to_a_set_is_in_the_audit_log(call, listed, tmp_path):
    from crawler.catalog.engine import open_engine
    from reports.custody.audit import AuditLog

    path = listed("\n".join(CODES))
    for words in (
        ("add", "hotline", path),
        ("update", "hotline", path),
        ("withdraw", "hotline", "1", "--reason", "x"),
        ("restore", "hotline", "1"),
        ("remove", "hotline"),
    ):
        assert call("refs", *words)[0] == 0
    engine = open_engine(f"sqlite:///{tmp_path / 'home' / 'catalog.db'}")
    try:
        entries = list(AuditLog(engine).entries())
    finally:
        engine.dispose()
    acts = [one.act for one in entries]
    assert acts == ["refs add", "refs update", "withdraw", "restore", "refs remove"]
    assert not any(value[:8] in one.detail for one in entries for value in CODES)


def test_listing_makes_no_home(call, tmp_path):
    assert "no reference sets" in call("refs", "list")[1]
    assert "nothing is withdrawn" in call("refs", "withdrawn")[1]
    assert not (tmp_path / "home").exists()


def test_the_help_names_every_format():
    from typing import get_args

    from reports.references.formats import FORMS

    option = get_args(refs.Form)[1]
    assert option.help.partition(": ")[2].partition(";")[0].replace(" or ", ", ").split(", ") == list(FORMS)


def test_every_format_is_added_by_the_command(call, tmp_path):
    from reports.references.formats import FORMS

    for form in FORMS:
        path = write_list(tmp_path, form, some_codes(2))
        code, out, _ = call("refs", "add", form, str(path))
        assert code == 0
        assert f"{form}: 2 hashes ({form}, list " in out


def test_a_withdrawal_that_is_refused_is_not_in_the_audit_log(call, listed):
    assert call("refs", "add", "hotline", listed("\n".join(CODES)))[0] == 0
    code, _, said = call("refs", "withdraw", "hotline", "99", "--reason", "not ours")
    assert (code, 'has no reference "99"' in said) == (2, True)
    assert call("refs", "withdraw", "hotline", "1", "--reason", "not ours")[0] == 0
    assert call("refs", "restore", "hotline", "2")[0] == 2
    acts = [one["act"] for one in json.loads(call("audit", "list", "--json")[1])["entries"]]
    assert acts == ["refs add", "withdraw"]
