"""The review page: a queue of findings, and for one of them at a time a picture, when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from reports.finding import ReportError
from reports.review import pages
from reports.review.acts import Acts
from reports.review.guard import ASSETS, ENTER, Guard, Rules
from reports.review.queue import Item, PictureSource, Queue, Ranked, Show, read_queue
from reports.review.sensitivity import REMEDY, Scores
from reports.review.session import Door, Session
from reports.review.softened import NO_SAFEGUARD, Softening, softened
from reports.settings import ReviewSettings
from scanner.job import ScanError

PAGE = 50
"""Findings on one page of the queue."""
SHOWS: tuple[Show, ...] = ("open", "settled", "conflicts", "all")
PICTURES = {"extraction": "the extraction", "control": "the control, from the base alone"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewDesk:
    """What the page works with."""

    findings: Ranked
    pictures: PictureSource
    acts: Acts
    scores: Scores
    settings: ReviewSettings

    def queue(self) -> Queue:
        who = self.acts.reviewer.name
        return read_queue(self.findings, self.acts.labels, who, two_person=self.settings.two_person)

    def kept(self, extraction_id: str) -> dict[str, bytes]:
        """Both pictures of an extraction as PNG, opened in memory; empty when they were erased."""
        for _, png, control in self.pictures.images([extraction_id]):
            return {"extraction": png, "control": control}
        return {}

    def scored(self, extraction_id: str, kept: dict[str, bytes]) -> dict[str, float | None]:
        return {name: self.scores.of(f"{extraction_id}/{name}", png) for name, png in kept.items()}


def new_app(desk: ReviewDesk, door: Door, rules: Rules) -> ASGIApp:
    """The page as an ASGI application, guarded."""
    view = _View(desk, door, rules)
    routes = [
        Route("/", view.queue),
        Route("/findings/{finding_id}", view.finding),
        Route("/findings/{finding_id}/reveal", view.reveal, methods=["POST"]),
        Route("/findings/{finding_id}/label", view.label, methods=["POST"]),
        Route(ENTER, view.token),
        Route(ENTER, view.enter, methods=["POST"]),
        Route("/leave", view.leave, methods=["POST"]),
        Route(ASSETS + "{name}", view.asset),
    ]
    told: dict[Any, Any] = {
        HTTPException: _told_http,
        ReportError: _told,
        ScanError: _told,
        DBAPIError: _told_database,
    }
    return Guard(Starlette(routes=routes, exception_handlers=told), door, rules, refuse=_refused)


class _View:
    def __init__(self, desk: ReviewDesk, door: Door, rules: Rules) -> None:
        self._desk = desk
        self._door = door
        self._rules = rules

    def queue(self, request: Request) -> Response:
        queue = self._desk.queue()
        asked = request.query_params.get("show")
        show: Show = next((one for one in SHOWS if one == asked), "open")
        shown = queue.shown(show)
        last = max(1, -(-len(shown) // PAGE))
        number = min(max(1, _whole(request.query_params.get("page", ""))), last)
        return pages.page(
            "queue",
            **self._common(request),
            items=shown[PAGE * (number - 1) : PAGE * number],
            first=PAGE * (number - 1) + 1,
            show=show,
            shows=queue.numbers(),
            waiting=queue.waiting(),
            number=number,
            last=last,
        )

    def finding(self, request: Request) -> Response:
        queue, item = self._item(request)
        return self._finding_page(request, queue, item, self._desk.kept(item.finding.match.extraction_id))

    def reveal(self, request: Request) -> Response:
        """Send one picture, after the log has taken note of it."""
        queue, item = self._item(request)
        form, session = request.state.form, cast(Session, request.state.session)
        which, extraction_id = form.get("picture", ""), item.finding.match.extraction_id
        if which not in PICTURES:
            return pages.message_page(400, "there is no such picture; open the finding and try again")
        kept = self._desk.kept(extraction_id)
        if not kept:
            return self._finding_page(request, queue, item, kept, status=410)
        score = self._desk.scored(extraction_id, kept)[which]
        name = f"{extraction_id}/{which}"
        if self._must_warn(score) and not (form.get("sure") and name in session.warned):
            session.warned.add(name)
            return self._finding_page(request, queue, item, kept, warn=which)
        how: Softening = self._desk.settings.soften
        if form.get("sharp") and name in session.softened:
            how = "none"
        picture = softened(kept[which], how)
        shown = {"none": "sharp"}.get(how, how)
        self._desk.acts.reveal(item.id, extraction_id, picture=which, shown=shown, score=score)
        if how != "none":
            session.softened.add(name)
        sent = {"which": which, "how": how, "uri": pages.png_uri(picture)}
        return self._finding_page(request, queue, item, kept, picture=sent)

    def label(self, request: Request) -> Response:
        queue, item = self._item(request)
        form = request.state.form
        self._desk.acts.label(item.id, form.get("label", ""), form.get("note", ""))
        following = queue.next_after(item.id)
        where = f"/findings/{following.id}" if following else "/"
        return RedirectResponse(f"{where}?saved={item.id}", 303)

    def token(self, _: Request) -> Response:
        return pages.token_page(200)

    def enter(self, request: Request) -> Response:
        secret = self._door.enter(request.state.form.get("token", ""))
        if secret is None:
            return pages.token_page(401, "That is not the token of this start.")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            self._rules.cookie,
            secret,
            path="/",
            httponly=True,
            samesite="strict",
            secure=self._rules.scheme == "https",
        )
        return answer

    def leave(self, request: Request) -> Response:
        self._door.leave(request.cookies.get(self._rules.cookie, ""))
        answer = RedirectResponse(ENTER, 303)
        answer.delete_cookie(self._rules.cookie, path="/", httponly=True, samesite="strict")
        return answer

    def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        found = next((one for one in pages.assets().values() if one.name == name), None)
        if found is None:
            raise HTTPException(404)
        kept = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(found.content, media_type=found.kind, headers=kept)

    def _item(self, request: Request) -> tuple[Queue, Item]:
        queue = self._desk.queue()
        item = queue.item(request.path_params["finding_id"])
        if item is None:
            raise HTTPException(404, "there is no such finding, or it does not count any more")
        return queue, item

    def _must_warn(self, score: float | None) -> bool:
        return score is not None and score >= self._desk.settings.warn_score

    def _finding_page(
        self,
        request: Request,
        queue: Queue,
        item: Item,
        kept: dict[str, bytes],
        *,
        status: int = 200,
        warn: str = "",
        picture: dict[str, str] | None = None,
    ) -> Response:
        return pages.page(
            "finding",
            status,
            policy=pages.WITH_PICTURE if picture else None,
            **self._common(request),
            item=item,
            measures=pages.measures(item.finding.match),
            pictures=PICTURES,
            kept=bool(kept),
            scores=self._desk.scored(item.finding.match.extraction_id, kept),
            warn=warn,
            picture=picture,
            following=queue.next_after(item.id),
        )

    def _common(self, request: Request) -> dict[str, Any]:
        saved = request.query_params.get("saved", "")
        return {
            "csrf": cast(Session, request.state.session).csrf,
            "reviewer": self._desk.acts.reviewer,
            "settings": self._desk.settings,
            "score_remedy": None if self._desk.scores.available else REMEDY,
            "no_safeguard": NO_SAFEGUARD,
            "saved": saved if saved.isalnum() else "",
        }


def _refused(status: int, message: str) -> Response:
    return pages.token_page(401) if status == 401 else pages.message_page(status, message)


def _told(_: Request, error: Exception) -> Response:
    return pages.message_page(400 if isinstance(error, ReportError) else 500, str(error))


def _told_http(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    known = error.detail if isinstance(error, HTTPException) and error.detail != "Not Found" else ""
    return pages.message_page(status, known or "there is nothing at this address")


def _told_database(_: Request, error: Exception) -> Response:
    reason = " ".join(str(getattr(error, "orig", error)).split())
    return pages.message_page(503, f"nothing was shown and nothing was kept: the database refused ({reason})")


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 9 else 1
