"""Families: every hub's and tool's words for a model lead to one name, and only to one."""

from __future__ import annotations

from collections import Counter

import pytest

from crawler.evidence import families
from crawler.evidence.family_table import FAMILIES
from crawler.huggingface.folder import COMPARED, folder_family
from extraction.families import LOADERS

XL = {"addition_embed_type": "text_time"}


def test_which_families_are_scannable() -> None:
    scanned = ["sd1", "sd2", "sdxl", "sd3", "flux", "qwen-image", "z-image"]
    assert [family.name for family in FAMILIES if families.scannable(family.name)] == scanned
    assert not families.scannable(families.UNKNOWN)
    assert not families.scannable(None)


def test_they_are_the_loaders_families() -> None:
    ours = {name for family in FAMILIES if family.scannable for name in family.pipelines}
    assert ours | set(families.AMBIGUOUS_PIPELINES) == set(LOADERS)
    assert {family.name for family in FAMILIES if family.scannable} == set(COMPARED)


def test_what_a_skip_says_of_the_others() -> None:
    assert families.without_loader("wan") == "wan (video): no loader for this family"
    assert families.without_loader("kolors") == "kolors: no loader for this family"
    assert families.family_of_label("Sora 2") == "closed video"
    assert families.family_of_pipeline("FluxFillPipeline") == "inpainting"


def test_no_word_belongs_to_two_families() -> None:
    for column in ("bases", "labels", "pipelines", "denoisers", "kohya", "modelspec", "onetrainer"):
        words = Counter(word for family in FAMILIES for word in getattr(family, column) or ())
        assert [word for word, count in words.items() if count > 1] == []


@pytest.mark.parametrize(
    ("label", "family"),
    [
        ("SD 1.5", "sd1"),
        ("SD 1.5 LCM", "sd1"),
        ("SD 2.1 768", "sd2"),
        ("Pony", "sdxl"),
        ("Illustrious", "sdxl"),
        ("Flux.1 D", "flux"),
        ("Something New", families.UNKNOWN),
    ],
)
def test_civitai_labels(label: str, family: str) -> None:
    assert families.family_of_label(label) == family


def test_a_label_without_a_certain_base_names_none() -> None:
    assert families.base_of_label("SD 1.5", {}) == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert families.base_of_label("Pony", {}) is None
    assert families.base_of_label("Something New", {}) is None


def test_the_operators_bases_come_first_and_leave_the_family_alone() -> None:
    bases = {"SD 1.5": "zoo/tiny-base", "a" * 64: "zoo/tiny-base"}
    assert families.base_of_label("SD 1.5", bases) == "zoo/tiny-base"
    assert families.family_of_label("SD 1.5") == "sd1"
    assert families.base_of_digest("a" * 64, bases) == "zoo/tiny-base"


@pytest.mark.parametrize(
    ("version", "family"),
    [
        ("sd_v1", "sd1"),
        ("sd_v2_v", "sd2"),
        ("sdxl_base_v1-0", "sdxl"),
        ("sd3-m", "sd3"),
        ("flux1", "flux"),
        ("flux2", "flux2"),
        ("zimage", "z-image"),
        ("hunyuan-image-2.1", "hunyuan-image"),
        ("wan2.2", "wan"),
        ("something", None),
        ("", None),
    ],
)
def test_kohya_versions_match_by_their_longest_beginning(version: str, family: str | None) -> None:
    assert families.family_of_kohya(version) == family


def test_modelspec_and_onetrainer() -> None:
    assert families.family_of_modelspec("stable-diffusion-v1/lora") == "sd1"
    assert families.family_of_modelspec("stable-diffusion-v2-768-v") == "sd2"
    assert families.family_of_modelspec("stable-diffusion-xl-v1-base/lora") == "sdxl"
    assert families.family_of_modelspec("Flux.1-dev/lora") == "flux"
    assert families.family_of_onetrainer("STABLE_DIFFUSION_XL_10_BASE") == "sdxl"
    assert families.family_of_onetrainer("STABLE_DIFFUSION_15_INPAINTING") == "inpainting"


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"cross_attention_dim": 768}, "sd1"),
        ({"cross_attention_dim": 64, "in_channels": 8, "out_channels": 8}, "sd1"),
        ({"cross_attention_dim": 1024, "use_linear_projection": True}, "sd2"),
        ({"cross_attention_dim": 32, "use_linear_projection": True}, "sd2"),
        ({"cross_attention_dim": 2048, "addition_embed_type": "text_time"}, "sdxl"),
        ({"cross_attention_dim": 1280, "addition_embed_type": "text_time"}, "sdxl-refiner"),
        ({"cross_attention_dim": 2048, "encoder_hid_dim_type": "text_proj"}, "kolors"),
        ({"cross_attention_dim": 1024, "class_embed_type": "projection"}, "sd2-unclip"),
        ({"cross_attention_dim": 1024, "class_embed_type": "timestep"}, None),
        ({"cross_attention_dim": 768, "in_channels": 9, "out_channels": 4}, "inpainting"),
        ({"cross_attention_dim": 768, "in_channels": 8, "out_channels": 4}, "editing"),
        ({"_class_name": "FluxTransformer2DModel", "in_channels": 64, "out_channels": None}, "flux"),
        ({"_class_name": "FluxTransformer2DModel", "in_channels": 384, "out_channels": 64}, "editing"),
        ({"_class_name": "QwenImageTransformer2DModel", "in_channels": 64, "out_channels": 16}, "qwen-image"),
        ({"_class_name": "WanTransformer3DModel"}, "wan"),
        ({"_class_name": "SomethingNew"}, None),
        ({}, None),
    ],
)
def test_a_config_tells_its_family(config: dict[str, object], family: str | None) -> None:
    assert families.family_of_pipeline("StableDiffusionPipeline") is None
    assert families.family_of_denoiser(config) == family


@pytest.mark.parametrize(
    ("pipeline", "config", "family"),
    [
        ("StableDiffusionPipeline", {"cross_attention_dim": 768}, "sd1"),
        ("StableDiffusionPipeline", {}, None),
        (None, {"_class_name": "SD3Transformer2DModel"}, "sd3"),
        ("StableDiffusionXLPipeline", {}, "sdxl"),
        ("StableDiffusionXLImg2ImgPipeline", XL | {"cross_attention_dim": 1280}, "sdxl-refiner"),
        ("FluxPipeline", {"_class_name": "FluxTransformer2DModel"}, "flux"),
        ("KolorsPipeline", XL | {"cross_attention_dim": 2048}, "kolors"),
        ("SomethingNewPipeline", {"cross_attention_dim": 768}, None),
        ("None", {"cross_attention_dim": 768}, None),
    ],
)
def test_a_folders_family(pipeline: str | None, config: dict[str, object], family: str | None) -> None:
    assert folder_family(pipeline, config) == family


@pytest.mark.parametrize(
    ("text", "repo"),
    [
        ("runwayml/stable-diffusion-v1-5", "runwayml/stable-diffusion-v1-5"),
        ("https://huggingface.co/a/b", "a/b"),
        ("https://huggingface.co/a/b/tree/main", "a/b"),
        ("hf.co/a/b/", "a/b"),
        ("/home/me/models/base", None),
        ("models/base.safetensors", None),
        ("./a/b", None),
        ("../b", None),
        ("stable diffusion", None),
        ("gpt2", None),
        ("a/b\n", "a/b"),
        ("a/b?token=x", None),
        (None, None),
        (["a/b"], None),
    ],
)
def test_repository_names_are_told_from_paths_and_prose(text: object, repo: str | None) -> None:
    assert families.repo_name(text) == repo


def test_published_files_are_known_by_name_and_digest() -> None:
    digest = "6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa"
    assert families.base_of_file_name("C:\\models\\v1-5-pruned-emaonly.ckpt") == families.base_of_digest(
        digest, {}
    )
    assert families.base_of_file_name("v1-5-pruned-emaonly-mine.ckpt") is None
    assert families.family_of_repo("RunwayML/Stable-Diffusion-v1-5") == "sd1"
