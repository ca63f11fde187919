import importlib.util
import json
from pathlib import Path

import polars as pl
import pytest

from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k, make_class_list
from analysis.labels.readers import read_label_set, read_labels
from analysis.labels.real import real_label_set
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


# ---- states of items, and exhaustive


def read_all(tmp_path: Path, content, name: str = "labels.json", items: pl.DataFrame = ITEMS, **options):
    file = tmp_path / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_labels(file, "mine", items, CLASSES, **options)


def test_states_of_items_survive(tmp_path):
    content = (
        "key,label,state\na.png,n1,valid\na.png,n2,rejected\nb.png,,no valid label\n"
        "c.png,n3,valid\nc.png,,problematic\nd/e.png,n1,Unclear\n"
    )
    read = read_all(tmp_path, content, "labels.csv", absent="unjudged")
    assert read.statuses.rows() == [(0, "scored"), (1, "no_valid_label"), (2, "problematic"), (3, "scored")]
    assert read.labels.labels.rows() == [(0, 0, "valid"), (0, 1, "rejected"), (2, 2, "valid"), (3, 0, "unclear")]
    assert read.labels.items["scored"].to_list() == [True, False, False, True]
    assert read.record["statuses"] == {"scored": 2, "no_valid_label": 1, "problematic": 1}


def test_a_valid_label_beside_no_valid_label_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"'a\.png' has a valid label"):
        read_all(tmp_path, "key,label,state\na.png,n1,valid\na.png,,no_valid_label\n", "labels.csv")


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("key,label,exhaustive\na.png,n1,true\nb.png,n1,\n", {}, [True, False]),
        ("key,label\na.png,n1\nb.png,n1\n", {"exhaustive": True}, [True, True]),
        ("key,label,problematic\na.png,n1,0\nb.png,n1,1\n", {}, [False, False]),
    ],
)
def test_exhaustive_by_item_or_for_the_file(tmp_path, content, options, expected):
    read = read_all(tmp_path, content, "labels.csv", absent="unjudged", **options)
    assert read.labels.items["exhaustive"].to_list() == expected
    assert read.labels.items["scored"].all() == ("problematic" not in content)


def test_a_flag_that_is_neither_true_nor_false(tmp_path):
    with pytest.raises(InputError, match="column exhaustive: row 2 has 'perhaps'"):
        read_all(tmp_path, "key,label,exhaustive\na.png,n1,true\nb.png,n1,perhaps\n", "labels.csv")


# ---- keys by base name and stem


@pytest.mark.parametrize(
    ("key", "how"), [("d/e.png", "key"), ("other/e.png", "base name"), ("e", "stem"), ("x\\e.jpg", "stem")]
)
def test_keys_match_by_base_name_or_stem_where_one_item_alone_has_it(tmp_path, key, how):
    read = read_all(tmp_path, f"key,label\na.png,n1\n{key},n2\n", "labels.csv")
    assert read.record["keys_matched_by"] == how
    assert read.labels.items["item"].to_list() == [0, 3]


def test_a_base_name_of_two_items_names_neither(tmp_path):
    items = pl.DataFrame({"key": ["x/a.png", "y/a.png", "b.png"]}).with_row_index("item")
    assert read_all(tmp_path, "key,label\nx/a.png,n1\n", "labels.csv", items).labels.items["item"].to_list() == [0]
    with pytest.raises(InputError, match=r"row 1 names 'a\.png'"):
        read_all(tmp_path, "key,label\na.png,n1\nb.png,n1\n", "labels.csv", items)


# ---- JSON


def multilabel(**changes) -> dict:
    annotations = {
        "a.png": {"correct": ["n1", "n2"], "wrong": ["n4"], "unclear": ["n3"]},
        "b.png": {"correct": [], "wrong": ["n1"], "unclear": []},
        "c.png": {"correct": ["n1"], "wrong": ["n1"]},
        "e.png": {"unclear": ["n2"]},
    }
    content = {"initial_annots": annotations, "problematic_images": {"c.png": "two views", "gone.png": ""}}
    return content | {"imagenet_m": ["e.png"]} | changes


def test_imagenet2012_multilabel_json(tmp_path):
    read = read_all(tmp_path, multilabel())
    assert read.labels.absent == "unjudged"
    assert read.labels.labels.rows() == [
        (0, 0, "valid"), (0, 1, "valid"), (0, 2, "unclear"), (0, 3, "rejected"),
        (1, 0, "rejected"), (2, 0, "valid"), (3, 1, "unclear"),
    ]  # fmt: skip
    assert read.statuses.rows() == [
        (0, "scored", False), (1, "no_valid_label", False), (2, "problematic", False), (3, "scored", True)
    ]  # fmt: skip
    assert read.labels.conflicts == 1
    assert read.record["format"] == "imagenet2012_multilabel"
    assert read.record["keys_matched_by"] == "base name"
    assert read.record["problematic_without_annotations"] == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"initial_annots": {}}, ["initial_annots is empty"]),
        ({"initial_annots": [["n1"]]}, ["must map each image"]),
        ({"initial_annots": {"a.png": {"correct": ["n9"]}}}, ["initial_annots, correct", "n9"]),
        ({"initial_annots": {"z.png": {"correct": ["n1"]}}}, ["z.png", "no item"]),
    ],
)
def test_multilabel_json_that_cannot_be_used(tmp_path, changes, words):
    with pytest.raises(InputError) as error:
        read_all(tmp_path, multilabel(**changes))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("content", ['{"a.png": "n1"', "{}", "[]", "3", '{"a.png": ["n1"]}'])
def test_json_that_holds_no_labels(tmp_path, content):
    with pytest.raises(InputError, match=r"labels\.json"):
        read_all(tmp_path, content)


def test_json_records_read_like_a_table(tmp_path):
    content = [{"Key": "a.png", "labels": ["n1", "n3"]}, {"Key": "b.png", "labels": []}]
    read = read_all(tmp_path, content)
    assert read.labels.labels.rows() == [(0, 0, "valid"), (0, 2, "valid")]
    assert read.statuses.rows() == [(0, "scored"), (1, "no_valid_label")]


def test_real_by_image_number_whatever_the_order_of_items(tmp_path):
    keys = ["ILSVRC2012_val_00000003.JPEG", "n1/ILSVRC2012_val_00000001.JPEG"]
    items = pl.DataFrame({"key": keys}).with_row_index("item")
    read = read_all(tmp_path, [[2, 0], [1], []], items=items)
    assert read.labels.labels.rows() == [(1, 0, "valid"), (1, 2, "valid")]
    assert read.statuses.rows() == [(0, "no_valid_label"), (1, "scored")]
    assert (read.record["format"], read.labels.absent) == ("ReaL", "wrong")


@pytest.mark.parametrize("key", ["a.png", "ILSVRC2012_val_00000004.JPEG"])
def test_real_for_other_images_is_refused(tmp_path, key):
    items = pl.DataFrame({"key": ["ILSVRC2012_val_00000001.JPEG", key]}).with_row_index("item")
    with pytest.raises(InputError, match=f"'{key}' is none of .* 1 of 2 items"):
        read_all(tmp_path, [[2, 0], [1], []], items=items)


# ---- suggestions


SUGGESTIONS = (
    "key,is_label_issue,label_score,given_label,predicted_label\n"
    "a.png,True,0.01,n1,n2\nb.png,False,0.9,n3,n3\nc.png,False,0.6,n3,n4\n"
)


def test_suggestions(tmp_path):
    items = ITEMS.with_columns(label=pl.Series([0, 2, 2, None], dtype=pl.UInt32))
    read = read_all(tmp_path, SUGGESTIONS, "labels.csv", items)
    assert read.labels.labels.rows() == [
        (0, 0, "unclear"), (0, 1, "valid"), (1, 2, "valid"), (2, 2, "valid")
    ]  # fmt: skip
    assert read.labels.absent == "unjudged"
    assert read.record["issues"] == 1
    without_given = read_all(tmp_path, "key,suggested_label\na.png,n2\nb.png,n3\n", "labels.csv", items)
    assert without_given.labels.labels.rows() == [(0, 0, "unclear"), (0, 1, "valid"), (1, 2, "valid")]


def test_suggestions_for_another_class_list_are_refused(tmp_path):
    items = ITEMS.with_columns(label=pl.Series([1, 3, 3, 0], dtype=pl.UInt32))
    with pytest.raises(InputError, match="3 of 3 given labels are not the workspace's"):
        read_all(tmp_path, SUGGESTIONS, "labels.csv", items)


@pytest.mark.shared_data
def test_published_real_json_equals_the_shipped_label_set(shared_data):
    spec = importlib.util.find_spec("timm")
    file = Path(spec.origin).parent / "data/_info/imagenet_real_labels.json"
    items = pl.read_csv(shared_data / "imagenet-val/labels.csv").select(key="filename").with_row_index("item")
    read = read_labels(file, "real", items, imagenet_1k())
    expected = real_label_set(items)
    assert read.labels.labels.equals(expected.labels)
    assert read.labels.items.equals(expected.items)
    assert read.record["statuses"] == {"scored": 46_837, "no_valid_label": 3_163}


@pytest.mark.shared_data
def test_expert_labels_as_json_equal_the_table(shared_data, tmp_path):
    folder = shared_data / "imagenet-val"
    items = pl.read_csv(folder / "labels.csv").select(key="filename").with_row_index("item")
    table = pl.read_csv(folder / "multilabel_v3.csv", infer_schema=False).fill_null("")
    ids = imagenet_1k().ids
    annotations = {
        row["id"]: {word: [ids[int(index)] for index in row[word].split()] for word in ("correct", "unclear", "wrong")}
        for row in table.iter_rows(named=True)
    }
    problematic = table.filter(pl.col("prob") == "True")["id"].to_list()
    file = tmp_path / "human_accuracy.json"
    content = {"initial_annots": annotations, "problematic_images": problematic, "imagenet_m": []}
    file.write_text(json.dumps(content))
    from_json = read_labels(file, "expert", items, imagenet_1k())
    from_table = read_labels(folder / "multilabel_v3.csv", "expert", items, imagenet_1k())
    assert from_json.labels.labels.equals(from_table.labels.labels)
    assert from_json.labels.items.equals(from_table.labels.items)
    assert from_json.record["statuses"]["problematic"] == 1_308
