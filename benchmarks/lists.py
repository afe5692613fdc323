"""How fast a list is read, and in how much memory: the readers alone, without the store.

    python -m benchmarks.lists --lines 10_000_000 --format plain
    python -m benchmarks.lists --gigabytes 10 --digits 4000
    python -m benchmarks.lists --lines 1_000_000 --format ncmec --json

Writes a list of as many entries to a temporary folder, reads it once and deletes it.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from reports.references.formats import FORMS, read_list

_BLOCK = 10_000
"""Entries that are made once and written again and again: a reader does not know."""
_START = {
    "dataset": "signal_type,signal_str,collab,category,tags\n",
    "csv": "ref_id,value\n",
    "hma": "[\n",
    "stopncii": '{"hashRecords": [\n',
    "ncmec": '<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2"><images>\n',
}
_ENTRY = {
    "plain": "{hash}\n",
    "dataset": "pdq,{hash},sample,POSITIVE_CLASS,a b\n",
    "te": "{hash},1000001,2000002,2020-07-01T18:31:15+0000,media_type_photo\n",
    "csv": "r100001,{hash}\n",
    "hma": '{{"bank": {{"matching_enabled_ratio": 1.0, "name": "B"}}, "disable_until_ts": 1, "id": 1000001, '
    '"original_media_uri": null, "signals": {{"pdq": "{hash}"}}}},\n',
    "stopncii": '{{"lastModtimestamp": 1700000000, "hashValue": "{hash}", "hashStatus": "Active", '
    '"caseNumbers": {{"0-0": "Active"}}, "signalType": "ImagePDQ"}},\n',
    "ncmec": '<image><member id="42">M</member><timestamp>2026-10-24T15:00:00Z</timestamp><id>i100001</id>'
    "<classification>A1</classification><fingerprints><pdq>{hash}</pdq></fingerprints></image>\n",
}
_END = {"hma": "\n]\n", "stopncii": "\n]}\n", "ncmec": "</images></queryResult>\n"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=1_000_000, help="entries")
    parser.add_argument("--gigabytes", type=float, help="size of the list, in place of --lines; not parquet")
    parser.add_argument("--format", choices=FORMS, default="plain")
    parser.add_argument(
        "--digits", type=int, default=64, help="plain only: of each hash; other than 64 it is a video's, vpdq"
    )
    parser.add_argument("--folder", type=Path, help="where the list is written; default: the system's")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        path = Path(folder) / "list"
        write(path, asked.format, asked.lines, asked.gigabytes, asked.digits)
        size = path.stat().st_size
        before = peak_mb()
        begun, worked = time.perf_counter(), time.process_time()
        entries = sum(1 for _ in read_list(path, form=asked.format))
        seconds, cpu = time.perf_counter() - begun, time.process_time() - worked
    told = {
        "format": asked.format,
        "entries": entries,
        "gigabytes": round(size / 1e9, 3),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "cpu_microseconds_per_entry": round(cpu / entries * 1e6, 2),
        "peak_rss_mb": round(peak_mb()),
        "peak_rss_mb_before": round(before),
    }
    print(json.dumps(told) if asked.json else "\n".join(f"{name}: {value}" for name, value in told.items()))


def write(path: Path, form: str, entries: int, gigabytes: float | None, digits: int) -> None:
    """Write a list of some entries, or of a size."""
    if form == "parquet":
        write_parquet(path, entries)
        return
    entry = _ENTRY[form] if digits == 64 else "vpdq {hash}\n"
    block = "".join(entry.format(hash=code) for code in codes(digits))
    if gigabytes is not None:
        entries = max(1, int(gigabytes * 1e9 / len(block))) * _BLOCK
    with path.open("w", encoding="utf-8") as file:
        file.write(_START.get(form, ""))
        write_entries(file, block, entries)
        if form in ("hma", "stopncii"):
            # After the last element there is no comma.
            file.flush()
            file.seek(file.tell() - 2)
        file.write(_END.get(form, ""))
        file.truncate()


def write_entries(file: TextIO, block: str, entries: int) -> None:
    for _ in range(entries // _BLOCK):
        file.write(block)
    file.writelines(block.splitlines(keepends=True)[: entries % _BLOCK])


def write_parquet(path: Path, entries: int) -> None:
    values = list(codes(64))
    ids = [f"r{at}" for at in range(_BLOCK)]
    schema = pa.schema([("ref_id", pa.string()), ("value", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, entries, _BLOCK):
            count = min(_BLOCK, entries - start)
            writer.write_table(pa.table({"ref_id": ids[:count], "value": values[:count]}, schema=schema))


def codes(digits: int) -> Iterator[str]:
    rng = random.Random(0)
    return (rng.randbytes(digits // 2).hex() for _ in range(_BLOCK))


def peak_mb() -> float:
    """Peak resident memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
