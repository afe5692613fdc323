"""`leaksweep takedown`: weights go and stay gone, rows and hashes stay; and it can be lifted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fakes import Answer, Loopback, loopback
from fakes_scanner import BASE, RECIPE, lora
from fakes_weights import holding, remote, weights

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine, upsert
from crawler.catalog.rows import checkpoint_row
from crawler.catalog.tables import checkpoint as checkpoint_table
from crawler.checkpoint import Base, Checkpoint, Hub, Layout, SkipReason
from crawler.settings import CrawlerSettings
from crawler.store import Store, open_store
from crawler.store.refusal import DownloadError
from crawler.store.takedowns import FRESH, Takedowns
from leaksweep.cli import main
from scanner.job import State
from scanner.ledger import Ledger
from scanner.scan import write_plan

BODIES = {name: weights(seed) for seed, name in enumerate(("/a", "/b", "/unet", "/vae"))}
HF = Hub.HUGGINGFACE


@dataclass
class Home:
    """A home folder whose catalog holds two LoRAs, a copy of the first, and a diffusers folder."""

    root: Path
    server: Loopback
    capsys: pytest.CaptureFixture[str]

    def __post_init__(self) -> None:
        self.engine = open_engine(f"sqlite:///{self.root}/catalog.db")
        self.catalog = Catalog(self.engine)
        self.catalog.create()
        self.first = holding(lora("first"), self.file("/a"))
        self.copy = replace(self.first, repo="bob/copy")
        self.second = holding(lora("second"), self.file("/b"))
        vae = self.file("/vae", path="vae/m.safetensors")
        self.folder = holding(
            replace(lora("folder"), layout=Layout.FOLDER, path=""),
            self.file("/unet", path="unet/m.safetensors"),
            vae,
        )
        rows = [checkpoint_row(one, "2026") for one in (self.first, self.copy, self.second, self.folder)]
        with self.engine.begin() as db:
            upsert(db, checkpoint_table, rows)
        self.catalog.bases.put(Base(repo=BASE, revision="r", family="sd1", files=(vae,)))

    def file(self, name: str, **fields: object) -> Any:
        return remote(f"{self.server.url}{name}", BODIES[name], **fields)

    def store(self) -> Store:
        settings = CrawlerSettings.model_validate({"huggingface_url": self.server.url, "retries": 0})
        return open_store(settings, self.root / "store", {}, taken_down=Takedowns(self.engine).why)

    def call(self, *argv: str) -> tuple[int, str]:
        code = main(["takedown", *argv, "--home", str(self.root)])
        told = self.capsys.readouterr()
        return code, told.out + told.err

    def planned(self) -> dict[str, str]:
        """State or reason by repository."""
        ledger = Ledger(self.engine)
        write_plan(self.catalog, ledger, RECIPE, taken_down=Takedowns(self.engine).judge())
        rows = list(ledger.rows(RECIPE.id))
        return {
            row.checkpoint_id.partition(":")[2].partition("@")[0]: row.reason or row.state for row in rows
        }


@pytest.fixture
def home(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Home]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    with loopback(lambda asked: Answer(BODIES[asked.path], headers={"ETag": '"1"'})) as server:
        yield Home(tmp_path / "home", server, capsys)


def test_weights_go_and_rows_stay(home: Home) -> None:
    store = home.store()
    path = store.fetch(home.first.files[0], HF)
    linked = store.fetch_folder(home.first.files, HF)
    other = store.fetch(home.second.files[0], HF)
    code, said = home.call(home.first.id, "--reason", "asked by the person shown")
    assert (code, path.exists(), linked.exists(), other.exists()) == (0, False, False, True)
    assert "removed 1 files and 1 folders from the store, 1000 bytes" in said
    with pytest.raises(DownloadError, match="asked by the person shown") as caught:
        store.fetch(home.first.files[0], HF)
    assert caught.value.reason is SkipReason.TAKEN_DOWN
    assert [one.sha256 for one in home.catalog.checkpoints(key=home.first.key)] == [home.first.sha256]


@pytest.mark.parametrize("name", ["id", "key", "repo", "hub:repo", "sha256", "SHA256"])
def test_every_name_of_it_holds_it_and_its_copies_down(home: Home, name: str) -> None:
    first = home.first
    names = {
        "id": first.id,
        "key": first.key,
        "repo": first.repo,
        "hub:repo": f"{first.hub}:{first.repo}",
        "sha256": first.sha256,
        "SHA256": str(first.sha256).upper(),
    }
    assert home.planned()[first.repo] != "taken_down"
    assert home.call(str(names[name]), "--reason", "x")[0] == 0
    planned = home.planned()
    assert (planned[first.repo], planned["bob/copy"]) == ("taken_down", "taken_down")
    assert planned[home.second.repo] == State.QUEUED
    assert home.call(str(names[name]), "--undo")[0] == 0
    assert home.planned()[first.repo] != "taken_down"
    assert home.store().fetch(first.files[0], HF).exists()


def test_a_repository_is_held_down_with_what_it_will_hold(home: Home) -> None:
    home.call(home.second.repo, "--reason", "x")
    later = replace(home.second, revision="later", files=(home.file("/unet"),))
    judge = Takedowns(home.engine).judge()
    assert judge(later)
    assert not judge(replace(later, repo="ann/other", files=()))


def test_a_folder_goes_without_what_others_hold_too(home: Home) -> None:
    store = home.store()
    store.fetch_folder(home.folder.files, HF)
    code, said = home.call(home.folder.id, "--reason", "x", "--json")
    told = json.loads(said)
    unet, vae = (file.sha256 for file in home.folder.files)
    assert (code, told["digests"], told["shared"]) == (0, [unet], [vae])
    assert [file.name for file in store.files()] == [vae]
    assert home.planned()[home.folder.repo] == "taken_down"


def test_a_digest_can_be_held_down_before_it_is_seen(home: Home) -> None:
    digest = "ab" * 32
    assert home.call(digest, "--reason", "x")[0] == 0
    assert Takedowns(home.engine).why(digest)


def test_what_two_acts_hold_down_is_free_when_both_are_undone(home: Home) -> None:
    home.call(home.first.id, "--reason", "one")
    home.call(home.copy.id, "--reason", "two")
    code, said = home.call(home.first.id, "--undo")
    assert (code, Takedowns(home.engine).why(str(home.first.sha256)) is not None) == (0, True)
    code, said = home.call(home.first.id, "--undo")
    assert (code, "was not taken down by itself; undo" not in said) == (4, True)
    code, said = home.call(str(home.first.sha256), "--undo")
    assert code == 4
    assert home.copy.id in said
    home.call(home.copy.id, "--undo")
    assert Takedowns(home.engine).acts() == []


def test_the_list(home: Home) -> None:
    assert home.call() == (0, "nothing is taken down\n")
    home.call(home.first.key, "--reason", "asked by the person shown")
    code, said = home.call()
    assert code == 0
    assert home.first.id in said
    assert "asked by the person shown" in said


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (["nobody/nothing", "--reason", "x"], "no repository of this name"),
        (["0" * 16, "--reason", "x"], "no checkpoint of this id or key"),
        (["huggingface:ann/first@other:w.safetensors", "--reason", "x"], "no checkpoint of this id"),
        (["ann/first"], "say why with --reason"),
        (["ann/first", "--reason", "  "], "say why with --reason"),
        (["ann/first", "--undo"], "was not taken down"),
        (["--undo"], "name a checkpoint"),
    ],
)
def test_a_wrong_call_is_one_clear_line(home: Home, argv: list[str], what: str) -> None:
    code, said = home.call(*argv)
    assert code == 4
    assert what in said
    assert Takedowns(home.engine).acts() == []


def test_a_name_on_both_hubs_must_be_told_apart(home: Home) -> None:
    twin = replace(home.second, hub=Hub.CIVITAI)
    with home.engine.begin() as db:
        upsert(db, checkpoint_table, [checkpoint_row(twin, "2026")])
    code, said = home.call(home.second.repo, "--reason", "x")
    assert code == 4
    assert "civitai:ann/second or huggingface:ann/second" in said
    assert home.call("civitai:ann/second", "--reason", "x")[0] == 0
    assert Takedowns(home.engine).why("civitai:ann/second")
    assert Takedowns(home.engine).why("huggingface:ann/second") is None


def test_a_download_under_way_does_not_bring_it_back(home: Home) -> None:
    file = home.first.files[0]
    takedowns = Takedowns(home.engine)
    asked = iter([None, "taken down while it came"])
    store = home.store()
    store._taken_down = lambda digest: next(asked)
    with pytest.raises(DownloadError) as caught:
        store.fetch(file, HF)
    assert caught.value.reason is SkipReason.TAKEN_DOWN
    assert [*store.files(), *store.shelves.parts.iterdir()] == []
    assert takedowns.acts() == []


def test_the_list_is_read_anew_after_a_while(home: Home) -> None:
    now = [0.0]
    takedowns = Takedowns(home.engine)
    judge = takedowns.judge(clock=lambda: now[0])

    def held(checkpoint: Checkpoint) -> bool:
        return judge(checkpoint) is not None

    assert not held(home.first)
    takedowns.add(home.first.id, [home.first.id], reason="x", by="me")
    now[0] += FRESH + 1
    assert held(home.first)
