"""`leaksweep review` and `leaksweep audit` as they are called."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import httpx
import pytest
from fakes_home import opened_home
from fakes_reports import a_checkpoint, a_finding
from sqlalchemy import text

from leaksweep.cli import main
from leaksweep.reviewing import Place, bound
from leaksweep.settings import SettingsError


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Away from the repository, whose own settings file would be read."""
    with chdir(tmp_path_factory.mktemp("elsewhere")):
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one finding whose picture was never kept."""
    root = tmp_path_factory.mktemp("review") / "home"
    with opened_home(root) as stores:
        stores.findings.replace_findings([a_finding(a_checkpoint())])
        _ = stores.extractions
        stores.audit.append("ann", "hold", "abc", {"why": "court order"})
        stores.audit.append("ben", "label", "def", {"label": "unsure", "account": "svc"})
    return root


@contextmanager
def reviewing(home: Path, *options: str) -> Iterator[tuple[str, str, subprocess.Popen[str]]]:
    """The command in a process of its own: address, token, process."""
    script = "import sys; from leaksweep.cli import main; sys.exit(main())"
    call = [sys.executable, "-c", script, "review", "--home", str(home), "--port", "0", *options]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            printed = "".join(process.stdout.readline() for _ in range(3))
            address = re.match(r"(http://127\.0\.0\.1:\d+)/enter#once=[\w-]{43}\n", printed)
            token = re.search(r"Token, to come in again: ([\w-]{43})\n", printed)
            assert address, (printed, process.stderr and process.stderr.read())
            assert token
            assert token[1] not in address[0]
            yield address[1], token[1], process
        finally:
            if process.poll() is None:
                process.kill()


def test_the_command_prints_an_address_serves_one_reviewer_and_ends_in_order(home: Path) -> None:
    with reviewing(home, "--as", "ann") as (address, token, process):
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as client:
            page = client.get("/")
            assert "mira/harbour-lora" in page.text
            assert "as <bdi>ann</bdi>" in page.text
            assert "server" not in page.headers
            (finding,) = re.findall(r"/findings/([0-9a-f]{16})", page.text)
            assert "Erased, or never kept" in client.get(f"/findings/{finding}").text
            answer = client.post(f"/findings/{finding}/label", data={"label": "escalate"})
            assert answer.status_code == 303
        assert httpx.get(address).status_code == 401
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=30)
        assert process.returncode == 0
        assert token not in rest + said
    with opened_home(home) as stores:
        assert stores.labels.settled() == {finding: "escalate"}
        assert stores.audit.verify().whole


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Place(host="0.0.0.0", port=0), "cross the network readable"),
        (Place(host="192.0.2.1", port=0), "Use 127.0.0.1 and an SSH tunnel, or ask for it with --expose"),
        (Place(host="example.org", port=0), "open to every machine that reaches example.org"),
        (Place(host="127.0.0.1", port=0, certificate=Path("a.pem")), "--certificate and --key go together"),
        (Place(host="::1", port=0, certificate=Path("a"), key=Path("b")), "a: is not there"),
    ],
)
def test_a_place_that_others_reach_has_to_be_asked_for(place: Place, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        place.check(expose=False)
    assert said in str(raised.value)


def test_what_exposing_means_is_said(tmp_path: Path) -> None:
    pem = tmp_path / "page.pem"
    pem.touch()
    assert Place(host="127.0.0.2", port=0).check(expose=False) == ""
    assert Place(host="localhost", port=0).check(expose=False) == ""
    said = Place(host="0.0.0.0", port=0).check(expose=True)
    assert "whoever has the token sees findings and pictures; without --certificate" in said
    assert "readable" not in Place(host="0.0.0.0", port=0, certificate=pem, key=pem).check(expose=True)


def test_a_port_that_is_taken_is_an_error_with_a_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = Place(host="127.0.0.1", port=other.getsockname()[1])
        with pytest.raises(SettingsError, match="choose another with --host or --port"), bound(place):
            pass


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--as", " "), "nobody is named"),
        (("--host", "0.0.0.0"), "--expose"),
        (("--key", "k"), "go together"),
    ],
)
def test_a_wrong_call_is_told(
    home: Path, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["review", "--home", str(home), "--port", "0", *options]) == 4
    assert said in capsys.readouterr().err


def test_a_home_without_anything_is_none_to_review(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["review", "--home", str(tmp_path / "none")]) == 4
    assert "nothing has been scanned" in capsys.readouterr().err


def audit(home: Path, *words: str) -> int:
    return main(["audit", *words, "--home", str(home)])


def test_the_log_is_listed_in_words_and_as_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(home, "list") == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"1  \S{19}  ann  hold  abc  why court order", first)
    assert second.endswith("ben  label  def  account svc, label unsure")
    assert audit(home, "list", "--about", "abc", "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out)["entries"]
    assert entry["detail"] == {"why": "court order"}


def test_a_whole_log_is_told_from_a_cut_one_by_its_signed_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    with opened_home(home) as stores:
        for number in range(3):
            stores.audit.append("ann", "label", str(number))
    head = tmp_path / "head.json"
    assert audit(home, "head", "--out", str(head)) == 0
    assert f"{head}: signed head, entry 3" in capsys.readouterr().out
    assert json.loads(head.read_text())["seq"] == 3
    assert audit(home, "verify") == 0
    assert "whole: 3 entries; only a head that is kept elsewhere" in capsys.readouterr().out
    assert audit(home, "verify", "--head", str(head)) == 0
    assert capsys.readouterr().out == "whole: 3 entries; the head is in it\n"
    with opened_home(home) as stores, stores.engine.begin() as db:
        db.execute(text("DROP TRIGGER audit_no_delete"))
        db.execute(text("DELETE FROM audit WHERE seq = 3"))
    assert audit(home, "verify") == 0
    capsys.readouterr()
    assert audit(home, "verify", "--head", str(head), "--json") == 2
    said = json.loads(capsys.readouterr().out)
    assert (said["whole"], said["fault"]["kind"], said["fault"]["seq"]) == (False, "cut off", 3)
    with opened_home(home) as stores, stores.engine.begin() as db:
        db.execute(text("DROP TRIGGER audit_no_update"))
        db.execute(text("UPDATE audit SET who = 'eve' WHERE seq = 2"))
    assert audit(home, "verify") == 2
    assert "broken: entry 2 was changed" in capsys.readouterr().out


def test_a_head_of_another_home_or_another_kind_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    with opened_home(other) as stores:
        stores.audit.append("eve", "label", "1")
    assert audit(other, "head") == 0
    head = tmp_path / "head.json"
    head.write_text(capsys.readouterr().out, encoding="utf-8")
    assert audit(home, "verify", "--head", str(head)) == 2
    assert "signed by another home" in capsys.readouterr().err
    head.write_text(head.read_text().replace('"seq": 1', '"seq": 2'), encoding="utf-8")
    assert audit(other, "verify", "--head", str(head)) == 2
    assert "was changed after it was signed" in capsys.readouterr().err


def test_a_log_without_entries_has_no_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(tmp_path / "home", "head") == 4
    assert "has no entries yet" in capsys.readouterr().err
    assert audit(tmp_path / "home", "list") == 0
    assert capsys.readouterr().out == "the log has no entries\n"
