import os
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.datasets import DatasetOptions, read
from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def write(folder, content: str, name: str = "table.csv"):
    (folder / name).write_text(content)
    return folder / name


def refusal(**options) -> str:
    with pytest.raises(InputError) as caught:
        read(DatasetOptions(**options))
    return str(caught.value)


@pytest.mark.shared_data
@pytest.mark.parametrize("label", [None, "label"])
def test_the_validation_sets_labels_work_without_pixels(shared_data, label):
    table = shared_data / "imagenet-val" / "labels.csv"
    listing = read(DatasetOptions(table=table, label=label, classes="imagenet-1k"))
    assert (listing.root, listing.layout, listing.problems.height) == (None, "table", 0)
    assert listing.classes is imagenet_1k()
    source = pl.read_csv(table)
    assert listing.records["key"].to_list() == source["filename"].to_list()
    assert listing.records["label"].to_list() == source["label"].to_list()
    assert listing.records["path"].null_count() == 50_000
    assert listing.records.columns == ["key", "path", "label", "split", "table_label" if label is None else "wnid"]


@pytest.mark.shared_data
def test_wnids_alone_tell_that_the_classes_are_imagenets(shared_data):
    assert read(DatasetOptions(table=shared_data / "imagenet-val" / "labels.csv")).classes is imagenet_1k()


def test_other_columns_are_kept_with_their_types_and_reserved_names_renamed(tmp_path):
    table = write(
        tmp_path,
        "file,class,width,table_width,id,taken,score,split,odd name *\n"
        "007,cat,3,x,1,2024-01-02,0.5,train,a\n08,dog,4,y,2,2024-01-03,,,<b>\n",
    )
    listing = read(DatasetOptions(table=table))
    assert listing.classes.ids == ["cat", "dog"]
    assert dict(listing.records.schema) == {
        "key": pl.String,
        "path": pl.String,
        "label": pl.UInt32,
        "split": pl.String,
        "table_table_width": pl.Int64,
        "table_width": pl.String,
        "id": pl.Int64,
        "taken": pl.String,
        "score": pl.Float64,
        "odd name *": pl.String,
    }
    first, second = listing.records.rows()
    assert first == ("007", None, 0, "train", 3, "x", 1, "2024-01-02", 0.5, "a")
    assert second == ("08", None, 1, None, 4, "y", 2, "2024-01-03", None, "<b>")


def test_parquet_keeps_its_types_and_keys_become_text(tmp_path):
    frame = pl.DataFrame({"image": [12, 7], "target": [1.0, None], "tags": [["a"], []]})
    frame.write_parquet(tmp_path / "t.parquet")
    listing = read(DatasetOptions(table=tmp_path / "t.parquet", classes="imagenet-1k"))
    assert listing.records["key"].to_list() == ["12", "7"]
    assert listing.records["label"].to_list() == [1, None]
    assert listing.records["tags"].to_list() == ["['a']", "[]"]


def test_columns_that_pages_could_not_show_are_renamed_made_text_or_left_out(tmp_path):
    frame = pl.DataFrame(
        {
            "key": ["a", "b"],
            "label": ["x", "y"],
            "outcome": ["won", "lost"],
            "class": [1, 2],
            "raw": [b"1", b"2"],
            "nested": [{"a": 1}, None],
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    records = read(DatasetOptions(table=tmp_path / "t.parquet", key="key", label="label")).records
    assert records["table_outcome"].to_list() == ["won", "lost"]
    assert records["table_class"].to_list() == [1, 2]
    assert records["nested"].to_list() == ["{'a': 1}", None]
    assert "raw" not in records.columns


@pytest.mark.parametrize(
    ("labels", "ids", "indices"),
    [
        (["b", "a", "b", ""], ["a", "b"], [1, 0, 1, None]),
        (["10", "9", "10", "0"], ["0", "9", "10"], [2, 1, 2, 0]),
        (["n01440764", "hedgehog"], ["hedgehog", "n01440764"], [1, 0]),
    ],
)
def test_without_a_class_list_the_labels_are_the_classes(tmp_path, labels, ids, indices):
    rows = "".join(f"{number},{label}\n" for number, label in enumerate(labels))
    listing = read(DatasetOptions(table=write(tmp_path, "key,label\n" + rows)))
    assert listing.classes.ids == ids
    assert listing.records["label"].to_list() == indices


def test_keys_find_their_files_by_path_or_unique_name(tmp_path):
    touch(tmp_path / "images", "a/1.jpg", "a/2.jpg", "b/2.jpg", "b/raw", "b/unused.jpg", "b/notes.txt")
    table = write(tmp_path, "key,label\n1.jpg,x\nb/2.jpg,x\n2.jpg,x\ngone.jpg,y\n../table.csv,y\nraw,y\n")
    listing = read(DatasetOptions(table=table, images=tmp_path / "images"))
    assert listing.root == tmp_path / "images"
    assert listing.records["path"].to_list() == ["a/1.jpg", "b/2.jpg", None, None, None, "b/raw"]
    assert listing.problems.rows() == [
        ("2.jpg", "several files have this name: a/2.jpg, b/2.jpg"),
        ("gone.jpg", "the file is missing"),
        ("../table.csv", "the file is missing"),
        ("b/notes.txt", "not an image: the suffix .txt is none of an image"),
    ]


def test_no_file_for_any_key_is_refused(tmp_path):
    touch(tmp_path / "images", "a.jpg")
    told = refusal(table=write(tmp_path, "key,label\n1,x\n2,x\n"), images=tmp_path / "images")
    assert "None of the 2 keys in column 'key'" in told
    assert "'1'" in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("key,label\na,tench\nb,n99999999\n", ["table.csv, column label, row 2", "'n99999999'"]),
        ("key,label\na,0\nb,1000\n", ["row 2", "class index 1000 is out of range"]),
        ("key,label\na,0\nb,-1\n", ["row 2", "class index -1 is out of range"]),
        ("key,label\na,crane\n", ["row 1", "ambiguous"]),
        ("key,label\na,0\nb,1\nc,2\nb,3\n", ["'b'", "rows 2 and 4"]),
        ("key,label\na,0\n,1\n", ["row 2", "key", "empty"]),
        ("key,label\na,281 282\n", ["row 1", "'281 282'", "errata labels import"]),
        ('key,label\na,0\nb,"n01440764, n01443537"\n', ["row 2", "several labels"]),
        ("key,label\na,tench|goldfish\n", ["row 1", "several labels"]),
        ("key,label\n", ["no rows"]),
        ("", ["cannot be read"]),
        ("key,label\na,0\nb,1,2,3\n", ["cannot be read"]),
    ],
)
def test_bad_rows_are_refused_by_number_and_value(tmp_path, content, told):
    message = refusal(table=write(tmp_path, content), classes="imagenet-1k")
    for part in ["table.csv", *told]:
        assert part in message


@pytest.mark.parametrize("cell", ["281 282", "n01440764|n01443537", "cat|dog"])
def test_several_labels_are_refused_without_a_class_list_too(tmp_path, cell):
    assert "errata labels import" in refusal(table=write(tmp_path, f"key,label\na,{cell}\n"))


def test_a_comma_in_a_class_name_is_no_list(tmp_path):
    table = write(tmp_path, 'key,label\na,"cat, tabby"\nb,great white shark\n')
    assert read(DatasetOptions(table=table)).classes.ids == ["cat, tabby", "great white shark"]


def test_a_column_of_lists_is_refused(tmp_path):
    pl.DataFrame({"key": ["a"], "label": [[1, 2]]}).write_parquet(tmp_path / "t.parquet")
    assert "errata labels import" in refusal(table=tmp_path / "t.parquet")


def test_columns_are_guessed_only_when_obvious(tmp_path):
    table = write(tmp_path, "photo,species\na.jpg,cat\n")
    assert "the columns are photo, species" in refusal(table=table)
    assert "(--label)" in refusal(table=table, key="photo")
    assert "no column 'kind'" in refusal(table=table, key="photo", label="kind")
    assert "both as the key and as the label" in refusal(table=table, key="photo", label="photo")
    listing = read(DatasetOptions(table=table, key="photo", label="species"))
    assert listing.records["key"].to_list() == ["a.jpg"]
    assert read(DatasetOptions(table=write(tmp_path, "ID,Class\n1,2\n"))).records.height == 1


def test_unusable_files_are_refused(tmp_path):
    assert "no table" in refusal(table=tmp_path / "gone.csv")
    assert ".xlsx" in refusal(table=tmp_path / "a.xlsx")
    assert "cannot be read" in refusal(table=write(tmp_path, "nothing", "a.parquet"))
    (tmp_path / "latin.csv").write_bytes(b"key,label\ncaf\xe9,1\n")
    assert "cannot be read" in refusal(table=tmp_path / "latin.csv")
    assert "every label is empty" in refusal(table=write(tmp_path, "key,label\na,\n"))


def test_a_byte_order_mark_and_tabs_are_read(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"\xef\xbb\xbfkey\tlabel\r\na\tcat\r\n")
    listing = read(DatasetOptions(table=tmp_path / "a.tsv"))
    assert (listing.records["key"].to_list(), listing.classes.ids) == (["a"], ["cat"])


def test_hostile_cells_are_data(tmp_path):
    names = ["![x](http://a/b)", "<img src=x onerror=alert(1)>", "a'; drop table items; --", "=1+1"]
    frame = pl.DataFrame({"key": names, "label": names, "note": names})
    frame.write_csv(tmp_path / "t.csv")
    listing = read(DatasetOptions(table=tmp_path / "t.csv"))
    assert listing.records["key"].to_list() == names
    assert listing.records["note"].to_list() == names
    assert listing.classes.ids == sorted(names)


numbers = st.lists(st.integers(0, 2**53) | st.integers(0, 20) | st.none(), min_size=1, max_size=12)


@given(
    numbers.filter(lambda values: any(value is not None for value in values)), st.sampled_from(["int", "float", "text"])
)
def test_each_row_keeps_its_label_whatever_type_holds_it(values, held):
    made = {"int": lambda value: value, "float": float, "text": str}[held]
    labels = [None if value is None else made(value) for value in values]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "t.parquet"
        pl.DataFrame({"key": [str(row) for row in range(len(labels))], "label": labels}).write_parquet(table)
        listing = read(DatasetOptions(table=table))
    ids = listing.classes.ids
    assert [None if label is None else ids[label] for label in listing.records["label"]] == [
        None if value is None else str(value) for value in values
    ]
    assert ids == sorted(ids, key=int)


def test_whole_numbers_with_a_gap_are_the_classes_they_say(tmp_path):
    labels = [*map(float, range(11)), float("nan"), None]
    frame = pl.DataFrame({"key": [str(row) for row in range(13)], "label": labels})
    frame.write_parquet(tmp_path / "t.parquet")
    for classes in (None, "imagenet-1k"):
        listing = read(DatasetOptions(table=tmp_path / "t.parquet", classes=classes))
        assert listing.records["label"].to_list() == [*range(11), None, None]
    assert read(DatasetOptions(table=tmp_path / "t.parquet")).classes.ids == [str(number) for number in range(11)]


@pytest.mark.parametrize("value", [2.5, float("inf"), 1e300, -1e300, 2.0**53 + 2])
@pytest.mark.parametrize("classes", [None, "imagenet-1k"])
def test_a_number_that_is_no_class_is_refused_by_row(tmp_path, value, classes):
    pl.DataFrame({"key": ["a", "b", "c"], "label": [1.0, None, value]}).write_parquet(tmp_path / "t.parquet")
    told = refusal(table=tmp_path / "t.parquet", classes=classes)
    assert "t.parquet, column label, row 3" in told
    assert str(value) in told


def test_digits_without_end_are_text(tmp_path):
    table = write(tmp_path, f"key,label\na,{'9' * 5000}\nb,1\n")
    assert read(DatasetOptions(table=table)).classes.ids == ["1", "9" * 5000]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_path_is_no_pattern(tmp_path, suffix):
    for name, key in (("t1", "wrong"), ("t[1]", "right")):
        frame = pl.DataFrame({"key": [key], "label": ["x"]})
        getattr(frame, f"write_{suffix}")(tmp_path / f"{name}.{suffix}")
    assert read(DatasetOptions(table=tmp_path / f"t[1].{suffix}")).records["key"].to_list() == ["right"]
    assert "no table" in refusal(table=tmp_path / f"t*.{suffix}")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_is_a_file(tmp_path, suffix):
    (tmp_path / f"folder.{suffix}").mkdir()
    os.mkfifo(tmp_path / f"pipe.{suffix}")
    for name in ("folder", "pipe"):
        assert "this is none" in refusal(table=tmp_path / f"{name}.{suffix}")
    assert "no table" in refusal(table=tmp_path / f"{'long' * 100}.{suffix}")
    assert "no table" in refusal(table=tmp_path / f"nul\0.{suffix}")


def test_a_split_of_bytes_is_no_split(tmp_path):
    frame = pl.DataFrame({"key": ["a"], "label": ["x"], "split": [b"\xff"]})
    frame.write_parquet(tmp_path / "t.parquet")
    assert read(DatasetOptions(table=tmp_path / "t.parquet")).records.row(0) == ("a", None, 0, None)


def test_another_encoding_is_named_with_its_line(tmp_path):
    (tmp_path / "latin.csv").write_bytes(b"key,label\na,1\ncaf\xe9,1\n")
    told = refusal(table=tmp_path / "latin.csv")
    assert "line 3 is not UTF-8" in told
    assert "Save it as UTF-8" in told
    (tmp_path / "wide.csv").write_bytes("key,label\na,1\n".encode("utf-16"))
    assert "line 1 is not UTF-8" in refusal(table=tmp_path / "wide.csv", key="key", label="label")
