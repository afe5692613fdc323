"""Seconds to cluster 500 descriptors, beside the published search with networkx.find_cliques, in one run.

    python benchmarks/clustering.py

The descriptors are synthetic: planted groups of near-identical unit vectors among unrelated ones. The
peer is `published_cliques`, which keeps the published time limit of 30 s an attempt.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from extraction.clustering import complete_clusters, cosine, dense_clusters, published_cliques


def planted(count: int, groups: int, size: int, seed: int = 0) -> np.ndarray:
    """Unit rows (count, 512): `groups` centres with `size` noisy copies each, the rest unrelated."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=512)
    rows = rng.normal(size=(count, 512)) + 0.6 * common
    for group in range(groups):
        centre = rng.normal(size=512) + 0.6 * common
        rows[group * size : (group + 1) * size] = centre + 0.45 * rng.normal(size=(size, 512))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=30.0, help="the peer's limit for one attempt")
    options = parser.parse_args()
    rows = planted(options.count, groups=10, size=20)
    similarity = cosine(rows)
    took: dict[str, float] = {}
    for name, work in {
        "density": lambda: dense_clusters(similarity, 0.5, 5, 10),
        "complete": lambda: complete_clusters(similarity, 0.5, 10),
        "published cliques": lambda: published_cliques(similarity, rows, 10, seconds=options.seconds),
    }.items():
        started = time.perf_counter()
        clusters = work()
        took[name] = time.perf_counter() - started
        pure = sum(
            len({member // 20 for member in found.members}) == 1 and max(found.members) < 200
            for found in clusters
        )
        print(f"{name:18} {took[name]:9.3f} s   {len(clusters):4} clusters, {pure:3} of one planted group")
    print(f"published / density: {took['published cliques'] / took['density']:.0f} x")


if __name__ == "__main__":
    main()
