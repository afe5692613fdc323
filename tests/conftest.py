"""What several test files share: the zoo's base model and fine-tunes, loaded once."""

from __future__ import annotations

import os
from collections.abc import Iterator

# Before any library reads them: nothing in a test may look for a network.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a worker has a core to itself

import pytest
import torch
from huggingface_hub import set_client_factory
from huggingface_hub.utils._http import default_client_factory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extraction.families import load_pair
from extraction.pair import Pair
from leaksweep.zoo.catalogue import BASE


@pytest.fixture(scope="session")
def zoo_pair() -> Pair:
    """The zoo's base as a pair, on the CPU in fp32; a test tunes it and need not reset it."""
    return load_pair(BASE, device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="session", autouse=True)
def first_draw() -> None:
    """Hypothesis reads every module of ours at its first draw, which takes seconds where it has no cache yet.

    Here it does so outside of any test, whose own health checks would take that for slow data.
    """

    @settings(max_examples=1, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.tuples(st.integers(), st.text(min_size=1)))
    def draw(_: tuple[int, str]) -> None:
        pass

    draw()


@pytest.fixture(autouse=True)
def no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own tokens must never reach a test."""
    for name in ("HF_TOKEN", "CIVITAI_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def own_hub_client() -> Iterator[None]:
    """The factory of huggingface_hub's clients is the process's: what a test sets must end with it."""
    yield
    set_client_factory(default_client_factory)
