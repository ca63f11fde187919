"""The map's positions: repeatable, within bounds, whatever the size."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis import projection, search
from analysis.errors import InputError


def graph(vectors, k=15):
    exact = search.build_exact([vectors], vectors.shape[1])
    index = search.SpaceIndex(exact, np.arange(len(vectors), dtype=np.uint32))
    return (*search.knn_graph(index, k), projection.principal_plane(index.stored))


def blobs(n=300, count=3, dimension=16):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % count
    centres = 5 * rng.standard_normal((count, dimension))
    return (centres[labels] + rng.standard_normal((n, dimension))).astype(np.float32), labels


def assert_fits(positions, n):
    assert positions.shape == (n, 2)
    assert positions.dtype == np.float32
    assert np.isfinite(positions).all()
    assert (np.abs(positions) <= 1).all()


def test_classes_that_lie_apart_stay_apart_and_progress_is_told():
    vectors, labels = blobs()
    told = []
    positions = projection.project(*graph(vectors), progress=lambda *step: told.append(step))
    assert_fits(positions, 300)
    extent = positions.max(axis=0) - positions.min(axis=0)
    assert extent.max() == pytest.approx(2, abs=1e-5)
    np.testing.assert_allclose(positions.max(axis=0) + positions.min(axis=0), 0, atol=1e-5)
    gaps = np.linalg.norm(positions[:, None] - positions[None], axis=2) + 9 * np.eye(300)
    assert (labels[gaps.argmin(axis=1)] == labels).mean() > 0.99
    assert told[0] == ("projection", 0, None)
    assert told[-1] == ("projection", 500, 500)


def test_a_rebuild_gives_the_same_bytes_in_another_process_too():
    vectors, _ = blobs(120)
    one = projection.project(*graph(vectors), seed=4)
    other = projection.project(*graph(vectors), seed=4)
    assert one.tobytes() == other.tobytes()
    assert one.tobytes() != projection.project(*graph(vectors), seed=5).tobytes()
    code = (
        "import sys; sys.path[:0] = ['.', 'tests']; from test_projection import blobs, graph, projection; "
        "print(projection.project(*graph(blobs(120)[0]), seed=4).tobytes().hex())"
    )
    root = Path(projection.__file__).parents[1]
    printed = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == one.tobytes().hex()
    assert printed.stderr == ""  # UMAP's bar and warnings are kept from people


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 6, 14, 16])
@pytest.mark.parametrize("equal", [False, True])
def test_tiny_sets_and_equal_vectors(n, equal):
    vectors = np.ones((n, 8), np.float32) if equal else blobs(n, dimension=8)[0]
    assert_fits(projection.project(*graph(vectors)), n)


def test_many_duplicates_among_others():
    vectors, _ = blobs(100)
    vectors[:60] = vectors[0]
    assert_fits(projection.project(*graph(vectors)), 100)


def test_fewer_neighbours_than_asked_are_used():
    vectors, _ = blobs(50)
    indices, distances, start = graph(vectors, k=6)
    assert_fits(projection.project(indices, distances, start, neighbours=15), 50)


def test_shapes_that_do_not_fit_and_nan_are_refused():
    indices, distances, start = graph(blobs(30)[0])
    with pytest.raises(InputError, match="30 rows"):
        projection.project(indices, distances[:, :5], start)
    with pytest.raises(InputError, match="30 rows"):
        projection.project(indices, distances, start[:-1])
    distances[3, 3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        projection.project(indices, distances, start)


# --- the start --------------------------------------------------------------------------------------------------


def test_the_principal_plane_is_numpys(monkeypatch):
    vectors = blobs(200)[0]
    centred = vectors - vectors.mean(axis=0)
    expected = centred @ np.linalg.svd(centred)[2][:2].T
    plane = projection.principal_plane(vectors)
    np.testing.assert_allclose(np.abs(plane), np.abs(expected), atol=1e-3)
    monkeypatch.setattr(projection, "BLOCK", 37)
    np.testing.assert_allclose(projection.principal_plane(vectors), plane, atol=1e-3)


def test_the_principal_plane_is_not_mirrored_by_a_change_of_order():
    vectors = blobs(200)[0]
    turned = projection.principal_plane(vectors[::-1])[::-1]
    np.testing.assert_allclose(turned, projection.principal_plane(vectors), atol=1e-3)


def test_one_dimension_has_a_plane_too():
    plane = projection.principal_plane(np.array([[1.0], [3.0]], dtype=np.float32))
    np.testing.assert_allclose(plane, [[-1, 0], [1, 0]], atol=1e-6)


# --- fitting and placing ----------------------------------------------------------------------------------------


@given(arrays(np.float32, st.tuples(st.integers(0, 20), st.just(2)), elements=st.floats(-1e6, 1e6, width=32)))
def test_the_unit_square_keeps_the_shape(positions):
    fitted = projection.to_unit_square(positions)
    assert_fits(fitted, len(positions))
    if len(positions) and np.ptp(positions, axis=0).max() > 1:
        scale = np.ptp(positions.astype(np.float64), axis=0).max() / 2
        np.testing.assert_allclose(
            np.ptp(fitted, axis=0), np.ptp(positions.astype(np.float64), axis=0) / scale, atol=1e-5
        )


def test_a_new_item_comes_where_its_neighbours_are():
    positions = np.array([[0, 0], [1, 0], [0, 1], [-1, -1]], dtype=np.float32)
    rows = np.array([[1, 2, 3], [1, 2, -1], [2, -1, -1], [-1, -1, -1], [0, 1, 2]])
    distances = np.array([[0.2, 0.2, 0.2], [0.1, 0.1, np.inf], [0.5, np.inf, np.inf], [np.inf] * 3, [0.0, 0.5, 0.5]])
    placed = projection.place_new(positions, rows, distances)
    np.testing.assert_allclose(placed[:4], [[0, 0], [0.5, 0.5], [0, 1], [0, 0]], atol=1e-6)
    weight = np.exp(-1.5)  # the mean excess is 1/3
    np.testing.assert_allclose(placed[4], [weight / (1 + 2 * weight)] * 2, atol=1e-6)
    assert projection.place_new(positions, np.zeros((0, 3), int), np.zeros((0, 3))).shape == (0, 2)
    assert projection.place_new(positions[:0], np.full((1, 3), -1), np.full((1, 3), np.inf)).tolist() == [[0, 0]]


def test_left_out_items_come_near_to_where_the_map_had_them():
    vectors, labels = blobs(300)
    indices, distances, start = graph(vectors)
    positions = projection.project(indices, distances, start)
    placed = projection.place_new(positions, indices[:, 1:], distances[:, 1:])  # each by its neighbours only
    middles = np.array([positions[labels == label].mean(axis=0) for label in range(3)])
    nearest = np.linalg.norm(placed[:, None] - middles[None], axis=2).argmin(axis=1)
    assert (nearest == labels).mean() > 0.97
