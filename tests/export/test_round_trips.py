"""What went out comes back equal, by the readers that people use."""

import json
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from analysis.export import Exported, ExportOptions, export
from analysis.export.names import folder_names
from analysis.labels.readers import read_labels
from analysis.labels.sets import LabelSet
from analysis.workspace import Workspace
from tests.export.conftest import CLASSES, PROBLEMATIC, STATES, N

WORDS = ("valid", "unclear", "rejected")


def exported(workspace: Workspace, to: Path, format: str, labels: str = "panel", **more: object) -> Exported:
    return export(workspace, ExportOptions(to=to / "out", format=format, labels=labels, **more))  # type: ignore[arg-type]


def said(item: int, word: str) -> list[str]:
    """The class ids that `panel` has in a state for an item."""
    return [name for name in CLASSES if STATES.get(item, {}).get(name) == word]


def same(made: LabelSet, read: LabelSet) -> None:
    assert read.labels.equals(made.labels)
    assert read.items.select("item", "scored").equals(made.items.select("item", "scored"))


def test_csv_and_jsonl_say_what_parquet_says(made: Workspace, tmp_path: Path) -> None:
    for name in ("parquet", "csv", "jsonl"):
        (tmp_path / name).mkdir()
        exported(made, tmp_path / name, name)
    whole = pl.read_parquet(tmp_path / "parquet" / "out" / "items.parquet")
    lines = (tmp_path / "jsonl" / "out" / "items.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == whole.to_dicts()

    def back(text: str | None) -> str | None:
        return None if text is None else text.removeprefix("'")

    cells = pl.read_csv(tmp_path / "csv" / "out" / "items.csv", infer_schema=False)
    assert cells.columns == whole.columns
    for row, expected in zip(cells.to_dicts(), whole.to_dicts(), strict=True):
        for name, value in expected.items():
            found = back(row[name])
            if isinstance(value, list):
                assert found == "|".join(value)
            elif isinstance(value, bool):
                assert found == str(value).lower()
            else:
                assert found == (None if value is None else str(value))


@pytest.mark.parametrize("copy", ["links", "copies", "zip"])
def test_imagefolder_is_read_by_torchvision(copy: str, made: Workspace, tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    done = exported(made, tmp_path, "imagefolder", copy=copy)
    root = done.folder / "images"
    if copy == "zip":
        with zipfile.ZipFile(done.folder / "images.zip") as archive:
            assert all(not name.startswith("/") and ".." not in name.split("/") for name in archive.namelist())
            archive.extractall(root)
    folders = dict(zip(CLASSES, folder_names(CLASSES), strict=True))
    assert done.receipt["format"]["class_folders"] == {k: v for k, v in folders.items() if k != v}
    one = {0: "../up", 1: "=1+1", 2: "plain", 7: "=1+1"}
    read = ImageFolder(str(root))
    assert len(read) == len(one) == done.receipt["n"]
    table = pl.read_parquet(done.folder / "items.parquet")
    assert dict(table.select("item", "class").iter_rows()) == one
    files = {f"{folders[row['class']]}/{row['file']}": row for row in table.iter_rows(named=True)}
    for path, target in read.samples:
        row = files[Path(path).relative_to(root).as_posix()]
        assert read.classes[target] == folders[one[row["item"]]]
        assert Path(path).read_bytes() == (made.image_root / row["path"]).read_bytes()  # type: ignore[operator]
    reasons = dict(pl.read_csv(done.folder / "left_out.csv").select("item", "reason").iter_rows())
    assert set(reasons) == set(range(N)) - set(one)
    assert reasons[3] == "several valid classes, and the original label is none of them"
    assert reasons[6] == "not scored by the label set"
    assert reasons[9].startswith("its image cannot be read")


def test_coco_is_read_by_pycocotools(made: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    done = exported(made, tmp_path, "coco")
    coco = COCO(str(done.folder / "annotations.json"))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    assert sorted(coco.getImgIds()) == list(range(N))
    for item in range(N):
        anns = coco.loadAnns(coco.getAnnIds(imgIds=[item]))
        assert [CLASSES[ann["category_id"]] for ann in anns] == said(item, "valid")
        (image,) = coco.loadImgs([item])
        assert [CLASSES[index] for index in image["neg_category_ids"]] == said(item, "rejected")
        assert [CLASSES[index] for index in image["unclear_category_ids"]] == said(item, "unclear")
        assert (made.image_root / image["file_name"]).is_file()  # type: ignore[operator]
        if item != 9:
            assert (image["width"], image["height"]) == (8, 6)


def test_multilabel_json_is_read_by_our_own_import(made: Workspace, tmp_path: Path) -> None:
    done = exported(made, tmp_path, "multilabel-json")
    content = json.loads((done.folder / "labels.json").read_text())
    keys = made.items()["key"]
    assert list(content["problematic_images"].keys()) == [keys[item] for item in PROBLEMATIC]
    read = read_labels(done.folder / "labels.json", "back", made.items(), made.classes())
    same(made.labels("panel"), read.labels)
    assert read.labels.absent == "unjudged"
    assert pl.read_csv(done.folder / "left_out.csv")["item"].to_list() == list(range(8, N))


def test_issues_are_read_by_our_own_import(made: Workspace, tmp_path: Path) -> None:
    done = exported(made, tmp_path, "issues")
    rows = pl.read_csv(done.folder / "issues.csv", infer_schema=False)
    assert rows["is_label_issue"].to_list() == ["false", "false", "true", "true", "false", "false"]
    assert rows["predicted_label"].to_list() == ["../up", "'=1+1", "plain", "cat", "cat", "'=1+1"]
    plain = rows.filter(~pl.col("given_label").str.starts_with("'"))
    plain.write_csv(tmp_path / "plain.csv")
    read = read_labels(tmp_path / "plain.csv", "back", made.items(), made.classes()).labels
    assert read.items["item"].to_list() == [0, 2, 3, 4]
    valid = read.labels.filter(pl.col("state") == "valid").select("item", "class").rows()
    # These columns know no unclear labels: that of item 4 comes back as no issue.
    expected = {0: "../up", 2: "plain", 3: "cat", 4: "cat"}
    assert valid == [(item, CLASSES.index(name)) for item, name in expected.items()]


def test_huggingface_is_read_by_datasets(made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    done = exported(made, tmp_path, "huggingface", "reviewed", base="panel")
    read = datasets.load_dataset(str(done.folder), cache_dir=str(tmp_path / "cache"))
    assert list(read) == ["items"]
    rows = read["items"]
    label = rows.features["original"]
    assert label.names == list(CLASSES)
    assert rows.features["valid"].feature.names == list(CLASSES)
    reviewed = {0: {"cat": "valid", "../up": "rejected"}}
    for item, row in enumerate(rows):
        states = reviewed.get(item, STATES.get(item, {}))
        assert row["key"] == made.items()["key"][item]
        assert label.int2str(row["original"]) == CLASSES[item % 6]
        for word in WORDS:
            assert label.int2str(row[word]) == [name for name in CLASSES if states.get(name) == word]
        if item == 9:
            assert row["image"] is None
        else:
            with Image.open(made.image_root / made.items()["path"][item]) as image:  # type: ignore[operator]
                assert np.array_equal(np.asarray(row["image"]), np.asarray(image))
    assert rows[0]["decided"] == [0, 4]
    assert done.receipt["left_out"]["n"] == 1
    assert "# " in (done.folder / "README.md").read_text().partition("---\n\n")[2]


def test_hard_examples_are_those_that_runs_get_wrong(made: Workspace, tmp_path: Path) -> None:
    done = exported(made, tmp_path, "hard-examples", "original")
    rows = pl.read_csv(done.folder / "hard.csv")
    wrong = [made.outcomes(run.name, "original").filter(~pl.col("right"))["item"].to_list() for run in made.runs()]
    expected = {item: sum(item in items for items in wrong) for item in range(N)}
    assert dict(rows.select("item", "wrong_by").iter_rows()) == {item: n for item, n in expected.items() if n}
    assert rows["wrong_by"].to_list() == sorted(rows["wrong_by"], reverse=True)
    assert set(rows["wrong_by"]) == {1, 2}


@pytest.mark.shared_data
def test_real_labels_come_back_as_published(shared_data: Path, tmp_path: Path) -> None:
    import analysis

    table = shared_data / "imagenet-val" / "labels.csv"
    workspace = analysis.new(tmp_path / "val", table=table, key="filename", label="wnid", classes="imagenet-1k")
    done = exported(workspace, tmp_path, "real-json", "real")
    from timm.data import RealLabelsImagenet

    file = done.folder / "real.json"
    read = RealLabelsImagenet(["any"] * 50_000, real_json=str(file)).real_labels
    # Each list is sorted here; the published ones are in no order.
    published = {name: sorted(labels) for name, labels in RealLabelsImagenet(["any"] * 50_000).real_labels.items()}
    assert read == published
    back = read_labels(file, "back", workspace.items(), workspace.classes()).labels
    same(workspace.labels("real"), back)
    assert done.receipt["n"] == 46_837

    few = ExportOptions(to=tmp_path / "few", format="real-json", labels="real", slice="all | sample 100 seed 1")
    part = json.loads((export(workspace, few).folder / "real.json").read_text())
    assert 0 < sum(map(bool, part)) <= 100
    assert len(part) == 50_000


@pytest.mark.shared_data
def test_expert_labels_come_back_by_multilabel_json(shared_data: Path, tmp_path: Path) -> None:
    import analysis
    from analysis.imports import import_labels

    data = shared_data / "imagenet-val"
    table = data / "labels.csv"
    made = analysis.new(tmp_path / "val", table=table, key="filename", label="wnid", classes="imagenet-1k")
    import_labels(made, "expert", data / "multilabel_v3.csv")
    workspace = made.reopened()
    done = exported(workspace, tmp_path, "multilabel-json", "expert")
    read = read_labels(done.folder / "labels.json", "back", workspace.items(), workspace.classes()).labels
    same(workspace.labels("expert"), read)
