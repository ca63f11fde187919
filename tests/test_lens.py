"""The frame of a lens: one row for each item that is there, whatever the run covers."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis import lens, metrics
from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.items import LENS_COLUMNS
from analysis.lens import Lens
from analysis.outcomes import OUTCOME_NAMES
from analysis.slices import Slice
from analysis.workspace import Workspace
from tests.test_create import write_table
from tests.workspaces import UGLY_CLASSES, add_run, make_workspace

SPACE = "test:encoder"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    home = tmp_path_factory.mktemp("lens")
    return make_workspace(home / "ws", home / "images")


def test_a_row_for_each_item_with_the_outcome_under_the_label_set(made: Workspace) -> None:
    for run in made.run_names():
        for labels in made.label_set_names():
            frame = lens.frame(made, Lens(run, labels, SPACE))
            assert frame["item"].to_list() == list(range(32))
            assert set(LENS_COLUMNS) <= set(frame.columns)
            scored = frame.filter(pl.col("outcome").cast(pl.String).is_in(OUTCOME_NAMES[1:]))
            estimate = metrics.accuracy(made.run(run).predictions, made.labels(labels))
            assert scored.height == estimate.n
            right = scored.filter("right")
            assert right.height / scored.height == pytest.approx(estimate.value)
            assert right["right"].all()
            assert scored["confidence"].is_between(0, 1).all()


def test_an_item_that_the_run_does_not_cover_stays_without_an_outcome(made: Workspace) -> None:
    frame = lens.frame(made, Lens("strong", "original", SPACE))
    broken = frame.filter(pl.col("problem").is_not_null())
    assert broken["key"].to_list() == ["cat/0-7.png"]
    row = broken.row(0, named=True)
    assert (row["class"], row["outcome"], row["predicted"], row["cluster"]) == ("cat", None, None, None)
    others = frame.filter(pl.col("problem").is_null())
    assert others.select("outcome", "predicted", "cluster", "hash").null_count().sum_horizontal().item() == 0
    top1 = made.run("strong").predictions.classes[:, 0]
    assert others["prediction"].to_list() == top1.tolist()
    assert others["predicted"].to_list() == [made.classes().names[index] for index in top1]


def test_without_a_run_there_is_the_dataset_alone(made: Workspace) -> None:
    frame = lens.frame(made, Lens(None, "original"))
    assert frame.height == 32
    for column in ("predicted", "prediction", "outcome", "confidence", "right", "unjudged", "cluster"):
        assert frame[column].null_count() == 32
    assert frame["class"].value_counts().sort("class").rows() == [("cat", 8), ("dog", 8), ("eel", 8), ("fox", 8)]
    assert frame.columns == lens.frame(made, Lens("strong", "panel", SPACE)).columns


def test_clusters_are_those_of_the_cut(made: Workspace) -> None:
    clusters = lens.map_clusters(made.space(SPACE))
    assert clusters is not None
    cut = made.space(SPACE).frame("cut")
    assert cut is not None
    assert set(clusters["cluster"]) == set(cut["node"])
    frame = lens.frame(made, Lens("strong", "original", SPACE)).drop_nulls("cluster")
    assert frame.select("item", "cluster").equals(clusters.sort("item"))
    one = clusters["cluster"][0]
    assert Slice.parse([f"cluster={one}"]).apply(frame).height == clusters.filter(cluster=one).height


def test_unjudged_is_told_in_open_sets_only(made: Workspace) -> None:
    assert lens.frame(made, Lens("weak ![r](http:y)", "panel"))["unjudged"].any()
    assert not lens.frame(made, Lens("weak ![r](http:y)", "original"))["unjudged"].any()


def test_names_that_two_classes_share_stand_with_their_ids(tmp_path: Path) -> None:
    pl.DataFrame({"id": ["n1", "n2", "n3"], "name": ["crane", "crane", UGLY_CLASSES[1]]}).write_csv(tmp_path / "c.csv")
    options = write_table(tmp_path / "labels.csv", {"a": "n1", "b": "n2", "c": "n3"})
    made, _ = create(str(tmp_path / "ws"), DatasetOptions(table=options.table, classes=str(tmp_path / "c.csv")))
    frame = lens.frame(made, Lens(None, "original"))
    assert frame["class"].to_list() == ["crane (n1)", "crane (n2)", UGLY_CLASSES[1]]


def test_tombstones_have_no_row_and_metadata_follow(tmp_path: Path) -> None:
    def read(keys: str) -> Workspace:
        pl.DataFrame(
            {"key": list(keys), "label": ["cat", "dog"] * (len(keys) // 2), "weather": [f"fog {k}" for k in keys]}
        ).write_csv(tmp_path / "labels.csv")
        return create(str(tmp_path / "ws"), DatasetOptions(table=tmp_path / "labels.csv"))[0]

    add_run(read("abcdef"), "mine", 0.5, np.random.default_rng(0))
    after = read("adef")
    assert lens.metadata_columns(after) == ["weather"]
    for run in (None, "mine"):
        frame = lens.frame(after, Lens(run, "original"))
        assert frame["item"].to_list() == [0, 3, 4, 5]
        assert frame["weather"].to_list() == ["fog a", "fog d", "fog e", "fog f"]
    assert frame["outcome"].null_count() == 0
