"""Ward's method against scipy's, the cut of the tree, and what is told of a cluster."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from analysis import clustering


def unit_vectors(n, dimension=8, count=5, seed=0):
    """Unit vectors around `count` centres, and which centre each has."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(count, size=n)
    vectors = rng.standard_normal((count, dimension))[labels] + 0.2 * rng.standard_normal((n, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def same_partition(one, other):
    pairs = set(zip(np.asarray(one).tolist(), np.asarray(other).tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


@pytest.fixture(scope="module")
def large():
    """A tree of 1,500 vectors over 60 k-means clusters."""
    vectors, labels = unit_vectors(1_500, dimension=16, count=12)
    return vectors, labels, clustering.build_tree(vectors, micro_clusters=60)


# --- Ward -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(1, 5), st.integers(0, 10**6))
def test_with_weights_of_one_it_is_scipys_ward(n, dimension, seed):
    points = np.random.default_rng(seed).standard_normal((n, dimension))
    children, heights = clustering.ward(points, np.ones(n, dtype=int))
    expected = linkage(points, "ward")
    np.testing.assert_allclose(heights, expected[:, 2], rtol=1e-8)
    np.testing.assert_array_equal(np.sort(children, axis=1), np.sort(expected[:, :2], axis=1))


@settings(deadline=None)
@given(st.integers(2, 15), st.integers(0, 10**6), st.data())
def test_a_weight_is_as_many_equal_points(n, seed, data):
    points = np.random.default_rng(seed).standard_normal((n, 3))
    weights = np.array(data.draw(st.lists(st.integers(1, 6), min_size=n, max_size=n)))
    _, heights = clustering.ward(points, weights)
    replicated = linkage(np.repeat(points, weights, axis=0), "ward")[:, 2] if weights.sum() > 1 else []
    np.testing.assert_allclose(heights, replicated[-(n - 1) :], rtol=1e-7)


def test_the_cost_of_a_merge_is_wards():
    points = np.array([[0.0, 0], [3, 4]])
    children, heights = clustering.ward(points, np.array([2, 6]))
    assert children.tolist() == [[0, 1]]
    assert heights[0] == pytest.approx(np.sqrt(2 * 2 * 6 / 8) * 5)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_ties_and_equal_points_still_make_a_tree(points):
    array = np.array(points, dtype=float)
    children, heights = clustering.ward(array, np.ones(len(array), dtype=int))
    assert sorted(children.ravel()) == list(range(2 * len(array) - 2))  # each node but the root is a child once
    assert (np.diff(heights) >= 0).all()
    below = np.concatenate([np.zeros(len(array)), heights])
    assert (below[children].max(axis=1, initial=0) <= heights).all()
    assert (children < np.arange(len(array), 2 * len(array) - 1)[:, None]).all()
    if len(set(points)) == 1:
        np.testing.assert_array_equal(heights, 0)


# --- the tree ---------------------------------------------------------------------------------------------------


def check_tree(tree, n):
    nodes = tree.nodes
    assert nodes.schema == clustering.NODES_SCHEMA
    assert len(tree.leaf_of) == n
    assert tree.leaf_of.dtype == np.uint32
    assert nodes["leaf"].sum() == tree.leaf_count
    assert nodes.filter(pl.col("parent") < 0).height == min(n, 1)
    for row in nodes.iter_rows(named=True):
        rows = clustering.members(tree, row["node"])
        assert len(rows) == row["size"]
        if not row["leaf"]:
            left, right = nodes.row(row["left"], named=True), nodes.row(row["right"], named=True)
            assert left["parent"] == right["parent"] == row["node"]
            assert row["size"] == left["size"] + right["size"]
            assert left["size"] >= right["size"]
            assert row["height"] >= max(left["height"], right["height"])
            assert (left["order"], right["order"]) == (row["order"], row["order"] + left["leaves"])
            both = np.union1d(clustering.members(tree, left["node"]), clustering.members(tree, right["node"]))
            np.testing.assert_array_equal(both, rows)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 30])
@pytest.mark.parametrize("equal", [False, True])
def test_small_trees(n, equal):
    vectors = np.tile(unit_vectors(1)[0], (n, 1)) if equal else unit_vectors(n)[0]
    tree = clustering.build_tree(vectors)
    check_tree(tree, n)
    assert tree.leaf_count == n
    for clusters in (1, 2, 5, 99):
        assert len(np.unique(clustering.cut(tree, clusters))) == min(clusters, n)
    suggested = clustering.suggested_cut(tree)
    assert min(n, 1) <= suggested <= n
    if equal and n:
        assert suggested == 1


def test_equal_vectors_above_the_limit_too():
    vectors = np.tile(unit_vectors(1)[0], (200, 1))
    tree = clustering.build_tree(vectors, micro_clusters=20)
    check_tree(tree, 200)
    assert clustering.suggested_cut(tree) == 1


def test_small_sets_are_cut_as_scipy_cuts_them():
    vectors, labels = unit_vectors(80)
    tree = clustering.build_tree(vectors)
    for clusters in (2, 5, 20):
        expected = fcluster(linkage(vectors, "ward"), clusters, "maxclust")
        assert same_partition(clustering.cut(tree, clusters), expected)
    assert same_partition(clustering.cut(tree, 5), labels)


def test_above_the_limit_the_leaves_are_k_means_clusters(large):
    _, labels, tree = large
    check_tree(tree, 1_500)
    assert 12 < tree.leaf_count <= 60
    assert same_partition(clustering.cut(tree, 12), labels)


def test_float16_gives_the_same_clusters(large):
    vectors, labels, _ = large
    tree = clustering.build_tree(vectors.astype(np.float16), micro_clusters=60)
    assert same_partition(clustering.cut(tree, 12), labels)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 45), st.integers(0, 1_000), st.data())
def test_a_cut_parts_all_rows_by_splitting_the_highest(n, clusters, seed, data):
    tree = clustering.build_tree(unit_vectors(n, seed=seed)[0])
    root = data.draw(st.integers(0, tree.root))
    rows = clustering.members(tree, root)
    nodes = clustering.frontier(tree, clusters, root)
    assert len(nodes) == min(clusters, len(rows))
    of = clustering.cut(tree, clusters, root)
    np.testing.assert_array_equal(np.flatnonzero(of >= 0), rows)
    assert set(of[rows].tolist()) == set(nodes.tolist())
    for node in nodes:
        np.testing.assert_array_equal(np.flatnonzero(of == node), clustering.members(tree, node))
    height = tree.nodes["height"]
    # Whatever was split on the way was at least as high as all that stayed open.
    split = {node for leaf in nodes for node in clustering.path(tree, leaf)[:-1]} & set(below(tree, root))
    assert max(height.gather(nodes)) <= min((height[parent] for parent in split), default=np.inf)
    order = tree.nodes["order"].gather(nodes).to_list()
    assert order == sorted(order)


def below(tree, root):
    """A node and all under it."""
    left, right = tree.nodes.row(root)[2:4]
    return [root] if left < 0 else [root, *below(tree, left), *below(tree, right)]


def test_a_cut_into_nothing_is_refused():
    tree = clustering.build_tree(unit_vectors(5)[0])
    with pytest.raises(ValueError, match="not 0"):
        clustering.cut(tree, 0)


def test_the_path_leads_from_the_root(large):
    _, _, tree = large
    path = clustering.path(tree, 0)
    assert (path[0], path[-1]) == (tree.root, 0)
    for upper, lower in pairwise(path):
        assert lower in tree.nodes.row(upper)[2:4]
    assert clustering.path(tree, tree.root) == [tree.root]


@pytest.mark.parametrize("count", [13, 20, 33])
def test_the_suggested_cut_finds_the_gap(count):
    vectors, labels = unit_vectors(3_000, dimension=48, count=count)
    tree = clustering.build_tree(vectors, micro_clusters=200)
    assert clustering.suggested_cut(tree) == count
    assert same_partition(clustering.cut(tree, count), labels)


@given(st.integers(0, 60), st.integers(0, 1_000))
@settings(deadline=None, max_examples=50)
def test_the_suggested_cut_stays_in_bounds(n, seed):
    suggested = clustering.suggested_cut(clustering.build_tree(unit_vectors(n, seed=seed)[0]))
    assert min(n, round(n**0.5)) <= max(suggested, round(n**0.5)) <= 40
    assert suggested <= max(1, round(n**0.5)) if n else suggested == 0


# --- repeatability ----------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_tree_whatever_the_threads():
    code = (
        "import sys; sys.path[:0] = ['.', 'tests']; from test_clustering import clustering, unit_vectors; "
        "tree = clustering.build_tree(unit_vectors(3_000, 64)[0], micro_clusters=100, seed=7); "
        "print(hash(tree.leaf_of.tobytes()), hash(tree.nodes['height'].to_numpy().tobytes()))"
    )
    root = Path(clustering.__file__).parents[1]
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
        ).stdout
        for threads in ("1", "2", "2")
    }
    assert len(printed) == 1


# --- describing -------------------------------------------------------------------------------------------------


def test_a_described_cluster():
    angles = np.radians([0, 10, 20, 30, 180, 182, 184])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    labels = np.array([4, 4, 9, -1, 7, 3, 3])
    tree = clustering.build_tree(vectors)
    nodes = clustering.frontier(tree, 2)
    frame = clustering.describe(tree, nodes, vectors, labels, k=2)
    assert frame.schema == clustering.DESCRIPTION_SCHEMA
    wide, narrow = frame.to_dicts()
    assert (wide["size"], wide["labelled"]) == (4, 3)
    assert sorted(wide["typical"]) == [1, 2]
    assert sorted(wide["atypical"]) == [0, 3]
    assert wide["classes"] == [4, 9]
    assert wide["shares"] == pytest.approx([2 / 3, 1 / 3])
    assert wide["spread"] == pytest.approx(1 - (np.cos(np.radians(5)) + np.cos(np.radians(15))) / 2, abs=1e-5)
    assert (narrow["typical"][0], narrow["classes"]) == (5, [3, 7])
    assert wide["node"] == nodes[0]


def test_describing_without_labels_or_nodes_or_with_more_wanted_than_there_are():
    vectors, _ = unit_vectors(3)
    tree = clustering.build_tree(vectors)
    frame = clustering.describe(tree, [tree.root], vectors, np.full(3, -1))
    row = frame.row(0, named=True)
    assert sorted(row["typical"]) == [0, 1, 2]
    assert row["atypical"] == row["typical"][::-1]
    assert (row["classes"], row["shares"], row["labelled"]) == ([], [], 0)
    assert clustering.describe(tree, [], vectors, np.zeros(3, int)).schema == clustering.DESCRIPTION_SCHEMA


def test_describing_in_blocks_is_the_same(large, monkeypatch):
    vectors, labels, tree = large
    nodes = clustering.frontier(tree, 5)
    whole = clustering.describe(tree, nodes, vectors, labels)
    monkeypatch.setattr(clustering, "BLOCK", 100)
    blocks = clustering.describe(tree, nodes, vectors, labels)
    assert whole.drop("typical", "atypical", "spread").equals(blocks.drop("typical", "atypical", "spread"))
    np.testing.assert_allclose(whole["spread"], blocks["spread"], atol=1e-6)


@given(st.integers(1, 40), st.integers(0, 100))
@settings(deadline=None, max_examples=30)
def test_shares_and_ranks_add_up(n, seed):
    vectors, labels = unit_vectors(n, seed=seed)
    assume(n > 0)
    tree = clustering.build_tree(vectors)
    for row in clustering.describe(tree, clustering.frontier(tree, 3), vectors, labels).iter_rows(named=True):
        members = clustering.members(tree, row["node"])
        counts = np.bincount(labels[members])
        assert row["shares"] == pytest.approx(np.sort(counts[counts > 0])[::-1][:3] / len(members))
        assert set(row["typical"]) <= set(members.tolist())
        assert row["shares"] == sorted(row["shares"], reverse=True)
        assert 0 <= row["spread"] <= 1
