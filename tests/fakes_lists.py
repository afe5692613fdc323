"""Lists of every format, written from the same signals; and one that is wrong for each kind of fault."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

NAMESPACE = "https://hashsharing.ncmec.org/hashsharing/v2"
LIST_NAMES = {
    "plain": "list.txt",
    "dataset": "collab.csv",
    "te": "simple.HASH_PDQ.te",
    "hma": "bank.json",
    "stopncii": "page.json",
    "ncmec": "entries.xml",
    "csv": "table.csv",
    "parquet": "table.parquet",
}
"""A file's usual name in each format."""


def some_codes(count: int, seed: int = 0) -> list[bytes]:
    """PDQ hashes of nothing, half of whose bits are set as in real ones."""
    rng = random.Random(seed)
    codes = []
    for _ in range(count):
        bits = [1] * 128 + [0] * 128
        rng.shuffle(bits)
        codes.append(int("".join(map(str, bits)), 2).to_bytes(32, "big"))
    return codes


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def hma_content(number: int, value: str, **fields: Any) -> dict[str, Any]:
    """A bank content, in the shape of HMA's API with include_signals=true."""
    return {
        "bank": {"matching_enabled_ratio": 1.0, "name": "HOTLINE"},
        "disable_until_ts": 1,
        "id": number,
        "original_media_uri": None,
        "signals": {"pdq": value},
    } | fields


def stopncii_record(value: str, **fields: Any) -> dict[str, Any]:
    return {
        "lastModtimestamp": 1_700_000_000,
        "hashValue": value,
        "hashStatus": "Active",
        "caseNumbers": {"00000000-0000-4000-8000-000000000001": "Active"},
        "signalType": "ImagePDQ",
    } | fields


def stopncii_page(records: Sequence[Any]) -> dict[str, Any]:
    return {
        "count": len(records),
        "nextSetTimestamp": 1_700_000_100,
        "nextPageToken": None,
        "hasMoreRecords": False,
        "hashRecords": list(records),
    }


def ncmec_image(number: str, prints: dict[str, str], **fields: str) -> str:
    """An <image> as text; fields: member, classification, timestamp, feedback (as XML)."""
    marks = "".join(f"<{kind}>{value}</{kind}>" for kind, value in prints.items())
    return (
        f'<image><member id="{fields.get("member", "42")}">Example Member</member>'
        f"<timestamp>{fields.get('timestamp', '2026-10-24T15:00:00Z')}</timestamp><id>{number}</id>"
        f"<classification>{fields.get('classification', 'A1')}</classification>"
        f"<fingerprints>{marks}</fingerprints>{fields.get('feedback', '')}</image>"
    )


def ncmec_deleted(number: str) -> str:
    return (
        f'<deletedImage><member id="42">Example Member</member><id>{number}</id>'
        "<timestamp>2026-10-25T15:00:00Z</timestamp></deletedImage>"
    )


def ncmec_text(images: Iterable[str], videos: Iterable[str] = (), following: str = "") -> str:
    """A page as text; following: the address of the next one."""
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f'<queryResult xmlns="{NAMESPACE}">\n<images count="1" maxTimestamp="2026-10-24T15:10:00Z">\n'
        + "\n".join(images)
        + "\n</images>\n<videos>"
        + "\n".join(videos)
        + f"</videos>\n<paging><next>{following}</next></paging>\n</queryResult>\n"
    )


def _plain(codes: Sequence[bytes]) -> str:
    return "# from a partner\n\n" + "".join(f"pdq {code.hex()}\n" for code in codes)


def _dataset(codes: Sequence[bytes]) -> str:
    header = ("signal_type", "signal_str", "collab", "category", "tags")
    return csv_text(
        [header, *(("pdq", code.hex(), "Sample, Data", "POSITIVE_CLASS", "a b") for code in codes)]
    )


def _te(codes: Sequence[bytes]) -> str:
    return csv_text(
        (code.hex(), 100 + at, 900 + at, "2020-07-01T18:31:15+0000", "true_positive a")
        for at, code in enumerate(codes)
    )


def _hma(codes: Sequence[bytes]) -> str:
    return json.dumps([hma_content(at, code.hex()) for at, code in enumerate(codes, start=1)])


def _stopncii(codes: Sequence[bytes]) -> str:
    return json.dumps(stopncii_page([stopncii_record(code.hex()) for code in codes]))


def _ncmec(codes: Sequence[bytes]) -> str:
    return ncmec_text(ncmec_image(f"image{at}", {"pdq": code.hex()}) for at, code in enumerate(codes))


def _csv(codes: Sequence[bytes]) -> str:
    return csv_text([("ref_id", "value"), *((f"r{at}", code.hex()) for at, code in enumerate(codes))])


_TEXTS: dict[str, Callable[[Sequence[bytes]], str]] = {
    "plain": _plain,
    "dataset": _dataset,
    "te": _te,
    "hma": _hma,
    "stopncii": _stopncii,
    "ncmec": _ncmec,
    "csv": _csv,
}


def write_list(folder: Path, form: str, codes: Sequence[bytes]) -> Path:
    """Write a whole list of PDQ hashes in a format; return its path."""
    path = folder / LIST_NAMES[form]
    if form == "parquet":
        ids = [f"r{at}" for at in range(len(codes))]
        pq.write_table(pa.table({"ref_id": ids, "value": [code.hex() for code in codes]}), path)
    else:
        path.write_text(_TEXTS[form](codes), encoding="utf-8")
    return path


def malformed(value: str) -> dict[str, tuple[str, str, str, str]]:
    """Lists with a fault in their second entry, by name: format, text, the place that a message has to
    name, and words of its reason. `value` is a good PDQ hash in hexadecimal."""
    good = hma_content(1, value)
    record = stopncii_record(value)
    image = ncmec_image("a", {"pdq": value})
    header = "signal_type,signal_str,collab,category,tags\n"
    row = f"pdq,{value},x,POSITIVE_CLASS,\n"
    te = f"{value},1,2,2020-07-01T18:31:15+0000,\n"
    table = "id,hash,seen\n"

    def hma(**fields: Any) -> str:
        return json.dumps([good, good | fields])

    def stop(**fields: Any) -> str:
        return json.dumps(stopncii_page([record, record | fields]))

    return {
        "plain short": ("plain", f"{value}\n{value[:-1]}\n", "line 2", "63 digits"),
        "plain long": ("plain", f"{value}\n{value}00\n", "line 2", "66 digits"),
        "plain no digit": ("plain", f"{value}\n{value[:10]}g{value[11:]}\n", "line 2", "character 11"),
        "plain something behind": ("plain", f"{value}\n{value},x\n", "line 2", "character 65"),
        "plain 0x": ("plain", f"{value}\n0x{value}\n", "line 2", "character 2"),
        "plain spaces within": ("plain", f"{value}\n{value[:32]} {value[:32]}\n", "line 2", "only the kind"),
        "plain unknown kind": ("plain", f"{value}\nmagic {value}\n", "line 2", "only the kind"),
        "plain wrong kind": ("plain", f"{value}\nphash {value}\n", "line 2", "phash has 16"),
        "plain short md5": ("plain", f"{value}\nmd5 {value[:31]}\n", "line 2", "md5 has 32"),
        "plain kind alone": ("plain", f"{value}\npdq\n", "line 2", "character 1"),
        "dataset header": ("dataset", f"signal_type,signal_str\npdq,{value}\n", "line 1", "header"),
        "dataset cells": ("dataset", header + row + f"pdq,{value}\n", "line 3", "2 cells"),
        "dataset value": ("dataset", header + row + row.replace(value, value[:9]), "line 3", "9 digits"),
        "dataset opinion": ("dataset", header + row + row.replace("POSITIVE", "MAYBE"), "line 3", "opinion"),
        "dataset kind": ("dataset", header + row + row.replace("pdq", "p d q"), "line 3", "kind"),
        "dataset quotes": ("dataset", header + row + '"pdq,x\n', "line 3", "CSV"),
        "te cells": ("te", te + f"{value},1\n", "line 2", "2 cells"),
        "te id": ("te", te + te.replace(",1,2,", ",one,2,"), "line 2", "no number"),
        "te date": ("te", te + te.replace("2020-07", "2020-77"), "line 2", "added_on"),
        "te value": ("te", te + te.replace(value, value[:-2]), "line 2", "62 digits"),
        "hma no id": ("hma", hma(id=None), "element 2", "id is missing"),
        "hma no signals": ("hma", hma(signals=None), "element 2", "include_signals"),
        "hma signals": ("hma", hma(signals=[value]), "element 2", "signals is no object"),
        "hma value": ("hma", hma(signals={"pdq": value[:5]}), "element 2, signals", "5 digits"),
        "hma number": ("hma", hma(signals={"pdq": 5}), "element 2", "pdq is no text"),
        "hma until": ("hma", hma(disable_until_ts="soon"), "element 2", "disable_until_ts"),
        "hma until far": ("hma", hma(disable_until_ts=10**18), "element 2", "disable_until_ts"),
        "hma note": ("hma", hma(note=[value]), "element 2", "note is no text"),
        "hma no object": ("hma", json.dumps([good, value]), "element 2", "no object"),
        "hma cut off": ("hma", hma()[:-30], "element 2", "ends in it"),
        "stopncii no value": ("stopncii", stop(hashValue=None), "element 2", "hashValue is missing"),
        "stopncii value": ("stopncii", stop(hashValue=value[:8]), "element 2", "8 digits"),
        "stopncii status": ("stopncii", stop(hashStatus=3), "element 2", "hashStatus is no text"),
        "stopncii feedback": ("stopncii", stop(CSPFeedbacks=[value]), "element 2", "CSPFeedbacks"),
        "stopncii tags": (
            "stopncii",
            stop(CSPFeedbacks=[{"feedbackValue": "Blocked", "tags": [1]}]),
            "element 2",
            "tags",
        ),
        "stopncii date": ("stopncii", stop(lastModtimestamp="then"), "element 2", "lastModtimestamp"),
        "stopncii broken": ("stopncii", stop()[:-60] + "}}}]", "element 2", "no JSON"),
        "ncmec cut off": ("ncmec", ncmec_text([image, image])[:-200], "line", "no XML"),
        "ncmec crossed": ("ncmec", ncmec_text([image, image + "</b>"]), "line 5", "no XML"),
        "ncmec no id": (
            "ncmec",
            ncmec_text([image, image.replace("<id>a</id>", "")]),
            "image[2]",
            "id is missing",
        ),
        "ncmec no member": (
            "ncmec",
            ncmec_text([image, image.replace(' id="42"', "")]),
            "image[2]",
            "member",
        ),
        "ncmec value": (
            "ncmec",
            ncmec_text([image, ncmec_image("b", {"pdq": value[:7]})]),
            "image[2]/fingerprints",
            "7 digits",
        ),
        "ncmec date": (
            "ncmec",
            ncmec_text([image, ncmec_image("b", {"pdq": value}, timestamp="x")]),
            "image[2]",
            "timestamp",
        ),
        "csv cells": ("csv", f"{table}a,{value},\nb,{value}\n", "line 3", "2 cells"),
        "csv value": ("csv", f"{table}a,{value},\nb,{value[1:]},\n", "line 3", "63 digits"),
        "csv no value": ("csv", f"{table}a,{value},\nb,,\n", "line 3", "no hash"),
        "csv date": ("csv", f"{table}a,{value},\nb,{value},32.13.\n", "line 3", "fetched_at"),
    }
