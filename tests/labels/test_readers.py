from pathlib import Path

import polars as pl
import pytest

from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k, make_class_list
from analysis.labels.readers import read_label_set
from analysis.labels.sets import resolve_states

CLASSES = make_class_list(
    "animals", ["n1", "n2", "n3", "n4"], names=["tench", "great white shark", "cock", "tree frog"]
)
ITEMS = pl.DataFrame({"key": ["a.png", "b.png", "c.png", "d/e.png"]}).with_row_index("item")


def read(tmp_path: Path, content: str | pl.DataFrame, **options):
    if isinstance(content, str):
        file = tmp_path / "labels.csv"
        file.write_text(content)
    else:
        file = tmp_path / "labels.parquet"
        content.write_parquet(file)
    return read_label_set(file, "mine", ITEMS, CLASSES, **options)


@pytest.mark.parametrize(
    "content",
    [
        "key,label\nb.png,n1\na.png,n2\nb.png,n3\n",
        "filename,class\nb.png,0\na.png,1\nb.png,2\n",
        "image,wnid\nb.png,n3\na.png,n2\nb.png,n1\n",
        "key,labels\na.png,n2\nb.png,n1 n3\n",
        "key,labels\na.png,1\nb.png,0|2\n",
        "key,labels\na.png, great white shark \nb.png,tench;cock\n",
        "Key, Labels\na.png,great white shark\nb.png,n1 | cock;\n",
        "key,split,label\na.png,x,n2\nb.png,x,n1\nb.png,y,n3\nb.png,y,n3\n",
        pl.DataFrame({"key": ["a.png", "b.png"], "labels": [["n2"], ["n3", "n1"]]}),
        pl.DataFrame({"key": ["a.png", "b.png"], "labels": [[1], [0, 2]]}),
        pl.DataFrame({"key": ["a.png", "b.png", "b.png"], "label": [1, 2, 0]}),
    ],
)
def test_one_or_many_labels_in_every_form(tmp_path, content):
    labels = read(tmp_path, content)
    assert labels.labels.rows() == [(0, 1, "valid"), (1, 0, "valid"), (1, 2, "valid")]
    assert labels.items["item"].to_list() == [0, 1]
    assert labels.items["scored"].all()
    assert (labels.name, labels.absent) == ("mine", "wrong")


def test_states_in_both_vocabularies(tmp_path):
    content = "key,label,state\na.png,n1,valid\na.png,n2,Unclear\na.png,n3,wrong\na.png,n4,rejected\nb.png,n1,correct\n"
    labels = read(tmp_path, content, absent="unjudged")
    assert labels.labels["state"].to_list() == ["valid", "unclear", "rejected", "rejected", "valid"]
    assert labels.absent == "unjudged"


def test_an_item_without_labels_is_known_and_not_scored(tmp_path):
    labels = read(tmp_path, "key,label\na.png,\nb.png,n1\n")
    assert labels.items.select("item", "scored").rows() == [(0, False), (1, True)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("key,label\na.png,n1\nb.png,n9\n", ["labels.csv", "row 2", "n9"]),
        ("key,label\na.png,n1\nb.png,4\n", ["labels.csv", "row 2", "4"]),
        ("key,label\na.png,n1|n2\nb.png,n1|whale\n", ["row 2", "whale"]),
        ("key,label\na.png,n1\nnot-there.png,n1\ngone.png,n1\n", ["row 2", "not-there.png", "2 of 3"]),
        ("key,label,state\na.png,n1,valid\nb.png,n1,maybe\n", ["row 2", "maybe", "valid"]),
        ("key,colour\na.png,red\n", ["key, colour", "label"]),
        ("key,label\n", ["no rows"]),
        ("", ["labels.csv"]),
    ],
)
def test_bad_input_names_row_and_value(tmp_path, content, words):
    with pytest.raises(InputError) as error:
        read(tmp_path, content)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("name", ["labels.parquet", "labels.xlsx", "missing.csv"])
def test_files_that_are_no_tables(tmp_path, name):
    file = tmp_path / name
    if name != "missing.csv":
        file.write_bytes(b"\x00\xff not a table")
    with pytest.raises(InputError, match=name):
        read_label_set(file, "mine", ITEMS, CLASSES)


def test_expert_labels(tmp_path):
    content = "id,target,correct,unclear,wrong,prob\na.png,0,0 1,2,3,False\nb.png,0,0,,0 1,False\nc.png,1,,,1,True\n"
    labels = read(tmp_path, content)
    assert labels.absent == "unjudged"
    assert labels.labels.rows() == [
        (0, 0, "valid"), (0, 1, "valid"), (0, 2, "unclear"), (0, 3, "rejected"),
        (1, 0, "valid"), (1, 1, "rejected"),
        (2, 1, "rejected"),
    ]  # fmt: skip
    assert labels.items.rows() == [(0, True, False), (1, True, False), (2, False, False)]
    assert labels.conflicts == 1


def test_expert_labels_of_an_image_that_comes_twice_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"'a\.png' has more than one row"):
        read(tmp_path, "id,correct,unclear,wrong\nb.png,0,,\na.png,0,,\na.png,1,,\n")


@pytest.mark.shared_data
def test_published_expert_labels(shared_data):
    folder = shared_data / "imagenet-val"
    items = pl.read_csv(folder / "labels.csv").select(key="filename").with_row_index("item")
    labels = read_label_set(folder / "multilabel_v3.csv", "expert", items, imagenet_1k())
    assert labels.items.height == 20_000
    assert labels.items["scored"].sum() == 18_692
    assert labels.absent == "unjudged"
    assert "label errors" in labels.note
    # A class in two states: 372 images, 213 of them scored; on 209 of these it is both correct and wrong.
    assert labels.conflicts == 372
    conflicts = _expert_conflicts(folder / "multilabel_v3.csv", items).join(
        labels.items.filter("scored"), on="item", how="semi"
    )
    assert conflicts["item"].n_unique() == 213
    both = conflicts.filter(pl.col("states").list.contains("valid") & pl.col("states").list.contains("rejected"))
    assert both["item"].n_unique() == 209


def _expert_conflicts(file: Path, items: pl.DataFrame) -> pl.DataFrame:
    frame = pl.read_csv(file, infer_schema=False).join(items, left_on="id", right_on="key")
    states = {"correct": "valid", "unclear": "unclear", "wrong": "rejected"}
    rows = [
        frame.select("item", pl.col(word).str.split(" ").alias("class"), state=pl.lit(state))
        .explode("class")
        .drop_nulls()
        for word, state in states.items()
    ]
    return resolve_states(pl.concat(rows).with_columns(pl.col("class").cast(pl.UInt32)))[1]


@pytest.mark.shared_data
def test_published_labels_csv_reads_as_a_label_set(shared_data):
    folder = shared_data / "imagenet-val"
    table = pl.read_csv(folder / "labels.csv")
    items = table.select(key="filename").with_row_index("item")
    labels = read_label_set(folder / "labels.csv", "again", items, imagenet_1k())
    assert labels.labels["class"].to_list() == table["label"].to_list()
