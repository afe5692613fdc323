"""A desk to review at: a few findings, pictures drawn here, real labels and a real log."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fakes_reports import a_checkpoint, a_finding
from PIL import Image, ImageDraw
from sqlalchemy import Engine
from starlette.testclient import TestClient

from reports.custody.audit import AuditLog
from reports.finding import Finding, Severity
from reports.findings.occurrences import Occurrence
from reports.review.acts import Acts, Reviewer
from reports.review.app import new_app
from reports.review.desk import ReviewDesk
from reports.review.guard import Rules, hosts
from reports.review.labels import Labels
from reports.review.queue import Ranked
from reports.review.sensitivity import Scorer, Scores
from reports.review.session import Door
from reports.settings import ReviewSettings

TOKEN = "t" * 43
BASE = "http://127.0.0.1:8475"
RULES = Rules(
    known_host=hosts(["127.0.0.1", "localhost"], any_address=False), scheme="http", cookie="leaksweep-review"
)


def a_picture(colour: str, side: int = 96) -> bytes:
    """A drawing with sharp edges and colours, as PNG."""
    picture = Image.new("RGB", (side, side), colour)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((side // 6, side // 6, side // 2, side // 2), fill="gold")
    draw.polygon([(0, side), (side, side), (side // 2, side // 2)], fill="navy")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Shelf:
    """Findings and pictures in memory."""

    found: list[Finding]
    pictures: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    seen: list[Occurrence] = field(default_factory=list)
    since: Callable[[Iterable[Finding]], list[Finding]] = list
    """What people have said since the matching."""

    def findings(self) -> list[Finding]:
        return self.found

    def standing(self, found: Iterable[Finding]) -> list[Finding]:
        return self.since(found)

    def occurrences(self, finding_id: str) -> list[Occurrence]:
        return [one for one in self.seen if one.finding_id == finding_id]

    def kept(self, ids: Collection[str]) -> frozenset[str]:
        return frozenset(self.pictures).intersection(ids)

    def images(self, ids: Sequence[str]) -> Iterator[tuple[str, bytes, bytes]]:
        for name in ids:
            if name in self.pictures:
                self.opened.append(name)
                yield name, *self.pictures[name]


def a_shelf(*severities: Severity, **fields: Any) -> Shelf:
    """One finding for each severity, all of them with pictures."""
    found = [
        a_finding(
            a_checkpoint(f"mira/harbour-{number}"),
            severity=severity,
            extraction_id=f"job{number}-000",
            **fields,
        )
        for number, severity in enumerate(severities)
    ]
    found = [replace(one, match=replace(one.match, p_value=0.01, others=99)) for one in found]
    pictures = {one.match.extraction_id: (a_picture("teal"), a_picture("brown")) for one in found}
    return Shelf(found, pictures)


def an_occurrence(finding: Finding, number: int, **fields: Any) -> Occurrence:
    """Another extraction that matches a finding's reference, at a place of its own."""
    defaults: dict[str, Any] = {
        "id": f"{number:016x}",
        "finding_id": finding.id,
        "checkpoint_id": f"huggingface:mira/mirror-{number}@5f2e:weights.safetensors",
        "extraction_id": f"mirror{number}-000",
        "similarity": 0.8 - number / 1000,
        "pdq_distance": 26,
        "phash_distance": 6,
        "phash256_distance": None,
    }
    return Occurrence(**(defaults | fields))


def a_desk(
    engine: Engine, shelf: Shelf, name: str = "ann", scorer: Scorer | None = None, **settings: Any
) -> ReviewDesk:
    return ReviewDesk(
        findings=Ranked(shelf),
        pictures=shelf,
        acts=Acts(
            engine=engine,
            audit=AuditLog(engine),
            labels=Labels(engine),
            reviewer=Reviewer(name=name, account="svc"),
        ),
        scores=Scores(scorer),
        settings=ReviewSettings(**settings),
    )


def a_client(desk: ReviewDesk, door: Door | None = None, **options: Any) -> TestClient:
    app = new_app(desk, door or Door(minutes=60, token=TOKEN), RULES)
    return TestClient(app, base_url=BASE, follow_redirects=False, **options)


def entered(desk: ReviewDesk, door: Door | None = None) -> TestClient:
    """A browser that has given the token."""
    client = a_client(desk, door, headers={"Origin": BASE})
    answer = client.post("/enter", data={"token": TOKEN})
    assert answer.status_code == 303
    return client


def csrf(client: TestClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', client.get("/").text)
    assert found
    return found[1]


def post(client: TestClient, path: str, **fields: str) -> Any:
    return client.post(path, data={"csrf": csrf(client), **fields})


def shown(answer: Any) -> Image.Image:
    """The one picture in a page."""
    (found,) = re.findall(r'src="data:image/png;base64,([^"]+)"', answer.text)
    return Image.open(io.BytesIO(base64.b64decode(found)))


def acts(desk: ReviewDesk) -> list[tuple[str, str]]:
    return [(one.act, one.subject) for one in desk.acts.audit.entries()]
