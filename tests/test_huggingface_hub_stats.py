"""The hub's daily dump as a listing: plausible schemas, resumed reading, and files that are none."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crawler.checkpoint import Listing, Page, Presence, SkipReason
from crawler.huggingface.hub_stats import BATCH, Wanted, hub_stats_pages
from crawler.huggingface.rows import read_row
from crawler.settings import CrawlerSettings
from crawler.source import SourceError

SETTINGS = CrawlerSettings()
CARD = {"base_model": "stabilityai/stable-diffusion-xl-base-1.0", "instance_prompt": "pixel art"}
RELATION = {"relation": "adapter", "models": [{"_id": "1", "id": "stabilityai/stable-diffusion-xl-base-1.0"}]}


def api_row(number: int = 1, **more: Any) -> dict[str, Any]:
    """A row as the API gives it."""
    return {
        "_id": f"{number:024x}",
        "id": f"me/m{number}",
        "author": "me",
        "sha": f"{number:040x}",
        "lastModified": "2026-08-19T12:34:56.000Z",
        "createdAt": "2023-11-09T00:34:02.000Z",
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 17259,
        "likes": 7,
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": ["diffusers", "lora", "license:openrail++"],
        "baseModels": RELATION,
        "cardData": CARD,
        "config": {"diffusers": {"_class_name": "StableDiffusionXLPipeline"}},
        "siblings": [{"rfilename": "README.md"}, {"rfilename": "a.safetensors"}],
        **more,
    }


def as_text(row: dict[str, Any]) -> dict[str, Any]:
    """Tables as JSON text, flags as text, dates as text, bases as names."""
    tables = {name: json.dumps(row[name]) for name in ("cardData", "config")}
    flags = {name: str(row[name]) for name in ("gated", "disabled")}
    return {**row, **tables, **flags, "baseModels": json.dumps(row["baseModels"])}


def as_tables(row: dict[str, Any]) -> dict[str, Any]:
    """Nested columns, dates as timestamps, files as names, downloads as floats."""
    dates = {name: datetime.fromisoformat(row[name]) for name in ("lastModified", "createdAt")}
    files = [file["rfilename"] for file in row["siblings"]]
    return {**row, **dates, "siblings": files, "downloads": float(row["downloads"])}


FORMS = [as_text, as_tables]


def write(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def read(path: Path, first_row: int = 0, settings: CrawlerSettings = SETTINGS) -> list[Page]:
    return list(hub_stats_pages(path, settings, first_row))


def listings(pages: list[Page]) -> list[Listing]:
    return [listing for page in pages for listing in page.listings]


@pytest.mark.parametrize("form", FORMS)
def test_a_row_is_what_the_api_would_have_made_of_it(tmp_path: Path, form: Any) -> None:
    row = api_row()
    (page,) = read(write(tmp_path / "models.parquet", [form(row)]))
    listing, skip = read_row(row, ())
    assert page.listings == (listing,)
    assert (skip, page.rows, page.cursor) == (None, (), None)


@pytest.mark.parametrize("form", FORMS)
def test_only_what_a_crawl_would_list_is_kept(tmp_path: Path, form: Any) -> None:
    language = {"pipeline_tag": "text-generation", "tags": ["transformers"], "library_name": "transformers"}
    rows = [
        api_row(1),
        api_row(2, **language),
        api_row(3, pipeline_tag="text-to-image", tags=[]),
        api_row(4, pipeline_tag=None, tags=["base_model:black-forest-labs/FLUX.1-dev"]),
        api_row(5, pipeline_tag=None, tags=["diffusers:FluxPipeline"]),
    ]
    found = listings(read(write(tmp_path / "m.parquet", [form(row) for row in rows])))
    assert [listing.repo for listing in found] == ["me/m1", "me/m3", "me/m4", "me/m5"]


@pytest.mark.parametrize("form", FORMS)
def test_refusals_are_told_in_any_form(tmp_path: Path, form: Any) -> None:
    rows = [
        api_row(1, gated="manual"),
        api_row(2, disabled=True),
        api_row(3, siblings=[{"rfilename": "a.ckpt"}]),
    ]
    if form is as_tables:
        rows[0]["gated"], rows[1]["gated"], rows[2]["gated"] = "manual", "False", "False"
    (page,) = read(write(tmp_path / "m.parquet", [form(row) for row in rows]))
    assert [getattr(skip, "reason", None) for skip in page.rows] == [
        SkipReason.GATED,
        SkipReason.DISABLED,
        SkipReason.PICKLE_ONLY,
    ]
    assert [listing.presence for listing in page.listings] == [
        Presence.GATED,
        Presence.DISABLED,
        Presence.PRESENT,
    ]


def test_a_killed_import_goes_on_from_any_page(tmp_path: Path) -> None:
    rows = [as_text(api_row(number)) for number in range(3 * BATCH + 7)]
    path = write(tmp_path / "m.parquet", rows, row_group_size=BATCH + 300)
    pages = read(path)
    names = [listing.repo for listing in listings(pages)]
    assert names == [row["id"] for row in rows]
    cursors = [page.cursor for page in pages]
    assert cursors[-1] is None
    assert None not in cursors[:-1]
    for page in pages[:-1]:
        first = int(page.cursor or 0)
        assert [listing.repo for listing in listings(read(path, first))] == names[first:]


def test_an_empty_dump_and_one_that_was_read_to_its_end(tmp_path: Path) -> None:
    path = write(tmp_path / "m.parquet", [api_row()])
    assert read(path, 1) == [Page()]
    empty = tmp_path / "empty.parquet"
    pq.write_table(pa.Table.from_pylist([api_row()]).slice(0, 0), empty)
    assert read(empty) == [Page()]


def test_columns_that_may_be_missing(tmp_path: Path) -> None:
    row = {name: value for name, value in api_row().items() if name in ("_id", "id", "sha", "tags")}
    (listing,) = listings(read(write(tmp_path / "m.parquet", [row])))
    assert listing.look, "without a list of files only a look tells"
    assert listing.downloads is None


def test_rows_without_a_number_are_malformed(tmp_path: Path) -> None:
    (page,) = read(write(tmp_path / "m.parquet", [api_row(1), api_row(2, _id=None)]))
    assert [listing.repo for listing in page.listings] == ["me/m1"]
    assert [(row.repo, getattr(row, "reason", None)) for row in page.rows] == [
        ("me/m2", SkipReason.MALFORMED)
    ]


@pytest.mark.parametrize("name", ["_id", "id", "sha", "tags"])
def test_a_missing_column_is_named(tmp_path: Path, name: str) -> None:
    row = api_row()
    del row[name]
    path = write(tmp_path / "m.parquet", [row])
    with pytest.raises(SourceError, match=f"m.parquet has no column '{name}'.*lastModified"):
        read(path)


@pytest.mark.parametrize(("name", "value"), [("_id", 7), ("sha", [1]), ("tags", 3), ("tags", [{"a": 1}])])
def test_a_column_of_another_type_is_named(tmp_path: Path, name: str, value: object) -> None:
    path = write(tmp_path / "m.parquet", [api_row(**{name: value})])
    with pytest.raises(SourceError, match=f"column '{name}' is .*, not "):
        read(path)


def test_wild_values_in_good_columns(tmp_path: Path) -> None:
    row = as_text(api_row()) | {
        "cardData": "{" * 100_000,
        "config": "not json",
        "baseModels": '["a/b", 7]',
        "gated": "",
        "lastModified": "soon",
        "downloads": -5,
        "tags": '["lora", 3, null]',
    }
    (listing,) = listings(read(write(tmp_path / "m.parquet", [row])))
    assert (listing.presence, listing.updated_at, listing.downloads) == (Presence.PRESENT, None, None)


def test_dates_beyond_python_are_an_error_with_a_remedy(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([api_row()])
    far = pa.array([2**55], pa.timestamp("ms"))
    index = table.schema.get_field_index("lastModified")
    path = tmp_path / "m.parquet"
    pq.write_table(table.set_column(index, "lastModified", far), path)
    with pytest.raises(SourceError, match=r"m.parquet cannot be read.*download"):
        read(path)


def test_nanoseconds_are_cut(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([api_row()])
    moment = int(datetime(2026, 8, 19, 12, 34, 56, tzinfo=UTC).timestamp()) * 10**9 + 123_456_789
    index = table.schema.get_field_index("lastModified")
    path = tmp_path / "m.parquet"
    pq.write_table(table.set_column(index, "lastModified", pa.array([moment], pa.timestamp("ns"))), path)
    (listing,) = listings(read(path))
    assert listing.updated_at == "2026-08-19T12:34:56.123Z"


@pytest.mark.parametrize("content", [b"", b"<html>Log in</html>", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_a_file_that_is_no_parquet(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.parquet"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"m.parquet cannot be read as Parquet.*download"):
        read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.parquet"):
        read(tmp_path / "gone.parquet")


def test_a_damaged_dump_is_read_up_to_the_damage(tmp_path: Path) -> None:
    rows = [as_text(api_row(number)) for number in range(3 * BATCH)]
    path = write(tmp_path / "m.parquet", rows, row_group_size=BATCH, compression="zstd")
    data = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    data[start : start + 200] = b"\xff" * 200
    path.write_bytes(data)
    pages = hub_stats_pages(path, SETTINGS)
    assert [next(pages).cursor for _ in range(2)] == [str(BATCH), str(2 * BATCH)]
    with pytest.raises(SourceError, match="cannot be read"):
        next(pages)


def test_queries_that_a_dump_can_answer() -> None:
    wanted = Wanted(["author=me", "filter=a&filter=b", "pipeline_tag=x&filter=c"])
    assert wanted("me/x", [], None)
    assert wanted("you/x", ["a", "b"], None)
    assert wanted("you/x", ["c"], "x")
    assert not wanted("you/x", ["a", "c"], "y")
    with pytest.raises(SourceError, match=r"crawler.include 'search=lora'.*search"):
        Wanted(["search=lora"])
