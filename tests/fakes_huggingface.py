"""A listing of the Hugging Face Hub under the real client, with a place to make any answer go wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from huggingface_hub import HfApi, set_client_factory
from huggingface_hub.utils import httpx as hub_httpx

from crawler.huggingface.files import Files
from crawler.huggingface.walk import ListingWalk, Rows
from crawler.source import NoCache

URL = "http://hub.test/api/models"
Meddle = Callable[[Any, Any], Any]
"""Takes a request and its right answer, and returns what is answered."""


def model(number: int, *, changed: int | None = None, **more: Any) -> dict[str, Any]:
    """A row; `number` and `changed` are seconds, so that the highest come first."""
    date = "2024-01-01T{:02}:{:02}:{:02}.000Z"
    return {
        "_id": f"{number:024x}",
        "id": f"me/m{number}",
        "createdAt": date.format(number // 3600, number // 60 % 60, number % 60),
        "lastModified": date.format(
            (changed := number if changed is None else changed) // 3600, changed // 60 % 60, changed % 60
        ),
        "sha": f"{number:040x}",
        "tags": ["lora"],
        "gated": False,
        "siblings": [{"rfilename": "a.safetensors"}],
        **more,
    }


class Listing:
    """Serves rows as the hub does: newest first, by a keyset; keeps the requests."""

    def __init__(
        self, rows: Sequence[dict[str, Any]], meddle: Meddle = lambda request, answer: answer
    ) -> None:
        self.rows = list(rows)
        self.meddle = meddle
        self.asked: list[Any] = []

    def walk(
        self, cursor: str | None = None, *, page_size: int = 3, since: datetime | None = None
    ) -> list[Rows]:
        """All pages of a walk by the real client."""
        return list(self.pages(cursor, page_size=page_size, since=since))

    def pages(self, cursor: str | None = None, *, page_size: int = 3, since: datetime | None = None) -> Any:
        transport = hub_httpx.MockTransport(self.answer)
        set_client_factory(lambda: hub_httpx.Client(transport=transport))
        files = Files(HfApi(endpoint="http://hub.test", token=False), NoCache())
        return ListingWalk(files, URL, "filter=lora", page_size, since).pages(cursor)

    def answer(self, request: Any) -> Any:
        self.asked.append(request)
        query = request.url.params
        key = query["sort"]
        rows = sorted(self.rows, key=lambda row: row["_id"])
        rows.sort(key=lambda row: row[key] or "", reverse=True)
        if "cursor" in query:
            try:
                value, last = json.loads(base64.b64decode(query["cursor"]))
            except ValueError:
                return self.meddle(request, hub_httpx.Response(400, json={"error": "Invalid cursor"}))
            rows = [
                row
                for row in rows
                if (row[key] or "") < value or ((row[key] or "") == value and row["_id"] > last)
            ]
        limit = int(query["limit"])
        shown = rows[:limit]
        fields = {"_id", "id", *query.get_list("expand")}
        headers = {}
        if len(rows) > limit:
            place = base64.b64encode(json.dumps([shown[-1][key] or "", shown[-1]["_id"]]).encode()).decode()
            headers = link(request, place)
        body = [{name: value for name, value in row.items() if name in fields} for row in shown]
        return self.meddle(request, hub_httpx.Response(200, json=body, headers=headers))


def link(request: Any, cursor: str) -> dict[str, str]:
    """The header that leads to the next page."""
    url = request.url.copy_set_param("cursor", cursor)
    return {"Link": f'<{url}>; rel="next"'}


def names(pages: Sequence[Rows]) -> list[str]:
    """The repositories of all pages, in order."""
    return [row["id"] for page in pages for row in page.rows]
