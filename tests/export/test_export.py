"""Exports as a whole: what is refused, what is never half-written, what receipt and datasheet say."""

import csv
import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from analysis.artefacts import file_hash
from analysis.errors import ErrataError, InputError, WorkspaceError
from analysis.export import FORMATS, ExportOptions, export, preview
from analysis.export.formats import tables
from analysis.slices import saved
from analysis.workspace import Workspace
from tests.export.conftest import CLASSES, STATES, N

ELSEWHERE = ("real-json",)
"""Formats that this workspace cannot have."""


def options(to: Path, format: str = "parquet", **more: object) -> ExportOptions:
    return ExportOptions(to=to, format=format, **more)  # type: ignore[arg-type]


def test_the_table_has_every_state_in_the_order_of_the_slice(made: Workspace, tmp_path: Path) -> None:
    done = export(made, options(tmp_path / "out", labels="panel", slice="all | order by item desc"))
    rows = pl.read_parquet(done.folder / "items.parquet")
    assert rows["item"].to_list() == list(range(N))[::-1]
    for row in rows.iter_rows(named=True):
        said = STATES.get(row["item"], {})
        for word in ("valid", "unclear", "rejected"):
            assert row[word] == [name for name in CLASSES if said.get(name) == word]
        assert row["original"] == CLASSES[row["item"] % 6]
        assert (row["scored"] is None) == (row["item"] not in STATES)
    assert rows.filter(pl.col("item").is_in([4, 5, 6]))["scored"].to_list() == [False, False, True]
    # The dataset's own column `valid` does not get lost behind ours.
    assert rows.filter(item=2)["valid_"].item() == "=HYPERLINK()"


def test_reviewed_is_exported_as_of_a_position_with_who_says_so(made: Workspace, tmp_path: Path) -> None:
    done = export(made, options(tmp_path / "new", labels="reviewed", base="panel"))
    rows = pl.read_parquet(done.folder / "items.parquet")
    first = rows.row(0, named=True)
    assert (first["valid"], first["rejected"]) == (["cat"], ["../up"])
    assert (first["readers"], first["panel"], first["decided"], first["position"]) == (1, True, ["../up", "cat"], 2)
    second = rows.row(1, named=True)
    assert (second["readers"], second["disputed"], second["valid"]) == (2, ["plain"], ["=1+1"])
    assert rows.row(8, named=True)["problems"] == ["drawing"]
    assert rows.row(7, named=True)["readers"] == 0
    assert done.receipt["labels"]["review_log_position"] == 5
    assert done.receipt["labels"]["base"] == "panel"

    old = export(made, options(tmp_path / "old", labels="reviewed", base="panel", position=1))
    rows = pl.read_parquet(old.folder / "items.parquet")
    assert rows["valid"][0].to_list() == []
    assert (rows["position"][0], rows["problems"][8].to_list()) == (1, [])
    assert old.receipt["labels"]["review_log_position"] == 1


def test_receipt_tells_what_it_was_made_from(made: Workspace, tmp_path: Path) -> None:
    line = "right@strong=true"
    done = export(made, options(tmp_path / "out", "csv", labels="panel", slice=line, run="weak"))
    told = json.loads((done.folder / "receipt.json").read_text())
    assert told == json.loads(json.dumps(done.receipt))
    assert told["dataset"]["fingerprints"] == made.fingerprints
    assert told["slice"]["line"] == line
    assert (told["slice"]["run"], told["slice"]["judged_by"]) == ("weak", "panel")
    assert told["slice"]["n"] == made.slice(line, run="weak", labels="panel").height == told["n"]
    assert told["labels"]["version"] == made.label_artefact("panel").version
    assert told["labels"]["absent"] == "unjudged"
    assert "A note." in told["labels"]["note"]
    assert [row["id"] for row in told["class_list"]["classes"]] == list(CLASSES)
    assert set(told["files"]) == {"items.csv", "datasheet.md"}
    for name, file in told["files"].items():
        assert (file["hash"], file["bytes"]) == (file_hash(done.folder / name), (done.folder / name).stat().st_size)


def test_a_slice_is_judged_by_the_lens_that_is_named(made: Workspace, tmp_path: Path) -> None:
    chosen = options(tmp_path / "a", labels="panel", slice="right=true", run="strong", lens="original")
    assert export(made, chosen).receipt["n"] == made.slice("right=true", run="strong", labels="original").height
    saved.save(made, "item < 3", name="few")
    assert preview(made, options(tmp_path / "b", slice="@few"))["slice"]["n"] == 3


def test_datasheet_tells_what_is_known(made: Workspace, tmp_path: Path) -> None:
    said = (export(made, options(tmp_path / "a", labels="reviewed")).folder / "datasheet.md").read_text()
    for line in (
        "readers: 2 persons; of their verdicts on (item, class) 3 stand",
        "the panel: of its decisions 1 stand",
        "version v1: 2 verdicts",
        "version v2: 1 verdict\n",
        "2 items have verdicts of reviewers, 10 have none",
        "on 1 (item, class) with two blind, independent first readings or more",
        "raw agreement of verdicts 0.000",
        "1 verdict from q1, of which no design is recorded",
    ):
        assert f"- {line}" in said
    assert "ann" not in said.replace("annotations", "")
    other = (export(made, options(tmp_path / "b", labels="panel")).folder / "datasheet.md").read_text()
    assert other.count("Not recorded.") == 3
    assert "persons" not in other


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ELSEWHERE])
def test_each_format_leaves_nothing_beside_its_folder(name: str, made: Workspace, tmp_path: Path) -> None:
    to = tmp_path / "there" / "out"
    export(made, options(to, name, labels="panel", copy="zip"))
    assert [path.name for path in to.parent.iterdir()] == ["out"]
    assert {"receipt.json", "datasheet.md"} < {path.name for path in to.iterdir()}


def test_what_fails_leaves_nothing(made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(subset: object, progress: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables, "rows", full)
    with pytest.raises(ErrataError, match="disk is full"):
        export(made, options(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(made: Workspace, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("full", "file", "link"):
        with pytest.raises(InputError):
            export(made, options(tmp_path / name))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "link"]
    (tmp_path / "empty").mkdir()
    assert export(made, options(tmp_path / "empty")).folder.name == "empty"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"format": "docx"}, "There are: parquet"),
        ({"labels": "nobody"}, "no label set"),
        ({"labels": "reviewed", "base": "nobody"}, "no label set"),
        ({"labels": "reviewed", "position": 99}, "goes from 0 to 5"),
        ({"labels": "panel", "base": "original"}, "are for 'reviewed'"),
        ({"slice": "colour=red"}, "colour"),
        ({"slice": "item > 99"}, "holds no items"),
        ({"slice": "@nothing"}, "no saved slice"),
        ({"run": "nobody"}, "no run"),
        ({"format": "imagefolder", "one_class": "any"}, "There are: original-first"),
        ({"format": "imagefolder", "copy": "by hand"}, "links, copies, zip"),
        ({"format": "real-json"}, "Take multilabel-json"),
    ],
)
def test_what_cannot_be_is_said(wrong: dict[str, object], words: str, made: Workspace, tmp_path: Path) -> None:
    with pytest.raises((InputError, WorkspaceError), match=words):
        export(made, replace(options(tmp_path / "out"), **wrong))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_is_gone_or_changed_is_named(made: Workspace, tmp_path: Path) -> None:
    images = tmp_path / "images"
    for source in sorted(made.image_root.rglob("*.png")):  # type: ignore[union-attr]
        (images / source.parent.name).mkdir(parents=True, exist_ok=True)
        (images / source.parent.name / source.name).write_bytes(source.read_bytes())
    import analysis

    moved = analysis.new(tmp_path / "ws", images=images, layout="imagefolder")
    keys = moved.items()["key"].to_list()
    (images / keys[0]).unlink()
    data = (images / keys[1]).read_bytes()
    (images / keys[1]).write_bytes(data[:-1] + b"x")
    (images / keys[2]).write_bytes(b"longer" + (images / keys[2]).read_bytes())
    expected = {"links": [0, 2], "copies": [0, 1, 2], "zip": [0, 1, 2]}
    for copy, gone in expected.items():
        done = export(moved, options(tmp_path / copy, "imagefolder", copy=copy))
        named = pl.read_csv(done.folder / "left_out.csv").filter(~pl.col("reason").str.contains("cannot be read"))
        assert named["key"].to_list() == [keys[n] for n in gone]
        assert done.receipt["n"] == len(keys) - done.receipt["left_out"]["n"]


def test_links_share_the_file_and_copies_do_not(made: Workspace, tmp_path: Path) -> None:
    for copy, links in (("links", 2), ("copies", 1)):
        done = export(made, options(tmp_path / copy, "imagefolder", copy=copy, slice="item = 0"))
        (made_file,) = (path for path in (done.folder / "images").rglob("*") if path.is_file())
        assert made_file.stat().st_nlink == links


def test_where_no_hard_links_can_be_made_it_is_said(
    made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(InputError, match="copies or zip"):
        export(made, options(tmp_path / "out", "imagefolder"))
    assert list(tmp_path.iterdir()) == []


def test_no_cell_of_a_csv_is_run(made: Workspace, tmp_path: Path) -> None:
    for name, file in (("csv", "items.csv"), ("issues", "issues.csv"), ("hard-examples", "hard.csv")):
        done = export(made, options(tmp_path / name, name, labels="panel"))
        with (done.folder / file).open(newline="") as text:
            cells = [cell for row in csv.reader(text) for cell in row]
        assert "'=1+1" in cells
        assert not [cell for cell in cells if cell.lstrip()[:1] in tuple("=+-@")]
        assert "'" in done.receipt["format"]["escaped"]
