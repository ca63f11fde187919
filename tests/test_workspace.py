"""The workspace folder: what is published is found again, and a crash leaves what was there before."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import items
from analysis.artefacts import FORMAT
from analysis.create import create, write_dataset
from analysis.datasets import DatasetOptions
from analysis.errors import ErrataError, InputError, StaleInputError, WorkspaceError
from analysis.labels.sets import LabelSet, label_set
from analysis.models.predictions import Predictions
from analysis.report import report, table
from analysis.workspace import CONFIG, Workspace, sweep_workspace
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


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_any_name_is_kept_as_it_is(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ws"
        write_dataset(path, read({"a": "1"}), class_list("cat"), NO_PROBLEMS, image_root=None, name=name)
        assert Workspace.open(path).name == name


def test_a_folder_may_be_called_anything_that_is_utf8(tmp_path: Path) -> None:
    path = tmp_path / "\U0001f9ff pets [1] é\x7f"
    assert write(path, {"a": "1"}).name == path.name
    again = write(path, {"a": "1", "b": "2"})
    publish_run(again, "model", predictions(0, 1))
    assert Workspace.open(path).run("model").predictions.classes.tolist() == [[0], [1]]
    assert Workspace.open(path).problems().is_empty()


def test_names_that_are_not_utf8_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    bad = "caf\udce9"
    for options in ({"name": bad}, {"image_root": tmp_path / bad}):
        with pytest.raises(InputError, match="not valid UTF-8"):
            write_dataset(
                tmp_path / "ws", read({"a": "1"}), class_list("cat"), NO_PROBLEMS, **{"image_root": None, **options}
            )
    with pytest.raises(InputError, match="not valid UTF-8"):
        write(tmp_path / bad, {"a": "1"})
    for options in ({"images": tmp_path / bad}, {"table": tmp_path / f"{bad}.csv"}):
        with pytest.raises(InputError, match="not valid UTF-8"):
            create(str(tmp_path / "ws"), DatasetOptions(**{"images": None, **options}))
    assert list(tmp_path.iterdir()) == []


def test_places_where_no_workspace_can_be_are_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "table.csv").write_text("key,label\na,cat\n")
    for path in (
        tmp_path / "file" / "ws",
        tmp_path / "dangling",
        tmp_path / ("long" * 100),
        Path("/proc/errata"),
    ):
        with pytest.raises(ErrataError):
            create(str(path), DatasetOptions(table=tmp_path / "table.csv"))
        with pytest.raises(ErrataError):
            Workspace.open(path)


def test_a_file_in_a_publications_way_is_said(workspace: Workspace) -> None:
    for folder in ("labels", "runs"):
        (workspace.path / folder).touch()
    with pytest.raises(ErrataError, match="a file and no folder"):
        publish_run(workspace, "model", predictions(0, 1))
    with pytest.raises(ErrataError, match="a file and no folder"):
        workspace.publish_labels(labels("mine", 1, 0))


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def rewrite(manifest: Path, change: Callable[[dict[str, object]], object]) -> None:
    content = json.loads(manifest.read_text())
    change(content)
    manifest.write_text(json.dumps(content))


@pytest.fixture
def full(workspace: Workspace) -> Workspace:
    """With a label set, two runs and a space."""
    workspace.publish_labels(labels("mine", 1, 0))
    publish_run(workspace, "bad", predictions(0, 1))
    publish_run(workspace, "good", predictions(0, 0))

    def fill(folder: Path) -> dict[str, object]:
        frame = pl.DataFrame({"item": [0], "x": [0.0], "y": [0.0]})
        frame.write_parquet(folder / "projection.parquet")
        np.save(folder / "items.npy", np.zeros(1, np.uint32))
        return {}

    workspace.publish_space("toy:encoder", fill)
    return Workspace.open(workspace.path)


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a zeroed topk": ("runs/bad-*", lambda version: zero(version / "topk.parquet")),
    "zeroed labels": ("labels/mine-*", lambda version: zero(version / "labels.parquet")),
    "zeroed label items": ("labels/mine-*", lambda version: zero(version / "items.parquet")),
    "a zeroed projection": ("spaces/toy-*", lambda version: zero(version / "projection.parquet")),
    "a run's score kind": ("runs/bad-*", lambda version: rewrite(version / "run.json", lambda m: m.pop("score_kind"))),
    "a run's name": ("runs/bad-*", lambda version: rewrite(version / "run.json", lambda m: m.pop("name"))),
    "a set's note": ("labels/mine-*", lambda version: rewrite(version / "labels.json", lambda m: m.pop("note"))),
    "a set's absent": (
        "labels/mine-*",
        lambda version: rewrite(version / "labels.json", lambda m: m.update(absent="perhaps")),
    ),
    "a space's steps": ("spaces/toy-*", lambda version: rewrite(version / "space.json", lambda m: m.pop("steps"))),
    "a manifest": ("runs/bad-*", lambda version: (version / "run.json").write_text("[]")),
    "a pointer": ("runs/bad-*", lambda version: (version.parent / "current").write_bytes(b"\xff")),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_damaged_is_left_out_and_named(full: Workspace, what: str) -> None:
    pattern, damage = DAMAGE[what]
    (home,) = full.path.glob(pattern)
    damage(next(path for path in home.iterdir() if path.is_dir()))
    opened = Workspace.open(full.path)
    name = home.relative_to(full.path).as_posix()
    assert list(opened.damaged) == [name]
    assert str(home) in opened.damaged[name] or home.name in opened.damaged[name]
    assert "backup" in opened.damaged[name]
    assert opened.problems().filter(stage="opening")["key"].to_list() == [name]
    told = table(report(opened), opened.damaged)
    assert f"{name} could not be opened" in told
    assert "good" in told


def test_a_report_without_a_run_left_says_why(workspace: Workspace) -> None:
    publish_run(workspace, "bad", predictions(0, 1))
    (topk,) = workspace.path.glob("runs/*/*/topk.parquet")
    zero(topk)
    opened = Workspace.open(workspace.path)
    told = table(report(opened), opened.damaged)
    assert "no runs" not in told
    assert str(topk) in told
    assert "no runs" in table(report(write(workspace.path.parent / "other", {"a": "1"})))


def test_damage_within_a_file_is_named_when_it_is_read(full: Workspace) -> None:
    run = full.run("bad")
    zero(run.folder / "topk.parquet")
    with pytest.raises(WorkspaceError, match=r"topk\.parquet is damaged.*backup"):
        _ = run.predictions
    space = full.space("toy:encoder")
    for name in ("items.npy", "projection.parquet"):
        zero(space.folder / name)
    with pytest.raises(WorkspaceError, match=r"items\.npy is damaged"):
        _ = space.items
    with pytest.raises(WorkspaceError, match=r"projection\.parquet is damaged"):
        space.frame("projection")
    pl.DataFrame({"other": [1]}).write_parquet(full.label_artefact("mine").folder / "labels.parquet")
    with pytest.raises(WorkspaceError, match=r"labels\.parquet is damaged"):
        full.labels("mine")


@pytest.mark.parametrize("name", ["items.parquet", "classes.parquet", "problems.parquet"])
def test_a_damaged_dataset_is_named_and_not_numbered_anew(full: Workspace, name: str) -> None:
    zero(full.dataset.folder / name)
    with pytest.raises(WorkspaceError, match=f"{name} is damaged.*backup"):
        Workspace.open(full.path)
    with pytest.raises(WorkspaceError, match=f"{name} is damaged"):
        write(full.path, {"b": "2", "a": "1"})


def test_a_datasets_damaged_pointer_is_named_and_not_numbered_anew(full: Workspace) -> None:
    (full.path / "dataset" / "current").write_bytes(b"\xff")
    with pytest.raises(WorkspaceError, match="current should hold"):
        Workspace.open(full.path)
    with pytest.raises(WorkspaceError, match="current should hold"):
        write(full.path, {"b": "2", "a": "1"})


def test_stray_files_are_no_artefacts(full: Workspace) -> None:
    (full.path / "runs" / "0001-0123abcd").write_text("stray")
    (home,) = full.path.glob("runs/good-*")
    (home / "0009-0123abcd").write_text("stray")
    assert Workspace.open(full.path).run_names() == ["bad", "good"]
    sweep_workspace(full.path)
    assert Workspace.open(full.path).damaged == {}


def test_a_fingerprint_that_was_not_stored_yet_makes_what_depends_on_it_stale(workspace: Workspace) -> None:
    workspace.publish_run("model", predictions(0, 1), inputs=("labels", "images"), details={})
    rewrite(workspace.dataset.folder / "dataset.json", lambda m: m["fingerprints"].pop("labels"))  # type: ignore[attr-defined]
    opened = Workspace.open(workspace.path)
    assert opened.fingerprints["labels"] == ""
    assert "original labels changed" in str(opened.stale(opened.run("model")))
    opened.unchanged("labels")()
    publish_run(opened, "other", predictions(0, 1))
    assert opened.reopened().stale(opened.reopened().run("other")) is None
