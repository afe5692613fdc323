"""Clustering: planted duplicates, the order of the input, and the published search."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import AgglomerativeClustering

from extraction.clustering import complete_clusters, cosine, dense_clusters, modes, published_cliques


def planted(sizes: tuple[int, ...], noise: float = 0.15, seed: int = 0) -> tuple[np.ndarray, list[int]]:
    """Unit vectors around one random centre for each size, and which centre each belongs to."""
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    for label, size in enumerate(sizes):
        centre = rng.normal(size=64)
        centre /= np.linalg.norm(centre)
        for _ in range(size):
            offset = rng.normal(size=64)
            rows.append(centre + noise * offset / np.linalg.norm(offset))
            labels.append(label)
    matrix = np.array(rows, np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True), labels


def dense(rows, limit):
    return dense_clusters(cosine(rows), 0.6, neighbours=5, limit=limit)


def complete(rows, limit):
    return complete_clusters(cosine(rows), 0.6, limit=limit)


@pytest.mark.parametrize("cluster", [dense, complete])
def test_planted_duplicates_come_first_and_whole(cluster):
    rows, labels = planted((8, 6, 1, 1, 1, 1))
    found = cluster(rows, 2)
    assert [{labels[member] for member in group.members} for group in found] == [{0}, {1}]
    assert [len(group.members) for group in found] == [8, 6]


@pytest.mark.parametrize("cluster", [dense, complete])
@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(13)))
def test_the_order_of_the_input_does_not_matter(cluster, order):
    rows, _ = planted((5, 4, 2, 1, 1))
    plain = {frozenset(group.members) for group in cluster(rows, 5)}
    shuffled = {frozenset(order[member] for member in group.members) for group in cluster(rows[order], 5)}
    assert shuffled == plain


@pytest.mark.parametrize("cluster", [dense, complete])
def test_every_generation_belongs_to_exactly_one_cluster(cluster):
    rows, _ = planted((5, 4, 2, 1, 1))
    members = [member for group in cluster(rows, 99) for member in group.members]
    assert sorted(members) == list(range(13))
    assert all(group.medoid in group.members for group in cluster(rows, 99))


def test_complete_linkage_gives_cliques():
    rows, _ = planted((20, 20, 20), noise=1.0, seed=3)
    similarity = cosine(rows)
    for group in complete_clusters(similarity, 0.6, limit=99):
        assert all(similarity[a, b] >= 0.6 - 1e-6 for a, b in itertools.combinations(group.members, 2))


def test_size_outranks_cohesion_and_cohesion_breaks_ties():
    similarity = np.eye(7, dtype=np.float32)
    for a, b, value in ((0, 1, 0.7), (2, 3, 0.95), (4, 5, 0.65), (4, 6, 0.65), (5, 6, 0.65)):
        similarity[a, b] = similarity[b, a] = value
    found = complete_clusters(similarity, 0.6, limit=3)
    assert [set(group.members) for group in found] == [{4, 5, 6}, {2, 3}, {0, 1}]


def test_a_single_generation_is_a_cluster_of_one():
    rows, _ = planted((1,))
    (only,) = dense(rows, 3)
    assert (only.members, only.cohesion, only.score) == ((0,), 0.0, 0.0)


def test_density_prefers_a_tight_group_to_a_loose_larger_one():
    tight, _ = planted((6,), noise=0.05, seed=1)
    loose, _ = planted((9,), noise=0.75, seed=2)
    first = dense(np.concatenate([loose, tight]), 1)[0]
    assert min(first.members) >= 9


def test_the_published_search_keeps_every_clique_and_centres_it():
    rows, labels = planted((6, 5, 1, 1))
    cliques = published_cliques(cosine(rows), rows, pictures=4)
    assert len(cliques) >= 4
    assert sorted(member for clique in cliques for member in clique.members) == list(range(13))
    assert {labels[member] for member in cliques[0].members} == {0}


def test_the_published_search_raises_the_threshold_when_time_is_up():
    rows, _ = planted((6, 5, 1, 1))
    ticks = itertools.count(step=40)  # every look at the clock is 40 s later: each attempt times out
    with pytest.raises(ValueError, match="no threshold up to 1 gives 2 cliques within 30 s"):
        published_cliques(cosine(rows), rows, pictures=2, clock=lambda: float(next(ticks)))


@pytest.mark.parametrize(("cluster", "linkage"), [(dense, "average"), (complete, "complete")])
@pytest.mark.parametrize("noise", [0.6, 0.9, 1.2])
def test_islands_linked_one_by_one_are_what_linking_all_at_once_gives(cluster, linkage, noise):
    rows, _ = planted((9, 7, 5, 1, 1, 1, 1, 1), noise=noise, seed=4)
    tree = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage=linkage, distance_threshold=1 - 0.6
    )
    labels = tree.fit_predict(1 - cosine(rows))
    whole = {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels)}
    assert {frozenset(group.members) for group in cluster(rows, 99)} == whole


def test_thousands_of_generations_cluster_the_same_way_twice():
    rows, labels = planted((20,) * 10 + (1,) * 1800, noise=0.5)
    first, second = (dense(rows, 10) for _ in range(2))
    assert first == second
    assert {labels[member] for group in first for member in group.members} == set(range(10))


def test_modes_take_a_picture_once_however_often_it_came_back():
    blocks = np.eye(3).repeat([5, 2, 1], axis=0)
    similarity = cosine((blocks / np.linalg.norm(blocks, axis=1, keepdims=True)).astype(np.float32))
    found = modes(similarity, 0.5, 2, 8)
    assert [one.members for one in found] == [(0, 1, 2, 3, 4), (5, 6), (7,)]
    assert [one.nearest for one in found] == [1.0, 1.0, 0.0]
    assert found[0].score == found[0].cohesion == 1.0


def test_modes_prefer_what_the_tuned_model_explains():
    similarity = np.full((4, 4), 0.0, np.float32)
    similarity[:2, :2] = similarity[2:, 2:] = 0.9
    np.fill_diagonal(similarity, 1)
    ratios = np.array([-0.1, -0.1, 0.3, 0.2], np.float32)
    assert modes(similarity, 0.5, 1, 1, ratios)[0].medoid == 2
    assert modes(similarity, 0.5, 1, 1)[0].medoid == 0
    # A sampler that collapsed: nothing is explained better, and density alone is left.
    assert modes(similarity, 0.5, 1, 1, -np.abs(ratios))[0].medoid == 0


@given(count=st.integers(1, 30), limit=st.integers(1, 40), seed=st.integers(0, 10_000))
def test_modes_partition_what_they_take(count, limit, seed):
    rows = np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32)
    similarity = cosine(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    found = modes(similarity, 0.4, 2, limit)
    members = [member for one in found for member in one.members]
    assert len(members) == len(set(members))
    assert len(found) <= limit
    medoids = [one.medoid for one in found]
    assert all(similarity[a, b] < 0.4 for a in medoids for b in medoids if a != b)
