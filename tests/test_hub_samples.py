"""Real recorded answers and headers of both hubs, parsed; the folder is not part of this repository.

LEAKSWEEP_HUB_SAMPLES=.../hub-samples pytest -m samples tests/test_hub_samples.py
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fakes_samples import sample_folder

from crawler.checkpoint import Checkpoint, Skip, SkipReason
from crawler.civitai.rows import read_model
from crawler.evidence import base_metadata, captions, training_metadata
from crawler.evidence.headers import TensorInfo
from crawler.evidence.tensor_names import families_of, kind_name
from crawler.settings import CrawlerSettings

pytestmark = pytest.mark.samples

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SITE = "https://civitai.com"


@pytest.fixture
def samples() -> Path:
    return sample_folder()


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def civitai(path: Path) -> list[Checkpoint | Skip]:
    content = load(path)
    models = content.get("items") or [content]
    return [row for model in models for row in read_model(model, CrawlerSettings(), SITE, NOW)]


def test_every_civitai_item_becomes_rows(samples: Path) -> None:
    files = sorted((samples / "civitai").glob("*-list-item-*.json")) + sorted(
        (samples / "civitai").glob("*page*")
    )
    assert len(files) == 14
    rows = {file.name: civitai(file) for file in files}
    assert all(rows.values())
    found = [row for some in rows.values() for row in some]
    assert not [row for row in found if isinstance(row, Skip) and row.reason is SkipReason.MALFORMED]
    for row in found:
        if isinstance(row, Checkpoint):
            (file,) = row.files
            assert file.url.startswith(f"{SITE}/api/download/models/{row.revision}?fileId=")
            assert file.path.endswith(".safetensors")
            assert file.size
            assert file.size > 30_000_000
            assert file.sha256
            assert len(file.sha256) == 64
            assert row.family == "sd1"
            assert row.base
            assert row.base.repo == "stable-diffusion-v1-5/stable-diffusion-v1-5"


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("2023-list-item-aesthetic-gradient-no-versions", [SkipReason.NO_WEIGHTS]),
        ("2023-list-item-checkpoint-archived", [SkipReason.ARCHIVED] * 3),
        ("2023-list-item-checkpoint-pickle-danger", [SkipReason.PICKLE_ONLY]),
        ("2023-list-item-checkpoint-poi-true", [SkipReason.UNREACHABLE]),
        ("2023-list-item-checkpoint-training-data-size0", [SkipReason.PICKLE_ONLY] * 2),
        ("2023-list-item-lora-taken-down", [SkipReason.TAKEN_DOWN] * 2),
        ("2023-list-item-hypernetwork-plain", [SkipReason.UNSUPPORTED_KIND]),
        ("2023-list-item-textualinversion-plain", [SkipReason.PICKLE_ONLY]),
        ("2026-08-models-page-krea2", [SkipReason.UNSUPPORTED_FAMILY]),
    ],
)
def test_civitai_skips(samples: Path, name: str, reasons: list[SkipReason]) -> None:
    rows = civitai(samples / "civitai" / f"{name}.json")
    assert [row.reason for row in rows if isinstance(row, Skip)] == reasons
    assert len(rows) == len(reasons)


def test_the_primary_of_two_builds_with_one_name(samples: Path) -> None:
    version = load(samples / "civitai/2026-version-501240-two-builds-one-name.json")
    model = {"id": version["modelId"], **version["model"], "modelVersions": [version]}
    (row,) = read_model(model, CrawlerSettings(), SITE, NOW)
    assert isinstance(row, Checkpoint)
    assert row.files[0].url == f"{SITE}/api/download/models/501240?fileId=418901"
    assert row.files[0].sha256 == "f47e942ad4c30d863ad7f53cb60145ffcd2118845dfa705ce8bd6b42e90c4a13"
    assert row.files[0].size == 2_132_625_894


def test_a_version_of_2023(samples: Path) -> None:
    version = load(samples / "civitai/2023-12-model-version-242807.json")
    (row,) = read_model({"id": 1, "type": "LORA", "modelVersions": [version]}, CrawlerSettings(), SITE, NOW)
    assert isinstance(row, Checkpoint)
    assert row.family == "sdxl"


def test_trigger_words_and_inpainting(samples: Path) -> None:
    first, second = civitai(samples / "civitai/2025-models-page-lora.json")
    assert isinstance(first, Checkpoint)
    assert isinstance(second, Checkpoint)
    assert [prompt.text for prompt in second.prompts] == ["vsk, vskdress", "vsk", "vskdress"]
    page = civitai(samples / "civitai/2024-models-page-checkpoints.json")
    inpainting = [row.revision for row in page if isinstance(row, Skip) and "Inpainting" in row.detail]
    assert inpainting == ["221343", "120702"]


def test_every_header_tells_what_is_known_of_it(samples: Path) -> None:
    folder = samples / "headers"
    whole = load(folder / "kohya-sd15-whole-captions.json")
    assert training_metadata.training(whole).images == 110
    assert training_metadata.training(whole).steps == 5500
    assert base_metadata.family(whole) == "sd1"
    assert captions.prompts(whole)[0].text == "a woman with long hair standing on a beach"
    digest = base_metadata.base_digest(whole)
    assert digest
    assert digest.startswith("045c5e44")
    onsite = load(folder / "kohya-sdxl-civitai-onsite-trained.json")
    assert base_metadata.family(onsite) == "sdxl"
    assert training_metadata.training(onsite).images == 102
    assert training_metadata.training(onsite).steps == 444
    assert captions.prompts(onsite)[0].text.startswith("1girl")
    spaced = load(folder / "kohya-tags-with-leading-space.json")
    assert [prompt.text for prompt in captions.prompts(spaced)] == ["subject, black hair"]
    onetrainer = load(folder / "onetrainer-sdxl-vpred-dora.json")
    assert base_metadata.family(onetrainer) == "sdxl"
    assert training_metadata.training(onetrainer).resolution == 1024
    assert base_metadata.family(load(folder / "onetrainer-modelspec-flux_dev_1.0-lora.json")) == "flux"
    for header in filter(None, load(folder / "ai-toolkit-z-image.json").values()):
        assert base_metadata.family(header) == "z-image"


LISTS = {
    "sd15_lora_kohya_excerpt": ("lora", ("sd1",)),
    "sd15_oft_names": ("oft", ()),
    "sdxl_lokr_names": ("lokr", ("sdxl",)),
    "checkpoint_names_stable_diffusion_sdxl": ("full", ("sdxl",)),
    "flux_lora_kohya": ("lora", ("flux",)),
    "flux_lora_aitoolkit": ("lora", ("flux", "chroma")),
    "flux_lora_xlabs": ("lora", ("flux", "chroma")),
    "flux_control_lora": ("editing", ("flux",)),
    "flux_dora_onetrainer": ("dora", ("flux",)),
    "flux_peft_names": ("lora", ("flux", "chroma")),
}
"""What names and shapes alone say of each list: its kind, and every family that it may be of."""


def test_no_list_is_left_out(samples: Path) -> None:
    assert {path.stem for path in (samples / "tensors").iterdir()} == LISTS.keys()


@pytest.mark.parametrize("name", LISTS)
def test_every_list_of_tensors(samples: Path, name: str) -> None:
    content = load(samples / "tensors" / f"{name}.json")
    if "keys" in content:
        content = {tensor: entry["shape"] for tensor, entry in content["keys"].items()}
    shapes = {tensor: content[tensor] if isinstance(content, dict) else [] for tensor in content}
    tensors = {
        tensor: TensorInfo("F16", tuple(shape) if isinstance(shape, list) else (), (0, 0))
        for tensor, shape in shapes.items()
    }
    assert (kind_name(tensors), families_of(tensors)) == LISTS[name]
