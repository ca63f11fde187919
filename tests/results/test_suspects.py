"""Suspected errors of workspaces: against the published baseline, and where runs, spaces or label sets are missing."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.errors import InputError, WorkspaceError
from analysis.labels.sets import label_set
from analysis.models.predictions import Predictions
from analysis.results import suspects
from analysis.results.suspects import QUALITY_SCHEMA, Saying, suspected_errors
from analysis.suspects import SUSPECTS_SCHEMA
from analysis.workspace import Workspace
from tests.workspaces import add_run, make_images, make_workspace

pytestmark = pytest.mark.xdist_group("results")


@pytest.mark.shared_data
def test_suspects_are_measured_where_labels_are_disputed(imagenet: Workspace) -> None:
    """The expert set leaves out images whose label is wrong, so ReaL judges the signals."""
    listed, quality = suspected_errors(imagenet)
    assert dict(listed.schema) == SUSPECTS_SCHEMA
    assert dict(quality.schema) == QUALITY_SCHEMA
    assert suspects.telling(imagenet) == "real"
    baseline = quality.filter(signal="1 - p(t) of resnet50_pytorch").row(0, named=True)
    assert round(baseline["auroc"], 3) == 0.850
    assert round(baseline["average_precision"], 3) == 0.336
    assert round(baseline["base_rate"], 4) == 0.0998
    assert quality["n"].unique().to_list() == [46_837]
    assert listed["signal"].unique().to_list() == [quality["signal"][0]] == ["learnt from real"]
    # What learnt from no label set is better than any single run too.
    plain = quality.filter(pl.col("signal") != "learnt from real")
    assert plain["signal"][0] in ("mean margin", "votes")
    assert plain["average_precision"][0] > baseline["average_precision"] + 0.05
    with pytest.raises(InputError, match="There is no signal 'guess'"):
        suspected_errors(imagenet, signal="guess")


@pytest.mark.shared_data
def test_the_label_set_named_measures(imagenet: Workspace) -> None:
    _, quality = suspected_errors(imagenet, ["vgg16_pytorch"], against="expert")
    assert quality["n"].unique().to_list() == [18_692]
    assert quality["base_rate"].unique().to_list() == [0]
    assert quality["auroc"].null_count() == quality.height == 2  # nothing to learn from either
    with pytest.raises(WorkspaceError, match="no label set 'guess'"):
        suspected_errors(imagenet, against="guess")


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Twelve items of each of four classes; a label set `reviewed` that disputes every fifth label."""
    folder = tmp_path_factory.mktemp("pets")
    workspace = make_workspace(folder / "pets", folder / "images", each=12)
    publish_review(workspace)
    return Workspace.open(workspace.path)


def publish_review(workspace: Workspace) -> None:
    labels = workspace.original_labels.tolist()
    said = [(i, (label + (i % 5 == 0)) % 4, "valid") for i, label in enumerate(labels)]
    said += [(0, 2, "unclear"), (0, 3, "rejected")]
    rows = pl.DataFrame(said, schema={"item": pl.UInt32, "class": pl.UInt32, "state": pl.String}, orient="row")
    workspace.publish_labels(label_set("reviewed", rows, rows.select("item").unique(), absent="wrong"))


def test_runs_spaces_and_combinations_each_give_signals(pets: Workspace) -> None:
    listed, quality = suspected_errors(pets)
    assert set(quality["signal"]) == {
        "1 - p(t) of strong", "margin of strong", "1 - p(t) of weak ![r](http:y)", "margin of weak ![r](http:y)",
        "votes", "mean margin", "neighbours in test:encoder", "class Gaussian in test:encoder",
        "rank average", "learnt from reviewed",
    }  # fmt: skip
    assert quality["n"].unique().to_list() == [47]  # of one of 48 the image is broken
    assert quality["average_precision"].is_sorted(descending=True)
    assert listed["score"].is_sorted(descending=True)
    again, _ = suspected_errors(Workspace.open(pets.path))
    assert again.equals(listed)
    one, quality = suspected_errors(pets, ["strong"], signal="margin of strong")
    assert "votes" not in quality["signal"]
    assert one["signal"].unique().to_list() == ["margin of strong"]


def test_a_space_alone_gives_signals(pets: Workspace) -> None:
    _, quality = suspected_errors(pets, [])
    assert set(quality["signal"]) == {
        "neighbours in test:encoder", "class Gaussian in test:encoder", "rank average", "learnt from reviewed"
    }  # fmt: skip


def test_a_space_finds_labels_that_were_swapped(tmp_path: Path) -> None:
    """The vectors follow the folders that the images were in; three labels are then changed in the table."""
    from analysis import spaces

    make_images(tmp_path / "images", ("cat", "dog"), each=10)
    create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    workspace = Workspace.open(tmp_path / "pets")
    labels, keys = workspace.original_labels, workspace.items()["key"]
    vectors = np.random.default_rng(0).normal(scale=0.2, size=(20, 4))
    vectors[:, 0] += labels
    vectors[:, 1] += 1 - labels
    swapped = [3, 8, 15]
    wrong = [["cat", "dog"][int(label) ^ (place in swapped)] for place, label in enumerate(labels)]
    pl.DataFrame({"key": keys, "label": wrong}).write_csv(tmp_path / "table.csv")
    create(str(tmp_path / "swapped"), DatasetOptions(images=tmp_path / "images", table=tmp_path / "table.csv"))
    workspace = Workspace.open(tmp_path / "swapped")
    spaces.publish_vectors(
        workspace, "test:encoder", np.arange(20, dtype=np.uint32), [vectors.astype(np.float16)], 4, {}
    )
    for signal in ("neighbours in test:encoder", "class Gaussian in test:encoder"):
        listed, quality = suspected_errors(Workspace.open(workspace.path), signal=signal)
        keyed = dict(zip(keys, range(20), strict=True))
        assert sorted(keyed[key] for key in listed["key"].head(3)) == swapped
    assert quality["auroc"].is_null().all()  # no second label set


def test_runs_that_were_trained_on_the_items_say_so(tmp_path: Path) -> None:
    make_images(tmp_path / "images", ("cat", "dog"))
    create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    rng = np.random.default_rng(0)
    add_run(Workspace.open(tmp_path / "pets"), "fresh", 0.7, rng)
    add_run(Workspace.open(tmp_path / "pets"), "trained", 0.7, rng)
    workspace = Workspace.open(tmp_path / "pets")
    known = workspace.run("trained").predictions
    workspace.publish_run("trained", known, inputs=("keys",), details={"seen_in_training": "yes"})
    _, quality = suspected_errors(Workspace.open(workspace.path))
    notes = dict(quality.select("signal", "note").iter_rows())
    assert notes["margin of trained"] == "the run was trained on these images: not out-of-fold"
    assert notes["votes"] == "1 of 2 runs were trained on these images: not out-of-fold"
    assert notes["margin of fresh"] == ""


def test_a_run_of_few_items_takes_none_from_the_others(pets: Workspace, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(pets.path, tmp_path / "pets")
    workspace = Workspace.open(tmp_path / "pets")
    some = np.array([1, 2, 5], np.uint32)
    few = Predictions(some, workspace.original_labels[some][:, None], None, "ranks", None)
    workspace.publish_run("few", few, inputs=("keys",), details={})
    _, quality = suspected_errors(Workspace.open(workspace.path))
    n = dict(quality.select("signal", "n").iter_rows())
    assert n["margin of few"] == 3
    assert n["margin of strong"] == n["votes"] == n["learnt from reviewed"] == 47


def test_what_is_known_of_a_suspect(pets: Workspace) -> None:
    said = suspects.sayings(pets, [0, 1, 5])
    assert [one[0] for one in said] == [
        Saying("reviewed", False, (1, 2)),
        Saying("reviewed", True, ()),
        Saying("reviewed", False, (1,)),
    ]
    unknown = next(item for item in range(48) if not pets.labels("panel").scored([item])[0])
    assert suspects.sayings(pets, [unknown])[0][1].keeps is None
    assert suspects.verdicts(pets, "reviewed", [0, 0, 0, 1], [1, 2, 3, -1]) == [
        (True, False), (True, False), (False, False), (None, False)
    ]  # fmt: skip
    panel = pets.labels("panel")
    known = next(item for item in range(1, 48) if panel.scored([item])[0] and item % 3)
    other = (pets.original_labels[known] + 2) % 4
    assert suspects.verdicts(pets, "panel", [known], [other]) == [(False, True)]
    top1 = {run.name: dict(zip(run.predictions.items, run.predictions.top1, strict=True)) for run in pets.runs()}
    votes = sum(int(run[5] == 0) for run in top1.values())
    assert suspects.backing(pets, [5, 7], [0, -1]) == [(votes, 2), (0, 2)]


def test_a_list_is_as_precise_as_counted(pets: Workspace) -> None:
    listed, _ = suspected_errors(pets)
    known = suspects.scored(pets, listed, "reviewed")
    curve = suspects.precision_of(pets, listed, "reviewed")
    assert curve["length"][-1] == known.height == 47
    assert curve["disputed"][-1] == known["disputed"].sum() == sum(i % 5 == 0 for i in known["item"])
    assert suspects.precision_of(pets, listed.clear(), "reviewed").is_empty()


def test_without_runs_and_spaces_there_are_no_suspects(tmp_path: Path) -> None:
    make_images(tmp_path / "images", ("cat", "dog"), each=2)
    made, _ = create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    with pytest.raises(InputError, match="no run yet"):
        suspected_errors(made)
