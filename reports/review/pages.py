"""The pages as HTML. What strangers wrote is escaped, and nothing hidden in it stays hidden."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from reports.export.text import counted, visible
from reports.finding import Match
from reports.findings.occurrences import Occurrence
from reports.review.desk import ReviewDesk
from reports.review.guard import ASSETS, ENTER, HEADERS
from reports.review.labels import LONGEST_NOTE, LabelName
from reports.review.sensitivity import REMEDY
from reports.review.session import Session

_POLICY = HEADERS["Content-Security-Policy"]
WITH_PICTURE = f"{_POLICY}; img-src data:"
WITH_SCRIPT = f"{_POLICY}; script-src 'self'"

WORDS: Mapping[str, str] = {
    LabelName.CONFIRMED: "confirmed",
    LabelName.FALSE_POSITIVE: "false positive",
    LabelName.UNSURE: "unsure",
    LabelName.ESCALATE: "escalate",
}
MEANINGS: Mapping[str, str] = {
    LabelName.CONFIRMED: "the checkpoint gives back what the reference shows",
    LabelName.FALSE_POSITIVE: "it does not",
    LabelName.UNSURE: "speaks neither for nor against",
    LabelName.ESCALATE: "somebody else has to decide",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that the pages load. Its name changes with its content, so a browser may keep it."""

    name: str
    kind: str
    content: bytes

    @property
    def url(self) -> str:
        return ASSETS + self.name


@cache
def assets() -> Mapping[str, Asset]:
    """The files by their own names, "review.css" and "token.js"."""
    return {
        "review.css": _asset("review.css", "text/css"),
        "token.js": _asset("token.js", "text/javascript"),
    }


def page(template: str, status: int = 200, *, policy: str | None = None, **context: Any) -> Response:
    """A page of one template."""
    html = _environment().get_template(f"{template}.html.j2").render(**context)
    # A lone surrogate, which JSON can carry into a title, has no UTF-8.
    content = html.encode("utf-8", "replace")
    headers = {"Content-Security-Policy": policy} if policy else {}
    return HTMLResponse(content, status, headers)


def around(request: Request, desk: ReviewDesk) -> dict[str, Any]:
    """What every page of a session shows."""
    saved = request.query_params.get("saved", "")
    return {
        "csrf": cast(Session, request.state.session).csrf,
        "reviewer": desk.acts.reviewer,
        "settings": desk.settings,
        "score_remedy": None if desk.scores.available else REMEDY,
        "saved": saved if saved.isalnum() else "",
    }


def token_page(status: int, message: str = "", *, back: str = "", note: str = "") -> Response:
    """What is shown to who has no session.

    Args:
        back: where to go on; empty: to the queue.
        note: what they had written, and nobody took.
    """
    return page("token", status, policy=WITH_SCRIPT, message=message, back=back, note=note)


def message_page(status: int, message: str, note: str = "") -> Response:
    """A refusal, in words. `note` as in `token_page`."""
    return page("message", status, message=message, note=note)


def whole(text: str, otherwise: int) -> int:
    """A whole number from an address."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else otherwise


def png_uri(png: bytes) -> str:
    """A picture inside the page, so that there is no address at which it could be asked for again."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def measures(match: Match) -> list[tuple[str, str, str, str]]:
    """Rows of name, this extraction, the base alone, the middle of the wrong checkpoints."""
    rows = (
        (f"cosine, {match.descriptor}", match.similarity, match.control_similarity, match.others_similarity),
        ("the same, normalised", match.normalised_similarity, None, None),
        ("PDQ, bits of 256", match.pdq_distance, match.control_pdq_distance, match.others_pdq_distance),
        (
            "pHash, bits of 64",
            match.phash_distance,
            match.control_phash_distance,
            match.others_phash_distance,
        ),
        (
            "pHash, bits of 256",
            match.phash256_distance,
            match.control_phash256_distance,
            match.others_phash256_distance,
        ),
    )
    return [(name, _number(a), _number(b), _number(c)) for name, a, b, c in rows if a is not None]


def nearness(match: Match | Occurrence) -> str:
    """The distances in one line, which breaks between them only."""
    parts = [
        f"{name}\u00a0{_number(value)}"
        for name, value in (
            ("cosine", match.similarity),
            ("PDQ", match.pdq_distance),
            ("pHash", match.phash_distance),
            ("pHash-256", match.phash256_distance),
        )
        if value is not None
    ]
    return ", ".join(parts)


def control(match: Match) -> str:
    """What the base alone comes to, in one line."""
    parts = [
        f"{name} {_number(value)}"
        for name, value in (
            ("cosine", match.control_similarity),
            ("PDQ", match.control_pdq_distance),
            ("pHash", match.control_phash_distance),
        )
        if value is not None
    ]
    return ", ".join(parts) or "not comparable"


def p_value(match: Match) -> str:
    """The p-value with its n, or that there is none."""
    if match.p_value is None:
        return f"not calibrated, {counted(match.others, 'wrong checkpoint', 'wrong checkpoints')}"
    return f"{match.p_value:.2g}, from {counted(match.others, 'wrong checkpoint', 'wrong checkpoints')}"


def lines(text: str) -> str:
    """What a person wrote, line by line, nothing hidden in it."""
    return "\n".join(visible(line) for line in text.splitlines())


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}".removesuffix(".00")


def _asset(name: str, kind: str) -> Asset:
    content = files("reports.review").joinpath(f"assets/{name}").read_bytes()
    stem, _, suffix = name.partition(".")
    return Asset(f"{stem}.{hashlib.sha256(content).hexdigest()[:16]}.{suffix}", kind, content)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reports.review"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        visible=visible, lines=lines, counted=counted, nearness=nearness, control=control, p_value=p_value
    )
    environment.globals.update(
        css=assets()["review.css"].url,
        script=assets()["token.js"].url,
        enter=ENTER,
        words=WORDS,
        meanings=MEANINGS,
        longest_note=LONGEST_NOTE,
    )
    return environment
