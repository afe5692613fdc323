"""Hostile headers, names and cards: kept escaped or refused by name, in bounded time, never a crash."""

from __future__ import annotations

import json
import time
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes_catalog import HF, begun, checkpoint, listing, page, skip
from hypothesis import given
from hypothesis import strategies as st

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine
from crawler.checkpoint import BaseClaim, Grade, Prompt, PromptOrigin
from crawler.evidence.captions import trigger_words
from crawler.evidence.cards import card_prompts, card_training
from crawler.evidence.header_facts import HeaderFacts, header_facts
from crawler.evidence.headers import MAX_HEADER, Header, HeaderError, parse_header
from crawler.evidence.observations import KeepLeaks, Observer
from crawler.evidence.plain_text import MAX_PROMPT_LENGTH, printable
from crawler.evidence.training_details import details_claims, details_prompts, details_training
from crawler.evidence.wishes import wishes
from leaksweep.cli import main
from leaksweep.home import Home

OBSERVE = Observer(b"k" * 32, KeepLeaks.PLAIN)
SECONDS = 20.0
"""Of processor time, for the largest inputs there are; what they take on an idle core is a tenth of it."""
BAD = "\x1b[31m\x00\x07\x9b\u202e\u2066\ud800\u200f\x7f\r\n"
"""Escapes, bells, changes of direction, half a character."""
TENSOR = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def header(content: Any) -> bytes:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return len(data).to_bytes(8, "little") + data


def tensor(**changed: Any) -> bytes:
    return header({"x": TENSOR | changed})


REFUSED: dict[str, tuple[bytes, str]] = {
    "a header of 1 GB": ((10**9).to_bytes(8, "little") + b"{", "1000000000 bytes"),
    "a header of 2^64 - 1 bytes": (b"\xff" * 8 + b"{", "18446744073709551615 bytes"),
    "a header of nothing": (bytes(8) + b"{", "0 bytes"),
    "a header that is cut off": (header({"x": TENSOR})[:-3], "cut off"),
    "JSON as deep as it is long": (header(b'{"a":' * 200_000), "no valid JSON"),
    "lists as deep as they are long": (header(b'{"a":' + b"[" * 200_000), "no valid JSON"),
    "a tensor twice": (header(b'{"x":{},"x":{}}'), "a key occurs twice"),
    "metadata twice": (header(b'{"__metadata__":{},"__metadata__":{}}'), "a key occurs twice"),
    "a metadata key twice": (header(b'{"__metadata__":{"a":"1","a":"2"}}'), "a key occurs twice"),
    "NaN": (header(b'{"x":{"shape":[NaN]}}'), "NaN is no JSON"),
    "a number beyond floats": (
        header(b'{"x":{"dtype":"F32","shape":[0],"data_offsets":[0,1e999]}}'),
        "lacks its dtype",
    ),
    "a shape beyond floats": (header(b'{"x":{"dtype":"F32","shape":[1e999],"data_offsets":[0,4]}}'), "shape"),
    "a number of 5,000 digits": (header(b'{"x":' + b"9" * 5000 + b"}"), "no valid JSON"),
    "a negative side": (tensor(shape=[-1]), "shape"),
    "a side that is true": (tensor(shape=[True]), "shape"),
    "sides whose product is astronomical": (tensor(shape=[2**40] * 8), "do not fit"),
    "offsets far beyond the file": (tensor(data_offsets=[0, 2**70]), "do not fit"),
    "offsets that run backwards": (tensor(data_offsets=[4, 0]), "do not fit"),
    "tensors that overlap": (header({"x": TENSOR, "y": TENSOR}), "overlap"),
    "metadata that is a list": (header({"__metadata__": []}), "no table of texts"),
    "metadata that is a number": (header({"__metadata__": {"a": 1}}), "no table of texts"),
    "a list in place of a table": (header(b" {}")[:8] + b"{" + b"]" * 2, "no valid JSON"),
    "a name of 10,000 characters": (header({"x" * 10_000: TENSOR}), "10000 characters"),
    "more tensors than there are": (
        header({f"{n}": TENSOR | {"shape": [0], "data_offsets": [0, 0]} for n in range(100_001)}),
        "100001 tensors",
    ),
    "bytes that are no UTF-8": (header(b'{"\xff\xfe":{}}'), "no valid JSON"),
    "a pickle": (b"\x80\x04\x95" + bytes(20), "a pickle"),
    "a login page": (b"<!DOCTYPE html>", "a web page"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_header_is_refused_by_name(name: str) -> None:
    data, reason = REFUSED[name]
    with pytest.raises(HeaderError, match=reason) as caught:
        parse_header(data)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


WRITTEN = (
    "ss_sd_model_name",
    "ss_base_model_version",
    "modelspec.title",
    "modelspec.author",
    "modelspec.trigger_phrase",
    "modelspec.tags",
    "ss_training_comment",
    "ss_new_sd_model_hash",
)
HOSTILE_METADATA: dict[str, dict[str, str]] = {
    "a path that leaves its folder": {"ss_sd_model_name": "../../../../etc/passwd"},
    "a path of Windows": {"ss_sd_model_name": "C:\\Users\\jane\\model.safetensors"},
    "a repository that is a path": {"ss_sd_model_name": "../base", "modelspec.title": "a/../../b"},
    "escapes everywhere": dict.fromkeys(WRITTEN, f"x{BAD}y"),
    "escapes in keys": {BAD: "x", "ss_" + BAD: "/home/jane/x.png"},
    "escapes in tags": {"ss_tag_frequency": json.dumps({f"5_{BAD}": {f"a {BAD} b": 5}})},
    "deep tables": {"ss_datasets": "[" * 100_000, "ot_config": '{"a":' * 100_000},
    "numbers that are none": {
        "ss_dataset_dirs": '{"a": {"img_count": NaN, "n_repeats": 1e999}, "b": {"img_count": -1}}',
        "ss_steps": "1e999",
        "ss_epoch": "9" * 5000,
        "ss_network_dim": "Infinity",
        "ss_resolution": "9" * 5000,
    },
    "tables of the wrong kind": {
        "ss_dataset_dirs": '["a"]',
        "ss_tag_frequency": '{"a": [1], "b": {"c": {}}}',
        "ss_datasets": '{"subsets": 1}',
        "training_info": "7",
        "ot_config": '{"samples": {"prompt": []}, "base_model_name": [1]}',
        "lora_adapter_metadata": '{"unet.r": "x", "unet.base_model_name_or_path": 5}',
    },
    "digits of other scripts": {
        "ss_steps": "\u0661\u0662",
        "ss_sd_model_name": "\u0661\u0662\u0663.safetensors",
    },
}


def facts(metadata: dict[str, str]) -> HeaderFacts:
    return header_facts(Header(metadata, {}), {}, OBSERVE)


def safe(text: str, limit: int = MAX_PROMPT_LENGTH) -> bool:
    return text.isprintable() and len(text) <= limit and text.encode() is not None


@pytest.mark.parametrize("name", HOSTILE_METADATA)
def test_hostile_metadata_is_kept_clean(name: str) -> None:
    data = header({"__metadata__": HOSTILE_METADATA[name]})
    found = header_facts(parse_header(data), {}, OBSERVE)
    for claim in found.claims:
        assert safe(claim.detail)
        assert "/home" not in claim.detail
        assert claim.repo is None or ".." not in claim.repo.split("/")
    for prompt in found.prompts:
        assert safe(prompt.text)
        assert "jane" not in prompt.text
    assert all(safe(one.text) and safe(one.source) for one in found.observations)
    assert found.training.images is None
    assert found.training.steps is None


def spent(start: float) -> float:
    return time.process_time() - start


HUGE: dict[str, dict[str, str]] = {
    "10 MB of trigger words": {"modelspec.trigger_phrase": "word " * 2_000_000},
    "10 MB of blanks": {"modelspec.trigger_phrase": " " * 10_000_000, "ss_sd_model_name": "/" * 10_000_000},
    "10 MB of quotation marks": {"modelspec.usage_hint": '"`' * 5_000_000},
    "10 MB of almost addresses": {"ss_training_comment": "a@" * 5_000_000},
    "10 MB of almost paths": {"ss_training_comment": "/a" * 5_000_000 + "\x00"},
    "10 MB of backslashes": {"ss_training_comment": "\\\\" * 5_000_000, "modelspec.title": "\\" * 10**7},
    "a million tags": {"ss_tag_frequency": json.dumps({"1_a": {f"tag {n}": 1 for n in range(1_000_000)}})},
    "a million folders": {
        "ss_dataset_dirs": json.dumps({f"1_{n}": {"img_count": 1} for n in range(400_000)})
    },
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_metadata_takes_bounded_time(name: str) -> None:
    start = time.process_time()
    found = facts(HUGE[name])
    assert spent(start) < SECONDS
    assert all(safe(prompt.text) for prompt in found.prompts)
    assert len(found.prompts) <= 20
    assert len(found.observations) <= 200


@pytest.mark.slow
def test_the_largest_header_takes_bounded_time() -> None:
    unit = ".lora_magnitude_vector"
    names = (f"{n}{unit * 12}.a!"[:290] for n in range(70_000))
    entry = json.dumps(TENSOR | {"shape": [0], "data_offsets": [0, 0]})
    body = ",".join(f'"{name}":{entry}' for name in names)
    data = header(b"{" + body.encode()[: MAX_HEADER - 2].rpartition(b',"')[0] + b"}")
    assert len(data) > MAX_HEADER * 0.9
    start = time.process_time()
    header_facts(parse_header(data), {})
    assert spent(start) < SECONDS


def endless() -> dict[str, Any]:
    """A card with an alias of itself, as YAML can have."""
    card: dict[str, Any] = {"instance_prompt": [], "tags": []}
    for key in ("widget", "instance_prompt", "tags", "trigger_words"):
        card[key] = [card, card]
    card["robots"] = card["steps"] = card
    return card


CARDS: dict[str, Any] = {
    "a list": ["instance_prompt"],
    "a text": "instance_prompt: x",
    "nothing": None,
    "an alias of itself": endless(),
    "a prompt of 10 MB": {"instance_prompt": "a " * 5_000_000},
    "a million trigger words": {"trigger_words": ["x"] * 1_000_000},
    "a million examples": {"widget": [{"text": "x"}] * 1_000_000},
    "a card of nothing but wishes that are none": {"robots": "all", "ai": "yes", "tdm-reservation": 0},
    "escapes": {"instance_prompt": f"a{BAD}b", "widget": [{"text": BAD}], "trigger_words": f"{BAD},x"},
    "numbers": {
        "instance_prompt": 7,
        "trigger_words": [float("nan"), 10**400, None, True],
        "max_train_steps": 10**400,
        "num_images": float("inf"),
        "resolution": float("nan"),
        "robots": float("nan"),
    },
    "a path for a prompt": {"instance_prompt": "/home/jane/a.png", "trigger_words": "C:\\Users\\jane\\b"},
}


@pytest.mark.parametrize("name", CARDS)
def test_a_hostile_card(name: str) -> None:
    card = CARDS[name]
    start = time.process_time()
    found = card_prompts(card, "")
    assert all(safe(prompt.text) and "jane" not in prompt.text for prompt in found)
    assert card_training(card).images is None
    assert wishes(card, ["noise"], {}) is None
    assert spent(start) < SECONDS


TEXTS = {
    "nested marks": "`" * 1_000_000,
    "half a sentence": "weights were trained on " * 300_000,
    "half a hint": "You should use " * 500_000,
    "numbers without an end": "training steps: " + "9" * 5_000_000,
    "blanks": "resolution" + " " * 5_000_000,
    "escapes": f"Trigger words: {BAD}x{BAD}",
    "signs": "trigger" + "*" * 1_000_000 + ":",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_text_of_a_card(name: str) -> None:
    start = time.process_time()
    assert all(safe(prompt.text) for prompt in card_prompts({}, TEXTS[name]))
    card_training({}, TEXTS[name])
    assert spent(start) < SECONDS


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_keys = st.sampled_from(
    [*CARDS["an alias of itself"], "tdm-reservation", "resolution", "params", "baseModel", "samplePrompts"]
)


@given(_anything | st.dictionaries(_keys, _anything), st.text(max_size=50))
def test_no_card_raises(card: Any, text: str) -> None:
    card_prompts(card, text)
    card_training(card, text)
    wishes(card, [card, text], {"robots": text})
    details_claims(card)
    details_prompts(card)
    details_training(card)
    trigger_words(card, "words")


NAMES = {
    "path traversal": "../../../etc/passwd",
    "a path of Windows": "..\\..\\windows\\system32.safetensors",
    "an absolute path": "/etc/cron.d/x.safetensors",
    "NUL": "a\x00b.safetensors",
    "an escape": "a\x1b[2J\x1b]0;owned\x07.safetensors",
    "C1 controls": "a\x9b31m.safetensors",
    "a change of direction": "a\u202esrosnetefas.exe",
    "a lone surrogate": "a\ud83d.safetensors",
    "line breaks": "a\nBase: evil/base\r.safetensors",
    "a reserved name": "CON.safetensors",
    "blanks alone": "   ",
    "4,000 letters": "x" * 4000,
    "quotation marks": "a\"; DROP TABLE checkpoint; --'.safetensors",
    "lower case": "model.safetensors",
    "upper case": "MODEL.SAFETENSORS",
    "composed": unicodedata.normalize("NFC", "caf\u00e9.safetensors"),
    "decomposed": unicodedata.normalize("NFD", "caf\u00e9.safetensors"),
    "the kelvin sign": "\u212a.safetensors",
    "the letter k": "K.safetensors",
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A catalog in which each hostile name is a path, a title, a prompt and a claim."""
    made = Home(tmp_path / "home")
    made.prepare()
    engine = open_engine(made.database_url)
    catalog = Catalog(engine)
    catalog.create()
    rows = [
        replace(
            checkpoint(path=name),
            title=name,
            prompts=(Prompt(text=name, origin=PromptOrigin.TRIGGER_WORDS, source=name),),
            claims=(
                BaseClaim(repo=None, family=name, source=name, grade=Grade.LABEL, detail=name),
                BaseClaim(repo="me/base", family=None, source=name, grade=Grade.DECLARED, detail=name),
            ),
        )
        for name in NAMES.values()
    ]
    bad = replace(skip("a/skip", path=BAD), detail=BAD)
    listings = [listing("1"), listing("2", "a/skip"), listing("3", f"a/{BAD}", facts=BAD)]
    catalog.commit(begun(catalog, HF), "all", page(*rows, bad, listings=listings, cursor=BAD))
    engine.dispose()
    return made


def test_no_name_is_lost_or_taken_for_another(home: Home) -> None:
    engine = open_engine(home.database_url)
    found = list(Catalog(engine).checkpoints())
    engine.dispose()
    assert len({one.id for one in found}) == len({one.key for one in found}) == len(NAMES)
    kept = {one.path for one in found}
    assert NAMES["lower case"] in kept
    assert NAMES["decomposed"] in kept
    assert NAMES["an escape"] in kept, "names are kept as they are; escaping is for terminals"


@pytest.mark.parametrize("name", ["a/lora", "a/skip"])
def test_a_terminal_sees_no_control_character(
    home: Home, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", name, "--home", str(home.root)]) == 0
    told = capsys.readouterr().out
    assert all(letter.isprintable() or letter == "\n" for letter in told)
    assert not any(line.startswith("Base: evil") for line in told.splitlines())
    assert main(["explain", name, "--home", str(home.root), "--json"]) == 0
    content = capsys.readouterr().out
    assert content.isascii()
    assert json.loads(content)["checkpoints"]


def test_the_name_that_was_asked_for_is_escaped_too(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "no\x1b[31mthing", "--home", str(home.root)]) == 4
    assert "\x1b" not in capsys.readouterr().err


def test_a_checkpoint_with_half_a_character_has_a_key() -> None:
    one = checkpoint(path="a\ud83d.safetensors")
    assert len(one.key) == 16


@given(st.text())
def test_printable_text_is_what_a_terminal_may_show(text: str) -> None:
    assert printable(text).isprintable()
