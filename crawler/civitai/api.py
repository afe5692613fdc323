"""What Civitai's public API is asked, and what counts as an answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx

from crawler.source import SourceError

MAX_PAGE = 100
"""Models in one answer, and ids in one question; the hub's limit."""
_EVERY_STATE = (("nsfw", "true"), ("archived", "true"))
"""Without these the hub leaves out models that are not for all ages, and archived ones."""

Query = Sequence[tuple[str, str]]


class AnswerError(SourceError):
    """An answer that is none; `status` is its HTTP status, 200 for one that has not the documented shape."""

    def __init__(self, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """Asks Civitai.

    Args:
        client: its base address is the site's, without /api/v1; it carries the token, and has the manners.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def models(self, query: Query) -> tuple[list[Any], str | None]:
        """One page of a listing: models as the hub gives them, and the next cursor.

        `nextPage` is not looked at: it may name another host.

        Raises:
            AnswerError: it is an error, or no page of models.
            SourceError: the hub does not answer.
        """
        content = self.ask("GET", "/api/v1/models", params=[*query, *_EVERY_STATE])
        match content:
            case {"items": [*models]}:
                metadata = content.get("metadata")
                following = metadata.get("nextCursor") if isinstance(metadata, dict) else None
                return models, None if following in (None, "") else str(following)
            case _:
                raise AnswerError("civitai: the answer holds no list of models; crawl again later")

    def by_ids(self, ids: Sequence[int]) -> tuple[list[dict[str, Any]], list[int]]:
        """The models with these ids that the hub lists, and the ids on which it breaks with status 500.

        Raises:
            SourceError: the hub does not answer.
        """
        found: list[dict[str, Any]] = []
        broken: list[int] = []
        groups = [list(ids[start : start + MAX_PAGE]) for start in range(0, len(ids), MAX_PAGE)]
        while groups:
            group = groups.pop(0)
            wanted = ",".join(map(str, group))
            try:
                models, _ = self.models([("ids", wanted), ("limit", str(MAX_PAGE))])
            except AnswerError as error:
                if error.status != 500:
                    raise
                half = len(group) // 2
                # Behind the others, so that answers come between the failures: the hub is not down.
                groups += [group[:half], group[half:]] if half else []
                broken += [] if half else group
            else:
                known = set(group)
                found += [row for row in models if isinstance(row, dict) and row.get("id") in known]
        return found, broken

    def model(self, number: str) -> dict[str, Any] | None:
        """A model by its id; None when the hub says that it has none.

        Raises:
            AnswerError: neither the one nor the other was said.
        """
        try:
            content = self.ask("GET", f"/api/v1/models/{number}")
        except AnswerError as error:
            if error.status == 404:
                return None
            raise
        if not isinstance(content, dict):
            raise AnswerError(f"civitai, model {number}: the answer holds no model")
        return content

    def base_models(self) -> tuple[str, ...]:
        """The words that authors may choose a base model from, as the hub has them today.

        Raises:
            SourceError: the hub does not tell.
        """
        content = self.ask("GET", "/api/v1/enums")
        match content:
            case {"BaseModel": [*words]} if words:
                return tuple(word for word in words if isinstance(word, str) and 0 < len(word) <= 100)
            case _:
                raise AnswerError("civitai: /api/v1/enums names no base models")

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """Send one request and return the JSON of its answer, which the client bounds in size and time.

        Raises:
            AnswerError: a status that is not 200, a web page, or no JSON.
            SourceError: the connection failed, or the client would not ask.
        """
        try:
            answer = self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            reason = f"{type(error).__name__}: {error}"
            raise SourceError(f"civitai, {path}: {reason}; crawl again, it goes on from here") from error
        return _content(answer, path)


def _content(answer: httpx.Response, path: str) -> Any:
    start = answer.content[:200]
    text = start.decode("utf-8", "replace")
    # A path that the API does not have, and a site that refuses, answer with a page and any status.
    if "html" in answer.headers.get("Content-Type", "").lower() or start.lstrip().startswith(b"<"):
        raise AnswerError(
            f"civitai, {path}: a web page came, no JSON (status {answer.status_code}, at "
            f"{answer.url.path[:100]!r}); the site refuses some regions, "
            "and crawler.civitai_url may be another site's",
            # A 404 of the web server says nothing of a model.
            answer.status_code if answer.status_code != 404 else 200,
        )
    if answer.status_code != 200:
        raise AnswerError(
            f"civitai, {path}: status {answer.status_code}: {text!r}; crawl again, it goes on from here",
            answer.status_code,
        )
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"civitai, {path}: the answer is no JSON: {text!r}; crawl again later") from error
