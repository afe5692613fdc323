"""A crawl of hubs that misbehave: none of their faults loses a record, doubles one, or passes unseen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes_crawl import content, crawl_once, rows, settings_for

from leaksweep.hub import Faults, Limits, LocalHub, Strike

CONTENT = content(30)
PASSING = (
    "too_many_requests",
    "server_error",
    "bad_gateway",
    "unavailable",
    "unavailable_until",
    "cut_answer",
)
"""What another attempt mends, within the same crawl."""
DAMAGED = ("short_page", "empty_page", "expired_cursor", "looping_cursor")
"""What the walk itself mends, or says."""
REFUSED = ("stalled_answer", "html_answer", "foreign_api", "foreign_next", "quota_spent")
"""What may end a listing with a clear reason; the next crawl goes on."""
LIMITS = Limits(api=10**6, resolvers=10**6, pages=10**6, window=1)


def crawled(tmp_path: Path, faults: Faults) -> tuple[dict[str, list[Any]], list[str]]:
    """What the catalog holds after as many crawls as it takes, four at most, and why they stopped early."""
    reasons = []
    with LocalHub(CONTENT, faults=faults, limits=LIMITS) as hub:
        settings = settings_for(hub, timeout_seconds=1.0, retries=2)
        for _ in range(4):
            summary = crawl_once(tmp_path / "catalog.db", settings)
            reasons += [source.reason for source in summary.sources if not source.complete]
            if summary.complete:
                return without_addresses(rows(tmp_path / "catalog.db"), hub), reasons
    raise AssertionError(reasons)


def without_addresses(found: dict[str, list[Any]], hub: LocalHub) -> dict[str, list[Any]]:
    """Two hubs have two ports."""
    ports = (hub.url, hub.civitai_url, hub.storage_url)
    for port in ports:
        found = {name: [text.replace(port, "HUB") for text in texts] for name, texts in found.items()}
    # The rules are a digest over the settings, and the answers are kept under a hub's address.
    return {name: texts for name, texts in found.items() if name in ("checkpoint", "skip", "claim", "event")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    found, reasons = crawled(tmp_path_factory.mktemp("calm"), Faults())
    assert reasons == []
    assert len(found["checkpoint"]) == 57
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PASSING, *DAMAGED, *REFUSED])
def test_a_fault_in_the_listings_costs_nothing(
    tmp_path: Path, name: str, undisturbed: dict[str, list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    strike: dict[str, Any] = {name: Strike(on="models?", after=1, times=1)}
    found, reasons = crawled(tmp_path, Faults(retry_after=0, stall_seconds=3.0, **strike))
    assert found == undisturbed
    if name in PASSING:
        assert reasons == []
        assert "next attempt in" in caplog.text  # it is told what was waited for
    remedies = ("again", "tried", "crawler.")
    assert all(any(word in reason for word in remedies) for reason in reasons), reasons
