"""Samples: what is drawn depends on the catalog, the seed and the design, and on nothing else."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest
from fakes_catalog import CIVITAI, HF, begun, checkpoint, listing, page
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from crawler.catalog import Catalog, tables
from crawler.catalog.allocation import Allocation, allocate
from crawler.catalog.engine import open_engine
from crawler.catalog.sample import STRATA, Design, SampleError, bracket, draw
from crawler.catalog.samples import absent, keep, kept, weights
from crawler.catalog.selection import Place, Selection, SelectionError, places, selected_contents
from crawler.checkpoint import Checkpoint, Hub, Presence, RemoteFile

pytest_plugins = ("fakes_postgres",)

ALL = Selection()
DESIGN = Design(size=9, by=("family", "hub"), seed=7)


def row(number: int, content: str = "", family: str = "sd1", hub: str = "civitai", **more: object) -> Place:
    facts = {"kind": "lora", "downloads": 5, "created_at": "2024-05-06T00:00:00Z", "licence": "MIT", **more}
    id_ = f"{hub}:{number}@1:w"
    return Place(
        id=id_,
        content=content or id_,
        hub=hub,
        repo=str(number),
        family=family,
        updated_at=None,
        record="",
        **facts,
    )


@st.composite
def catalogs(draw_: st.DrawFn) -> list[Place]:
    """Up to 40 places of up to 40 contents in up to four strata."""
    families, hubs = st.sampled_from(["sd1", "sdxl"]), st.sampled_from(["civitai", "huggingface"])
    return [
        row(number, f"content {draw_(st.integers(0, 40))}", draw_(families), draw_(hubs))
        for number in range(draw_(st.integers(1, 40)))
    ]


@given(
    rows=catalogs(), data=st.data(), seed=st.integers(-(2**63), 2**63 - 1), how=st.sampled_from(Allocation)
)
def test_a_sample(rows: list[Place], data: st.DataObject, seed: int, how: Allocation) -> None:
    contents = {one.content for one in rows}
    size = data.draw(st.integers(1, len(contents)))
    design = Design(size=size, by=("family", "hub"), seed=seed, allocation=how, minimum=1)
    try:
        sample = draw(rows, design, ALL)
    except SampleError as error:
        assume("too small" not in str(error))
        raise
    assert len(sample.members) == len({one.content for one in sample.members}) == size
    assert {one.content for one in sample.members} <= contents
    assert (sample.contents, sample.places) == (len(contents), len(rows))
    # The Horvitz-Thompson estimate of "one each" is the number of contents, in each stratum and over all.
    drawn = Counter(one.stratum for one in sample.members)
    for number, stratum in enumerate(sample.strata):
        assert drawn[number] == stratum.drawn
        assert sum(1 / stratum.probability for _ in range(drawn[number])) == stratum.population
    assert sum(sample.strata[one.stratum].weight for one in sample.members) == len(contents)
    # Neither the order of the rows nor the order of drawing has a say.
    assert draw(data.draw(st.permutations(rows)), design, ALL) == sample
    # A larger one holds this one.
    larger = replace(design, size=data.draw(st.integers(size, len(contents))))
    more = {one.content for one in draw(rows, larger, ALL).members}
    assert {one.content for one in sample.members} <= more


SIZES = st.lists(st.integers(1, 10**6), min_size=1, max_size=30)


@given(sizes=SIZES, minimum=st.integers(0, 3), how=st.sampled_from(Allocation), data=st.data())
def test_an_allocation(sizes: list[int], minimum: int, how: Allocation, data: st.DataObject) -> None:
    least = sum(min(minimum, size) for size in sizes)
    total = data.draw(st.integers(least, min(sum(sizes), least + 300)))
    drawn = allocate(sizes, total, how, minimum=minimum)
    assert sum(drawn) == total
    for got, size in zip(drawn, sizes, strict=True):
        assert min(minimum, size) <= got <= size
    if total < sum(sizes):
        more = allocate(sizes, total + 1, how, minimum=minimum)
        assert sum(after - before for after, before in zip(more, drawn, strict=True)) == 1
        assert all(after >= before for after, before in zip(more, drawn, strict=True))


def test_shares_are_proportional_or_equal() -> None:
    assert allocate([600, 300, 90, 10], 100, Allocation.PROPORTIONAL) == [59, 30, 9, 2]
    assert allocate([600, 300, 90, 10], 100, Allocation.EQUAL) == [30, 30, 30, 10]
    assert allocate([1, 1, 3], 4, Allocation.EQUAL, minimum=0) == [1, 1, 2]
    # Largest remainders would give the last one 2 of ten, and 1 of eleven.
    last = [allocate([6, 6, 2], total, Allocation.PROPORTIONAL, minimum=0)[2] for total in (10, 11, 12)]
    assert last == [1, 1, 2]


@pytest.mark.parametrize("total", [3, 12])
def test_an_allocation_that_cannot_be(total: int) -> None:
    with pytest.raises(ValueError, match="cannot be shared out: from 4 to 11 can"):
        allocate([5, 6], total, Allocation.EQUAL)


def test_the_draw_of_this_version_is_that_of_every_version() -> None:
    """A published seed and size have to give the same sample for ever."""
    sample = draw([row(number) for number in range(20)], Design(size=5, by=(), seed=7), ALL)
    drawn = [f"civitai:{number}@1:w" for number in (7, 11, 16, 9, 18)]
    assert [one.checkpoint_id for one in sample.members] == drawn
    [stratum] = sample.strata
    assert (stratum.values, stratum.probability, stratum.weight) == ((), Fraction(1, 4), 4)


def test_seeds_draw_differently() -> None:
    rows = [row(number) for number in range(100)]
    first, second = (draw(rows, Design(size=20, by=(), seed=seed), ALL).members for seed in (1, 2))
    assert first != second


def test_every_content_is_drawn_equally_often() -> None:
    rows = [row(number) for number in range(10)]
    times: Counter[str] = Counter()
    for seed in range(2000):
        times.update(one.content for one in draw(rows, Design(size=3, by=(), seed=seed), ALL).members)
    assert all(abs(count - 600) < 5 * (2000 * 0.3 * 0.7) ** 0.5 for count in times.values())


def test_one_content_in_many_places_stands_at_the_first() -> None:
    rows = [row(2, "same", hub="huggingface"), row(3, "same"), row(1, "same", hub="huggingface")]
    sample = draw(rows, Design(size=1, by=("hub",), seed=0), ALL)
    assert [(one.content, one.checkpoint_id) for one in sample.members] == [("same", "civitai:3@1:w")]
    assert [stratum.values for stratum in sample.strata] == [("civitai",)]


def test_strata() -> None:
    by = ("family", "hub", "kind", "downloads", "year", "licence")
    assert by == tuple(STRATA)
    rows = [row(1), row(2, downloads=None, created_at=None, licence=None)]
    sample = draw(rows, Design(size=2, by=by, seed=0), ALL)
    assert [stratum.values for stratum in sample.strata] == [
        ("sd1", "civitai", "lora", "1-9", "2024", "mit"),
        ("sd1", "civitai", "lora", "unknown", "unknown", "unknown"),
    ]


def test_downloads_fall_into_decades() -> None:
    counts = (0, 1, 9, 10, 99, 100, 12345)
    names = ["0", "1-9", "1-9", "10-99", "10-99", "100-999", "10000-99999"]
    assert [bracket(count) for count in counts] == names == sorted(names)


@pytest.mark.parametrize(
    ("design", "selection", "message"),
    [
        (replace(DESIGN, size=11), ALL, "size 11 is more than there is: 10 distinct checkpoints"),
        (
            replace(DESIGN, size=3),
            ALL,
            "size 3 is too small: 2 of each of 2 strata.*take 4; stratify by less",
        ),
        (
            replace(DESIGN, by=("famly",)),
            ALL,
            "'famly'; did you mean 'family'.; known: family, hub, kind, down",
        ),
        (DESIGN, Selection(sample="may"), "a sample of a sample"),
    ],
    ids=["large", "small", "by", "nested"],
)
def test_a_sample_that_cannot_be_drawn(design: Design, selection: Selection, message: str) -> None:
    rows = [row(number, family="sd1" if number else "sdxl") for number in range(9)]
    rows.append(row(9, family="sdxl"))
    with pytest.raises(SampleError, match=message):
        draw(rows, design, selection)


def test_nothing_to_draw_from() -> None:
    with pytest.raises(SampleError, match="no checkpoint of the catalog is selected"):
        draw([], DESIGN, ALL)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    Catalog(engine).create()
    yield engine
    engine.dispose()


def weights_file(repo: str, sha256: str | None, hub: Hub = HF, family: str = "sd1") -> Checkpoint:
    file = RemoteFile(path="x.safetensors", url="https://hub.test/x", size=3, sha256=sha256)
    return replace(checkpoint(repo, hub=hub), files=(file,), family=family)


def filled(engine: Engine, count: int = 12) -> list[Checkpoint]:
    """Contents on Hugging Face; every third one is on Civitai too, the one after it has no digest."""
    catalog, made = Catalog(engine), []
    for hub in (HF, CIVITAI):
        walk = begun(catalog, hub)
        for number in range(count):
            if hub is HF or number % 3 == 0:
                digest = None if number % 3 == 1 else f"{number:064x}"
                one = weights_file(f"a/{number}", digest, hub, "sdxl" if number % 2 else "sd1")
                catalog.commit(walk, "all", page(one, listings=[listing(one.repo, one.repo, hub=hub)]))
                made.append(one)
    return made


def drawn(engine: Engine, name: str = "may", **changes: object) -> str:
    sample = draw(places(engine, ALL), replace(DESIGN, **changes), ALL)
    keep(engine, name, sample, drawn_at="2026-05-01T00:00:00+00:00")
    return name


def test_a_kept_sample_is_the_drawn_one(engine: Engine) -> None:
    filled(engine)
    selection = Selection(families=("sd1", "sdxl"), created_before=None, min_downloads=1)
    sample = draw(places(engine, selection), replace(DESIGN, seed=2**63 - 1), selection)
    keep(engine, "may", sample, drawn_at="2026-05-01T00:00:00+00:00")
    assert kept(engine, "may") == sample
    with engine.connect() as db:
        head = db.execute(select(tables.sample)).one()
        members = db.execute(select(tables.sample_member)).all()
    assert (head.contents, head.places, head.catalog_places) == (12, 16, 16)
    assert sum(one.weight for one in members) == pytest.approx(12)
    assert all(one.probability * one.weight == pytest.approx(1) for one in members)


def test_weights_reach_every_place_of_a_content(engine: Engine) -> None:
    made = filled(engine)
    found = weights(engine, drawn(engine))
    contents = {weight.content: weight for weight in found.values()}
    assert len(contents) == 9
    assert sum(weight.weight for weight in contents.values()) == pytest.approx(12)
    for one in made:
        assert (one.id in found) == ((one.sha256 or one.id) in contents)
    one = next(iter(contents.values()))
    assert one.probability == one.drawn / one.population == pytest.approx(1 / one.weight)


def test_the_members_alone_are_selected(engine: Engine) -> None:
    filled(engine)
    sample = kept(engine, drawn(engine))
    members = {one.content for one in sample.members}
    assert selected_contents(engine, Selection(sample="may")) == members
    assert absent(engine, "may") == 0


def test_members_that_no_hub_shows_any_more_are_counted(engine: Engine) -> None:
    filled(engine)
    name = drawn(engine, size=12)
    catalog = Catalog(engine)
    gated = listing("a/2", "a/2", presence=Presence.GATED)
    catalog.commit(begun(catalog), "all", page(listings=[gated]))
    assert absent(engine, name) == 1
    assert len(selected_contents(engine, Selection(sample=name)) or ()) == 11


def test_a_name_is_drawn_once(engine: Engine) -> None:
    filled(engine)
    first = kept(engine, drawn(engine))
    again = draw(places(engine, ALL), replace(DESIGN, seed=8), ALL)
    with pytest.raises(SampleError, match=r"'may' is there since 2026-05-01.*--replace"):
        keep(engine, "may", again, drawn_at="2026-06-01T00:00:00+00:00")
    assert kept(engine, "may") == first
    keep(engine, "may", again, drawn_at="2026-06-01T00:00:00+00:00", replace=True)
    assert kept(engine, "may") == again


@pytest.mark.parametrize("name", ["", "a b", "../a", "-x", "x" * 65, "ä"])
def test_what_is_no_name(engine: Engine, name: str) -> None:
    filled(engine)
    with pytest.raises(SampleError, match="is no name for a sample"):
        drawn(engine, name)


def test_a_sample_that_is_not_there(engine: Engine) -> None:
    filled(engine)
    drawn(engine)
    with pytest.raises(
        SelectionError, match=r"there is no sample 'mai'; did you mean 'may'.; drawn so far: may"
    ):
        weights(engine, "mai")


def test_a_weighted_rate_is_unbiased_and_its_variance_known() -> None:
    """As docs/sampling.md has both, over many seeds; equal shares of unequal strata make weights matter."""
    rows = [row(number, family="sd1" if number < 90 else "sdxl") for number in range(120)]
    leaks = {one.content for one in rows if int(one.repo) % (9 if one.family == "sd1" else 2) == 0}
    design = Design(size=40, by=("family",), seed=0, allocation=Allocation.EQUAL)
    rates, variances = [], []
    for seed in range(400):
        sample = draw(rows, replace(design, seed=seed), ALL)
        rate = variance = 0.0
        for number, stratum in enumerate(sample.strata):
            found = [one.content in leaks for one in sample.members if one.stratum == number]
            n, size, p = stratum.drawn, stratum.population, sum(found) / len(found)
            rate += sum(found) * float(stratum.weight) / 120
            variance += (size / 120) ** 2 * (1 - n / size) * p * (1 - p) / (n - 1)
        rates.append(rate)
        variances.append(variance)
    truth, spread = len(leaks) / 120, statistics.pvariance(rates)
    assert abs(statistics.fmean(rates) - truth) < 4 * (spread / len(rates)) ** 0.5
    assert statistics.fmean(variances) == pytest.approx(spread, rel=0.25)
