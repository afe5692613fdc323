"""Rows of the Hugging Face listing as plain data: what each becomes, whatever it holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.checkpoint import Grade, Listing, Presence, Skip, SkipReason
from crawler.huggingface.listed import Facts, Listed
from crawler.huggingface.rows import MAX_FIELD, MAX_NAMED, named_bases, read_row

SHA = "a" * 40
NUMBER = "638f7ae36c25af4071044105"


def row(*paths: str, **more: Any) -> dict[str, Any]:
    siblings = [{"rfilename": path} for path in paths or ("weights.safetensors",)]
    found = {"_id": NUMBER, "id": "me/mine", "sha": SHA, "tags": [], "gated": False, "siblings": siblings}
    return found | more


def read(*paths: str, opt_out: tuple[str, ...] = (), **more: Any) -> tuple[Listing, Skip | None]:
    listing, skip = read_row(row(*paths, **more), opt_out)
    assert listing
    return listing, skip


def claims(**more: Any) -> list[tuple[str | None, str]]:
    listing, _ = read(**more)
    return [(claim.repo, claim.source) for claim in Listed.of(listing).claims]


def test_a_row_that_has_to_be_looked_into() -> None:
    listing, skip = read(
        createdAt="2023-11-09T00:34:02.000Z",
        lastModified="2026-08-19T12:34:56.000Z",
        downloads=17259,
        tags=["lora", "license:openrail++"],
        cardData={"instance_prompt": "pixel art"},
    )
    assert skip is None
    assert listing.look
    assert (listing.number, listing.repo, listing.revision) == (NUMBER, "me/mine", SHA)
    assert (listing.created_at, listing.updated_at) == (
        "2023-11-09T00:34:02.000Z",
        "2026-08-19T12:34:56.000Z",
    )
    assert (listing.downloads, listing.license) == (17259, "openrail++")
    assert listing.presence is Presence.PRESENT
    assert Facts.from_json(listing.facts) == Facts(adapter=True, card={"instance_prompt": "pixel art"})


def test_facts_hold_no_counters() -> None:
    one, _ = read(downloads=1, likes=1)
    two, _ = read(downloads=2, likes=9)
    assert one.facts == two.facts


@pytest.mark.parametrize(
    ("change", "reason", "presence"),
    [
        ({"gated": "auto"}, SkipReason.GATED, Presence.GATED),
        ({"gated": "manual"}, SkipReason.GATED, Presence.GATED),
        ({"disabled": True, "gated": "auto"}, SkipReason.DISABLED, Presence.DISABLED),
        ({"private": True}, SkipReason.UNREACHABLE, Presence.UNREACHABLE),
        ({"sha": None}, SkipReason.UNREACHABLE, Presence.PRESENT),
        ({"sha": "main"}, SkipReason.UNREACHABLE, Presence.PRESENT),
        ({"tags": None}, SkipReason.MALFORMED, Presence.PRESENT),
        ({"pipeline_tag": "text-generation"}, SkipReason.UNSUPPORTED_KIND, Presence.PRESENT),
        ({"siblings": [{"rfilename": "model.ckpt"}]}, SkipReason.PICKLE_ONLY, Presence.PRESENT),
        ({"siblings": [{"rfilename": "README.md"}]}, SkipReason.NO_WEIGHTS, Presence.PRESENT),
        ({"siblings": []}, SkipReason.NO_WEIGHTS, Presence.PRESENT),
        ({"baseModels": {"relation": "quantized"}}, SkipReason.UNSUPPORTED_KIND, Presence.PRESENT),
        ({"tags": ["diffusers:NobodyKnowsPipeline"]}, SkipReason.UNSUPPORTED_FAMILY, Presence.PRESENT),
    ],
)
def test_rows_that_need_no_look(change: dict[str, Any], reason: SkipReason, presence: Presence) -> None:
    listing, skip = read(**change)
    assert skip
    assert (skip.reason, skip.repo, listing.presence, listing.look) == (reason, "me/mine", presence, False)
    assert skip.detail


def test_a_row_left_out_for_another_reason_is_another_row() -> None:
    pickle, _ = read("model.ckpt")
    text, _ = read(pipeline_tag="text-generation")
    assert pickle.facts != text.facts


def test_without_a_list_of_files_only_a_look_tells() -> None:
    listing, skip = read(siblings=None)
    assert listing.look
    assert skip is None


@pytest.mark.parametrize("name", ["me", "ME/mine", "me/Mine"])
def test_owners_and_repositories_opt_out(name: str) -> None:
    listing, skip = read(gated="auto", opt_out=(name,))
    assert skip
    assert skip.reason is SkipReason.OPTED_OUT
    assert not listing.look


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        [],
        "text",
        {},
        {"_id": NUMBER},
        {"_id": 3, "id": "me/mine"},
        {"_id": "", "id": "me/mine"},
        {"_id": NUMBER, "id": "no-owner"},
        {"_id": NUMBER, "id": "../../etc/passwd"},
        {"_id": NUMBER, "id": "me/mine\n"},
        {"_id": NUMBER, "id": "me/mi\u202ene"},
        {"_id": NUMBER + "\x00", "id": "me/mine"},
        {"_id": NUMBER, "id": "me/" + "m" * 10_000},
    ],
)
def test_a_row_without_number_or_name_is_a_skip_that_can_be_shown(nonsense: object) -> None:
    listing, skip = read_row(nonsense, ())
    assert listing is None
    assert skip
    assert skip.reason is SkipReason.MALFORMED
    assert skip.repo.isprintable()
    assert len(skip.repo) <= 200


HOSTILE = ["\ud800", "a\x00b", "\u202egpj.exe", "x" * 10**7, "../../x", "‮", "\x1b[31m"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_cut_and_cleaned(text: str) -> None:
    listing, skip = read(
        tags=[f"license:{text}", f"base_model:{text}", "lora", text],
        cardData={"instance_prompt": text, "base_model": [text] * 1000},
        config={"peft": {"base_model_name_or_path": text}},
        baseModels={"relation": text, "models": [{"id": text}]},
        pipeline_tag="text-to-image",
        lastModified=text,
    )
    shown = [listing.license or "", listing.updated_at or "", skip.detail if skip else ""]
    assert all(one.isprintable() and len(one) < 400 for one in shown)
    assert len(listing.facts) < 20_000
    listing.facts.encode()
    assert not Listed.of(listing).claims


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_class_name_is_cut_and_cleaned(text: str) -> None:
    _, skip = read(config={"diffusers": {"_class_name": text}})
    assert skip is None or (skip.detail.isprintable() and len(skip.detail) < 400)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "sha", "tags", "siblings", "cardData", "config", "baseModels", "gated", "disabled", "private",
    "downloads", "createdAt", "lastModified", "pipeline_tag", "library_name",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_no_json_crashes_a_row(change: dict[str, Any]) -> None:
    listing, skip = read(**change)
    assert listing.look == (skip is None)
    if listing.look:
        assert Listed.of(listing).facts.to_json() == listing.facts
    else:
        assert json.loads(listing.facts) == str(skip and skip.reason)


def test_who_says_what_about_the_base() -> None:
    found = claims(
        baseModels={"relation": "adapter", "models": [{"_id": "1", "id": "a/relation"}]},
        cardData={"base_model": ["A/Relation", "https://huggingface.co/a/card", "/tmp/local", 7]},
        config={"peft": {"base_model_name_or_path": "a/config"}},
        tags=["base_model:a/card", "base_model:adapter:a/tag", "lora"],
    )
    assert found == [
        ("a/config", "adapter config"),
        ("a/relation", "hub relation"),
        ("a/card", "card"),
        ("a/tag", "tag"),
    ]
    assert claims(baseModels=None, cardData="text", tags=[3]) == []
    assert len(named_bases({"cardData": {"base_model": [f"a/b{n}" for n in range(1000)]}})) == MAX_NAMED


def test_the_family_and_grade_of_a_known_base() -> None:
    listing, _ = read(cardData={"base_model": "runwayml/stable-diffusion-v1-5"})
    (claim,) = Listed.of(listing).claims
    assert (claim.family, claim.grade) == ("sd1", Grade.DECLARED)


def test_of_a_card_only_what_tells_of_training_is_kept_and_cut() -> None:
    widget = [{"text": "x" * 10_000, "output": {"url": "a.png"}}] * 100
    card = {
        "instance_prompt": "sks",
        "resolution": 512,
        "widget": widget,
        "eval": {"a": [1]},
        "trigger": None,
    }
    listing, _ = read(cardData=card)
    assert Facts.from_json(listing.facts).card == {
        "instance_prompt": "sks",
        "resolution": 512,
        "widget": [{"text": "x" * MAX_FIELD}] * 5,
    }


@pytest.mark.parametrize(
    "said",
    [{"tags": ["lora", "NoAI"]}, {"cardData": {"tags": ["no-ai"]}}, {"cardData": {"robots": "noindex"}}],
)
def test_an_authors_wish_is_obeyed(said: dict[str, Any]) -> None:
    listing, skip = read(**said)
    assert skip
    assert skip.reason is SkipReason.OPTED_OUT
    assert not listing.look


@pytest.mark.parametrize(
    "said", [{"tags": ["lora"]}, {"baseModels": {"relation": "adapter"}}, {"library_name": "peft"}]
)
def test_adapters_are_told_by_tag_relation_or_library(said: dict[str, Any]) -> None:
    listing, _ = read(**said)
    assert Listed.of(listing).facts.adapter


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2026-08-19T12:34:56.000Z", "2026-08-19T12:34:56.000Z"),
        ("2026-08-19T12:34:56Z", "2026-08-19T12:34:56.000Z"),
        ("2026-08-19T14:34:56.789+02:00", "2026-08-19T12:34:56.789Z"),
        ("2026-08-19 12:34:56", "2026-08-19T12:34:56.000Z"),
        ("yesterday", None),
        ("0001-01-01T00:00:00+14:00", None),
        (7, None),
    ],
)
def test_times_are_written_one_way(written: object, kept: str | None) -> None:
    listing, _ = read(lastModified=written)
    assert listing.updated_at == kept
