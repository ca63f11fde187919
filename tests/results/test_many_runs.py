"""All runs of a workspace at once."""

import numpy as np
import polars as pl
import pytest

from analysis.models.predictions import Predictions
from analysis.results import many_runs
from analysis.results.comparisons import compare_runs
from analysis.search import open_index
from analysis.workspace import Workspace
from tests.workspaces import make_workspace

pytestmark = pytest.mark.xdist_group("results")


def publish_dense(workspace: Workspace, name: str, logits: np.ndarray, competing: object = "all") -> None:
    """A run over the readable items whose dense scores these are, (N, C) by item number."""
    items = workspace.items().filter(pl.col("problem").is_null())["item"].to_numpy()
    scores = logits[items].astype(np.float16)
    ranked = np.argsort(-scores.astype(np.float32), axis=1, kind="stable")
    predictions = Predictions(
        items,
        ranked[:, :2].astype(np.int32),
        np.take_along_axis(scores, ranked[:, :2], axis=1).astype(np.float32),
        "logits",
        np.log(np.exp(scores.astype(np.float32)).sum(axis=1)),
    )
    workspace.publish_run(
        name,
        predictions,
        inputs=("images", "classes"),
        details={"competing": competing},
        fill=lambda folder: np.save(folder / "scores.f16.npy", scores),
    )


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """weak and strong without dense scores, `even` and `odd` with them, and `few` that chose among two classes."""
    folder = tmp_path_factory.mktemp("many")
    made = make_workspace(folder / "pets", folder / "images", each=20)
    truth, n = made.original_labels, made.items().height
    sure = np.zeros((n, 4))
    sure[np.arange(n), truth] = 6
    wrong = np.zeros((n, 4))
    wrong[np.arange(n), (truth + 1) % 4] = 4
    even = np.arange(n)[:, None] % 2 == 0
    publish_dense(made, "even", np.where(even, sure, wrong))
    publish_dense(Workspace.open(made.path), "odd", np.where(even, wrong, sure))
    publish_dense(Workspace.open(made.path), "few", sure, competing=[0, 1])
    return Workspace.open(made.path)


def test_every_pair_is_the_comparison_of_two(pets: Workspace) -> None:
    pairs = many_runs.compare_every_pair(pets, "panel", runs=["strong", "even", "odd"])
    assert pairs.select("a", "b").rows() == [("strong", "even"), ("strong", "odd"), ("even", "odd")]
    for row in pairs.iter_rows(named=True):
        found = compare_runs(pets, row["a"], row["b"], "panel")
        assert row["n"] == found.n
        assert (row["only_a_wrong"], row["only_b_wrong"]) == (found.only_a_wrong, found.only_b_wrong)
        assert row["decidable"] == found.decidable
    assert many_runs.compare_every_pair(pets, "panel").height == 10
    some = many_runs.compare_every_pair(pets, "original", within=np.arange(5, 15, dtype=np.uint32))
    assert set(some["n"]) == {10}


def test_agreement_comes_with_an_order(pets: Workspace) -> None:
    found, order = many_runs.agreement(pets)
    assert sorted(order) == list(range(5))
    assert found.matrix[found.runs.index("even"), found.runs.index("odd")] == 0


def test_only_runs_whose_scores_can_be_added_are_members(pets: Workspace) -> None:
    found = many_runs.ensemble_members(pets)
    assert found.runs == ["even", "odd"]
    assert found.left_out == {
        "few": "chose among fewer classes",
        "strong": "no scores of all classes",
        "weak ![r](http:y)": "no scores of all classes",
    }
    assert many_runs.ensemble_members(pets, ["strong"]).runs == []


def test_the_ensemble_of_runs_that_complete_each_other(pets: Workspace) -> None:
    told: list[int] = []
    members = many_runs.ensemble(pets, "original", progress=lambda what, done, total: told.append(done))
    assert [member.run for member in members] in (["even", "odd"], ["odd", "even"])
    assert members[1].accuracy == 1.0
    assert members[1].gain.value == pytest.approx(1 - members[0].accuracy)
    assert told == [0, 1, 2]
    assert many_runs.ensemble(pets, "original", runs=["strong"]) == []
    only_even = np.arange(0, 80, 2, dtype=np.uint32)
    assert many_runs.ensemble(pets, "original", within=only_even)[0].run == "even"


def test_spaces_are_compared_on_common_items(pets: Workspace) -> None:
    from analysis import spaces

    alone = many_runs.spaces_alike(pets)
    assert (alone.spaces, alone.matrix.tolist()) == (["test:encoder"], [[1.0]])
    index = open_index(pets.space("test:encoder").folder)
    turned = index.vectors(np.arange(40))[:, ::-1]  # the same geometry, fewer items
    spaces.publish_vectors(pets, "turned", index.items[:40], [turned.astype(np.float16)], 16, {})
    found = many_runs.spaces_alike(Workspace.open(pets.path))
    assert (found.spaces, found.n) == (["test:encoder", "turned"], 40)
    assert found.matrix[0, 1] == pytest.approx(1, abs=1e-3)


def test_label_sets_order_the_runs(pets: Workspace) -> None:
    ranks = many_runs.order_by_labels(pets)
    assert ranks.select("first", "second", "n").rows() == [("original", "panel", 5)]
    assert many_runs.order_by_labels(pets, runs=["strong", "even"])["n"].to_list() == [2]


@pytest.mark.shared_data
def test_real_runs_agree_as_often_as_published(imagenet: Workspace) -> None:
    found, _ = many_runs.agreement(imagenet)
    two = found.runs.index("resnet50_pytorch"), found.runs.index("vgg16_pytorch")
    assert (found.n, found.matrix[two]) == (50_000, pytest.approx(0.7655))
    pairs = many_runs.compare_every_pair(imagenet, "real")
    row = pairs.row(by_predicate=(pl.col("a") == "resnet50_pytorch") & (pl.col("b") == "vgg16_pytorch"), named=True)
    assert (row["both_right"], row["only_a_wrong"], row["only_b_wrong"]) == (34463, 2056, 3935)
    assert round(row["mcnemar_chi2"], 2) == 589.32
