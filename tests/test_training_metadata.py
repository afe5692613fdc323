"""Training metadata: captions, set sizes and bases, told from defaults, dummies and nonsense."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.checkpoint import Grade, PromptOrigin, Training
from crawler.evidence import base_metadata, captions, plain_text, training_metadata

SD15 = "6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa"


def kohya(tags: dict[str, dict[str, int]], dirs: dict[str, int] | None = None, **more: Any) -> dict[str, str]:
    """Metadata as sd-scripts writes it: tables as JSON texts."""
    folders = {name: {"n_repeats": 10, "img_count": count} for name, count in (dirs or {}).items()}
    tables = {"ss_tag_frequency": tags} | ({"ss_dataset_dirs": folders} if dirs else {})
    return {name: json.dumps(table) for name, table in tables.items()} | more


def texts(header: dict[str, str]) -> list[str]:
    return [prompt.text for prompt in captions.prompts(header)]


def test_captions_without_commas_are_whole() -> None:
    header = kohya({"10_sks dog": {"a dog on a beach": 2, "a dog": 3}}, {"10_sks dog": 5})
    assert texts(header) == ["a dog", "a dog on a beach", "sks dog"]
    assert {prompt.origin for prompt in captions.prompts(header)} == {PromptOrigin.KOHYA_TAGS}


def test_of_tags_those_that_most_pictures_have_stand_for_the_caption() -> None:
    header = kohya({"10_sks": {" black hair": 8, "sks": 10, "smile": 2}}, {"10_sks": 10})
    assert texts(header) == ["sks, black hair", "sks"]


def test_without_a_count_of_pictures_sentences_are_captions() -> None:
    assert texts(kohya({"total": {"a man sits on a chair": 1, "a man walks in the rain": 2}}))[0].endswith(
        "rain"
    )
    assert texts(kohya({"total": {"1girl": 9, "solo": 5, "hat": 1}})) == ["1girl, solo"]


def test_regularisation_folders_are_left_out() -> None:
    header = kohya({"1_dog": {"dog": 100}, "5_sks": {"sks": 4}}, {"5_sks": 4})
    header["ss_reg_dataset_dirs"] = json.dumps({"1_dog": {"n_repeats": 1, "img_count": 100}})
    assert texts(header) == ["sks"]
    assert training_metadata.training(header).images == 4


def test_a_table_with_one_entry_counted_once_is_a_dummy_unless_its_folder_is_known() -> None:
    assert texts(kohya({"1_trigger": {"trigger": 1}})) == []
    assert texts(kohya({"1_trigger": {"trigger": 1}}, {"1_trigger": 1})) == ["trigger"]


def test_the_data_set_list_serves_where_there_are_no_folders() -> None:
    subsets = [
        {"img_count": 102, "num_repeats": 2, "image_dir": "img", "is_reg": False},
        {"img_count": 50, "num_repeats": 1, "image_dir": "reg", "is_reg": True},
    ]
    tables = {"img": {"hat": 100, "smile": 60}, "reg": {"person": 50}}
    header = {"ss_datasets": json.dumps([{"subsets": subsets, "tag_frequency": tables}])}
    known = training_metadata.training(header)
    assert (known.images, known.repeats, known.exposure) == (102, 2.0, None)
    assert texts(header) == ["hat, smile"]


def test_the_size_of_a_training() -> None:
    header = kohya(
        {}, {"10_a": 3, "2_b": 4}, ss_num_train_images="38", ss_steps="444", ss_max_train_steps="740"
    )
    header["ss_resolution"] = "(713, 891)"
    known = training_metadata.training(header)
    assert (known.images, known.steps, known.resolution, known.repeats) == (7, 444, 713, 10.0)
    assert known.exposure == 444 / 7
    assert dict(known.sources) == {
        "images": "header ss_dataset_dirs",
        "steps": "header ss_steps",
        "repeats": "header ss_dataset_dirs",
        "resolution": "header ss_resolution",
    }
    assert training_metadata.training({"training_info": '{"step": 290, "epoch": 0}'}).steps == 290
    assert training_metadata.training({"modelspec.resolution": "1024x1024"}).resolution == 1024
    assert training_metadata.training({"ss_resolution": "None", "ss_steps": "None"}) == Training()


def test_prompts_are_one_line_short_and_few() -> None:
    header = kohya(
        {"1_a": {"b\x00c\n d" + "x" * 600: 1, **{f"caption {n}": 1 for n in range(20)}}}, {"1_a": 50}
    )
    found = texts(header)
    assert len(found) == captions.MAX_PROMPTS
    assert found[0].startswith("bc d")
    assert max(map(len, found)) == plain_text.MAX_PROMPT_LENGTH


def test_a_known_digest_is_the_best_claim() -> None:
    header = {
        "ss_new_sd_model_hash": SD15.upper(),
        "ss_sd_model_name": "me/base",
        "ss_base_model_version": "sd_v1",
    }
    claims = base_metadata.base_claims(header, {})
    assert [(claim.repo, claim.grade) for claim in claims] == [
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", Grade.DIGEST),
        ("me/base", Grade.LOADED),
        (None, Grade.LABEL),
    ]
    assert [claim.family for claim in claims] == ["sd1", None, "sd1"]


def test_an_unknown_digest_is_kept_for_a_later_lookup() -> None:
    header = {"ss_new_sd_model_hash": "ab" * 32}
    assert base_metadata.base_digest(header) == "ab" * 32
    (unknown,) = base_metadata.base_claims(header, {})
    assert (unknown.repo, unknown.digest, unknown.grade) == (None, "ab" * 32, Grade.DIGEST)
    (claim,) = base_metadata.base_claims(header, {"ab" * 32: "zoo/base"})
    assert (claim.repo, claim.source, claim.grade) == ("zoo/base", "header digest", Grade.DIGEST)


@pytest.mark.parametrize(
    "digest", ["", "NOFILE", "32a419ca", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]
)
def test_what_is_no_digest_of_a_base(digest: str) -> None:
    assert base_metadata.base_digest({"ss_new_sd_model_hash": digest}) is None


def test_a_published_file_name_is_declared_and_a_path_is_nothing() -> None:
    (claim,) = base_metadata.base_claims({"ss_sd_model_name": "v1-5-pruned-emaonly.safetensors"}, {})
    assert (claim.family, claim.grade) == ("sd1", Grade.DECLARED)
    assert base_metadata.base_claims({"ss_sd_model_name": "/home/me/model.ckpt"}, {}) == ()


@pytest.mark.parametrize(
    ("header", "family"),
    [
        ({"ss_base_model_version": "sd_v1"}, "sd1"),
        ({"ss_v2": "True"}, "sd2"),
        ({"ss_v2": "False"}, "sd1"),
        ({"ss_v2": "False", "ss_base_model_version": "sdxl_base_v1-0"}, "sdxl"),
        ({"ss_base_model_version": "sd_1.5", "software": '{"name": "ai-toolkit"}'}, None),
        ({"ss_base_model_version": "flux1", "software": '{"name": "ai-toolkit"}'}, "flux"),
        ({"modelspec.architecture": "stable-diffusion-v2-512/lora"}, "sd2"),
        ({"ot_config": json.dumps({"model_type": "STABLE_DIFFUSION_15"})}, "sd1"),
        ({"ot_config": "{nonsense"}, None),
        ({}, None),
    ],
)
def test_families(header: dict[str, str], family: str | None) -> None:
    assert base_metadata.family(header) == family


def test_the_base_of_onetrainer_stands_in_its_config() -> None:
    header = {"ot_config": json.dumps({"base_model_name": "me/base", "model_type": "STABLE_DIFFUSION_15"})}
    loaded, label = base_metadata.base_claims(header, {})
    assert (loaded.repo, loaded.family, loaded.grade) == ("me/base", None, Grade.LOADED)
    assert (label.family, label.grade) == ("sd1", Grade.LABEL)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_KEYS = [
    "ss_tag_frequency",
    "ss_dataset_dirs",
    "ss_reg_dataset_dirs",
    "ss_datasets",
    "ot_config",
    "training_info",
]


@given(st.dictionaries(st.sampled_from(_KEYS), _ANY.map(json.dumps) | st.text(max_size=20)))
def test_no_metadata_raises(header: dict[str, str]) -> None:
    captions.prompts(header)
    training_metadata.training(header)
    base_metadata.base_claims(header, {})
