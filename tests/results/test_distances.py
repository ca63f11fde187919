"""How far apart classes are, and the decoder that uses it."""

from pathlib import Path

import numpy as np
import pytest

from analysis import spaces
from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.decoding import frechet_mean
from analysis.errors import InputError
from analysis.metrics import accuracy
from analysis.models.predictions import Predictions
from analysis.report import ReportOptions
from analysis.results.distances import FARTHEST, class_distances
from analysis.workspace import Workspace
from tests.workspaces import make_images

VECTORS = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)


@pytest.fixture
def pets(tmp_path: Path) -> Workspace:
    """Cats and eels look opposite, dogs are between; a run with the scores of all classes."""
    make_images(tmp_path / "images", ("cat", "dog", "eel"), each=4)
    made, _ = create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    scores = np.random.default_rng(0).dirichlet(np.ones(3), made.items().height).astype(np.float16)
    ranked = np.argsort(-scores, axis=1, kind="stable").astype(np.int32)
    items = np.arange(len(scores), dtype=np.uint32)
    sorted_scores = np.take_along_axis(scores, ranked, axis=1).astype(np.float32)
    run = Predictions(items, ranked, sorted_scores, "probabilities", None)
    details = {"source": "test"}
    made.publish_run(
        "tossed",
        run,
        inputs=("images", "classes"),
        details=details,
        fill=lambda folder: np.save(folder / "scores.f16.npy", scores),
    )
    return made.reopened()


def with_space(pets: Workspace, classes: tuple[int, ...] = (0, 1, 2)) -> Workspace:
    items = np.flatnonzero(np.isin(pets.original_labels, classes)).astype(np.uint32)
    vectors = VECTORS[pets.original_labels[items]].astype(np.float16)
    spaces.publish_vectors(pets, "test:encoder", items, [vectors], 2, {})
    return pets.reopened()


def test_distances_are_of_the_mean_embeddings(pets: Workspace) -> None:
    found = class_distances(with_space(pets), "embedding")
    np.testing.assert_allclose(found, [[0, 1, 2], [1, 0, 1], [2, 1, 0]], atol=1e-3)


def test_a_class_without_an_image_is_far_from_all(pets: Workspace) -> None:
    found = class_distances(with_space(pets, (0, 1)), "embedding")
    np.testing.assert_allclose(found, [[0, 1, FARTHEST], [1, 0, FARTHEST], [FARTHEST, FARTHEST, 0]], atol=1e-3)


def test_the_report_decodes_by_them(pets: Workspace) -> None:
    workspace = with_space(pets)
    rows = workspace.report(ReportOptions(dense=True, distance="embedding"))
    distances = class_distances(workspace, "embedding")
    assert distances is not None
    scores, run = workspace.run("tossed").scores(), workspace.run("tossed")
    assert scores is not None
    decoded = frechet_mean(scores, "probabilities", run.predictions.items, distances, k=1)
    expected = accuracy(decoded, workspace.labels("original")).value
    assert rows.filter(metric="loki_accuracy")["value"].to_list() == [expected]
    # Without a hierarchy there are none by edges.
    assert workspace.report(ReportOptions(dense=True)).filter(metric="loki_accuracy").is_empty()


def test_embeddings_need_a_space(pets: Workspace) -> None:
    with pytest.raises(InputError, match="need a space"):
        pets.report(ReportOptions(dense=True, distance="embedding"))
