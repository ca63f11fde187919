"""Comparisons of a workspace's runs: the published numbers of real ones, and what small ones answer."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis import comparison
from analysis.derived import VERDICTS as DERIVED_VERDICTS
from analysis.derived import derived_column
from analysis.errors import WorkspaceError
from analysis.models.predictions import Predictions
from analysis.results import comparisons
from analysis.results.comparisons import compare_runs, paired_runs
from analysis.workspace import Workspace
from tests.workspaces import add_run, make_workspace

pytestmark = pytest.mark.xdist_group("results")


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("labels", "table", "chi2"),
    [
        ("original", (32898, 2434, 4633, 10035), 684.25),
        ("real", (34463, 2056, 3935, 6383), 589.32),
        ("expert", (14084, 796, 1638, 2174), 291.28),
    ],
)
def test_comparisons_are_the_published_ones(
    imagenet: Workspace, labels: str, table: tuple[int, ...], chi2: float
) -> None:
    found = compare_runs(imagenet, "resnet50_pytorch", "vgg16_pytorch", labels).to_dict()
    assert tuple(found[name] for name in ("both_right", "only_a_wrong", "only_b_wrong", "both_wrong")) == table
    assert round(found["mcnemar_chi2"], 2) == chi2
    assert found["decidable"] is True


@pytest.mark.shared_data
def test_the_flip_table_of_real_runs_sums_to_the_published_numbers(imagenet: Workspace) -> None:
    paired = paired_runs(imagenet, "resnet50_pytorch", "vgg16_pytorch", "expert")
    cells = {(a, b): n for a, b, n, _ in comparison.flip_table(paired).iter_rows()}
    good = ("right", "unclear")
    sums = [
        sum(n for (a, b), n in cells.items() if (a in good, b in good) == wanted)
        for wanted in ((True, True), (False, True), (True, False), (False, False))
    ]
    assert sums == [14084, 796, 1638, 2174]
    # An open set with unclear classes has all sixteen cells but the empty ones, which are left out.
    assert {a for a, _ in cells} == {"right", "unclear", "unjudged", "wrong"}
    assert 0 not in cells.values()


@pytest.mark.shared_data
def test_differences_of_real_runs_under_every_label_set(imagenet: Workspace) -> None:
    found = comparisons.differences(imagenet, "resnet50_pytorch", "vgg16_pytorch")
    assert dict(found.schema) == comparisons.DIFFERENCES_SCHEMA
    points = {(row["labels"], row["mean"]): round(100 * row["difference"], 1) for row in found.iter_rows(named=True)}
    assert points[("original", "micro")] == 4.4
    assert points[("expert", "micro")] == 4.5
    assert points[("expert", "class mean")] == 4.4
    assert found["decidable"].all()
    expert = comparisons.contrasts(imagenet, "resnet50_pytorch", "vgg16_pytorch", "expert")
    assert set(expert) == {"original", "real"}
    assert not any(one.disagree for one in expert.values())
    assert expert["original"].n == 18_692  # all that the experts score has an original label


# ---- small workspaces


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """weak and strong with the open label set panel, and a run over half of the items that chose among two classes."""
    folder = tmp_path_factory.mktemp("comparisons")
    made = make_workspace(folder / "pets", folder / "images")
    items = made.items().filter(pl.col("problem").is_null())["item"].to_numpy()[::2]
    half = Predictions(items, np.array([[0, 1]] * len(items), np.int32), None, "ranks", None)
    made.publish_run("half", half, inputs=("keys", "classes"), details={"competing": [0, 1]})
    return Workspace.open(made.path)


def test_verdicts_are_those_that_slices_ask_for(pets: Workspace) -> None:
    """What Compare counts in a cell is what Browse then shows."""
    assert comparison.VERDICTS == DERIVED_VERDICTS
    paired = paired_runs(pets, "weak ![r](http:y)", "strong", "panel")
    assert paired["verdict_a"].n_unique() == 3
    for run, column in (("weak ![r](http:y)", "verdict_a"), ("strong", "verdict_b")):
        asked = derived_column(pets, f"verdict@{run}", None, "panel", paired["item"])
        assert asked.to_list() == paired[column].to_list()


def test_runs_over_different_items_meet_on_the_common_ones(pets: Workspace) -> None:
    found = compare_runs(pets, "strong", "half", "original")
    covered = len(pets.run("strong").predictions.items)
    assert (found.n, found.n_only_a, found.n_only_b) == ((covered + 1) // 2, covered // 2, 0)
    within = np.arange(4, dtype=np.uint32)
    assert compare_runs(pets, "strong", "half", "original", within=within).n == 2


def test_groups_of_a_pair(pets: Workspace) -> None:
    run = "weak ![r](http:y)"
    paired = paired_runs(pets, run, "strong", "panel")
    offered = comparisons.groupings_of_pair(pets, run, "strong")
    assert {"class", "cluster", f"outcome@{run}", "outcome@strong"} <= set(offered)
    for by in offered:
        groups = comparisons.groups_of_pair(pets, by, "panel")
        flips = comparison.flips(paired, groups)
        assert flips.height, by
        # Each of these puts an item into one group.
        assert flips["only_a_wrong"].sum() == paired.filter(cell="only_a_wrong").height, by
    classes = comparisons.groups_of_pair(pets, "class", "panel")
    assert set(classes["group"]) == set(pets.classes().display_names())
    by_outcome = comparison.flips(paired, comparisons.groups_of_pair(pets, f"outcome@{run}", "panel"))
    assert by_outcome.filter(group="correct")["only_a_wrong"].to_list() == [0]


def test_clusters_are_called_by_number_and_majority_class(pets: Workspace) -> None:
    found = comparisons.groups_of_pair(pets, "cluster", "original")
    labels = pl.Series(pets.classes().display_names()).gather(pets.original_labels[found["item"].to_numpy()])
    for (name,), members in found.with_columns(label=labels).group_by("group"):
        number, _, majority = str(name).partition(" ")
        assert number.isdecimal()
        assert majority in members["label"].mode().to_list()


def test_outcomes_of_a_pair_are_of_the_compared_items(pets: Workspace) -> None:
    paired = paired_runs(pets, "strong", "half", "panel")
    found = comparisons.outcomes_of_pair(pets, "strong", "half", "panel", paired)
    assert found.group_by("run").agg(pl.col("n").sum()).sort("run").rows() == [
        ("half", paired.height),
        ("strong", paired.height),
    ]
    assert found.filter(run="strong", is_right=True)["n"].sum() == paired["right_a"].sum()


def test_the_run_to_compare_with_is_the_best_of_its_like(pets: Workspace) -> None:
    assert comparisons.accuracies(pets, "original")["run"][0] == "strong"
    assert comparisons.other_run(pets, "strong", "original") == "weak ![r](http:y)"
    assert comparisons.other_run(pets, "weak ![r](http:y)", "original") == "strong"
    # Among fewer classes there is no other: the best of all.
    assert comparisons.other_run(pets, "half", "original") == "strong"


def test_one_run_has_no_other(tmp_path: Path) -> None:
    from analysis.create import create
    from analysis.datasets import DatasetOptions
    from tests.workspaces import make_images

    make_images(tmp_path / "images", ("cat", "dog"), each=2)
    made, _ = create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    add_run(made, "only", 0.5, np.random.default_rng(0))
    assert comparisons.other_run(Workspace.open(made.path), "only", "original") is None


def test_names_that_do_not_exist_are_told(pets: Workspace) -> None:
    with pytest.raises(WorkspaceError, match="has no run 'gone'"):
        compare_runs(pets, "gone", "strong", "original")
    with pytest.raises(WorkspaceError, match="has no label set 'gone'"):
        paired_runs(pets, "strong", "half", "gone")
