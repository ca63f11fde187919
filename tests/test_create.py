"""From images or a table to a workspace, and reading the dataset again."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analysis import create as creation
from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.errors import InputError, StaleInputError, WorkspaceError
from analysis.labels.classes import imagenet_1k
from analysis.workspace import CONFIG, Workspace
from tests.conftest import CHECKOUT
from tests.workspaces import make_images


def on_a_full_disk(code: str, largest: int) -> dict[str, Any]:
    """Run Python whose last expression `act` is called while no file may exceed `largest` bytes.

    The kernel refuses the write that would, as it does on a full disk. Returns the error's class and text.
    """
    program = f"""
    import json, resource, signal
    {textwrap.indent(textwrap.dedent(code), "    ").strip()}
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ({largest}, resource.RLIM_INFINITY))
    try:
        act()
        told = None
    except Exception as error:
        told = {{"kind": type(error).__name__, "module": type(error).__module__, "text": str(error)}}
    print(json.dumps(told))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told is not None, "it was written all the same"
    return dict(told)


def write_table(path: Path, labels: dict[str, str]) -> DatasetOptions:
    """A dataset without pixels: a CSV of keys and labels."""
    pl.DataFrame({"key": list(labels), "label": list(labels.values())}).write_csv(path)
    return DatasetOptions(table=path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    make_images(tmp_path / "images", ("cat", "dog"), each=3)
    return tmp_path / "images"


def test_a_folder_becomes_items_classes_and_problems(images: Path, tmp_path: Path) -> None:
    (images / "cat" / "0-2.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    (images / "cat" / "notes.txt").write_text("no image")
    told: list[str] = []
    workspace, changes = create(
        str(tmp_path / "ws"), DatasetOptions(images=images), progress=lambda what, done, total: told.append(what)
    )
    items = workspace.items()
    assert items.height == 6
    assert items["item"].to_list() == list(range(6))
    assert workspace.classes().ids == ["cat", "dog"]
    assert workspace.original_labels.tolist() == [0, 0, 0, 1, 1, 1]
    readable = items.filter(pl.col("problem").is_null())
    assert readable.height == 5
    assert readable["hash"].null_count() == 0
    assert set(readable.select("width", "height").iter_rows()) == {(64, 48)}
    assert set(workspace.problems()["key"]) == {"cat/notes.txt", "cat/0-2.png"}
    assert str(changes) == "6 new"
    assert workspace.image_root == images
    assert told[0] == "listing"
    assert told[-1] == "publishing"


def test_reading_again_keeps_numbers_and_leaves_tombstones(images: Path, tmp_path: Path) -> None:
    path, options = tmp_path / "ws", DatasetOptions(images=images)
    first, _ = create(str(path), options)
    _, changes = create(str(path), options)
    assert str(changes) == "nothing changed"
    numbers = dict(first.items().select("key", "item").iter_rows())
    (images / "cat" / "0-1.png").unlink()
    shutil.copy(images / "dog" / "1-1.png", images / "dog" / "1-2.png")
    shutil.copy(images / "dog" / "1-1.png", images / "cat" / "a new one.png")
    again, changes = create(str(path), options)
    assert str(changes) == "1 new, 1 gone, 1 changed"
    now = dict(again.items().select("key", "item").iter_rows())
    assert {key: now[key] for key in numbers} == numbers
    assert now["cat/a new one.png"] == 6
    assert again.items().filter("missing")["key"].to_list() == ["cat/0-1.png"]
    assert again.original_labels[numbers["cat/0-1.png"]] == -1
    assert again.uuid == first.uuid


def test_another_dataset_by_mistake_is_refused_and_nothing_is_written(images: Path, tmp_path: Path) -> None:
    path = tmp_path / "ws"
    before, _ = create(str(path), DatasetOptions(images=images))
    make_images(tmp_path / "others", ("eel", "fox"), each=3)
    with pytest.raises(InputError, match=r"6 of the 6 items .*Nothing was written.*--force"):
        create(str(path), DatasetOptions(images=tmp_path / "others"))
    assert Workspace.open(path).version == before.version
    forced, changes = create(str(path), DatasetOptions(images=tmp_path / "others"), force=True)
    assert str(changes) == "6 new, 6 gone"
    assert forced.items().filter(~pl.col("missing")).height == 6


@pytest.mark.parametrize("prepared", ["nothing", "empty", "text"])
def test_bad_input_writes_nothing(prepared: str, tmp_path: Path) -> None:
    images = tmp_path / "images"
    if prepared != "nothing":
        images.mkdir()
    if prepared == "text":
        (images / "letter.txt").write_text("no image")
    with pytest.raises(InputError):
        create(str(tmp_path / "ws"), DatasetOptions(images=images))
    assert not (tmp_path / "ws").exists()


def test_a_folder_of_something_else_is_no_place_for_a_workspace(images: Path, tmp_path: Path) -> None:
    other = tmp_path / "letters"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(WorkspaceError, match="not a workspace"):
        create(str(other), DatasetOptions(images=images))
    assert [entry.name for entry in other.iterdir()] == ["letter.txt"]


def test_a_workspace_with_its_images_can_be_moved(tmp_path: Path) -> None:
    make_images(tmp_path / "here" / ".images", ("cat", "dog"), each=2)
    create(str(tmp_path / "here"), DatasetOptions(images=tmp_path / "here" / ".images"))
    (tmp_path / "here").rename(tmp_path / "there")
    moved = Workspace.open(tmp_path / "there")
    assert moved.image_root == tmp_path / "there" / ".images"
    assert (moved.image_root / moved.items()["path"][0]).is_file()


def test_validation_images_of_imagenet_get_their_real_labels(tmp_path: Path) -> None:
    wnids = imagenet_1k().ids
    table = {f"ILSVRC2012_val_{number:08d}.JPEG": wnids[number] for number in range(1, 41)}
    made, _ = create(str(tmp_path / "ws"), write_table(tmp_path / "labels.csv", table))
    assert made.image_root is None
    assert made.label_set_names() == ["original", "real"]
    assert made.labels("real").items.height == 40
    again, _ = create(str(tmp_path / "ws"), DatasetOptions(table=tmp_path / "labels.csv"))
    assert again.label_artefact("real").version == made.label_artefact("real").version
    other = {key.replace("val", "test"): wnid for key, wnid in table.items()}
    without, _ = create(str(tmp_path / "other"), write_table(tmp_path / "other.csv", other))
    assert without.label_set_names() == ["original"]


def test_two_readings_at_once_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ws"
    create(str(path), write_table(tmp_path / "a.csv", {"a": "cat", "b": "dog"}))
    write_parquet = creation.write_parquet

    def meanwhile(frame: pl.DataFrame, file: Path) -> None:
        monkeypatch.setattr(creation, "write_parquet", write_parquet)
        create(str(path), write_table(tmp_path / "b.csv", {"a": "cat", "b": "dog", "other": "dog"}))
        write_parquet(frame, file)

    monkeypatch.setattr(creation, "write_parquet", meanwhile)
    with pytest.raises(StaleInputError, match="run the command again"):
        create(str(path), write_table(tmp_path / "c.csv", {"a": "cat", "b": "dog", "mine": "dog"}))
    assert Workspace.open(path).items()["key"].to_list() == ["a", "b", "other"]


def test_a_creation_that_did_not_finish_says_so_and_can_be_run_again(tmp_path: Path) -> None:
    path, options = tmp_path / "ws", write_table(tmp_path / "a.csv", {"a": "cat", "b": "dog"})
    create(str(path), options)
    shutil.rmtree(path / "dataset")
    assert (path / CONFIG).is_file()
    with pytest.raises(WorkspaceError, match="errata create"):
        Workspace.open(path)
    assert create(str(path), options)[0].items().height == 2


def test_a_full_disk_leaves_the_dataset_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ws"
    before, _ = create(str(path), write_table(tmp_path / "a.csv", {"a": "cat", "b": "dog"}))
    write_table(tmp_path / "b.csv", {**{"a": "cat", "b": "dog"}, **{f"{i * 7919:x}": "dog" for i in range(20_000)}})
    told = on_a_full_disk(
        f"""
        from pathlib import Path
        from analysis.create import create
        from analysis.datasets import DatasetOptions
        def act():
            create({str(path)!r}, DatasetOptions(table=Path({str(tmp_path / "b.csv")!r})))
        """,
        largest=20_000,
    )
    assert told["module"] == "analysis.errors", told
    assert "disk is full" in told["text"]
    assert "run the command again" in told["text"]
    again = Workspace.open(path)
    assert again.version == before.version
    assert again.items()["key"].to_list() == ["a", "b"]
    assert not list((path / "dataset").glob(".staging-*"))
