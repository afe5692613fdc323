"""The page of one finding: its evidence, its occurrences, a picture when it is asked for, and its label."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from reports.finding import ReportError
from reports.findings.occurrences import Occurrence
from reports.review import pages
from reports.review.desk import ReviewDesk
from reports.review.queue import Item, Queue
from reports.review.session import Session
from reports.review.softened import NO_SAFEGUARD, WAYS, Softening, first_ways, sharper_ways, softened

PART = 20
"""Occurrences on one page."""
PICTURES = {"extraction": "the extraction", "control": "the control, from the base alone"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What a request asks of a finding."""

    queue: Queue
    item: Item
    occurrences: list[Occurrence]
    chosen: Occurrence
    """The one whose pictures can be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What is on the page besides the finding."""

    status: int = 200
    warn: tuple[str, str] | None = None
    """Which picture, and how, was asked for and needs a second word."""
    picture: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    draft: dict[str, str] = field(default_factory=dict)
    """A label that was refused: it is not to be typed again."""


class FindingPage:
    """Answers to what is asked of one finding."""

    def __init__(self, desk: ReviewDesk) -> None:
        self._desk = desk

    def show(self, request: Request) -> Response:
        asked = self._asked(request, request.query_params.get("occurrence", ""))
        return self._page(request, asked, self._opened(asked), _Shown())

    def reveal(self, request: Request) -> Response:
        """Send one picture, after the log has taken note of it."""
        form, session = request.state.form, cast(Session, request.state.session)
        asked = self._asked(request, form.get("occurrence", ""))
        least = self._desk.settings.soften
        which, how = form.get("picture", ""), form.get("how", least)
        if which not in PICTURES or how not in WAYS:
            return pages.message_page(400, "there is no such picture; open the finding and try again")
        if asked.item.aside:
            return self._page(request, asked, {}, _Shown(status=409))
        opened = self._opened(asked)
        if not opened:
            return self._page(request, asked, opened, _Shown(status=410))
        extraction_id = asked.chosen.extraction_id
        score, name = self._desk.scored(extraction_id, opened)[which], f"{extraction_id}/{which}"
        if self._must_warn(score) and not (form.get("sure") and name in session.warned):
            session.warned.add(name)
            return self._page(request, asked, opened, _Shown(warn=(which, how)))
        if how not in first_ways(least) and name not in session.softened:
            how = least
        picture = softened(opened[which], cast(Softening, how))
        shown = {"none": "sharp"}.get(how, how)
        self._desk.acts.reveal(asked.item.id, extraction_id, picture=which, shown=shown, score=score)
        if how != "none":
            session.softened.add(name)
        sent = {"which": which, "how": how, "uri": pages.png_uri(picture)}
        return self._page(request, asked, opened, _Shown(picture=sent))

    def label(self, request: Request) -> Response:
        """Keep a label, also of a finding that was set aside while it was looked at."""
        form = request.state.form
        asked = self._asked(request)
        label, note = form.get("label", ""), form.get("note", "")
        try:
            self._desk.acts.label(asked.item.id, label, note)
        except ReportError as error:
            draft = {"label": label, "note": note}
            refused = _Shown(status=400, problem=str(error), draft=draft)
            return self._page(request, asked, self._opened(asked), refused)
        following = asked.queue.next_after(asked.item.id)
        where = f"/findings/{following.id}" if following else "/"
        return RedirectResponse(f"{where}?saved={asked.item.id}", 303)

    def _asked(self, request: Request, occurrence: str = "") -> _Asked:
        queue = self._desk.queue()
        item = queue.item(request.path_params["finding_id"])
        if item is None:
            raise HTTPException(404, "there is no such finding; if there was, it was erased since")
        found = self._desk.findings.occurrences(item.finding)
        chosen = next((one for one in found if one.id == occurrence), None) if occurrence else found[0]
        if chosen is None:
            raise HTTPException(
                404, "the finding has no such occurrence, or the last matching did not see it"
            )
        return _Asked(queue=queue, item=item, occurrences=found, chosen=chosen)

    def _opened(self, asked: _Asked) -> dict[str, bytes]:
        """The pictures of the occurrence that was chosen; of a finding that does not count none is opened."""
        return {} if asked.item.aside else self._desk.opened(asked.chosen.extraction_id)

    def _must_warn(self, score: float | None) -> bool:
        return score is not None and score >= self._desk.settings.warn_score

    def _page(self, request: Request, asked: _Asked, opened: dict[str, bytes], shown: _Shown) -> Response:
        settings, picture = self._desk.settings, shown.picture
        return pages.page(
            "finding",
            shown.status,
            policy=pages.WITH_PICTURE if picture else None,
            **pages.around(request, self._desk),
            **self._part(request, asked),
            item=asked.item,
            measures=pages.measures(asked.item.finding.match),
            chosen=asked.chosen,
            pictures=PICTURES,
            opened=bool(opened),
            scores=self._desk.scored(asked.chosen.extraction_id, opened),
            shown=shown,
            ways=WAYS,
            offered=sharper_ways(cast(Softening, picture["how"])) if picture else first_ways(settings.soften),
            no_safeguard=NO_SAFEGUARD,
            following=asked.queue.next_after(asked.item.id),
        )

    def _part(self, request: Request, asked: _Asked) -> dict[str, Any]:
        """The page of occurrences that was asked for, else the one with the occurrence that was chosen."""
        found = asked.occurrences
        last = -(-len(found) // PART)
        of_chosen = found.index(asked.chosen) // PART + 1
        number = min(max(1, pages.whole(request.query_params.get("part", ""), of_chosen)), last)
        unfolded = asked.chosen is not found[0] or "part" in request.query_params
        part = found[PART * (number - 1) : PART * number]
        kept = self._desk.pictures.kept([one.extraction_id for one in part])
        return {
            "part": part,
            "part_number": number,
            "parts": last,
            "kept": kept,
            "seen": len(found),
            "unfolded": unfolded,
        }
