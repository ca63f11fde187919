"""Predictions and labels of elsewhere: all or nothing."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis.create import create
from analysis.errors import InputError
from analysis.imports import import_labels, import_run
from analysis.workspace import Workspace
from tests.test_create import write_table

LABELS = {"a.png": "cat", "b.png": "dog", "c.png": "eel", "d.png": "cat"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return create(str(tmp_path / "ws"), write_table(tmp_path / "labels.csv", LABELS))[0]


def test_a_table_with_keys_becomes_a_run_whatever_its_order(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "<b> & more.csv"
    pl.DataFrame({"key": ["d.png", "a.png", "b.png", "c.png"], "prediction": ["cat", "dog", "dog", "eel"]}).write_csv(
        file
    )
    run = import_run(workspace, "<b>mine</b>", [file], seen="yes")
    opened = Workspace.open(workspace.path)
    assert opened.run_names() == ["<b>mine</b>"]
    assert opened.run("<b>mine</b>").predictions.classes[:, 0].tolist() == [1, 1, 2, 0]
    assert (run.manifest["source"], run.manifest["seen_in_training"], run.manifest["n"]) == ("import", "yes", 4)
    assert run.manifest["competing"] == "all"
    assert opened.stale(run) is None


def test_dense_scores_in_the_items_order_become_ranks(workspace: Workspace, tmp_path: Path) -> None:
    scores = np.array([[3, 1, 0], [0, 2, 1], [0, 1, 5], [2, 9, 0]], np.float32)
    np.save(tmp_path / "scores.npy", scores)
    run = import_run(workspace, "mine", [tmp_path / "scores.npy"], order="filename")
    assert run.predictions.classes.tolist() == np.argsort(-scores, axis=1).tolist()


def test_bad_predictions_name_what_is_wrong_and_leave_nothing(workspace: Workspace, tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", np.zeros((3, 3), np.float32))
    pl.DataFrame({"key": list(LABELS), "prediction": ["cat", "yak", "dog", "eel"]}).write_csv(tmp_path / "yak.csv")
    pl.DataFrame({"key": ["a.png", "z.png"], "prediction": ["cat", "cat"]}).write_csv(tmp_path / "stranger.csv")
    for name, told in {
        "short.npy": "3",
        "yak.csv": "yak",
        "stranger.csv": r"z\.png",
        "gone.csv": r"gone\.csv",
        "gone.npy": r"gone\.npy",
    }.items():
        with pytest.raises(InputError, match=told):
            import_run(workspace, "mine", [tmp_path / name], order="filename" if name.endswith(".npy") else None)
    assert Workspace.open(workspace.path).version == workspace.version


def test_labels_become_a_set_open_or_closed_as_asked(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    pl.DataFrame({"key": ["b.png", "a.png", "a.png"], "label": ["dog", "cat", "eel"]}).write_csv(file)
    closed = import_labels(workspace, "closed", file)
    opened = import_labels(workspace, "open", file, absent="unjudged")
    assert (closed.absent, opened.absent) == ("wrong", "unjudged")
    again = Workspace.open(workspace.path)
    assert again.label_set_names() == ["original", "closed", "open"]
    assert again.labels("closed").labels.select("item", "class").rows() == [(0, 0), (0, 2), (1, 1)]
    assert again.labels("open").absent == "unjudged"
    assert again.label_artefact("open").manifest["source"] == "mine.csv"
    assert again.labels("open").items["item"].to_list() == [0, 1]


def test_bad_labels_name_row_and_value_and_leave_nothing(workspace: Workspace, tmp_path: Path) -> None:
    pl.DataFrame({"key": ["a.png", "b.png"], "label": ["cat", "yak"]}).write_csv(tmp_path / "yak.csv")
    pl.DataFrame({"key": ["a.png", "b.png"], "label": [0, 3]}).write_csv(tmp_path / "range.csv")
    pl.DataFrame({"key": ["a.png", "z.png"], "label": ["cat", "cat"]}).write_csv(tmp_path / "stranger.csv")
    for name, told in {"yak": r"\b2\b.*yak", "range": r"\b2\b.*3", "stranger": r"z\.png", "gone": r"gone\.csv"}.items():
        with pytest.raises(InputError, match=told):
            import_labels(workspace, "mine", tmp_path / f"{name}.csv")
    with pytest.raises(InputError, match="dataset's own"):
        import_labels(workspace, "original", tmp_path / "labels.csv")
    assert Workspace.open(workspace.path).version == workspace.version
