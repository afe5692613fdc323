"""Models of Civitai's listing, as plain data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from crawler.checkpoint import Checkpoint, Grade, Kind, Skip, SkipReason
from crawler.civitai.rows import read_model
from crawler.settings import CrawlerSettings

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SITE = "https://civitai.test"
SHA = "AB" * 32


def file(**change: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "name": "style.safetensors",
        "type": "Model",
        "sizeKB": 147582.0078125,
        "metadata": {"format": "SafeTensor", "fp": "fp16", "size": "full"},
        "hashes": {"AutoV2": "ABABABABAB", "SHA256": SHA},
        "downloadUrl": f"{SITE}/api/download/models/20?type=Model&format=SafeTensor",
        "primary": True,
    } | change


def version(*files: dict[str, Any], **change: Any) -> dict[str, Any]:
    return {
        "id": 20,
        "name": "v2",
        "baseModel": "SD 1.5",
        "baseModelType": "Standard",
        "availability": "Public",
        "publishedAt": "2024-01-01T00:00:00.000Z",
        "trainedWords": ["sks", " style "],
        "stats": {"downloadCount": 5},
        "files": list(files) or [file()],
    } | change


def model(*versions: dict[str, Any], **change: Any) -> dict[str, Any]:
    return {
        "id": 10,
        "name": "Style",
        "type": "LORA",
        "poi": False,
        "creator": {"username": "someone"},
        "stats": {"downloadCount": 9},
        "modelVersions": list(versions) or [version()],
    } | change


def rows(content: Any, **settings: Any) -> list[Checkpoint | Skip]:
    return list(read_model(content, CrawlerSettings(**settings), SITE, NOW))


def only(content: Any, **settings: Any) -> Checkpoint | Skip:
    (row,) = rows(content, **settings)
    return row


def test_a_version_is_a_checkpoint() -> None:
    row = only(model())
    assert isinstance(row, Checkpoint)
    assert row.id == "civitai:10@20:style.safetensors"
    assert (row.kind, row.family, row.title, row.downloads) == (Kind.LORA, "sd1", "Style v2", 5)
    assert row.sha256 == SHA.lower()
    assert row.files[0].size == 151_123_976
    assert row.files[0].url == f"{SITE}/api/download/models/20?fileId=7"
    assert [prompt.text for prompt in row.prompts] == ["sks, style", "sks", "style"]
    (claim,) = row.claims
    assert (claim.repo, claim.family, claim.grade) == (
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "sd1",
        Grade.LABEL,
    )
    assert "'SD 1.5'" in claim.source


def test_every_version_is_a_row_of_its_own() -> None:
    found = rows(model(version(), version(id=19, baseModel="SDXL 1.0"), version(id=18, files=[])))
    assert [row.revision for row in found] == ["20", "19", "18"]
    assert [type(row) for row in found] == [Checkpoint, Skip, Skip]


def test_the_operators_base_overrides_the_repository_but_not_the_family() -> None:
    row = only(model(), base_models={"SD 1.5": "zoo/tiny"})
    assert isinstance(row, Checkpoint)
    assert row.base
    assert (row.base.repo, row.family) == ("zoo/tiny", "sd1")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (model(mode="Archived"), SkipReason.ARCHIVED),
        (model(mode="TakenDown"), SkipReason.TAKEN_DOWN),
        (model(poi=True), SkipReason.UNREACHABLE),
        (model(availability="Private"), SkipReason.UNREACHABLE),
        (model(version(availability="EarlyAccess")), SkipReason.EARLY_ACCESS),
        (model(version(earlyAccessDeadline="2026-06-02T00:00:00.000Z")), SkipReason.EARLY_ACCESS),
        (model(version(paidAccess={"price": 1})), SkipReason.EARLY_ACCESS),
        (model(type="TextualInversion"), SkipReason.UNSUPPORTED_KIND),
        (model(type="Workflows"), SkipReason.UNSUPPORTED_KIND),
        (model(version(baseModelType="Inpainting")), SkipReason.UNSUPPORTED_KIND),
        (model(version(baseModel="Pony")), SkipReason.UNSUPPORTED_FAMILY),
        (model(version(baseModel="New One")), SkipReason.UNSUPPORTED_FAMILY),
        (model(version(file(sizeKB=2**30))), SkipReason.TOO_LARGE),
        (model(version(file(name="a.ckpt", metadata={"format": "PickleTensor"}))), SkipReason.PICKLE_ONLY),
        (model(version(file(name="a.gguf", metadata={"format": "GGUF"}))), SkipReason.UNSUPPORTED_KIND),
        (model(version(file(type="Training Data", name="a.safetensors"))), SkipReason.NO_WEIGHTS),
        (model(version(file(type="VAE"))), SkipReason.NO_WEIGHTS),
        (model(version(files=None)), SkipReason.NO_WEIGHTS),
        (model(version(file(virusScanResult="Danger"))), SkipReason.UNSAFE_FILE),
        (model(modelVersions=[]), SkipReason.NO_WEIGHTS),
        (model(modelVersions=[], mode="TakenDown"), SkipReason.TAKEN_DOWN),
        (model(modelVersions=None), SkipReason.MALFORMED),
        (model(id="ten"), SkipReason.MALFORMED),
        (model(id=True), SkipReason.MALFORMED),
        (model(version(id=None)), SkipReason.MALFORMED),
        (model(modelVersions=["text"]), SkipReason.MALFORMED),
        ("text", SkipReason.MALFORMED),
        (None, SkipReason.MALFORMED),
    ],
)
def test_skips(content: Any, reason: SkipReason) -> None:
    row = only(content)
    assert isinstance(row, Skip)
    assert row.reason is reason
    assert row.detail


def test_early_access_ends() -> None:
    assert isinstance(only(model(version(earlyAccessDeadline="2026-05-31T00:00:00"))), Checkpoint)


@pytest.mark.parametrize("name", ["10", "Someone"])
def test_models_and_creators_opt_out(name: str) -> None:
    row = only(model(mode="Archived"), opt_out=[name])
    assert isinstance(row, Skip)
    assert row.reason is SkipReason.OPTED_OUT


def test_a_base_model_is_no_fine_tune() -> None:
    digest = "6CE0161689B3853ACAA03779EC93EAFE75A02F4CED659BEE03F50797806FA2FA"
    row = only(model(version(file(hashes={"SHA256": digest})), type="Checkpoint"))
    assert isinstance(row, Skip)
    assert row.reason is SkipReason.BASE_MODEL


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        ([file(id=1, primary=False), file(id=2)], 2),
        ([file(id=1, name="a.ckpt"), file(id=2, primary=None)], 2),
        ([file(id=1, primary=None, sizeKB=9), file(id=2, primary=None, sizeKB=3)], 2),
        ([file(id=1, type="Training Data"), file(id=2, type="Pruned Model", primary=None)], 2),
    ],
)
def test_the_file_to_scan(files: list[dict[str, Any]], chosen: int) -> None:
    row = only(model(version(*files)))
    assert isinstance(row, Checkpoint)
    assert row.files[0].url.endswith(f"?fileId={chosen}")


def test_what_the_hub_does_not_tell_is_none() -> None:
    row = only(model(version(file(hashes={}, sizeKB=0), trainedWords=None, stats=None), stats=None))
    assert isinstance(row, Checkpoint)
    assert (row.files[0].size, row.files[0].sha256, row.prompts, row.downloads) == (None, None, (), None)
