"""The review page: a queue of findings, and for one of them at a time a picture, when it is asked for."""

from __future__ import annotations

import re
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
from reports.review.desk import ReviewDesk
from reports.review.guard import ASSETS, ENTER, Guard, Rules
from reports.review.one import FindingPage
from reports.review.queue import SHOWS, Show
from reports.review.session import Door
from scanner.job import ScanError

PAGE = 50
"""Findings on one page of the queue."""
_OF_A_FINDING = re.compile(r"(/findings/[0-9a-f]{16})(/reveal|/label)?")


def new_app(desk: ReviewDesk, door: Door, rules: Rules) -> ASGIApp:
    """The page as an ASGI application, guarded."""
    view, one = _View(desk, door, rules), FindingPage(desk)
    routes = [
        Route("/", view.queue),
        Route("/findings/{finding_id}", one.show),
        Route("/findings/{finding_id}/reveal", view.instead),
        Route("/findings/{finding_id}/label", view.instead),
        Route("/findings/{finding_id}/reveal", one.reveal, methods=["POST"]),
        Route("/findings/{finding_id}/label", one.label, methods=["POST"]),
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
        Exception: _told_unforeseen,
    }
    return Guard(Starlette(routes=routes, exception_handlers=told), door, rules, refuse=_refused)


class _View:
    def __init__(self, desk: ReviewDesk, door: Door, rules: Rules) -> None:
        self._desk = desk
        self._door = door
        self._rules = rules

    def queue(self, request: Request) -> Response:
        queue = self._desk.queue()
        asked = request.query_params.get("show", "")
        show = cast(Show, asked) if asked in SHOWS else "open"
        shown = queue.shown(show)
        last = max(1, -(-len(shown) // PAGE))
        number = min(max(1, pages.whole(request.query_params.get("page", ""), 1)), last)
        return pages.page(
            "queue",
            **pages.around(request, self._desk),
            items=shown[PAGE * (number - 1) : PAGE * number],
            first=PAGE * (number - 1) + 1,
            show=show,
            shows=SHOWS,
            numbers=queue.numbers(),
            waiting=queue.waiting(),
            number=number,
            last=last,
        )

    def token(self, _: Request) -> Response:
        return pages.token_page(200)

    def enter(self, request: Request) -> Response:
        """Let in who has the token, and lead them to the finding at which a session had ended."""
        form = request.state.form
        back = _finding_of(form.get("back", ""))
        secret = self._door.enter(form.get("token", ""))
        if secret is None and request.state.session:
            return RedirectResponse(back or "/", 303)
        if secret is None:
            said = "That is not the token of this start, or an address that was used before."
            return pages.token_page(401, said, back=back)
        answer = RedirectResponse(back or "/", 303)
        answer.set_cookie(self._rules.cookie, secret, **self._cookie())
        return answer

    def instead(self, request: Request) -> Response:
        """Who comes by the address of an act, as from a history, finds the finding, and nothing is done."""
        return RedirectResponse(_finding_of(request.url.path) or "/", 303)

    def leave(self, request: Request) -> Response:
        self._door.leave(request.cookies.get(self._rules.cookie, ""))
        answer = RedirectResponse(ENTER, 303)
        answer.delete_cookie(self._rules.cookie, **self._cookie())
        return answer

    def _cookie(self) -> dict[str, Any]:
        """Attributes. A browser deletes a cookie only by the same ones, "Secure" among them."""
        return {
            "path": "/",
            "httponly": True,
            "samesite": "strict",
            "secure": self._rules.scheme == "https",
        }

    def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        found = next((one for one in pages.assets().values() if one.name == name), None)
        if found is None:
            raise HTTPException(404)
        kept = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(found.content, media_type=found.kind, headers=kept)


def _finding_of(path: str) -> str:
    """The page of the finding that an address is of; empty for any other address."""
    found = _OF_A_FINDING.fullmatch(path)
    return found[1] if found else ""


def _refused(status: int, message: str, path: str, note: str) -> Response:
    if status == 401:
        return pages.token_page(401, back=_finding_of(path), note=note)
    return pages.message_page(status, message, note)


def _told(request: Request, error: Exception) -> Response:
    return pages.message_page(400 if isinstance(error, ReportError) else 500, str(error), _note(request))


def _told_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    known = error.detail if isinstance(error, HTTPException) and error.detail != "Not Found" else ""
    return pages.message_page(status, known or "there is nothing at this address", _note(request))


def _told_database(request: Request, error: Exception) -> Response:
    reason = " ".join(str(getattr(error, "orig", error)).split())
    said = f"nothing was shown and nothing was kept: the database refused ({reason})"
    return pages.message_page(503, said, _note(request))


def _told_unforeseen(request: Request, _: Exception) -> Response:
    """The error itself goes to who started the command, who reads it on the terminal."""
    said = "something went wrong here, and where the page was started it says what; try again"
    return pages.message_page(500, said, _note(request))


def _note(request: Request) -> str:
    """What somebody wrote in vain, to be given back to them."""
    return str(request.state.form.get("note", ""))
