"""The listings that a pass walks, by name: a query each."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl, urlencode

from crawler.civitai.api import Api, Query
from crawler.civitai.cursors import Order
from crawler.evidence.family_table import FAMILIES
from crawler.source import Mode, SourceError

logger = logging.getLogger(__name__)

_ELSEWHERE = frozenset(label for family in FAMILIES if family.what for label in family.labels or ())
"""Base models of video, sound and closed services: not worth a listing of their own. The listings by age hold
their models all the same."""


def shard_names(mode: Mode, types: Sequence[str], api: Api) -> list[str]:
    """An increment walks each type by "Newest". A full pass walks each type by "Oldest", which loses none but
    where one time fills a page, and each type and base model by "Most Downloaded", which loses none but those
    that move while it is walked: together, none.

    Base models are the hub's own words of today, so that new ones are listed before our table knows them.
    """
    if mode is not Mode.FULL:
        return [_name(Order.NEWEST, types=kind) for kind in types]
    by_age = [_name(Order.OLDEST, types=kind) for kind in types]
    labels = [label for label in _base_models(api) if label not in _ELSEWHERE]
    return by_age + [
        _name(Order.MOST_DOWNLOADED, types=kind, baseModels=label) for kind in types for label in labels
    ]


def order_of(shard: str) -> Order:
    """The order that a shard is walked in."""
    return Order(dict(parse_qsl(shard))["sort"])


def query_of(shard: str) -> Query:
    """What is asked for a shard's pages, but for the page."""
    return [*parse_qsl(shard), ("period", "AllTime")]


def _name(order: Order, **query: str) -> str:
    return urlencode({**query, "sort": order.value})


def _base_models(api: Api) -> Iterable[str]:
    try:
        return dict.fromkeys(api.base_models())
    except SourceError as error:
        logger.warning("civitai does not tell its base models, so those of our table are listed: %s", error)
        return dict.fromkeys(label for family in FAMILIES for label in family.labels or ())
