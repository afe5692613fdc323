"""Group near-identical generations and keep the centre of each group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.cluster import hierarchy
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

RATIO_WEIGHT = 0.5
"""Chosen on the tuning zoo of benchmarks/quality from 0, 0.25, 0.5, 1 and 2."""

Similarity = NDArray[np.float32]
"""(n, n) cosine similarities, symmetric, ones on the diagonal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Indices of near-identical generations."""

    members: tuple[int, ...]
    medoid: int
    cohesion: float
    """Mean similarity of the medoid to the other members; 0 for a cluster of one."""
    score: float
    """What clusters are ranked by; higher is better."""
    nearest: float = 0.0
    """Highest similarity of the medoid to another generation ("modes" only)."""


def cosine(descriptors: NDArray[np.float32]) -> Similarity:
    """Similarities of unit rows (n, D) among each other."""
    similarity: Similarity = np.clip(descriptors @ descriptors.T, -1, 1)
    np.fill_diagonal(similarity, 1)
    return similarity


def modes(
    similarity: Similarity,
    radius: float,
    neighbours: int,
    limit: int,
    ratios: NDArray[np.float32] | None = None,
) -> list[Cluster]:
    """Take the best generation, put aside all that look like it, and go on: density with exclusion.

    A generation's density is its mean similarity to its `neighbours` nearest. With `ratios` (see
    `extraction.likelihood`), each over the highest of them is added at RATIO_WEIGHT: two measures of
    different things that agree on memorised pictures, where each alone also likes something else
    (density a collapsed sampler's flat pictures, the ratio a lone blend). Linkage splits one picture
    over several clusters, which then fill the list; here a picture is taken once.

    Args:
        radius: similarity from which on a generation belongs to a mode already taken.
        limit: most modes returned, best first.
        ratios: (n,).
    """
    count = len(similarity)
    others = similarity.copy()
    np.fill_diagonal(others, -np.inf)
    nearest = np.sort(others, axis=1)[:, ::-1][:, : min(neighbours, max(count - 1, 1))]
    density = nearest.mean(axis=1) if count > 1 else np.zeros(1, np.float32)
    score = density.astype(np.float64)
    if ratios is not None and ratios.max() > 0:
        score = score + RATIO_WEIGHT * ratios / ratios.max()
    free = np.ones(count, np.bool_)
    taken: list[Cluster] = []
    while len(taken) < limit and free.any():
        medoid = int(np.where(free, score, -np.inf).argmax())
        inside = free & (similarity[medoid] >= radius)
        inside[medoid] = True
        members = [int(index) for index in np.flatnonzero(inside)]
        cluster = _cluster(similarity, members, medoid, float(score[medoid]))
        taken.append(replace(cluster, nearest=float(others[medoid].max()) if count > 1 else 0.0))
        free &= ~inside
    return taken


def dense_clusters(similarity: Similarity, threshold: float, neighbours: int, limit: int) -> list[Cluster]:
    """Average linkage, each cluster scored by how dense it is at its densest member.

    A member's density is the mean similarity to its `neighbours` nearest in the cluster, where a
    cluster that has fewer members counts zeros for the missing ones. A memorised picture that came
    back five times alike outranks a large loose group, which is what the size of a cluster rewards.

    Args:
        threshold: mean cosine similarity at which clusters still merge.
        limit: most clusters returned, densest first.
    """
    clusters = []
    for members in _linkage(similarity, threshold, "average"):
        inside = similarity[np.ix_(members, members)].copy()
        np.fill_diagonal(inside, -np.inf)
        nearest = np.sort(inside, axis=1)[:, ::-1][:, : min(neighbours, len(members) - 1)]
        density = nearest.sum(axis=1) / neighbours
        centre = int(density.argmax())
        clusters.append(_cluster(similarity, members, members[centre], float(density[centre])))
    return _best(clusters, limit)


def complete_clusters(similarity: Similarity, threshold: float, limit: int) -> list[Cluster]:
    """Complete linkage: every pair of a cluster is within the threshold, so each is a clique. Largest first.

    The published method's shape without its search: deterministic, and milliseconds at any size.
    """
    groups = _linkage(similarity, threshold, "complete")
    return _best([_medoid_cluster(similarity, members) for members in groups], limit)


def _linkage(similarity: Similarity, threshold: float, linkage: str) -> list[list[int]]:
    """Members of each cluster, in rising order.

    Neither linkage reaches across a gap that no single pair bridges, so each island of the threshold
    graph is linked by itself: exact, and far less than n^2 work where most generations have no like.
    """
    _, islands = connected_components(csr_array(similarity >= threshold), directed=False)
    groups = []
    for members in _by_label(islands, np.arange(len(similarity))):
        if len(members) == 1:
            groups.append(members)
            continue
        inside = similarity[np.ix_(members, members)]
        tree = hierarchy.linkage(squareform(1 - inside, checks=False), method=linkage)
        labels = hierarchy.fcluster(tree, 1 - threshold, criterion="distance")
        groups.extend(_by_label(labels, np.array(members)))
    return groups


def _by_label(labels: NDArray[np.int32], members: NDArray[np.int64]) -> list[list[int]]:
    order = np.argsort(labels, kind="stable")
    bounds = np.flatnonzero(np.diff(labels[order])) + 1
    return [part.tolist() for part in np.split(members[order], bounds)]


def _medoid_cluster(similarity: Similarity, members: list[int]) -> Cluster:
    """A cluster scored by its size, ties broken by cohesion."""
    inside = similarity[np.ix_(members, members)]
    medoid = members[int(inside.sum(axis=1).argmax())]
    # Cohesion lies in -1..1: a quarter of it orders clusters of one size and never reaches the next.
    return _cluster(similarity, members, medoid, len(members) + _cohesion(similarity, members, medoid) / 4)


def _cluster(similarity: Similarity, members: list[int], medoid: int, score: float) -> Cluster:
    cohesion = _cohesion(similarity, members, medoid)
    return Cluster(members=tuple(members), medoid=medoid, cohesion=cohesion, score=score)


def _cohesion(similarity: Similarity, members: list[int], medoid: int) -> float:
    others = [member for member in members if member != medoid]
    return float(similarity[medoid, others].mean()) if others else 0.0


def _best(clusters: list[Cluster], limit: int) -> list[Cluster]:
    # The medoid's index breaks ties, so that the order never depends on the linkage's labels.
    return sorted(clusters, key=lambda cluster: (-cluster.score, cluster.medoid))[:limit]


def published_cliques(
    similarity: Similarity,
    descriptors: NDArray[np.float32],
    pictures: int,
    *,
    seconds: float = 30.0,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> list[Cluster]:
    """The published search (FineXtract, Cluster.py): greedy maximal cliques at the first feasible threshold.

    Starts at the 25 % quantile of 1,000 randomly drawn similarities (diagonal zeroed, at least
    0.01). At each threshold the largest maximal clique is taken out, again and again, until no
    picture is left. An attempt that exceeds `seconds`, or gives fewer cliques than `pictures`,
    raises the threshold by 0.01. All cliques are kept, singletons included; a clique's centre is
    the member nearest to its mean descriptor. The time limit makes the result depend on the
    machine's speed; that is why it is not our default. The original draws unseeded, ours from `seed`.

    Raises:
        ValueError: no threshold up to 1 was feasible.
    """
    matrix = similarity.copy()
    np.fill_diagonal(matrix, 0)
    drawn = np.random.default_rng(seed).choice(matrix.ravel(), size=1000)
    threshold = max(float(np.quantile(drawn, 0.25)), 0.01)
    while threshold <= 1:
        cliques = _greedy_cliques(matrix >= threshold, clock() + seconds, clock)
        if cliques is not None and len(cliques) >= pictures:
            return [_centre_cluster(similarity, descriptors, clique) for clique in cliques]
        threshold += 0.01
    raise ValueError(f"no threshold up to 1 gives {pictures} cliques within {seconds:g} s an attempt")


def _greedy_cliques(
    edges: NDArray[np.bool_], deadline: float, clock: Callable[[], float]
) -> list[list[int]] | None:
    """Cliques in the order they were taken, or None when the deadline passed."""
    graph = nx.from_numpy_array(edges)
    taken: list[list[int]] = []
    while graph:
        largest = _largest(nx.find_cliques(graph), deadline, clock)
        if largest is None:
            return None
        taken.append(sorted(largest))
        graph.remove_nodes_from(largest)
    return taken


def _largest(cliques: Iterator[list[int]], deadline: float, clock: Callable[[], float]) -> list[int] | None:
    largest: list[int] = []
    for clique in cliques:
        if clock() > deadline:
            return None
        if len(clique) > len(largest):
            largest = clique
    return largest


def _centre_cluster(similarity: Similarity, descriptors: NDArray[np.float32], members: list[int]) -> Cluster:
    inside = descriptors[members]
    centre = members[int(np.linalg.norm(inside - inside.mean(axis=0), axis=1).argmin())]
    return _cluster(similarity, members, centre, float(len(members)))
