"""All runs beside each other: the published numbers, and small tables worked out by hand."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.errors import InputError, WorkspaceError
from analysis.models.predictions import Predictions
from analysis.report import report
from analysis.results import standings
from analysis.results.comparisons import compare_runs
from analysis.workspace import Workspace
from tests.workspaces import make_images

pytestmark = pytest.mark.xdist_group("results")

# Who predicts what on 12 pictures: four each of cat (0), dog (1) and eel (2).
LABELS = [0] * 4 + [1] * 4 + [2] * 4
GOOD = [0, 0, 0, 0, 1, 1, 1, 0, 2, 2, 0, 0]  # 4/4, 3/4, 2/4
POOR = [0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 2]  # 2/4, 4/4, 1/4
EASY = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]


def add(workspace: Workspace, name: str, top1: list[int], **details: object) -> None:
    classes = np.array(top1, np.int32)[:, None]
    run = Predictions(np.arange(len(top1), dtype=np.uint32), classes, None, "ranks", None)
    workspace.publish_run(name, run, inputs=("keys", "classes"), details=details)


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("standings")
    make_images(folder / "images", ("cat", "dog", "eel"), each=4)
    create(str(folder / "pets"), DatasetOptions(images=folder / "images"))
    workspace = Workspace.open(folder / "pets")
    assert workspace.original_labels.tolist() == LABELS
    add(workspace, "good", GOOD, inference={"images_per_second": 100.0})
    add(workspace, "poor", POOR, inference={"images_per_second": 50.0})
    add(workspace, "easy", EASY, competing=[0, 1], inference={"images_per_second": 80.0})
    add(workspace, "seen", EASY, seen_in_training="yes")
    return Workspace.open(folder / "pets")


def test_runs_with_an_easier_task_are_marked_and_do_not_compete(pets: Workspace) -> None:
    known = standings.facts(pets)
    marks = dict(known.select("run", "mark").iter_rows())
    assert marks == {"easy": "among 2 classes", "good": "", "poor": "", "seen": "trained on these images"}
    assert standings.comparable(known) == ["good", "poor"]
    assert standings.alike(known, "good") == ["poor"]
    assert standings.alike(known, "easy") == []
    marked = known.filter(pl.col("mark") != "")
    assert standings.comparable(marked) == ["easy", "seen"]
    best = standings.leader(pets, "original")
    assert best is not None
    assert (best.run, best.accuracy.value, best.accuracy.n, best.runs, best.pairs) == ("good", 0.75, 12, 2, 1)
    assert best.level == ["poor"]  # three flips one way, one the other: p = 0.63


def test_only_the_items_that_every_run_covers_count(pets: Workspace, tmp_path: Path) -> None:
    make_images(tmp_path / "images", ("cat", "dog", "eel"), each=4)
    create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    workspace = Workspace.open(tmp_path / "pets")
    add(workspace, "good", GOOD)
    add(workspace, "half", EASY[:6])
    add(workspace, "none", [])
    workspace = Workspace.open(tmp_path / "pets")
    assert len(standings.on_common_items(workspace)["good"].items) == 6
    best = standings.leader(workspace, "original")
    assert best is not None
    assert best.accuracy.n == 6
    counts = standings.outcome_counts(workspace, "original")
    assert set(counts["total"]) == {6}
    assert standings.outcome_counts(workspace, "original", items=np.array([1, 8], np.uint32))["total"].to_list() == [
        1,
        1,
    ]
    assert standings.leader(workspace, "original", items=np.array([8], np.uint32)) is None


def test_outcomes_sum_to_the_scored_items_and_to_accuracy(pets: Workspace) -> None:
    counts = standings.outcome_counts(pets, "original")
    assert counts.columns == list(standings.OUTCOME_COUNTS_SCHEMA)
    for (run,), rows in counts.group_by("run"):
        assert rows["n"].sum() == rows["total"][0] == 12
        assert rows.filter("is_right")["n"].sum() / 12 == rows["right"][0], run
    assert counts["run"].unique(maintain_order=True).to_list() == ["easy", "seen", "good", "poor"]


def test_groups_stand_beside_the_other_runs_of_their_kind(pets: Workspace) -> None:
    found = standings.by_group(pets, "good", "original", "class")
    assert found.columns == list(standings.GROUPS_SCHEMA)
    assert found.select("group", "n", "value", "others", "gap").rows() == [
        ("dog", 4, 0.75, 1.0, -0.25),
        ("eel", 4, 0.5, 0.25, 0.25),
        ("cat", 4, 1.0, 0.5, 0.5),
    ]
    # Paired: differences of 0, 0, 0 and -1; their variance 3/16 over n - 1 = 3.
    dog = found.row(0, named=True)
    assert dog["gap_high"] == pytest.approx(-0.25 + 1.959964 * (3 / 16 / 3) ** 0.5, abs=1e-6)
    assert dog["gap_low"] == pytest.approx(-0.25 - 1.959964 * (3 / 16 / 3) ** 0.5, abs=1e-6)
    alone = standings.by_group(pets, "easy", "original", "class", items=np.arange(5, dtype=np.uint32))
    assert alone.select("group", "n").sort("group").rows() == [("cat", 4), ("dog", 1)]
    assert alone["others"].null_count() == alone["gap"].null_count() == 2
    with pytest.raises(InputError, match="no column 'colour'"):
        standings.by_group(pets, "good", "original", "colour")
    with pytest.raises(WorkspaceError, match="no clusters"):
        standings.by_group(pets, "good", "original", "cluster")


def test_the_telling_groups_are_those_at_both_ends() -> None:
    gaps = [-0.5, -0.4, -0.1, 0.0, 0.2, 0.3]
    groups = pl.DataFrame({"group": list("abcdef"), "n": [9, 2, 9, 9, 9, 9], "gap": gaps})
    assert standings.telling(groups, 4)["group"].to_list() == ["a", "c", "e", "f"]
    assert standings.telling(groups, 9)["group"].to_list() == ["a", "c", "d", "e", "f"]
    assert standings.telling(groups.with_columns(n=pl.lit(1)), 3)["group"].to_list() == ["a", "b", "f"]
    assert standings.telling(groups.with_columns(gap=pl.lit(None, pl.Float64)), 2)["group"].to_list() == ["a", "c"]


def test_cost_order_and_progress(pets: Workspace) -> None:
    known = standings.facts(pets)
    accuracy = report(pets).filter(metric="accuracy")
    runs = ["good", "poor", "seen"]
    costs = standings.costs(accuracy, known, runs)
    assert costs.select("run", "milliseconds", "front").rows() == [("good", 10.0, True), ("poor", 20.0, False)]
    ranks = standings.ranks(accuracy, runs)
    assert dict(ranks.select("run", "rank").iter_rows()) == {"seen": 1, "good": 2, "poor": 3}
    progress = standings.progress(standings.outcome_counts(pets, "original"), runs)
    assert progress["run"].unique(maintain_order=True).to_list() == ["poor", "good", "seen"]
    shares = progress.group_by("run", maintain_order=True).agg(pl.col("share").sum(), pl.col("accuracy").first())
    for share, right in shares.select("share", "accuracy").iter_rows():
        assert share + right == pytest.approx(1)


def test_side_by_side_has_a_row_a_run_and_keeps_the_reports_numbers(pets: Workspace) -> None:
    wide = standings.side_by_side(report(pets), "accuracy")
    assert wide.columns == ["run", "value original", "± original", "n original"]
    good = wide.filter(run="good").row(0, named=True)
    assert (good["value original"], good["n original"]) == (75.0, 12)
    assert good["± original"] == pytest.approx(50 * (0.9111 - 0.4677), abs=0.01)  # Wilson


def test_columns_that_group_well_are_offered(tmp_path: Path) -> None:
    rows = [f"k{i},{'ab'[i % 2]},{'day' if i % 3 else 'night'},{i / 7},same,id{i}" for i in range(12)]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["key,label,light,sharpness,camera,serial", *rows]))
    create(str(tmp_path / "cars"), DatasetOptions(table=table))
    assert standings.groupable(Workspace.open(tmp_path / "cars")) == ["class", "light"]


@pytest.mark.shared_data
def test_the_leader_among_real_runs(imagenet: Workspace) -> None:
    best = standings.leader(imagenet, "expert")
    assert best is not None
    assert best.run == "resnet50_pytorch"
    assert round(100 * (best.accuracy.value or 0), 3) == 84.111
    assert (best.accuracy.n, best.accuracy.n_unjudged) == (18_692, 310)
    assert best.level == []
    assert best.undecided == []
    found = compare_runs(imagenet, "resnet50_pytorch", "resnet18_torchvision", "expert")
    assert found.p_value is not None
    assert 3 * found.p_value < standings.LEVEL  # what Holm makes of the largest of three, at most


@pytest.mark.shared_data
def test_groups_of_real_runs_have_the_published_sizes(imagenet: Workspace) -> None:
    found = standings.by_group(imagenet, "resnet50_pytorch", "expert", "group")
    assert dict(found.select("group", "n").iter_rows()) == {"organism": 7624, "artifact": 10_184, "other": 1596}
    assert len(standings.items_of_group(imagenet, "expert", "group", "other")) >= 1596
    classes = standings.by_group(imagenet, "resnet50_pytorch", "original", "class")
    assert classes.height == 1000
    assert "crane (n03126707)" in classes["group"]
    assert classes["n"].sum() == 50_000
    assert round(100 * float((classes["value"] * classes["n"]).sum()) / 50_000, 3) == 75.062


@pytest.mark.shared_data
def test_calibration_needs_probabilities(imagenet: Workspace) -> None:
    found = standings.run_calibration(imagenet, "resnet50_pytorch", "expert")
    assert found.table["n"].sum() == found.ece.n == 18_692
    sliced = standings.run_calibration(imagenet, "resnet50_pytorch", "original", items=np.arange(100, dtype=np.uint32))
    assert sliced.ece.n == 100
    with pytest.raises(InputError, match="ranks without scores"):
        standings.run_calibration(imagenet, "resnet18_torchvision", "expert")
