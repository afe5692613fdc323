"""Cards, trigger words, training details, wishes and observations: what is read, and what is not."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawler.checkpoint import Grade, PromptOrigin, Training
from crawler.evidence.captions import prompts, trigger_words
from crawler.evidence.cards import card_prompts, card_training
from crawler.evidence.observations import KeepLeaks, Observer, observation_key
from crawler.evidence.training_details import details_claims, details_prompts, details_training
from crawler.evidence.training_metadata import merge_training, training
from crawler.evidence.wishes import wishes

TEXT = """
These are LoRA adaption weights for a/base. The weights were trained on a photo of sks dog using
[DreamBooth](https://dreambooth.github.io/).

## Trigger words

You should use `sks dog` to trigger the image generation.

**Trigger words:** sks, puppy

- Training steps: 1,200
- Epochs: 10
- Repeats: 5
- Resolution: 1024x768
- Network dim: 32
- Batch size: 2

The model was trained on 24 images.
"""


def texts(found: Any) -> list[tuple[str, str]]:
    return [(prompt.text, prompt.origin.value) for prompt in found]


def test_a_card_s_prompts_come_with_their_fields() -> None:
    card = {
        "instance_prompt": "a photo of sks dog",
        "widget": [{"text": "sks dog in space", "output": {"url": "1.png"}}, {"text": "-"}],
    }
    found = card_prompts(card, TEXT)
    assert texts(found) == [
        ("a photo of sks dog", "instance_prompt"),
        ("sks dog", "trigger_words"),
        ("sks, puppy", "trigger_words"),
        ("sks dog in space", "example"),
    ]
    assert {prompt.source for prompt in found} == {"card instance_prompt", "card text", "card widget"}


def test_a_card_s_text_alone_tells_the_training_prompt() -> None:
    assert texts(card_prompts({}, TEXT))[0] == ("a photo of sks dog", "instance_prompt")
    assert texts(card_prompts({}, "The weights were trained on the data set x using [DreamBooth]()")) == []


def test_a_card_s_numbers() -> None:
    found = card_training({}, TEXT)
    assert (found.steps, found.epochs, found.repeats, found.images) == (1200, 10, 5.0, 24)
    assert (found.resolution, found.rank, found.batch) == (768, 32, 2)
    assert dict(found.sources)["steps"] == "card text"
    assert found.exposure == 100
    assert card_training({"max_train_steps": 50}, TEXT).steps == 50, "a field is better than prose"


@pytest.mark.parametrize(
    "text", ["30 steps at CFG 7", "Steps: 30, Sampler: Euler", "rank 1.5", "ranks high: 3"]
)
def test_numbers_of_generation_are_none_of_training(text: str) -> None:
    assert card_training({}, text) == Training()


def test_trigger_words_together_then_apart() -> None:
    found = trigger_words(["sks", " dog, ", "", None, "/home/jane/x"], "civitai trainedWords")
    assert [prompt.text for prompt in found] == ["sks, dog", "sks", "dog"]


def test_a_dummy_table_gives_a_trigger_and_no_caption() -> None:
    found = prompts({"ss_tag_frequency": '{"1_ohwx": {"ohwx": 1}}'})
    assert texts(found) == [("ohwx", "trigger_words")]
    assert "dummy" in found[0].source


def test_hints_of_the_metadata_standard() -> None:
    found = prompts(
        {
            "modelspec.trigger_phrase": "sks style",
            "modelspec.usage_hint": "Put `sks` first, strength 0.8",
            "modelspec.tags": "anime, style",
            "ot_config": '{"samples": [{"prompt": "a cat"}, {"prompt": "/home/jane/cat"}]}',
        }
    )
    assert texts(found) == [
        ("sks style", "trigger_words"),
        ("sks", "trigger_words"),
        ("a cat", "example"),
        ("anime, style", "name"),
    ]


def test_each_tool_s_numbers() -> None:
    assert training({"lora_adapter_metadata": '{"unet.r": 8, "text_encoder.r": 4}'}).rank == 8
    config = {"epochs": 20, "batch_size": 4, "gradient_accumulation_steps": 2, "lora_rank": 16}
    found = training({"ot_config": json.dumps(config | {"resolution": "512"})})
    assert (found.epochs, found.batch, found.rank, found.resolution) == (20, 8, 16, 512)
    assert {source for _, source in found.sources} == {"header ot_config"}


def test_exposure_by_epochs_where_steps_are_not_known() -> None:
    folders = '{"10_sks": {"n_repeats": 10, "img_count": 5}, "2_more": {"n_repeats": 2, "img_count": 15}}'
    found = training({"ss_dataset_dirs": folders, "ss_num_epochs": "5", "ss_num_train_images": "80"})
    assert (found.images, found.repeats, found.exposure) == (20, 4.0, 20.0)
    assert replace(found, steps=40).exposure == 20.0, "without a batch, steps tell less than epochs"
    assert replace(found, steps=40, batch=2).exposure == 4.0


def test_of_two_who_tell_the_first_is_believed() -> None:
    header = training({"ss_steps": "100"})
    merged = merge_training(header, card_training({"num_images": 7, "max_train_steps": 50}))
    assert (merged.steps, merged.images) == (100, 7)
    assert dict(merged.sources) == {"steps": "header ss_steps", "images": "card num_images"}


DETAILS = {
    "baseModel": "urn:air:sdxl:checkpoint:civitai:257749@290640",
    "type": "Character",
    "params": {"maxTrainEpochs": 10, "numRepeats": 5, "targetSteps": 1000, "networkDim": 32},
    "samplePrompts": ["sks girl", "", None],
}


def test_the_details_of_the_on_site_trainer() -> None:
    [claim] = details_claims(DETAILS)
    assert (claim.civitai_version, claim.repo, claim.grade) == ("290640", None, Grade.LOADED)
    found = details_training(DETAILS)
    assert (found.steps, found.epochs, found.repeats, found.rank) == (1000, 10, 5.0, 32)
    assert found.purpose == "character"
    [prompt] = details_prompts(DETAILS)
    assert (prompt.text, prompt.origin) == ("sks girl", PromptOrigin.EXAMPLE)


def test_a_short_name_tells_the_family_only() -> None:
    [claim] = details_claims({"baseModel": "anime"})
    assert (claim.family, claim.repo, claim.grade) == ("sd1", None, Grade.LABEL)
    assert details_claims({"baseModel": "new_thing"}) == ()


@pytest.mark.parametrize(
    ("card", "tags", "metadata"),
    [
        ({}, ["lora", "NoAI"], {}),
        ({}, ["no-image-ai"], {}),
        ({}, ["do not scan"], {}),
        ({"tags": ["noai"]}, [], {}),
        ({"robots": "noindex, nofollow"}, [], {}),
        ({"robots": ["none"]}, [], {}),
        ({"ai": False}, [], {}),
        ({"tdm-reservation": 1}, [], {}),
        ({"X_Robots_Tag": "noai"}, [], {}),
        ({}, [], {"modelspec.robots": "noai"}),
    ],
)
def test_a_wish_is_heard(card: Any, tags: list[str], metadata: dict[str, str]) -> None:
    said = wishes(card, tags, metadata)
    assert said is not None
    assert "asks not to be processed" in said


@pytest.mark.parametrize(
    ("card", "tags"),
    [
        ({"robots": "all"}, ["lora"]),
        ({"robots": "index, nofollow"}, []),
        ({"tdm-reservation": 0, "ai": True}, []),
        ({"description": "noai"}, ["piano-ai", "casino-ai", "noai-free"]),
    ],
)
def test_what_is_no_wish(card: Any, tags: list[str]) -> None:
    assert wishes(card, tags, {}) is None


LEAKY = {
    "ss_sd_model_name": "/home/jane/models/base.safetensors",
    "ss_session_id": "12345",
    "ss_training_comment": "for jane@example.org, from C:\\Users\\jane\\pics and \\\\NAS01\\share\\x",
    "ss_dataset_dirs": '{"10_jane doe": {"n_repeats": 10, "img_count": 5}}',
    "modelspec.title": "see https://example.org/a/b and and/or",
}


def observed(keep: KeepLeaks, key: bytes = b"k" * 32) -> Any:
    return Observer(key, keep)(LEAKY)


def test_what_a_header_gives_away_is_kept_as_keyed_hashes() -> None:
    found = observed(KeepLeaks.HASHED)
    assert {one.what for one in found} == {
        "path",
        "user name",
        "machine name",
        "e-mail address",
        "session",
        "comment",
        "subject",
    }
    assert all(one.text == "" and len(one.digest) == 32 for one in found)
    assert "jane" not in repr(found)
    assert {one.source for one in found if one.what == "subject"} == {"ss_dataset_dirs"}
    assert not [one for one in found if one.source == "modelspec.title"], "addresses of pages are no paths"


def test_the_same_text_has_the_same_digest_in_one_home_only() -> None:
    users = {one.digest for one in observed(KeepLeaks.HASHED) if one.what == "user name"}
    assert len(users) == 1
    assert users != {one.digest for one in observed(KeepLeaks.HASHED, b"q" * 32) if one.what == "user name"}


def test_plain_and_nothing() -> None:
    assert "jane doe" in [one.text for one in observed(KeepLeaks.PLAIN)]
    assert observed(KeepLeaks.NOTHING) == ()


def test_the_key_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "observations.key"
    key = observation_key(path)
    assert observation_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match="no key of 32 bytes; move it away"):
        observation_key(path)
    with pytest.raises(ValueError, match="16 to 64"):
        Observer(b"short")
