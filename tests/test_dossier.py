"""`leaksweep explain` of checkpoints and skips: by every name, in plain words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes_catalog import CIVITAI, HF, begun, checkpoint, listing, page, skip

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine
from crawler.checkpoint import BaseClaim, Checkpoint, Grade, Observation, Prompt, PromptOrigin, Training
from leaksweep.cli import main
from leaksweep.home import Home

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
DIGEST = "cd" * 32


def lora() -> Checkpoint:
    claims = (
        BaseClaim(repo=None, family="sd1", source="names and shapes", grade=Grade.TENSORS),
        BaseClaim(repo=None, family=None, source="header digest", grade=Grade.DIGEST, digest=DIGEST),
        BaseClaim(repo="me/tune", family=None, source="hub relation", grade=Grade.DECLARED),
        BaseClaim(repo="some/xl", family="sdxl", source="card", grade=Grade.DECLARED, detail="some/xl"),
        BaseClaim(repo=None, family="sd1", source="header architecture", grade=Grade.LABEL),
    )
    return replace(
        checkpoint("me/lora"),
        claims=claims,
        prompts=(Prompt(text="sks dog", origin=PromptOrigin.INSTANCE_PROMPT, source="card instance_prompt"),),
        training=Training(images=5, steps=1000, sources=(("images", "header ss_dataset_dirs"),)),
        observations=(
            Observation(what="path", source="ss_sd_model_name", digest="0" * 32),
            Observation(what="subject", source="ss_dataset_dirs", digest="1" * 32, text="jane doe"),
        ),
    )


def tune() -> Checkpoint:
    base = BaseClaim(repo=SD15, family="sd1", source="card", grade=Grade.DECLARED)
    one = replace(checkpoint("me/tune", path="tune.safetensors"), claims=(base,))
    return replace(one, files=(replace(one.files[0], sha256=DIGEST),))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A catalog with an adapter, the fine-tune below it, a copy on the other hub, a gated repository."""
    made = Home(tmp_path / "home")
    made.prepare()
    engine = open_engine(made.database_url)
    catalog = Catalog(engine)
    catalog.create()
    walk = begun(catalog, HF)
    listings = [listing(str(n), one) for n, one in enumerate(["me/lora", "me/tune", "b/gated"])]
    catalog.commit(walk, "all", page(lora(), tune(), skip("b/gated"), listings=listings))
    other = begun(catalog, CIVITAI)
    copy = replace(checkpoint("77", "88", hub=CIVITAI), title="copy")
    catalog.commit(other, "all", page(copy, listings=[listing("77", "77", hub=CIVITAI)]))
    engine.dispose()
    return made


def explain(home: Home, capsys: pytest.CaptureFixture[str], name: str, *more: str, code: int = 0) -> str:
    assert main(["explain", name, "--home", str(home.root), *more]) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


def test_an_adapter_with_its_claims_conflicts_and_chain(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    told = explain(home, capsys, "me/lora")
    assert "Base: me/tune, by header digest (the base's SHA-256)." in told, "its digest is the fine-tune's"
    assert "Family: sd1, by names and shapes (proved by names and shapes)." in told
    assert "not followed: card: it says sdxl; the tensors prove sd1" in told
    assert f"Chain: me/tune <- {SD15} (a base model)" in told
    assert 'instance_prompt: "sks dog", from card instance_prompt' in told
    assert "images 5, from header ss_dataset_dirs" in told
    assert "each picture was shown about 200 times" in told
    assert "1 path, 1 subject" in told
    assert "jane" not in told
    assert "Same file: civitai:77@88:x.safetensors" in told
    assert "Repository: present" in told
    assert "Scan: no job" in told


@pytest.mark.parametrize(
    "name", ["me/lora", "ME/Lora", "huggingface:me/lora@r1:x.safetensors", lora().key, "77", "88", "AB" * 32]
)
def test_every_name_finds_it(home: Home, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert "Checkpoint " in explain(home, capsys, name)


def test_a_digest_finds_all_places(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(explain(home, capsys, "ab" * 32, "--json"))["checkpoints"]
    assert [one["subject"]["hub"] for one in found] == ["civitai", "huggingface"]


def test_as_json(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    [one] = json.loads(explain(home, capsys, "me/lora", "--json"))["checkpoints"]
    assert one["decision"]["repo"] == "me/tune"
    assert one["decision"]["grade"] == "digest"
    assert one["chain"]["compared_with"] == "me/tune"
    assert one["chain"]["behind"] == [SD15]
    assert one["observations"] == {"path": 1, "subject": 1}
    assert "jane" not in json.dumps(one)
    assert one["repository"]["presence"] == "present"
    assert one["jobs"] == []


def test_what_was_left_out_says_why(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    told = explain(home, capsys, "b/gated")
    assert "Left out: huggingface:b/gated@r1:" in told
    assert "Because: gated: ask for access" in told


def test_a_plan_is_told(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "--home", str(home.root)])
    capsys.readouterr()
    assert "Scan: skipped by recipe" in explain(home, capsys, "me/lora")


def test_an_unknown_name_says_where_to_look(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no extraction, finding or checkpoint" in explain(home, capsys, "no/such", code=4)


def test_older_revisions_are_found_and_called_so(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    engine = open_engine(home.database_url)
    catalog = Catalog(engine)
    newer: dict[str, Any] = {"listings": [listing("0", "me/lora", "r2")]}
    catalog.commit(begun(catalog, HF), "all", page(**newer))
    engine.dispose()
    told = explain(home, capsys, "me/lora")
    assert "superseded" in told
    assert "changed" in told


def test_a_base_that_cannot_be_loaded_is_passed_over_and_named(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_engine(home.database_url)
    Catalog(engine).bases.put(skip("me/tune"), repo="me/tune")
    engine.dispose()
    told = explain(home, capsys, "me/lora")
    assert f"compared with {SD15}: what me/tune was taught cannot be told apart" in told
