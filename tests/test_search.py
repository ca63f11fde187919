"""Neighbours against brute force, the edges of small spaces, and index files."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import search
from analysis.errors import InputError, WorkspaceError
from analysis.search import NO_ITEM, SpaceIndex


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def random_vectors(n, dimension=16, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dimension), dtype=np.float32)


def space(vectors, items=None) -> SpaceIndex:
    exact = search.build_exact([vectors], vectors.shape[1])
    return SpaceIndex(exact, np.arange(len(vectors), dtype=np.uint32) if items is None else items)


def classes(n, dimension=32, count=50, seed=0):
    """Vectors around class centres (the same for all seeds), as embeddings of a labelled dataset lie."""
    centres = np.random.default_rng(99).standard_normal((count, dimension))
    rng = np.random.default_rng(seed)
    return (centres[rng.integers(count, size=n)] + 0.4 * rng.standard_normal((n, dimension))).astype(np.float32)


@pytest.fixture(scope="module")
def approximate() -> SpaceIndex:
    vectors = classes(6_000)
    exact = search.build_exact([vectors], 32)
    built = search.build_approximate(exact, above=1_000)
    assert built is not None
    return SpaceIndex(exact, np.arange(6_000, dtype=np.uint32), built)


# --- building ---------------------------------------------------------------------------------------------------


def test_vectors_are_kept_as_float16_unit_vectors_whatever_the_chunks():
    vectors = random_vectors(100) * np.logspace(-20, 20, 100, dtype=np.float32)[:, None]
    whole = space(vectors)
    for count in (None, 100):
        chunks = search.build_exact(np.array_split(vectors, 7), 16, count=count)
        np.testing.assert_array_equal(SpaceIndex(chunks, whole.items).stored, whole.stored)
    directions = vectors.astype(np.float64)
    np.testing.assert_allclose(whole.stored, unit(directions), atol=5e-4)
    np.testing.assert_allclose(np.linalg.norm(whole.vectors(np.arange(100)), axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("count", [None, 3, 4, 9])
def test_a_wrong_count_of_rows_to_come_is_only_a_hint(count):
    index = search.build_exact([random_vectors(4)], 16, count=count)
    assert index.ntotal == 4
    assert index.codes.size() == 4 * 16 * 2


def test_float16_chunks_are_taken():
    vectors = random_vectors(20).astype(np.float16)
    np.testing.assert_allclose(space(vectors).stored, unit(vectors.astype(np.float32)), atol=5e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_with_its_row(value):
    broken = random_vectors(10)
    broken[3, 5] = value
    with pytest.raises(InputError, match="row 13 "):
        search.build_exact([random_vectors(10), broken], 16)


def test_another_dimension_is_refused():
    with pytest.raises(InputError, match=r"\(m, 16\)"):
        search.build_exact([random_vectors(5, dimension=17)], 16)
    with pytest.raises(InputError, match=r"\(m, 16\)"):
        space(random_vectors(5)).neighbours(random_vectors(2, dimension=8), 3)


def test_a_zero_vector_stays_zero_and_is_similar_to_nothing():
    vectors = random_vectors(5)
    vectors[2] = 0
    index = space(vectors)
    assert not index.stored[2].any()
    _, similarities = index.similar_to(2, 4)
    np.testing.assert_array_equal(similarities, 0)


def test_items_must_fit_the_index():
    exact = search.build_exact([random_vectors(3)], 16)
    for items in ([0, 1], [0, 2, 1], [0, 1, 1]):
        with pytest.raises(InputError, match="items"):
            SpaceIndex(exact, np.array(items, dtype=np.uint32))


def test_the_stored_vectors_outlive_the_index_and_cannot_be_written():
    stored = space(random_vectors(1_000)).stored
    expected = stored.copy()
    [space(random_vectors(1_000, seed=seed)) for seed in range(1, 4)]  # would overwrite freed memory
    np.testing.assert_array_equal(stored, expected)
    with pytest.raises(ValueError, match="read-only"):
        stored[0] = 0


# --- searching --------------------------------------------------------------------------------------------------


def brute_force(index, queries, k, within=None, exclude=None):
    """(items, similarities) of each query by sorting all the similarities."""
    similarities = unit(queries.astype(np.float64)) @ index.stored.astype(np.float64).T
    result = []
    for query, row in enumerate(similarities):
        kept = np.ones(len(row), dtype=bool) if within is None else np.isin(index.items, within)
        if exclude is not None:
            kept &= index.items != exclude[query]
        order = sorted(np.flatnonzero(kept), key=lambda at: (-row[at], index.items[at]))[:k]
        result.append((index.items[order], row[order]))
    return result


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_neighbours_are_those_of_brute_force(data):
    n = data.draw(st.integers(1, 60))
    vectors = random_vectors(n, seed=data.draw(st.integers(0, 9)))
    items = np.cumsum(data.draw(st.lists(st.integers(1, 5), min_size=n, max_size=n))).astype(np.uint32)
    index = space(vectors, items)
    k = data.draw(st.integers(1, 70))
    some_items = st.lists(st.integers(0, 320), max_size=80)
    within = data.draw(st.none() | some_items.map(lambda values: np.array(values, dtype=np.uint32)))
    exclude = data.draw(st.none() | st.lists(st.integers(0, 320), min_size=3, max_size=3).map(np.array))
    queries = random_vectors(3, seed=77)
    found, similarities = index.neighbours(queries, k, within=within, exclude=exclude)
    assert found.shape == similarities.shape == (3, k)
    assert (found.dtype, similarities.dtype) == (np.uint32, np.float32)
    for query, (expected, values) in enumerate(brute_force(index, queries, k, within, exclude)):
        np.testing.assert_array_equal(found[query, : len(expected)], expected)
        np.testing.assert_allclose(similarities[query, : len(expected)], values, atol=1e-5)
        assert (found[query, len(expected) :] == NO_ITEM).all()
        assert (similarities[query, len(expected) :] == -np.inf).all()


def test_equal_similarities_come_by_item_number_however_many_there_are():
    vectors = np.repeat(random_vectors(3), 200, axis=0)[np.random.default_rng(1).permutation(600)]
    index = space(vectors)
    for k in (1, 7, 150, 200, 250):
        found, similarities = index.neighbours(vectors[:5], k)
        for query in range(5):
            same = np.flatnonzero((vectors == vectors[query]).all(axis=1))
            np.testing.assert_array_equal(found[query, : min(k, 200)], same[:k])
        assert (np.diff(similarities, axis=1) <= 0).all()


def test_similar_to_leaves_out_the_item_itself_but_not_its_twin():
    vectors = random_vectors(30)
    vectors[20] = vectors[10]
    index = space(vectors, np.arange(0, 300, 10, dtype=np.uint32))
    items, similarities = index.similar_to(100, 5)
    assert items[0] == 200
    assert similarities[0] == pytest.approx(1, abs=1e-3)
    assert similarities.max() <= 1
    assert 100 not in items
    items, _ = index.similar_to(100, 5, within=np.array([100, 30, 40], dtype=np.uint32))
    assert set(items[:2]) == {30, 40}
    assert (items[2:] == NO_ITEM).all()


def test_an_item_without_embedding_is_named():
    index = space(random_vectors(3), np.array([2, 4, 6], dtype=np.uint32))
    for item in (3, 7, 0):
        with pytest.raises(InputError, match=f"item {item} "):
            index.similar_to(item, 2)
    np.testing.assert_array_equal(index.rows(np.array([6, 3, 2, 99])), [2, -1, 0, -1])


def test_no_k_no_queries_no_vectors_nothing_within():
    index = space(random_vectors(5))
    with pytest.raises(InputError, match="at least 1"):
        index.neighbours(random_vectors(1), 0)
    assert index.neighbours(np.zeros((0, 16), np.float32), 4)[0].shape == (0, 4)
    for empty, within in ((space(np.zeros((0, 16), np.float32)), None), (index, np.zeros(0, np.uint32))):
        found, similarities = empty.neighbours(random_vectors(2), 4, within=within)
        assert (found == NO_ITEM).all()
        assert (similarities == -np.inf).all()
        assert found.shape == (2, 4)


def test_a_query_with_nan_is_refused():
    with pytest.raises(InputError, match="row 0 "):
        space(random_vectors(5)).neighbours(np.full((1, 16), np.nan, dtype=np.float32), 2)


# --- approximate ------------------------------------------------------------------------------------------------


def test_small_spaces_get_no_approximate_index():
    assert search.build_approximate(search.build_exact([random_vectors(50)], 16)) is None


def test_the_approximate_index_reaches_the_recall_that_it_states(approximate):
    assert approximate.approximate.recall >= 0.95
    assert approximate.approximate.queries == 1_000
    queries = classes(300, seed=5)
    _, found = approximate.neighbours(queries, 10)
    _, truth = approximate.neighbours(queries, 10, exact=True)
    assert search.recall_at(found, truth) >= 0.95


def test_a_target_that_cannot_be_reached_gives_no_index():
    assert search.build_approximate(search.build_exact([random_vectors(2_000, 64)], 64), above=1_000) is None


def test_approximate_similarities_are_the_exact_ones(approximate):
    queries = classes(20, seed=6)
    items, similarities = approximate.neighbours(queries, 10)
    stored = approximate.stored.astype(np.float32)
    expected = np.einsum("qd,qkd->qk", unit(queries), stored[items])
    np.testing.assert_allclose(similarities, expected, atol=1e-5)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_slice_is_kept_to_by_the_approximate_index_too(approximate, share):
    rng = np.random.default_rng(2)
    within = np.flatnonzero(rng.random(6_000) < share).astype(np.uint32)
    queries = classes(50, seed=7)
    items, found = approximate.neighbours(queries, 10, within=within)
    assert np.isin(items, within).all()
    _, truth = approximate.neighbours(queries, 10, within=within, exact=True)
    assert search.recall_at(found, truth) >= 0.95


def test_what_the_probed_lists_do_not_hold_is_found_all_the_same(approximate, monkeypatch):
    query = classes(1, seed=9)
    exact_items, _ = approximate.neighbours(query, 900, exact=True)
    for largest in (100, 1_000):  # exactly from the start; or because the lists run out
        monkeypatch.setattr(search, "LARGEST_APPROXIMATE_K", largest)
        approximate.approximate.index.nprobe, usual = 1, approximate.approximate.index.nprobe
        try:
            items, _ = approximate.neighbours(query, 900)
        finally:
            approximate.approximate.index.nprobe = usual
        np.testing.assert_array_equal(items, exact_items)


def test_recall_counts_whatever_is_as_near():
    truth = np.array([[0.9, 0.8, 0.7], [0.9, 0.8, 0.8]], dtype=np.float32)
    found = np.array([[0.9, 0.7, 0.6], [0.8, 0.8, -np.inf]], dtype=np.float32)
    assert search.recall_at(found, truth) == pytest.approx(4 / 6)
    assert np.isnan(search.recall_at(np.zeros((0, 3)), np.zeros((0, 3))))


def test_the_same_seed_gives_the_same_approximate_index():
    exact = search.build_exact([classes(3_000)], 32)
    one, other = (search.build_approximate(exact, above=1_000, seed=3) for _ in range(2))
    queries = classes(40, seed=8)
    results = [SpaceIndex(exact, np.arange(3_000, dtype=np.uint32), it).neighbours(queries, 10) for it in (one, other)]
    np.testing.assert_array_equal(results[0][0], results[1][0])


# --- the graph for the projection -------------------------------------------------------------------------------


def test_the_graph_is_that_of_brute_force():
    vectors = random_vectors(300)
    index = space(vectors)
    indices, distances = search.knn_graph(index, 8)
    similarities = index.vectors(np.arange(300)).astype(np.float64)
    similarities = similarities @ similarities.T
    np.testing.assert_array_equal(indices, np.argsort(-similarities, axis=1)[:, :8])
    np.testing.assert_allclose(1 - distances, np.take_along_axis(similarities, indices, axis=1), atol=1e-6)
    assert (indices.dtype, distances.dtype) == (np.int32, np.float32)
    # The way for millions without an approximate index agrees.
    np.testing.assert_array_equal(search.knn_graph(index, 8, exact_up_to=10)[0], indices)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 40])
def test_each_row_is_its_own_first_neighbour_even_among_equals(n):
    index = space(np.ones((n, 16), dtype=np.float32))
    indices, distances = search.knn_graph(index, 15)
    assert indices.shape == distances.shape == (n, min(15, n))
    np.testing.assert_array_equal(indices[:, :1].ravel(), np.arange(n))
    np.testing.assert_allclose(distances, 0, atol=1e-6)
    assert all(len(set(row)) == len(row) for row in indices.tolist())


def test_the_approximate_graph_is_complete_and_near_the_exact_one(approximate):
    indices, distances = search.knn_graph(approximate, 15, exact_up_to=1_000)
    exact_indices, exact_distances = search.knn_graph(approximate, 15)
    assert (indices >= 0).all()
    assert (distances >= 0).all()
    np.testing.assert_array_equal(indices[:, 0], np.arange(6_000))
    assert search.recall_at(-distances, -exact_distances) > 0.9
    assert (indices == exact_indices).mean() > 0.9


# --- files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mmap", [True, False])
def test_an_index_reads_back_as_it_was_written(approximate, tmp_path, mmap):
    search.write_index(approximate, tmp_path)
    opened = search.open_index(tmp_path, mmap=mmap)
    np.testing.assert_array_equal(opened.stored, approximate.stored)
    np.testing.assert_array_equal(opened.items, approximate.items)
    assert opened.approximate.recall == approximate.approximate.recall
    assert opened.approximate.index.nprobe == approximate.approximate.index.nprobe
    for within in (None, np.arange(3_000, dtype=np.uint32)):
        for one, other in zip(
            opened.neighbours(classes(9), 5, within=within),
            approximate.neighbours(classes(9), 5, within=within),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)


def test_an_empty_index_reads_back(tmp_path):
    search.write_index(space(np.zeros((0, 16), np.float32)), tmp_path)
    assert search.open_index(tmp_path).stored.shape == (0, 16)


@pytest.mark.parametrize("file", ["index.faiss", "items.npy", "approximate.faiss", "approximate.json"])
@pytest.mark.parametrize("harm", ["missing", "cut", "empty", "rubbish"])
def test_missing_or_broken_files_are_told(approximate, tmp_path, file, harm):
    search.write_index(approximate, tmp_path)
    broken = tmp_path / file
    content = broken.read_bytes()
    if harm == "missing":
        broken.unlink()
    else:
        broken.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "rubbish": b"# hello\n" * 99}[harm])
    if (file, harm) == ("approximate.faiss", "missing"):
        assert search.open_index(tmp_path).approximate is None  # it is optional
    else:
        with pytest.raises(WorkspaceError, match="build the space again"):
            search.open_index(tmp_path)


def test_files_of_two_spaces_are_told(tmp_path):
    search.write_index(space(random_vectors(5)), tmp_path)
    np.save(tmp_path / "items.npy", np.arange(4, dtype=np.uint32))
    with pytest.raises(WorkspaceError, match="5 vectors, but 4 items"):
        search.open_index(tmp_path)


def test_many_readers_at_once_get_what_one_gets(approximate):
    within = np.arange(0, 6_000, 3, dtype=np.uint32)

    def ask(item):
        near, _ = approximate.similar_to(item, 10)
        inside, _ = approximate.similar_to(item, 10, within=within, exact=True)
        return near.tolist(), inside.tolist()

    alone = [ask(item) for item in range(60)]
    with ThreadPoolExecutor(8) as readers:
        assert list(readers.map(ask, range(60))) == alone


def test_the_web_process_imports_no_model_library():
    code = (
        "import sys, analysis.search, analysis.clustering, analysis.projection; "
        "print({'torch', 'umap', 'timm', 'open_clip', 'numba', 'sklearn'} & set(sys.modules))"
    )
    root = Path(search.__file__).parents[1]
    printed = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "set()"
