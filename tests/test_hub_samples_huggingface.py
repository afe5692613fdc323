"""Real recorded answers of the Hugging Face Hub, parsed; the folder is not part of this repository.

LEAKSWEEP_HUB_SAMPLES=.../hub-samples pytest -m samples tests/test_hub_samples_huggingface.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fakes_samples import load
from huggingface_hub import HfApi, set_client_factory
from huggingface_hub.utils import httpx as hub_httpx

from crawler.checkpoint import Hub, Listing, Presence, RemoteFile, Skip, SkipReason
from crawler.huggingface import HuggingFace
from crawler.huggingface.candidates import candidates
from crawler.huggingface.folder import folder_files
from crawler.huggingface.listed import Facts, Listed
from crawler.huggingface.rows import pipeline_class, read_row
from crawler.settings import CrawlerSettings

pytestmark = pytest.mark.samples


def hub_row(row: dict[str, Any]) -> tuple[Listing, Skip | None]:
    listing, skip = read_row(row, ())
    assert listing
    return listing, skip


def from_hub(answers: Callable[[Any], Any]) -> HuggingFace:
    """The source over a hub that answers as was recorded."""
    found = HuggingFace(HfApi(endpoint="https://huggingface.co", token=False), CrawlerSettings())
    client = hub_httpx.Client(transport=hub_httpx.MockTransport(answers), follow_redirects=True)
    set_client_factory(lambda: client)
    return found


def test_hub_rows_without_expand_have_no_revision() -> None:
    skips = [hub_row(row)[1] for row in load("hf/2026-08-models-list-default.json")]
    assert len(skips) == 6
    assert {skip.reason for skip in skips if skip} == {SkipReason.UNREACHABLE}


def test_flux_looks_open_where_gated_was_not_expanded() -> None:
    gguf, flux = load("hf/2026-08-models-list-expand-author.json")
    listing, _ = hub_row({**flux, "sha": "0" * 40})
    assert listing.presence is Presence.PRESENT, "which is why gated is always asked for"
    assert Facts.from_json(listing.facts).pipeline == "FluxPipeline"
    assert hub_row(gguf)[1]


def test_model_info_of_stable_diffusion() -> None:
    body = load("hf/2025-01-model-info-stable-diffusion-2-1.json")["body"]
    listing, skip = hub_row(body)
    assert skip is None
    assert listing.repo == "stabilityai/stable-diffusion-2-1"
    assert Facts.from_json(listing.facts).pipeline == "StableDiffusionPipeline"
    assert listing.license
    files = {
        file["rfilename"]: RemoteFile(path=file["rfilename"], url="", size=1, sha256=None)
        for file in body["siblings"]
    }
    needed = folder_files(files)
    assert not isinstance(needed, SkipReason)
    paths = {file.path for file in needed}
    assert {"unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"} <= paths
    assert not [path for path in paths if "fp16" in path or path.endswith((".bin", ".ckpt"))]
    expanded = load("hf/2026-10-model-info-expand-sd15.json")["body"]
    assert pipeline_class(expanded) == "StableDiffusionPipeline"
    listing, _ = hub_row(expanded)
    assert (listing.updated_at, listing.look) == ("2024-09-07T16:20:30.000Z", True)


def test_the_sizes_of_sdxl_turbo() -> None:
    info = load("hf/2023-12-model-info-blobs-sdxl-turbo.json")
    listing, _ = hub_row(info)
    assert Facts.from_json(listing.facts).pipeline == "StableDiffusionXLPipeline"
    files = {
        file["rfilename"]: RemoteFile(
            path=file["rfilename"], url="x", size=file["size"], sha256=file.get("lfs", {}).get("sha256")
        )
        for file in info["siblings"]
    }
    found = list(candidates(Listed.of(listing), files, 10**12))
    assert [one.path for one in found] == [""], "the single files beside the folder are copies of it"


def test_trending_models_are_rows_without_a_number() -> None:
    body = load("hf/2026-10-trending.json")["body"]
    for entry in body["recentlyTrending"]:
        listing, skip = read_row(entry["repoData"], ())
        assert listing is None
        assert skip
        assert skip.reason is SkipReason.MALFORMED


def test_a_recorded_redirect_to_another_number_is_no_rename() -> None:
    recorded = load("hf/2026-10-redirect-runwayml.json")
    current = load("hf/2026-10-model-info-expand-sd15.json")["body"]

    def answer(request: Any) -> Any:
        if request.url.path == recorded["request"]:
            return hub_httpx.Response(307, headers={"Location": recorded["headers"]["location"]})
        return hub_httpx.Response(200, json=current)

    repo = "runwayml/stable-diffusion-v1-5"
    old = Listing(hub=Hub.HUGGINGFACE, number="6" * 24, repo=repo, revision="0" * 40)
    (probe,) = from_hub(answer).probe([old])
    assert (probe.presence, probe.proof, probe.listing) == (Presence.UNREACHABLE, True, None)
    (probe,) = from_hub(answer).probe([replace(old, number=current["_id"])])
    assert probe.listing
    assert probe.listing.repo == "stable-diffusion-v1-5/stable-diffusion-v1-5"


@pytest.mark.parametrize(
    ("name", "presence"),
    [
        ("2026-10-error-model-not-found", Presence.UNREACHABLE),
        ("2026-10-error-gated-commits", Presence.GATED),
    ],
)
def test_recorded_refusals_prove_nothing(name: str, presence: Presence) -> None:
    said = load(f"hf/{name}.json")
    listing = Listing(hub=Hub.HUGGINGFACE, number="6" * 24, repo="me/mine", revision="0" * 40)

    def answer(request: Any) -> Any:
        return hub_httpx.Response(said["status"], headers=said["headers"], json=said["body"])

    (probe,) = from_hub(answer).probe([listing])
    assert (probe.presence, probe.proof) == (presence, False)


def test_recorded_trees_and_their_cursor() -> None:
    pages = [load("hf/2026-07-tree-entry-xet.json"), load("hf/2026-tree-bert-plain.json")]
    link = load("hf/2026-07-link-header-tree.json")["headers"]["link"]

    def answer(request: Any) -> Any:
        if "cursor" in request.url.params:
            return hub_httpx.Response(200, json=pages[1])
        return hub_httpx.Response(200, json=pages[0], headers={"Link": link})

    listing = Listing(hub=Hub.HUGGINGFACE, number="6" * 24, repo="me/mine", revision="0" * 40)
    (row,) = from_hub(answer).look(listing, ())
    assert isinstance(row, Skip)
    assert row.reason is SkipReason.PICKLE_ONLY
