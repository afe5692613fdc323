"""Looks into repositories of the Hugging Face Hub: the local hub, spoken to by the real client."""

from __future__ import annotations

import numpy as np
import pytest
from fakes_repositories import BASE, KOHYA, Memory, crawl, everything, folder, lora, source, weights
from safetensors.numpy import save

from crawler.checkpoint import Checkpoint, Grade, Hub, Kind, Layout, Skip, SkipReason
from leaksweep.hub.content import HubContent, HubRepo
from leaksweep.hub.serve import LocalHub

FULL_NAMES = (
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
    "model.diffusion_model.output_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
)
FLUX2 = save(
    {
        "transformer.double_stream_modulation_img.linear.lora_A.weight": np.zeros((4, 64), np.float16),
        "transformer.double_stream_modulation_img.linear.lora_B.weight": np.zeros((64, 4), np.float16),
    }
)


def test_what_the_listing_tells_is_not_asked_for_again() -> None:
    with LocalHub(HubContent(repos=(BASE, lora("one", instance_prompt="a sks")))) as hub:
        rows = everything(source(hub, include=["lora"]))
        asked = [request.path for request in hub.requests]
    (row,) = rows
    assert isinstance(row, Checkpoint)
    assert (row.hub, row.repo, row.path, row.kind) == (
        Hub.HUGGINGFACE,
        "me/one",
        "one.safetensors",
        Kind.LORA,
    )
    assert (row.family, row.title) == ("sd1", "one")
    assert [prompt.text for prompt in row.prompts] == ["a sks"]
    assert row.base
    assert (row.base.repo, row.base.source, row.base.grade) == ("zoo/base", "hub relation", Grade.DECLARED)
    assert row.files[0].size == len(weights())
    assert row.files[0].url == f"{hub.url}/me/one/resolve/{row.revision}/one.safetensors"
    assert row.sha256
    assert not [path for path in asked if path.endswith("one.safetensors")]


def test_a_header_tells_captions_and_the_size_of_the_training() -> None:
    row = crawl(lora("kohya", weights(KOHYA)))["me/kohya"]
    assert isinstance(row, Checkpoint)
    assert [prompt.text for prompt in row.prompts] == ["a picture of sks thing", "sks thing"]
    assert (row.training.images, row.training.steps) == (6, 100)


def test_a_header_is_read_once_and_only_if_the_settings_allow() -> None:
    cache = Memory()
    data = weights(KOHYA)
    repo = lora("kohya", data)
    crawl(repo, cache=cache)
    ((digest, header),) = cache.headers.items()
    assert header == data[: len(header)]
    cache.headers[digest] = header.replace(b"sks thing", b"sks other")
    row = crawl(repo, cache=cache)["me/kohya"]
    assert isinstance(row, Checkpoint)
    assert row.prompts[0].text == "a picture of sks other"
    unread = crawl(repo, read_headers=False)["me/kohya"]
    assert isinstance(unread, Checkpoint)
    assert (unread.prompts, unread.kind) == ((), Kind.LORA)


def test_a_digest_in_a_header_outweighs_the_card() -> None:
    digest = {"ss_new_sd_model_hash": "ab" * 32}
    bases = {"ab" * 32: "zoo/base"}
    row = crawl(lora("liar", weights(digest), base="zoo/other"), base_models=bases)["me/liar"]
    assert isinstance(row, Checkpoint)
    assert [(claim.repo, claim.grade) for claim in row.claims] == [
        ("zoo/base", Grade.DIGEST),
        ("zoo/other", Grade.DECLARED),
    ]


@pytest.mark.parametrize(
    ("data", "reason", "family"),
    [
        (FLUX2, SkipReason.UNSUPPORTED_FAMILY, "flux2"),
        (weights(suffix="oft_diag"), SkipReason.UNSUPPORTED_KIND, None),
        (b"\x80\x04pickle", SkipReason.NOT_WEIGHTS, None),
        (weights()[:-1], SkipReason.UNSAFE_FILE, None),
        ((10**9).to_bytes(8, "little") + b"{" + b" " * 100, SkipReason.UNSAFE_FILE, None),
    ],
)
def test_a_header_that_contradicts_or_is_none(data: bytes, reason: SkipReason, family: str | None) -> None:
    row = crawl(lora("odd", data))["me/odd"]
    assert isinstance(row, Skip)
    assert (row.reason, row.family, row.path) == (reason, family, "odd.safetensors")


def test_kinds_are_told_by_the_header() -> None:
    rows = crawl(
        HubRepo(
            id="me/dora",
            files={"a.safetensors": weights(suffix="dora_scale")},
            card={"base_model": "zoo/base"},
        ),
        HubRepo(
            id="me/full",
            files={"a.safetensors": save(dict.fromkeys(FULL_NAMES, np.zeros((64, 64), np.float16)))},
            card={"base_model": "zoo/base"},
        ),
    )
    dora, full = rows["me/dora"], rows["me/full"]
    assert isinstance(dora, Checkpoint)
    assert isinstance(full, Checkpoint)
    assert (dora.kind, full.kind, full.layout) == (Kind.DORA, Kind.FULL, Layout.FILE)


def test_folders() -> None:
    unet = {"_name_or_path": "zoo/base"}
    rows = crawl(
        HubRepo(id="me/full", files=folder(**unet)),
        HubRepo(id="me/two", files=folder(use_linear_projection=True)),
        HubRepo(id="me/kolors", files=folder("KolorsPipeline")),
        base_models={"SD 1.5": "zoo/base"},
    )
    full, two, kolors, base = (rows[name] for name in ("me/full", "me/two", "me/kolors", "zoo/base"))
    assert isinstance(full, Checkpoint)
    assert isinstance(two, Checkpoint)
    assert (full.layout, full.path, full.family, two.family) == (Layout.FOLDER, "", "sd1", "sd2")
    assert {"unet", "text_encoder", "scheduler", "model_index.json"} == {
        file.path.split("/")[0] for file in full.files
    }
    assert full.base
    assert (full.base.repo, full.base.source) == ("zoo/base", "denoiser config")
    assert isinstance(kolors, Skip)
    assert (kolors.reason, kolors.family) == (SkipReason.UNSUPPORTED_FAMILY, "kolors")
    assert isinstance(base, Skip)
    assert base.reason is SkipReason.BASE_MODEL


def test_the_family_of_an_unknown_base_is_asked_for_once() -> None:
    two = HubRepo(id="zoo/two", files=folder(use_linear_projection=True))
    adapters = [
        lora(f"{name}{n}", base=f"zoo/{name}", instance_prompt="x")
        for name in ("base", "two")
        for n in (1, 2)
    ]
    with LocalHub(HubContent(repos=(BASE, two, *adapters))) as hub:
        rows = everything(source(hub, include=["lora"]))
        asked = [request.path for request in hub.requests]
    families = {row.repo: row.family for row in rows}
    assert families == {"me/base1": "sd1", "me/base2": "sd1", "me/two1": "sd2", "me/two2": "sd2"}
    assert asked.count("/api/models/zoo/base") == asked.count("/api/models/zoo/two") == 1


def test_a_base_that_nobody_knows() -> None:
    rows = crawl(
        lora("a", base="nobody/nothing", instance_prompt="x"),
        lora("b", base=None),
        lora("c", weights(width=768), base=None),
    )
    a, b, c = rows["me/a"], rows["me/b"], rows["me/c"]
    assert isinstance(a, Skip)
    assert isinstance(b, Skip)
    assert a.reason is b.reason is SkipReason.UNKNOWN_BASE
    assert isinstance(c, Checkpoint)
    assert (c.family, c.base) == ("sd1", None)


def test_a_commit_is_asked_for_once_and_for_ever() -> None:
    cache = Memory()
    repos = (BASE, lora("kohya", weights(KOHYA)), HubRepo(id="me/full", files=folder()))
    with LocalHub(HubContent(repos=repos)) as hub:
        first = everything(source(hub, cache))
        count = len(hub.requests)
        again = everything(source(hub, cache))
        asked = [request.path for request in hub.requests[count:]]
    assert first == again
    assert asked == ["/api/models", "/api/models/zoo/base"], "what a base is now, once a crawl"


def test_of_one_training_only_the_end_is_read() -> None:
    steps = {f"sks-{step:06}.safetensors": weights({**KOHYA, "ss_steps": str(step)}) for step in (100, 200)}
    repo = HubRepo(
        id="me/steps",
        files={
            **steps,
            "sks.safetensors": weights({**KOHYA, "ss_steps": "300"}),
            "other.safetensors": weights(),
        },
        card={"base_model": "zoo/base", "tags": ["lora"]},
    )
    with LocalHub(HubContent(repos=(BASE, repo))) as hub:
        rows = [row for row in everything(source(hub, include=["lora"])) if isinstance(row, Checkpoint)]
        read = {request.path.rsplit("/", 1)[-1] for request in hub.requests if request.range}
    assert [row.path for row in rows] == [
        "other.safetensors",
        "sks.safetensors",
        "sks-000200.safetensors",
        "sks-000100.safetensors",
    ]
    assert read & {file.rsplit("/", 1)[-1] for file in repo.files} == {"other.safetensors", "sks.safetensors"}
    assert [row.training.steps for row in rows[1:]] == [300, None, None]
    assert {row.training.images for row in rows[1:]} == {6}
    assert len({row.prompts for row in rows[1:]}) == 1


def test_a_cards_text_tells_the_caption_where_nothing_else_does() -> None:
    text = b"---\ntags: []\n---\nThe weights were trained on a photo of sks dog using [DreamBooth](x)."
    card = {"base_model": "zoo/base", "tags": ["lora"]}
    silent = HubRepo(id="me/silent", files={"a.safetensors": weights(), "README.md": text}, card=card)
    row = crawl(silent)["me/silent"]
    assert isinstance(row, Checkpoint)
    assert [prompt.text for prompt in row.prompts] == ["a photo of sks dog"]


def test_a_textual_inversion_is_a_checkpoint_and_its_token_a_prompt() -> None:
    token = save({"<sks-toy>": np.zeros((1, 768), np.float32)})
    repo = HubRepo(
        id="me/toy",
        files={"learned_embeds.safetensors": token},
        card={"base_model": "zoo/base", "tags": ["textual_inversion"]},
    )
    row = crawl(repo)["me/toy"]
    assert isinstance(row, Checkpoint)
    assert (row.kind, row.family) == (Kind.TEXTUAL_INVERSION, "sd1")
    assert row.prompts[0].text == "<sks-toy>"
