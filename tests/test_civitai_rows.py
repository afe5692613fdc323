"""Models of Civitai's listing, as plain data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from crawler.checkpoint import Checkpoint, Grade, Kind, Listing, Presence, PromptOrigin, Skip, SkipReason
from crawler.civitai.listed import kept_skips, listing
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
    assert (claim.source, claim.detail) == ("civitai baseModel", "SD 1.5")
    assert row.updated_at == "2024-01-01T00:00:00.000Z"


def test_every_version_is_a_row_of_its_own() -> None:
    found = rows(model(version(), version(id=19, baseModel="Chroma"), version(id=18, files=[])))
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
        (model(type="Hypernetwork"), SkipReason.UNSUPPORTED_KIND),
        (model(type=["LORA"]), SkipReason.UNSUPPORTED_KIND),
        (model(tags=["anime", "No-AI"]), SkipReason.OPTED_OUT),
        (model(version(file(name="a" * 300 + ".safetensors"))), SkipReason.MALFORMED),
        (model(version(file(id=2**60))), SkipReason.NO_WEIGHTS),
        (model(type="Workflows"), SkipReason.UNSUPPORTED_KIND),
        (model(version(baseModelType="Inpainting")), SkipReason.UNSUPPORTED_KIND),
        (model(version(baseModel="Chroma")), SkipReason.UNSUPPORTED_FAMILY),
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


@pytest.mark.parametrize(
    "change",
    [
        {"earlyAccessDeadline": "2026-05-31T00:00:00"},
        {"earlyAccessDeadline": "2026-05-31T23:59:59.999Z", "availability": "EarlyAccess"},
        {"earlyAccessDeadline": "2026-06-01T01:00:00+02:00"},
    ],
)
def test_early_access_ends(change: dict[str, Any]) -> None:
    assert isinstance(only(model(version(**change))), Checkpoint)


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


def test_an_embedding_is_a_checkpoint() -> None:
    row = only(model(type="TextualInversion"))
    assert isinstance(row, Checkpoint)
    assert row.kind is Kind.TEXTUAL_INVERSION


def test_the_sites_own_trainer_tells_where_a_listing_shows_it() -> None:
    details = {
        "type": "Character",
        "baseModel": "urn:air:sdxl:checkpoint:civitai:1@290640",
        "params": {"networkDim": 16, "targetSteps": 900, "maxTrainEpochs": "ten", "numRepeats": 4},
        "samplePrompts": ["a sks cat", 5, ""],
    }
    row = only(model(version(trainingDetails=details)))
    assert isinstance(row, Checkpoint)
    assert (row.training.rank, row.training.steps, row.training.epochs) == (16, 900, None)
    assert [prompt.text for prompt in row.prompts if prompt.origin is PromptOrigin.EXAMPLE] == ["a sks cat"]
    assert row.claims[0].civitai_version == "290640"


def listed(content: Any, now: datetime = NOW, **settings: Any) -> Listing | None:
    return listing(content, rows(content, **settings), now)


def row_of(content: Any, now: datetime = NOW) -> Listing:
    found = listed(content, now)
    assert found is not None
    return found


def test_a_model_is_a_listing() -> None:
    first = version(id=19, publishedAt="2023-05-05T05:05:05.5+02:00")
    found = row_of(model(version(), first, allowCommercialUse="{Image,RentCivit}", allowDerivatives=False))
    assert (found.number, found.repo, found.presence, found.downloads) == ("10", "10", Presence.PRESENT, 9)
    assert found.created_at == "2023-05-05T03:05:05.500Z"
    assert found.updated_at == "2024-01-01T00:00:00.000Z"
    assert found.license == "commercial: Image RentCivit; derivatives: no"
    assert (found.look, found.facts) == (False, "")


def test_what_has_no_id_is_no_listing() -> None:
    for content in (
        None,
        "text",
        {},
        model(id="ten"),
        model(id=0),
        model(id=-1),
        model(id=1.5),
        model(id=True),
    ):
        assert listed(content) is None


@pytest.mark.parametrize(
    "same",
    [
        model(
            stats={"downloadCount": 10_000}, creator={"username": "another"}, nsfwLevel=7, description="new"
        ),
        model(version(stats={"downloadCount": 6}, images=[{"id": 1}], index=3)),
        model(version(file(downloadUrl="https://elsewhere.test", scannedAt="2026-01-01"))),
        model(mode=None, tags=["style"]),
    ],
)
def test_counters_and_pictures_do_not_change_the_revision(same: Any) -> None:
    assert row_of(same).revision == row_of(model()).revision


@pytest.mark.parametrize(
    "other",
    [
        model(name="Other"),
        model(mode="Archived"),
        model(type="DoRA"),
        model(poi=True),
        model(availability="Private"),
        model(tags=["noai"]),
        model(version(), version(id=21)),
        model(version(id=21)),
        model(version(publishedAt="2024-01-02T00:00:00.000Z")),
        model(version(baseModel="SD 1.4")),
        model(version(trainedWords=["sks"])),
        model(version(availability="EarlyAccess")),
        model(version(file(id=8))),
        model(version(file(), file(id=8, primary=None))),
        model(version(file(hashes={}))),
        model(version(file(name="b.safetensors"))),
        model(version(file(virusScanResult="Danger"))),
        model(version(file(type="Pruned Model"))),
    ],
)
def test_what_decides_changes_the_revision(other: Any) -> None:
    assert row_of(other).revision != row_of(model()).revision


def test_the_end_of_early_access_changes_the_revision() -> None:
    sold = model(version(earlyAccessDeadline="2026-06-02T00:00:00.000Z"))
    before, after = row_of(sold), row_of(sold, datetime(2026, 6, 3, tzinfo=UTC))
    assert before.revision != after.revision


def test_what_a_key_left_out_says_is_what_an_empty_one_says() -> None:
    """By its id a model comes without its empty keys."""
    full = model(version(trainedWords=[], baseModelType=None), mode=None)
    bare = {name: value for name, value in full.items() if value is not None}
    bare["modelVersions"] = [{k: v for k, v in full["modelVersions"][0].items() if v not in (None, [])}]
    assert row_of(full).revision == row_of(bare).revision


@pytest.mark.parametrize(
    ("content", "presence"),
    [
        (model(mode="Archived"), Presence.ARCHIVED),
        (model(mode="TakenDown", modelVersions=[]), Presence.TAKEN_DOWN),
        (model(availability="EarlyAccess"), Presence.GATED),
        (model(availability="Private"), Presence.GATED),
        (model(availability="Unsearchable"), Presence.PRESENT),
        (model(poi=True), Presence.GATED),
        (model(mode=["Archived"]), Presence.PRESENT),
    ],
)
def test_presence(content: Any, presence: Presence) -> None:
    assert row_of(content).presence is presence


@pytest.mark.parametrize(
    ("change", "license"),
    [
        ({"allowCommercialUse": ["Sell", "Image"]}, "commercial: Image Sell"),
        ({"allowCommercialUse": "None"}, "commercial: None"),
        ({"allowCommercialUse": "{}"}, "commercial: no"),
        ({"allowCommercialUse": []}, "commercial: no"),
        ({"allowCommercialUse": 5, "allowNoCredit": True}, "without credit: yes"),
        ({"allowDifferentLicense": "yes"}, None),
        ({"allowCommercialUse": ["x" * 9000] * 9000}, f"commercial: {' '.join(['x' * 40] * 8)}"),
    ],
)
def test_licences(change: dict[str, Any], license: str | None) -> None:
    assert row_of(model(**change)).license == license


@pytest.mark.parametrize(
    ("content", "look"),
    [
        (model(), False),
        (model(version(trainedWords=[])), True),
        (model(type="LoCon"), True),
        (model(version(trainedWords=[]), type="Checkpoint"), False),
        (model(version(trainedWords=[]), type="TextualInversion"), False),
        (model(version(file(hashes={}), trainedWords=[])), False),
        (model(version(trainedWords=[]), mode="Archived"), False),
        (model(version(), version(id=21, trainedWords=[])), True),
    ],
)
def test_when_a_header_could_tell_more(content: Any, look: bool) -> None:
    assert row_of(content).look is look


def test_public_training_pictures_are_a_fact_and_never_a_file() -> None:
    content = model(version(file(), file(id=8, name="a.safetensors", type="Training Data", primary=None)))
    assert row_of(content).facts == '{"training_data": [20]}'
    row = only(content)
    assert isinstance(row, Checkpoint)
    assert len(row.files) == 1
    assert row.files[0].url.endswith("=7")


def test_skips_are_kept_for_the_look() -> None:
    content = model(
        version(trainedWords=[]), version(file(name="a.ckpt"), id=21), version(id=22, baseModel="Chroma")
    )
    expected = [row for row in rows(content) if isinstance(row, Skip)]
    assert len(expected) == 2
    assert list(kept_skips(row_of(content))) == expected


HOSTILE: list[Any] = [
    None, True, -1, 0, 2**80, 1e308, float("nan"), float("inf"), "", "\0", "\ud800", "../../etc/passwd",
    "a" * 100_000,
    "\u202egnp", [], {}, [[]], [None], {"x": [{}]}, ["a"] * 10_000, "1970-01-01",
    "9999-12-31T23:59:59.999-23:59",
    "0001-01-01T00:00:00+23:59",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_no_value_anywhere_breaks_a_page(value: Any) -> None:
    fields: list[tuple[str, ...]] = [
        (name,) for name in (*model(), "mode", "availability", "tags", "allowNoCredit")
    ]
    for names in ("trainingDetails", "earlyAccessDeadline", "paidAccess", *version()):
        fields.append(("modelVersions", names))
    fields += [("modelVersions", "files", name) for name in (*file(), "virusScanResult")]
    for path in fields:
        content = model()
        place = content
        for name in path[:-1]:
            place = place[name][0]
        place[path[-1]] = value
        found = rows(content)
        assert found, path
        about = listed(content)
        for row in found:
            assert isinstance(row, Skip) or len(row.title) < 1000
            assert len(row.path) <= 300
        assert about is None or len(about.revision) == 32
