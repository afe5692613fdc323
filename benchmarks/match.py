"""Search in millions of PDQ hashes: time, memory, and the same queries through python-threatexchange.

    pip install --no-deps threatexchange==1.2.17 perception==0.9.3      # into a copy of the environment
    python -m benchmarks.match --references 10000000 --json

References are random codes; of the queries half are random too, and half are copies of references with an
even number of bits turned, 0 to 30, as distances of real PDQ hashes are even. All search within 31 bits, the
radius that PDQ's authors start at. Time is for queries in batches of 256, building an index apart; memory is
the process's peak before any other matcher is loaded. `--peers` adds threatexchange's flat index, within 31
bits, and perception's exact one for the first batch: it keeps a kilobyte of floats a hash, so it is built in
parts of a million, and it takes half a second a query of a million.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from reports.matching.hashes import Codes
from reports.matching.multi_index import Words, near, tables
from reports.matching.search import cheapest, scan, within

RADIUS, WIDEST = 31, 52
BATCH = 256
_ADDED = 1_000_000
"""Hashes given to a peer at once; each is some objects of Python, or two kilobytes of floats, meanwhile."""

Found = set[tuple[int, int, int]]
"""Query, reference and distance."""
Search = Callable[[Words], Found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What one matcher took."""

    built_s: float
    ms_per_query: float
    cpu_ms_per_query: float
    """Of the processor: beside `ms_per_query`, it tells how busy the machine was with something else."""
    found: Found


def draw(references: int, batches: int) -> tuple[Words, Words]:
    """(N, 4) references and (256 * batches, 4) queries."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**64, (references, 4), dtype=np.uint64)
    queries = rng.integers(0, 2**64, (BATCH * batches, 4), dtype=np.uint64)
    queries[::2] = words[rng.integers(0, references, len(queries[::2]))]
    for query in queries[::2]:
        for bit in rng.choice(256, 2 * rng.integers(0, 16), replace=False).tolist():
            query[bit // 64] ^= np.uint64(1 << bit % 64)
    return words, queries


def timed(build: Callable[[], Search], queries: Words, rounds: int = 3) -> Timing:
    """Build, then search in batches; of some rounds the fastest, for others may use the machine too."""
    started = time.perf_counter()
    search = build()
    built = time.perf_counter() - started
    best, cpu = float("inf"), float("inf")
    for _ in range(rounds):
        found: Found = set()
        started, cpu_started = time.perf_counter(), time.process_time()
        for start in range(0, len(queries), BATCH):
            found |= {(row + start, *rest) for row, *rest in search(queries[start : start + BATCH])}
        best = min(best, time.perf_counter() - started)
        cpu = min(cpu, time.process_time() - cpu_started)
    each = 1e3 / len(queries)
    return Timing(built_s=built, ms_per_query=best * each, cpu_ms_per_query=cpu * each, found=found)


def ours(words: Words, radius: int) -> Search:
    """As `reports.matching.search.within` does it, with the sorted tables kept from batch to batch."""
    cut = cheapest(words, radius, 10**6)
    index = list(tables(words, cut)) if cut else []

    def search(queries: Words) -> Found:
        found = near(index, words, queries, radius) if cut else scan(queries, words, radius)
        return set(zip(*(one.tolist() for one in found), strict=True))

    return search


def threatexchange(words: Words, name: str) -> Search:
    """threatexchange's own index, asked for a batch at a time, which is the fastest way that it has."""
    from threatexchange.signal_type.pdq import pdq_index

    index = getattr(pdq_index, name)()
    for start in range(0, len(words), _ADDED):
        index.add_all(
            zip(_hexadecimal(words[start : start + _ADDED]), range(start, len(words)), strict=False)
        )

    def search(queries: Words) -> Found:
        asked = list(_hexadecimal(queries))
        found = index.index.search_with_distance_in_result(asked, RADIUS)
        return {
            (row, int(reference), int(distance))
            for row, text in enumerate(asked)
            for reference, _, distance in found[text]
        }

    return search


def perception(words: Words) -> Search:
    """perception's exact index: the squared distance of zeros and ones is their Hamming distance."""
    from perception.approximate_deduplication import build_index

    parts = [
        (start, build_index(_bits(words[start : start + _ADDED]), approximate=False, use_gpu=False))
        for start in range(0, len(words), _ADDED)
    ]

    def search(queries: Words) -> Found:
        found: Found = set()
        for start, index in parts:
            limits, distances, references = index.range_search(_bits(queries), RADIUS + 0.5)
            rows = np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64)))
            nearness = distances.round().astype(int)
            found.update(zip(rows.tolist(), (references + start).tolist(), nearness.tolist(), strict=True))
        return found

    return search


def _hexadecimal(words: Words) -> Iterator[str]:
    return (row.tobytes().hex() for row in words)


def _bits(words: Words) -> NDArray[np.float32]:
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1).astype(np.float32)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--references", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=4, help="of 256 queries")
    parser.add_argument("--peers", action="store_true", help="threatexchange's flat index and perception too")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, last")
    options = parser.parse_args()
    for package in ("threatexchange", *(("perception",) if options.peers else ())):
        if find_spec(package) is None:
            print(
                f"{package} is not installed, so there is nothing to measure against; install it in a copy "
                "of this environment: see python -m benchmarks.match --help",
                file=sys.stderr,
            )
            return 2
    words, queries = draw(options.references, options.batches)
    print(f"{len(words):,} references, {len(queries)} queries, {os.cpu_count()} cores, {platform.machine()}")
    mine = timed(lambda: ours(words, RADIUS), queries)
    _tell("leaksweep, within 31", mine)
    wider = timed(lambda: ours(words, WIDEST), queries[:BATCH], rounds=1)
    _tell("leaksweep, within 52", wider)
    # What a matching calls: it sorts, searches and lets go.
    whole = [Codes(one, np.ones(len(one), np.bool_)) for one in (queries, words)]
    started = time.perf_counter()
    once = set(zip(*(one.tolist() for one in within(*whole, RADIUS)), strict=True))
    print(f"leaksweep, within 31, all at once: {time.perf_counter() - started:.1f} s, sorting included")
    memory = peak_mb()
    print(f"memory: {memory:.0f} MB")
    peers = {"threatexchange PDQIndex": lambda: threatexchange(words, "PDQIndex")}
    if options.peers:
        peers["threatexchange PDQFlatIndex"] = lambda: threatexchange(words, "PDQFlatIndex")
        peers["perception build_index"] = lambda: perception(words)
    timings = {}
    equal = once == mine.found
    for name, build in peers.items():
        asked = queries[:BATCH] if name.startswith("perception") else queries
        timings[name] = timed(build, asked, rounds=1 if name.startswith("perception") else 2)
        equal &= timings[name].found == {one for one in mine.found if one[0] < len(asked)}
        _tell(name, timings[name])
    result = {
        "ms_per_query": round(mine.ms_per_query, 4),
        "rss_mb": round(memory),
        "ratio": round(timings["threatexchange PDQIndex"].ms_per_query / mine.ms_per_query, 2),
        "equal_results": equal,
    }
    print(json.dumps(result) if options.json else result)
    return 0 if equal else 1


def _tell(name: str, one: Timing) -> None:
    print(
        f"{name}: {one.ms_per_query:.3f} ms a query ({one.cpu_ms_per_query:.3f} of the processor), "
        f"built in {one.built_s:.1f} s, {len(one.found)} found",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
