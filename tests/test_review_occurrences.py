"""Each occurrence of a finding can be looked at: one picture at a time, with its own score, way and entry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from fakes_home import opened_home
from fakes_matching import extraction, picture
from fakes_review import (
    BASE,
    TOKEN,
    Shelf,
    a_desk,
    a_picture,
    a_shelf,
    acts,
    an_occurrence,
    entered,
    post,
    shown,
)
from fakes_scanner import job
from fakes_swept import SETTINGS, swept_home
from sqlalchemy import Engine
from starlette.testclient import TestClient

from crawler.catalog.engine import open_engine
from leaksweep.review_home import HomePictures
from leaksweep.reviewing import Place, review_app
from reports.finding import Severity
from reports.review.session import Door
from scanner.job import Outcome, State

HIGH = Severity.HIGH


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield engine
    engine.dispose()


def a_shelf_with(others: int) -> Shelf:
    """One finding with so many occurrences besides its nearest, each with pictures of its own."""
    shelf = a_shelf(HIGH)
    (finding,) = shelf.found
    for number in range(1, others + 1):
        occurrence = an_occurrence(finding, number)
        shelf.seen.append(occurrence)
        shelf.pictures[occurrence.extraction_id] = (a_picture("red", 100 + number), a_picture("pink", 64))
    return shelf


def test_occurrences_are_listed_as_metadata_the_nearest_first(engine: Engine) -> None:
    shelf = a_shelf_with(3)
    shelf.seen.reverse()
    del shelf.pictures["mirror2-000"]
    desk = a_desk(engine, shelf, scorer=lambda png: 0.1)
    page = entered(desk).get(f"/findings/{shelf.found[0].id}").text
    listed = re.findall(r'<th scope="row"><code>([^<]+)</code></th>', page)
    assert listed == ["job0-000", "mirror1-000", "mirror2-000", "mirror3-000"]
    assert "<bdi>huggingface:mira/mirror-3@5f2e:weights.safetensors</bdi>" in page
    assert "cosine 0.80, PDQ 26, pHash 6" in page.replace("\u00a0", " ")
    assert re.findall(r'aria-label="Choose ([^"]+)"', page) == ["mirror1-000", "mirror3-000"]
    assert page.count("erased") == 1
    assert "<img" not in page
    assert shelf.opened == ["job0-000"]  # for its score alone


def test_each_has_its_own_score_way_and_entry(engine: Engine) -> None:
    shelf = a_shelf_with(2)
    finding = shelf.found[0].id
    scores = {shelf.pictures["mirror2-000"][0]: 0.71, shelf.pictures["job0-000"][0]: 0.02}
    desk = a_desk(engine, shelf, scorer=lambda png: scores.get(png, 0.3), warn_score=0.5, soften="grey")
    client, path = entered(desk), f"/findings/{finding}/reveal"
    second = shelf.seen[1].id
    chosen = client.get(f"/findings/{finding}?occurrence={second}").text
    assert "Of <code>mirror2-000</code>" in chosen
    assert "sensitivity score 0.71 <strong>above your limit" in chosen
    assert "sensitivity score 0.30</p>" in chosen
    assert "data:image" not in chosen
    asked = {"occurrence": second, "picture": "extraction"}
    assert "may be hard to look at" in post(client, path, **asked, how="grey").text
    blurred = post(client, path, **asked, how="blur", sure="1")
    assert shown(blurred).size == (102, 102)
    assert re.findall(r"Show (\w+(?: \w+)?)</button>", blurred.text) == ["in grey", "sharp"]
    assert f'href="/findings/{finding}?occurrence={second}">Hide' in blurred.text
    assert shown(post(client, path, **asked, how="none", sure="1")).size == (102, 102)
    shown(post(client, path, picture="extraction", how="none"))  # of the nearest, which was not softened yet
    shown(post(client, path, occurrence=shelf.seen[0].id, picture="control", how="blur"))
    entries = [one.details() for one in desk.acts.audit.entries()]
    assert [(one["extraction"], one["picture"], one["shown"], one["score"]) for one in entries] == [
        ("mirror2-000", "extraction", "blur", 0.71),
        ("mirror2-000", "extraction", "sharp", 0.71),
        ("job0-000", "extraction", "grey", 0.02),
        ("mirror1-000", "control", "blur", 0.3),
    ]
    assert acts(desk) == 4 * [("reveal", finding)]


def test_a_softer_way_than_the_settings_can_be_chosen(engine: Engine) -> None:
    shelf = a_shelf(HIGH)
    desk = a_desk(engine, shelf)
    client, finding = entered(desk), shelf.found[0].id
    page = client.get(f"/findings/{finding}").text
    offered = re.findall(r'<button aria-label="([^"]+)"', page)
    assert offered == [
        *("Show blurred: extraction", "Show in grey: extraction", "Show sharp: extraction"),
        *("Show blurred: control", "Show in grey: control", "Show sharp: control"),
    ]
    assert shown(post(client, f"/findings/{finding}/reveal", picture="control", how="grey")).mode == "L"
    assert post(client, f"/findings/{finding}/reveal", picture="control", how="negative").status_code == 400


def test_an_erased_occurrence_says_so_and_the_others_can_be_seen(engine: Engine) -> None:
    shelf = a_shelf_with(2)
    del shelf.pictures["mirror1-000"]
    desk = a_desk(engine, shelf)
    client, path = entered(desk), f"/findings/{shelf.found[0].id}/reveal"
    gone = post(client, path, occurrence=shelf.seen[0].id, picture="extraction")
    assert gone.status_code == 410
    assert "chosen, erased" in gone.text
    shown(post(client, path, occurrence=shelf.seen[1].id, picture="extraction"))
    assert [one.details()["extraction"] for one in desk.acts.audit.entries()] == ["mirror2-000"]


def test_no_picture_of_another_finding_can_be_had(engine: Engine) -> None:
    shelf = a_shelf(HIGH, HIGH)
    other = an_occurrence(shelf.found[1], 1)
    shelf.seen.append(other)
    shelf.pictures[other.extraction_id] = (a_picture("red"), a_picture("pink"))
    desk = a_desk(engine, shelf)
    client, finding = entered(desk), shelf.found[0].id
    for name in (other.id, other.extraction_id, "x' OR '1'='1"):
        answer = post(client, f"/findings/{finding}/reveal", occurrence=name, picture="extraction")
        assert answer.status_code == 404
        assert "data:image" not in answer.text
    assert acts(desk) == []


def test_many_occurrences_come_in_pages_with_the_chosen_one_on_its_own(engine: Engine) -> None:
    shelf = a_shelf_with(44)
    client, finding = entered(a_desk(engine, shelf)), shelf.found[0].id
    first = client.get(f"/findings/{finding}").text
    assert "page 1 of 3" in first
    assert first.count('<th scope="row"><code>') == 20
    last = client.get(f"/findings/{finding}?occurrence={shelf.seen[43].id}").text
    assert "page 3 of 3" in last
    assert '<span aria-current="true">chosen</span>' in last
    for part in ("2", "99", "-1", "²", "x"):
        answer = client.get(f"/findings/{finding}?occurrence={shelf.seen[43].id}&part={part}")
        assert answer.status_code == 200
        assert "Of <code>mirror44-000</code>" in answer.text


def test_a_home_that_changes_under_the_page_is_shown_as_it_is(tmp_path: Path) -> None:
    """A sweep adds pictures and an erasure takes files away while the page is open."""
    root = tmp_path / "home"
    with chdir(tmp_path):
        swept_home(root)
        with opened_home(root, **SETTINGS) as stores:
            door = Door(minutes=60, token=TOKEN)
            app = review_app(stores, "ann", Place(host="127.0.0.1", port=8475), 8475, door)
            client = TestClient(app, base_url=BASE, headers={"Authorization": f"Bearer {TOKEN}"})
            finding = next(one for one in stores.findings.findings() if one.match.set_name == "artist")
            reveal, seen = f"/findings/{finding.id}/reveal", finding.match.extraction_id
            size = shown(client.post(reveal, data={"picture": "extraction"})).size
            with opened_home(root, **SETTINGS) as others:
                later = job("later")
                found = (extraction(0, picture(1), picture(60)),)
                outcome = Outcome(
                    job_id=later.id, state=State.DONE, extractions=found, descriptor="thumbnail"
                )
                others.extractions.write(later, outcome)
                rest = others.extractions.image_ids() - {seen}
                others.extractions.erase_images(rest - {f"{later.id}-000"}, "asked")
            pictures = HomePictures(stores)
            assert [name for name, *_ in pictures.images([f"{later.id}-000"])] == [f"{later.id}-000"]
            assert shown(client.post(reveal, data={"picture": "extraction"})).size == size
            with opened_home(root, **SETTINGS) as others:
                others.extractions.erase_images([seen], "asked")
            assert client.post(reveal, data={"picture": "extraction"}).status_code == 410
