"""Rows of the Hugging Face listing and file lists of repositories, as plain data."""

from __future__ import annotations

from typing import Any

import pytest

from crawler.checkpoint import Grade, Kind, Layout, RemoteFile, Skip, SkipReason
from crawler.huggingface.folder import folder_files, weights_bytes
from crawler.huggingface.rows import Candidate, Listed, base_claims, candidates, prompts, read_row

SHA = "a" * 40
FOLDER = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)


def row(*paths: str, **more: Any) -> dict[str, Any]:
    siblings = [{"rfilename": path} for path in paths or ("weights.safetensors",)]
    return {"id": "me/mine", "sha": SHA, "tags": [], "gated": False, "siblings": siblings} | more


def listed(**more: Any) -> Listed:
    found = read_row(row(**more), ())
    assert isinstance(found, Listed)
    return found


def files(*paths: str, size: int = 100, **sizes: int) -> dict[str, RemoteFile]:
    return {path: RemoteFile(path=path, url=f"https://hub/{path}", size=size, sha256=None) for path in paths}


def found(*paths: str, limit: int = 1000, **more: Any) -> list[Candidate | Skip]:
    return list(candidates(listed(**more), files(*paths), limit))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gated": "auto"}, SkipReason.GATED),
        ({"gated": "manual"}, SkipReason.GATED),
        ({"disabled": True, "gated": "auto"}, SkipReason.DISABLED),
        ({"private": True}, SkipReason.UNREACHABLE),
        ({"sha": None}, SkipReason.UNREACHABLE),
        ({"pipeline_tag": "text-generation"}, SkipReason.UNSUPPORTED_KIND),
        ({"siblings": [{"rfilename": "model.ckpt"}]}, SkipReason.PICKLE_ONLY),
        ({"siblings": [{"rfilename": "README.md"}]}, SkipReason.NO_WEIGHTS),
        ({"siblings": None}, SkipReason.NO_WEIGHTS),
        ({"baseModels": {"relation": "quantized", "models": []}}, SkipReason.UNSUPPORTED_KIND),
        ({"id": "no-owner"}, SkipReason.MALFORMED),
        ({"id": "../../etc/passwd"}, SkipReason.MALFORMED),
        ({"tags": None}, SkipReason.MALFORMED),
    ],
)
def test_rows_that_need_no_further_request(change: dict[str, Any], reason: SkipReason) -> None:
    skip = read_row(row(**change), ())
    assert isinstance(skip, Skip)
    assert skip.reason is reason
    assert skip.detail


@pytest.mark.parametrize("name", ["me", "ME/mine", "me/Mine"])
def test_owners_and_repositories_opt_out(name: str) -> None:
    skip = read_row(row(gated="auto"), (name,))
    assert isinstance(skip, Skip)
    assert skip.reason is SkipReason.OPTED_OUT


@pytest.mark.parametrize("nonsense", [None, [], "text", {}, {"id": 3, "tags": []}])
def test_nonsense_is_a_row_too(nonsense: object) -> None:
    skip = read_row(nonsense, ())
    assert isinstance(skip, Skip)
    assert skip.reason is SkipReason.MALFORMED


@pytest.mark.parametrize(
    ("change", "family"),
    [
        ({"config": {"diffusers": {"_class_name": "StableDiffusionXLPipeline"}}}, "sdxl"),
        ({"config": {"diffusers": {"class_name": "FluxPipeline"}}}, "flux"),
        ({"tags": ["diffusers:StableDiffusion3Pipeline"]}, "sd3"),
        ({"tags": ["diffusers:NobodyKnowsPipeline"]}, "unknown"),
    ],
)
def test_other_pipelines_are_named(change: dict[str, Any], family: str) -> None:
    skip = read_row(row(**change), ())
    assert isinstance(skip, Skip)
    assert (skip.reason, skip.family) == (SkipReason.UNSUPPORTED_FAMILY, family)


def test_who_says_what_about_the_base() -> None:
    claims = base_claims(
        {
            "baseModels": {"relation": "adapter", "models": [{"_id": "1", "id": "a/relation"}]},
            "cardData": {"base_model": ["A/Relation", "https://huggingface.co/a/card", "/tmp/local", 7]},
            "config": {"peft": {"base_model_name_or_path": "a/config"}},
            "tags": ["base_model:a/card", "base_model:adapter:a/tag", "lora"],
        }
    )
    assert [(claim.repo, claim.source) for claim in claims] == [
        ("a/config", "adapter config"),
        ("a/relation", "hub relation"),
        ("a/card", "card"),
        ("a/tag", "tag"),
    ]
    assert {claim.grade for claim in claims} == {Grade.DECLARED}
    assert base_claims({"baseModels": None, "cardData": "text", "tags": [3]}) == ()


def test_the_family_of_a_known_base() -> None:
    (claim,) = base_claims({"cardData": {"base_model": "runwayml/stable-diffusion-v1-5"}})
    assert claim.family == "sd1"


def test_instance_prompts() -> None:
    (prompt,) = prompts({"cardData": {"instance_prompt": " a photo of\nsks dog "}})
    assert prompt.text == "a photo of sks dog"
    assert len(prompts({"cardData": {"instance_prompt": ["a", "b", None, ""]}})) == 2
    assert prompts({"cardData": None}) == ()


def test_a_folder_is_one_candidate_and_its_copies_are_none() -> None:
    (folder,) = found(*FOLDER, "v1-5-pruned.safetensors", "safety_checker/model.safetensors", "model.ckpt")
    assert isinstance(folder, Candidate)
    assert (folder.path, folder.layout, folder.kind) == ("", Layout.FOLDER, Kind.FULL)
    assert sorted(file.path for file in folder.files) == sorted(FOLDER)


def test_an_adapter_beside_a_folder_is_another_candidate() -> None:
    everything = files(*FOLDER) | files("pytorch_lora_weights.safetensors", size=10)
    _, adapter = candidates(listed(), everything, 1000)
    assert isinstance(adapter, Candidate)
    assert (adapter.path, adapter.kind) == ("pytorch_lora_weights.safetensors", Kind.LORA)


def test_half_precision_is_taken_only_where_there_is_nothing_else() -> None:
    half = [path.replace(".safetensors", ".fp16.safetensors") for path in FOLDER]
    both = folder_files(files(*FOLDER, *half))
    assert not isinstance(both, SkipReason)
    assert not [file for file in both if "fp16" in file.path]
    alone = folder_files(files(*half))
    assert not isinstance(alone, SkipReason)
    assert sum("fp16" in file.path for file in alone) == 3


def test_sharded_weights_come_with_their_index() -> None:
    parts = [f"unet/diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = "unet/diffusion_pytorch_model.safetensors.index.json"
    rest = [path for path in FOLDER if path != "unet/diffusion_pytorch_model.safetensors"]
    needed = folder_files(files(*rest, *parts, index))
    assert not isinstance(needed, SkipReason)
    assert {*parts, index} <= {file.path for file in needed}
    assert weights_bytes(needed) == 200


@pytest.mark.parametrize(
    ("component", "reason"), [("unet", SkipReason.PICKLE_ONLY), ("vae", SkipReason.NO_WEIGHTS)]
)
def test_a_folder_without_a_component(component: str, reason: SkipReason) -> None:
    rest = [path for path in FOLDER if not path.startswith(f"{component}/")]
    (skip,) = found(*rest, "unet/diffusion_pytorch_model.bin")
    assert isinstance(skip, Skip)
    assert skip.reason is reason


def test_several_adapters_in_one_repository() -> None:
    one, two = found("style_lora.safetensors", "checkpoint-500/pytorch_lora_weights.safetensors", "README.md")
    assert isinstance(one, Candidate)
    assert isinstance(two, Candidate)
    assert (one.kind, two.kind) == (Kind.LORA, Kind.LORA)


def test_only_a_header_can_tell_an_unmarked_file() -> None:
    (open_question,) = found("weights.safetensors")
    assert isinstance(open_question, Candidate)
    assert open_question.kind is None
    (tagged,) = found("weights.safetensors", tags=["lora"])
    assert isinstance(tagged, Candidate)
    assert tagged.kind is Kind.LORA
    (related,) = found("weights.safetensors", baseModels={"relation": "adapter", "models": []})
    assert isinstance(related, Candidate)
    assert related.kind is Kind.LORA


def test_a_peft_folder_brings_its_config() -> None:
    (adapter,) = found("adapter_model.safetensors", "adapter_config.json")
    assert isinstance(adapter, Candidate)
    assert [file.path for file in adapter.files] == ["adapter_model.safetensors", "adapter_config.json"]


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (("learned_embeds.safetensors",), SkipReason.UNSUPPORTED_KIND),
        (("unet/diffusion_pytorch_model.safetensors",), SkipReason.NO_WEIGHTS),
        (("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"), SkipReason.NO_WEIGHTS),
    ],
)
def test_files_that_are_no_checkpoints(paths: tuple[str, ...], reason: SkipReason) -> None:
    (skip,) = found(*paths)
    assert isinstance(skip, Skip)
    assert skip.reason is reason


def test_limits() -> None:
    (skip,) = found("weights.safetensors", limit=99)
    assert isinstance(skip, Skip)
    assert skip.reason is SkipReason.TOO_LARGE
    assert "max_file_bytes" in skip.detail
    many = found(*(f"{n:03}.safetensors" for n in range(60)))
    assert sum(isinstance(one, Candidate) for one in many) == 50
    assert isinstance(many[-1], Skip)
