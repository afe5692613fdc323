"""Models asked for by id or by hash: what probes prove, and whose file a digest is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import httpx
import pytest
from fakes_civitai import BreaksOn, Script, lora, serving, source, walked

from crawler.checkpoint import Hub, Listing, Presence
from crawler.civitai.by_hash import MAX_DIGESTS, identify
from crawler.evidence.identity import Identity
from crawler.source import SourceError
from leaksweep.hub.blob import Blob
from leaksweep.hub.content import CivitaiModel, HubContent


def gone(*ids: int) -> list[Listing]:
    """Listings of models that no listing shows any more."""
    return [Listing(hub=Hub.CIVITAI, number=str(number), repo=str(number), revision="x") for number in ids]


def test_what_became_of_models() -> None:
    models = [
        lora(1),
        lora(2, mode="Archived"),
        lora(3, mode="TakenDown"),
        lora(4, poi=True),
        lora(5, minor=True),
    ]
    with serving(*models) as hub, source(hub.civitai_url) as found:
        probes = {probe.number: probe for probe in found.probe(gone(1, 2, 3, 4, 5, 6))}
    assert {number: (probe.presence, probe.proof) for number, probe in probes.items()} == {
        "1": (Presence.PRESENT, False),
        "2": (Presence.ARCHIVED, False),
        "3": (Presence.TAKEN_DOWN, False),
        "4": (Presence.UNREACHABLE, True),
        "5": (Presence.PRESENT, False),
        "6": (Presence.UNREACHABLE, True),
    }
    assert "404" in probes["6"].detail
    assert "no listing shows it" in probes["5"].detail


def test_a_probe_names_the_same_revision_as_a_listing() -> None:
    with (
        serving(lora(1), lora(2, words=()), lora(3, mode="Archived")) as hub,
        source(hub.civitai_url) as found,
    ):
        listed = {listing.number: listing.revision for page in walked(found) for listing in page.listings}
        probed = {probe.number: probe.listing for probe in found.probe(gone(1, 2, 3))}
        alone = {number: httpx.get(f"{hub.civitai_url}/api/v1/models/{number}").json() for number in listed}
        for number, revision in listed.items():
            assert (about := probed[number]) is not None
            assert about.revision == revision
            by_id, _ = found._read(alone[number])
            assert by_id is not None
            assert by_id.revision == revision


def test_many_are_asked_for_together_and_only_the_missing_alone() -> None:
    with serving(*(lora(number) for number in range(1, 151))) as hub, source(hub.civitai_url) as found:
        probes = found.probe(gone(*range(1, 153)))
        asked = [str(logged) for logged in hub.requests]
    assert len(probes) == 152
    assert len(asked) == 4


def test_a_model_that_breaks_the_hub_has_no_clear_answer() -> None:
    with (
        serving(lora(1), lora(2), lora(3)) as hub,
        source(hub.civitai_url, transport=BreaksOn(2)) as found,
    ):
        assert [probe.number for probe in found.probe(gone(1, 2, 3))] == ["1", "3"]


@pytest.mark.parametrize(
    "unclear",
    [
        httpx.Response(404, text="<html>404</html>", headers={"Content-Type": "text/html"}),
        httpx.Response(401, json={"error": "Unauthorized"}),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"id": 8}),
    ],
)
def test_an_unclear_answer_is_none(unclear: httpx.Response) -> None:
    script = Script(httpx.Response(200, json={"items": [], "metadata": {}}), unclear)
    with source("https://civitai.test", transport=script) as found:
        assert found.probe(gone(7)) == []


def test_a_hub_that_is_away_is_an_error() -> None:
    for answers in (
        [httpx.Response(503)],
        [httpx.Response(200, json={"items": [], "metadata": {}}), httpx.Response(429)],
    ):
        with (
            source("https://civitai.test", transport=Script(*answers)) as found,
            pytest.raises(SourceError, match="status"),
        ):
            found.probe(gone(7))


def digest(model: CivitaiModel) -> str:
    return Blob(model.versions[0].files[0].content).sha256


def identities(url: str, digests: Sequence[str]) -> dict[str, Identity]:
    with httpx.Client(base_url=url) as client:
        return dict(identify(client, digests))


def test_a_digest_is_looked_up() -> None:
    known, other = lora(1, b"one"), lora(2, b"two", base_model="SDXL 1.0")
    hidden = lora(3, b"three", poi=True)
    asked = [digest(known).upper(), digest(other), digest(hidden), "ab" * 32, "no digest", digest(known)]
    with serving(known, other, hidden) as hub:
        found = identities(hub.civitai_url, asked)
    assert found == {
        digest(known): Identity(hub=Hub.CIVITAI, repo="1", revision="1", title="model 1 v1", family="sd1"),
        digest(other): Identity(hub=Hub.CIVITAI, repo="2", revision="2", title="model 2 v1", family="sdxl"),
        digest(hidden): Identity(hub=Hub.CIVITAI, repo="3", revision="3"),
    }


def test_nothing_known_asks_nothing_more() -> None:
    with serving(lora(1)) as hub:
        assert identities(hub.civitai_url, ["ab" * 32]) == {}
        assert identities(hub.civitai_url, []) == {}
        assert len(hub.requests) == 1


def test_a_file_in_many_models_has_one_identity() -> None:
    text = "ab" * 32
    places = [{"hash": text.upper(), "modelId": model, "modelVersionId": version} for model, version in
              ((5, 50), (4, 40), (9, 90))]  # fmt: skip
    junk = [None, {"hash": 5}, {"hash": text, "modelId": True, "modelVersionId": 1}, {"hash": "cd" * 32}]
    stranger = {"hash": "ef" * 32, "modelId": 1, "modelVersionId": 1}
    script = Script(
        httpx.Response(200, json=[*places, *junk, stranger]),
        httpx.Response(200, json={"items": [{"id": 4, "modelVersions": None}]}),
    )
    with httpx.Client(base_url="https://civitai.test", transport=script) as client:
        assert identify(client, [text]) == {text: Identity(hub=Hub.CIVITAI, repo="4", revision="40")}


def test_digests_are_asked_for_by_the_thousand() -> None:
    sizes = []

    def count(request: httpx.Request) -> httpx.Response:
        sizes.append(len(json.loads(request.content)))
        return httpx.Response(200, json=[])

    many = [f"{number:064x}" for number in range(MAX_DIGESTS + 5)]
    with httpx.Client(base_url="https://civitai.test", transport=httpx.MockTransport(count)) as client:
        assert identify(client, many) == {}
    assert sizes == [MAX_DIGESTS, 5]


def test_a_look_up_that_fails() -> None:
    for wrong in (httpx.Response(200, json={}), httpx.Response(500)):
        with (
            httpx.Client(base_url="https://civitai.test", transport=Script(wrong)) as client,
            pytest.raises(SourceError),
        ):
            identify(client, ["ab" * 32])


def test_a_deadline_that_passes_opens_a_version_without_a_change_of_its_model() -> None:
    first = lora(1)
    (version,) = first.versions
    early = replace(first, versions=(replace(version, availability="EarlyAccess"),))
    with serving() as hub, source(hub.civitai_url) as found:
        hub.publish(HubContent(civitai=(early,)))
        (probe,) = found.probe(gone(1))
        hub.publish(HubContent(civitai=(first,)))
        (later,) = found.probe(gone(1))
    assert probe.listing is not None
    assert later.listing is not None
    assert probe.listing.revision != later.listing.revision
