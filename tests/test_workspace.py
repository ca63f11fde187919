"""The workspace folder: what is published is found again, and a crash leaves what was there before."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis import items
from analysis.artefacts import FORMAT
from analysis.create import write_dataset
from analysis.errors import InputError, StaleInputError, WorkspaceError
from analysis.labels.sets import LabelSet, label_set
from analysis.models.predictions import Predictions
from analysis.workspace import CONFIG, Workspace
from tests.test_artefacts import crash_everywhere
from tests.test_items import class_list, read

NO_PROBLEMS = pl.DataFrame(schema={"key": pl.String, "reason": pl.String})


def write(path: Path, contents: dict[str, str], classes: tuple[str, ...] = ("cat", "dog")) -> Workspace:
    """A workspace whose items all carry the first class."""
    table = read(contents).with_columns(label=pl.lit(0, pl.UInt32))
    return write_dataset(path, table, class_list(*classes), NO_PROBLEMS, image_root=path / "images")[0]


def predictions(*ranked: int) -> Predictions:
    return Predictions(
        items=np.arange(len(ranked), dtype=np.uint32),
        classes=np.array(ranked, np.int32)[:, None],
        scores=None,
        kind="ranks",
        logsumexp=None,
    )


def labels(name: str = "mine", *classes: int) -> LabelSet:
    rows = pl.DataFrame({"item": range(len(classes)), "class": classes, "state": ["valid"] * len(classes)})
    return label_set(name, rows, rows.select("item"), absent="wrong")


def publish_run(workspace: Workspace, name: str, ranked: Predictions) -> None:
    workspace.publish_run(name, ranked, inputs=("keys", "classes"), details={"source": "test"})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return write(tmp_path / "pets", {"a": "1", "b": "2"})


def test_what_was_written_is_read_again(workspace: Workspace) -> None:
    publish_run(workspace, "timm:a/b", predictions(0, 1))
    workspace.publish_labels(labels("mine", 1, 0))
    again = Workspace.open(workspace.path)
    assert again.name == "pets"
    assert again.uuid == workspace.uuid
    assert again.image_root == workspace.path / "images"
    assert again.items()["key"].to_list() == ["a", "b"]
    assert again.classes().ids == ["cat", "dog"]
    assert again.original_labels.tolist() == [0, 0]
    assert again.label_set_names() == ["original", "mine"]
    assert again.labels("mine").labels["class"].to_list() == [1, 0]
    assert again.labels("original").labels["class"].to_list() == [0, 0]
    assert again.run_names() == ["timm:a/b"]
    assert again.run("timm:a/b").predictions.classes.tolist() == [[0], [1]]
    assert again.run("timm:a/b").scores() is None


def test_a_snapshot_keeps_to_its_versions_and_is_reopened_after_a_change(workspace: Workspace) -> None:
    publish_run(workspace, "model", predictions(0, 0))
    first = Workspace.open(workspace.path)
    assert first.reopened() is first
    publish_run(first, "model", predictions(1, 1))
    assert first.run("model").predictions.classes.tolist() == [[0], [0]]
    second = first.reopened()
    assert second.version != first.version
    assert second.run("model").predictions.classes.tolist() == [[1], [1]]


def test_staleness_is_told_in_words(workspace: Workspace) -> None:
    workspace.publish_labels(labels("mine", 1, 0))
    workspace.publish_run("model", predictions(0, 1), inputs=("images", "classes"), details={})
    assert Workspace.open(workspace.path).stale(Workspace.open(workspace.path).run("model")) is None
    changed = write(workspace.path, {"a": "1", "b": "other bytes"})
    assert "images were added, removed or changed" in str(changed.stale(changed.run("model")))
    assert changed.stale(changed.label_artefact("mine")) is None
    grown = write(workspace.path, {"a": "1", "b": "2", "c": "3"}, ("cat", "dog", "eel"))
    reason = str(grown.stale(grown.label_artefact("mine")))
    assert "items were added or removed" in reason
    assert "the class list grew" in reason


def test_publishing_against_a_changed_input_is_refused(workspace: Workspace) -> None:
    write(workspace.path, {"a": "1", "b": "2", "c": "3"})
    with pytest.raises(StaleInputError, match="items were added or removed"):
        publish_run(workspace, "model", predictions(0, 1))
    assert Workspace.open(workspace.path).run_names() == []


def test_reading_again_renumbers_labels_of_a_grown_class_list(tmp_path: Path) -> None:
    path = tmp_path / "pets"
    write(path, {"a": "1"}, ("cat", "dog"))
    table = read({"a": "1", "b": "2", "c": "3"}).with_columns(label=pl.Series([1, 0, None], dtype=pl.UInt32))
    again, changes = write_dataset(path, table, class_list("ant", "cat"), NO_PROBLEMS, image_root=None)
    assert again.classes().ids == ["cat", "dog", "ant"]
    assert again.original_labels.tolist() == [0, 2, -1]
    assert changes.added == 2


def test_a_dead_writer_leaves_a_workspace_that_opens(tmp_path: Path) -> None:
    """Dying at each step of reading again, publishing labels and publishing a run: old or new, never a mixture."""
    saved, path = tmp_path / "saved", tmp_path / "pets"
    before = write(saved, {"a": "1", "b": "2"})
    before.publish_labels(labels("mine", 1, 0))
    publish_run(before, "model", predictions(0, 0))

    def prepare() -> None:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(saved, path)

    def state() -> tuple[list[str], list[int], list[list[int]]]:
        opened = Workspace.open(path)
        ranked = opened.run("model").predictions.classes
        return opened.items()["key"].to_list(), opened.labels("mine").labels["class"].to_list(), ranked.tolist()

    old = (["a", "b"], [1, 0], [[0], [0]])
    acts: list[tuple[object, Callable[[], object]]] = [
        ((["a", "b", "c"], [1, 0], [[0], [0]]), lambda: write(path, {"a": "1", "b": "2", "c": "3"})),
        ((["a", "b"], [0, 1], [[0], [0]]), lambda: Workspace.open(path).publish_labels(labels("mine", 0, 1))),
        ((["a", "b"], [1, 0], [[1], [1]]), lambda: publish_run(Workspace.open(path), "model", predictions(1, 1))),
    ]
    for new, act in acts:
        seen: list[object] = []

        def check(seen: list[object] = seen, new: object = new) -> None:
            now = state()
            seen.append(now)
            assert now in (old, new)

        assert crash_everywhere(act, prepare, check) > 10
        assert old in seen
        assert new in seen


def test_a_creation_that_died_can_be_run_again(tmp_path: Path) -> None:
    path = tmp_path / "pets"

    def check() -> None:
        assert write(path, {"a": "1", "b": "2"}).items().height == 2

    crash_everywhere(lambda: write(path, {"a": "1", "b": "2"}), lambda: shutil.rmtree(path, ignore_errors=True), check)


def test_a_path_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "letter.txt").write_text("text")
    for name in ("file", "folder"):
        with pytest.raises(WorkspaceError, match="not a workspace"):
            write(tmp_path / name, {"a": "1"})
        with pytest.raises(WorkspaceError, match="not a workspace"):
            Workspace.open(tmp_path / name)
    assert (tmp_path / "file").read_text() == "text"
    assert [entry.name for entry in (tmp_path / "folder").iterdir()] == ["letter.txt"]
    with pytest.raises(WorkspaceError, match="does not exist"):
        Workspace.open(tmp_path / "nothing")


def test_a_newer_format_is_told_apart_from_damage(workspace: Workspace) -> None:
    config = workspace.path / CONFIG
    config.write_text(config.read_text().replace(f"format = {FORMAT}", f"format = {FORMAT + 1}"))
    with pytest.raises(WorkspaceError, match="Upgrade Errata"):
        Workspace.open(workspace.path)
    config.write_text("format = ")
    with pytest.raises(WorkspaceError, match="cannot be read"):
        Workspace.open(workspace.path)
    config.write_text("format = 1\n")
    with pytest.raises(WorkspaceError, match="lacks uuid, name"):
        Workspace.open(workspace.path)


def test_unknown_names_are_answered_with_the_known_ones(workspace: Workspace) -> None:
    publish_run(workspace, "model", predictions(0, 1))
    opened = Workspace.open(workspace.path)
    with pytest.raises(WorkspaceError, match="It has: model"):
        opened.run("modell")
    with pytest.raises(WorkspaceError, match="It has: original"):
        opened.labels("real")
    with pytest.raises(WorkspaceError, match="It has: none"):
        opened.space("encoder")
    with pytest.raises(InputError, match="dataset's own"):
        opened.publish_labels(labels("original", 0))


def test_problems_are_listed_by_name_and_stage(tmp_path: Path) -> None:
    table = read({"a": "1", "b": "2"}).with_columns(
        problem=pl.Series(["it ends before its end marker", None], dtype=pl.String)
    )
    strangers = pl.DataFrame({"key": ["notes.txt"], "reason": ["not an image"]})
    opened, _ = write_dataset(tmp_path / "pets", table, class_list("cat"), strangers, image_root=tmp_path)

    def fill(folder: Path) -> None:
        failed = pl.DataFrame({"item": [1], "reason": ["cannot be decoded"]}, schema_overrides={"item": pl.UInt32})
        failed.write_parquet(folder / "problems.parquet")

    opened.publish_run("model", predictions(0), inputs=("images",), details={}, fill=fill)
    assert opened.reopened().problems().rows() == [
        ("notes.txt", None, "reading", "not an image"),
        ("a", 0, "reading", "it ends before its end marker"),
        ("b", 1, "run model", "cannot be decoded"),
    ]


def test_items_module_shapes_what_readers_give() -> None:
    table = items.frame(pl.DataFrame({"key": ["a"], "weather": ["fog"]}), None)
    assert table.columns == [*items.SCHEMA, "weather"]
    assert table["path"].to_list() == [None]
