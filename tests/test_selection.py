"""One set of filters, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date

import pytest
from fakes_catalog import CIVITAI, HF, begun, checkpoint, listing, page
from pydantic import ValidationError
from sqlalchemy import Engine

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine
from crawler.catalog.selection import Selection, SelectionError, places, selected_contents
from crawler.checkpoint import BaseClaim, Grade, Hub, Kind, Prompt, PromptOrigin, RemoteFile

pytest_plugins = ("fakes_postgres",)

Fill = Callable[..., str]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    Catalog(engine).create()
    yield engine
    engine.dispose()


@pytest.fixture
def fill(engine: Engine) -> Fill:
    """Put a repository with one checkpoint into the catalog; returns the checkpoint's id."""
    catalog = Catalog(engine)
    walks = {hub: begun(catalog, hub) for hub in Hub}

    def add(
        repo: str = "ann/cats",
        hub: Hub = HF,
        number: str = "",
        sha256: str | None = None,
        prompt: str = "",
        base: str = "a/base",
        grade: Grade = Grade.DECLARED,
        licence: str | None = None,
        created_at: str | None = None,
        updated_at: str | None = None,
        downloads: int | None = 7,
        **changes: object,
    ) -> str:
        file = RemoteFile(path="x.safetensors", url="https://hub.test/x", size=3, sha256=sha256)
        said = BaseClaim(repo=base, family="sd1", source="card", grade=grade)
        prompts = (Prompt(text=prompt, origin=PromptOrigin.INSTANCE_PROMPT),) if prompt else ()
        made = replace(
            checkpoint(repo, hub=hub), files=(file,), claims=(said,), prompts=prompts, title="", **changes
        )
        facts = replace(
            listing(number or repo, repo, hub=hub, downloads=downloads, updated_at=updated_at),
            license=licence,
            created_at=created_at,
        )
        catalog.commit(walks[hub], "all", page(made, listings=[facts]))
        return made.id

    return add


def found(engine: Engine, **filters: object) -> list[str]:
    return [one.id for one in places(engine, Selection(**filters))]


def test_without_filters_everything_current_is_selected(engine: Engine, fill: Fill) -> None:
    ids = sorted([fill("ann/cats"), fill("bob/dogs"), fill("1", hub=CIVITAI)])
    assert found(engine) == ids
    assert selected_contents(engine, Selection()) is None
    assert selected_contents(engine, Selection(hubs=(CIVITAI,))) == {ids[0]}


def test_what_was_replaced_is_not_selected(engine: Engine, fill: Fill) -> None:
    fill("ann/cats", revision="old")
    catalog = Catalog(engine)
    newer = checkpoint("ann/cats", revision="new")
    catalog.commit(begun(catalog), "all", page(newer, listings=[listing("ann/cats", "ann/cats", "new")]))
    assert found(engine) == [newer.id]


def test_families_kinds_hubs_bases(engine: Engine, fill: Fill) -> None:
    cats, dogs = fill("ann/cats"), fill("bob/dogs", family="sdxl", kind=Kind.DORA, base="b/base")
    cars = fill("1", hub=CIVITAI)
    assert found(engine, families=["sd1"]) == sorted([cats, cars])
    assert found(engine, families=["sd1", "sdxl"], hubs=["huggingface"]) == [cats, dogs]
    assert found(engine, kinds=["dora", "full"]) == [dogs]
    assert found(engine, bases=["b/base", "c/base"]) == [dogs]
    assert found(engine, families=["sdxl"], kinds=["lora"]) == []
    assert found(engine, ids=[cats, checkpoint("bob/dogs").key, "nothing"]) == [cats, dogs]


def test_downloads_are_those_of_the_last_listing(engine: Engine, fill: Fill) -> None:
    many, none, few = fill("a/many", downloads=2**38), fill("b/unknown", downloads=None), fill("c/few")
    assert found(engine, min_downloads=8) == [many]
    assert found(engine, max_downloads=7) == [
        none,
        few,
    ]  # the checkpoint's own count where the hub tells no other
    assert found(engine, min_downloads=2**38, max_downloads=2**38) == [many]
    [row] = places(engine, Selection(ids=(many,)))
    assert row.downloads == 2**38


def test_days_include_the_first_and_leave_out_the_last(engine: Engine, fill: Fill) -> None:
    old = fill("a/old", created_at="2024-02-28T23:59:59.999Z", updated_at="2026-01-01T00:00:00Z")
    new = fill("b/new", created_at="2024-02-29T00:00:00.000Z", updated_at="2026-01-02T00:00:00Z")
    fill("c/unknown")
    day = date(2024, 2, 29)
    assert found(engine, created_since=day) == [new]
    assert found(engine, created_before=day) == [old]
    assert found(engine, created_before=day, updated_since="2026-01-02") == []
    assert found(engine, updated_since="2026-01-02") == [new]
    assert found(engine, updated_before="2026-01-02") == [old]


def test_licences_in_any_case(engine: Engine, fill: Fill) -> None:
    free, fill_ = fill("a/free", licence="Apache-2.0"), fill("b/other", licence="openrail++")
    fill("c/unknown")
    assert found(engine, licences=["apache-2.0"]) == [free]
    assert found(engine, licences=["APACHE-2.0", "openrail++"]) == [free, fill_]


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        (["cat"], True),
        (["CAT", "sks"], True),
        (["cat", "dog"], False),
        (["ann/"], True),
        (["50%_done"], True),
        (["50"], True),
        (["5%"], False),
        (["d_ne"], False),
        (["ÉTÉ"], True),
        (["e\u0301te\u0301"], True),
        (["STRASSE"], True),
        (['"quoted"'], True),
        ([r"back\slash"], True),
        (["x.safetensors"], False),
        (["instance_prompt"], False),
    ],
    ids=str,
)
def test_words_are_literal_and_all_must_occur(
    engine: Engine, fill: Fill, words: list[str], fits: bool
) -> None:
    prompt = 'a photo of sks, été in der Straße, "quoted", back\\slash'
    subject = fill("ann/cats_50%_done", prompt=prompt)
    assert found(engine, words=words) == ([subject] if fits else [])


def test_the_title_is_searched(engine: Engine, fill: Fill) -> None:
    catalog = Catalog(engine)
    made = replace(checkpoint("5", hub=CIVITAI), title="Watercolour cats")
    catalog.commit(begun(catalog, CIVITAI), "all", page(made))
    assert found(engine, words=["WATERCOLOUR"]) == [made.id]


def test_a_grade_or_better(engine: Engine, fill: Fill) -> None:
    card, digest = fill("a/card"), fill("b/digest", grade=Grade.DIGEST)
    assert found(engine, base_grade="label") == [card, digest]
    assert found(engine, base_grade="loaded") == [digest]


def test_grades_are_those_of_claims_that_can_name_a_base() -> None:
    choices = Selection.model_json_schema()["properties"]["base_grade"]["anyOf"][0]["enum"]
    assert choices == [grade.name.lower() for grade in Grade if grade is not Grade.TENSORS]


def test_a_name_that_two_repositories_had_is_one_place(engine: Engine, fill: Fill) -> None:
    fill("ann/cats", number="gone", licence="mit")
    subject = fill("ann/cats", number="here", licence="other")
    [row] = places(engine, Selection())
    assert row.id == subject
    assert len(found(engine, licences=["mit"])) + len(found(engine, licences=["other"])) == 1


def test_one_content_in_two_places(engine: Engine, fill: Fill) -> None:
    fill("ann/cats", sha256="ab" * 32), fill("bob/cats", sha256="ab" * 32)
    assert selected_contents(engine, Selection(words=("cats",))) == {"ab" * 32}


def test_an_unknown_family_names_those_that_are_known(engine: Engine, fill: Fill) -> None:
    fill()
    message = r"family 'sdx' is not known; did you mean 'sdxl'\?; the catalog has: sd1 \(1\)"
    with pytest.raises(SelectionError, match=message):
        found(engine, families=["sdx"])
    assert found(engine, families=["sdxl"]) == []  # is known, has none


def test_an_unknown_sample_says_how_to_draw_one(engine: Engine) -> None:
    with pytest.raises(SelectionError, match=r"there is no sample 'may'; leaksweep sample draws one"):
        found(engine, sample="may")


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"kinds": ["lorra"]}, "'full', 'lora'"),
        ({"hubs": ["github"]}, "'huggingface' or 'civitai'"),
        ({"min_downloads": -1}, "greater than or equal to 0"),
        ({"min_downloads": 2**63}, "less than or equal"),
        ({"min_downloads": 9, "max_downloads": 8}, "min_downloads 9 is above max_downloads 8"),
        ({"created_since": "2025-02-30"}, "day value is outside expected range"),
        ({"updated_since": "2025-03-01", "updated_before": "2025-02-01"}, "nothing can fit both"),
        ({"base_grade": "tensors"}, "'name', 'label'"),
        ({"words": [""]}, "at least 1 character"),
        ({"famlies": ["sd1"]}, "famlies"),
    ],
    ids=str,
)
def test_what_is_no_filter_is_refused(filters: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Selection(**filters)
