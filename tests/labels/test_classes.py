import json
import os
import subprocess
import sys
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import InputError
from analysis.labels.classes import (
    ClassList,
    class_list,
    class_list_of,
    imagenet_1k,
    make_class_list,
    read_class_list,
)


def resolve(classes: ClassList, values: list, **options: object) -> list:
    return classes.resolve(pl.Series(values, **options), where="test.csv, column label").to_list()


def test_imagenet_1k_is_the_sorted_wnids_with_wordnets_words():
    classes = imagenet_1k()
    assert len(classes) == 1000
    assert classes.ids == sorted(classes.ids)
    tench = classes.frame.row(0, named=True)
    assert (tench["id"], tench["name"], tench["synonyms"]) == ("n01440764", "tench", ["Tinca tinca"])
    assert tench["definition"].startswith("freshwater dace-like game fish")
    assert classes.frame.null_count().sum_horizontal().item() == 1000  # only the parents


def test_display_names_are_unique_where_names_are_not():
    classes = imagenet_1k()
    shown = classes.display_names()
    assert len(set(shown)) == 1000
    assert {i: shown[i] for i in range(1000) if shown[i] != classes.names[i]} == {
        134: "crane (n02012849)",
        517: "crane (n03126707)",
        638: "maillot (n03710637)",
        639: "maillot (n03710721)",
    }


def test_neither_the_readers_nor_the_class_list_import_torch():
    code = (
        "import sys, analysis.datasets, analysis.labels.classes as c; c.imagenet_1k();"
        "print([m for m in ('torch', 'timm', 'open_clip') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_resolve_takes_ids_indices_and_unique_names_and_keeps_null():
    classes = imagenet_1k()
    assert resolve(classes, ["n01440764", "1", "great white shark", None, " 999 "]) == [0, 1, 2, None, 999]
    assert resolve(classes, [0, None, 999]) == [0, None, 999]
    assert resolve(classes, [0.0, None, float("nan"), 5.0]) == [0, None, None, 5]
    assert resolve(classes, [Decimal("2.00"), None]) == [2, None]
    assert resolve(classes, ["n01440764"], dtype=pl.Categorical) == [0]
    assert classes.resolve(pl.Series("x", [], dtype=pl.String), where="").dtype == pl.UInt32


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["tench", "n99999999"], ["row 2", "'n99999999'", "unknown", "imagenet-1k"]),
        ([None, "crane"], ["row 2", "ambiguous", "n02012849 and n03126707"]),
        ([1000], ["row 1", "1000", "out of range", "1,000 classes"]),
        (["0", "0", "-1"], ["row 3", "-1", "out of range"]),
        ([0.5], ["row 1", "0.5"]),
        ([1.0, float("nan"), float("inf")], ["row 3", "inf"]),
        ([1.0, 1e300], ["row 2", "1e+300"]),
        ([[1]], ["List"]),
        (["![x](http://a/b)", "other"], ["row 1", "'![x](http://a/b)'", "1 more row"]),
    ],
)
def test_resolve_names_the_row_and_the_value_it_refuses(values, told):
    with pytest.raises(InputError) as caught:
        resolve(imagenet_1k(), values)
    for part in ["test.csv, column label", *told]:
        assert part in str(caught.value)


def test_digits_are_ids_only_where_ids_are_digits():
    classes = make_class_list("digits", ["1", "2", "3"])
    assert resolve(classes, [1, 2, 3]) == [0, 1, 2]
    with pytest.raises(InputError, match="unknown class '0'"):
        resolve(classes, [0])


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.lists(texts, min_size=1, max_size=8, unique=True), st.data())
def test_every_id_resolves_to_its_own_index_whatever_it_looks_like(ids, data):
    classes = make_class_list("any", ids, names=data.draw(st.lists(texts, min_size=len(ids), max_size=len(ids))))
    order = data.draw(st.lists(st.integers(0, len(ids) - 1), min_size=1))
    assert resolve(classes, [ids[i] for i in order], dtype=pl.String) == order


@given(st.lists(texts, min_size=1, max_size=6, unique=True), st.lists(texts, min_size=6, max_size=6), texts)
def test_resolve_answers_with_a_class_that_bears_the_value_or_refuses(ids, names, value):
    classes = make_class_list("any", ids, names=names[: len(ids)])
    try:
        [index] = resolve(classes, [value], dtype=pl.String)
    except InputError:
        assert value not in ids
    else:
        stripped = value.strip()
        own_index = stripped.isdecimal() and int(stripped) == index
        assert ids[index] in (value, stripped) or own_index or names[: len(ids)].count(stripped) == 1


def test_class_list_of_is_imagenet_only_where_it_has_every_id():
    assert class_list_of(["n01440764", "n01443537"], name="folders") is imagenet_1k()
    assert class_list_of(["n01440764", "cat"], name="folders").ids == ["n01440764", "cat"]
    wider = class_list_of(["n01440764", "n00007846"], name="folders")  # a wnid of ImageNet-21k
    assert wider.names == ["tench", "person"]


def test_a_repeated_id_is_refused_and_a_repeated_name_is_not():
    assert make_class_list("a", ["x", "y"], names=["n", "n"]).display_names() == ["n (x)", "n (y)"]
    with pytest.raises(InputError, match=r"'x' stands twice \(classes 0 and 2\)"):
        make_class_list("a", ["x", "y", "x"])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("a.txt", "n01440764\nn01443537\n"),
        ("a.txt", "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n"),
        ("a.csv", "id,name\nn01440764,tench\nn01443537,goldfish\n"),
        ("a.csv", "index,wnid,name\n1,n01443537,goldfish\n0,n01440764,tench\n"),
        ("a.json", json.dumps(["n01440764", "n01443537"])),
        ("a.json", json.dumps({"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]})),
        ("a.json", json.dumps({"n01443537": 1, "n01440764": 0})),
        ("a.json", json.dumps([{"id": "n01440764", "name": "tench"}, {"id": "n01443537", "name": "goldfish"}])),
    ],
)
def test_files_of_class_lists(tmp_path, file, content):
    (tmp_path / file).write_text(content)
    classes = class_list(str(tmp_path / file))
    assert (classes.name, classes.ids, classes.names) == ("a", ["n01440764", "n01443537"], ["tench", "goldfish"])


def test_a_parquet_class_list_keeps_all_columns(tmp_path):
    frame = pl.DataFrame({"id": ["a", "b"], "name": ["A", "B"], "synonyms": [["x"], []], "parent": [None, "a"]})
    frame.write_parquet(tmp_path / "own.parquet")
    classes = read_class_list(tmp_path / "own.parquet")
    assert classes.frame["synonyms"].to_list() == [["x"], []]
    assert classes.frame["parent"].to_list() == [None, "a"]


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("a.txt", "", "empty"),
        ("a.txt", "cat\n\ndog\n", "row 2"),
        ("a.txt", b"\xff\xfe\xfa", "cannot be read"),
        ("a.csv", "colour\nred\n", "no column id"),
        ("a.csv", "id,index\na,0\nb,2\n", "0 to 1"),
        ("a.json", "{", "cannot be read"),
        ("a.json", "3", "expected a list"),
        ("a.json", '[{"id": "a"}, {"name": "b"}]', "row 2"),
        ("a.json", '[{"id": "a", "name": 5}]', "row 1, name"),
        ("a.json", '[{"id": "a"}, {"id": "b", "definition": ["x"]}]', "row 2, definition"),
        ("a.json", '[{"id": "a", "synonyms": 5}]', "row 1, synonyms"),
        ("a.json", '[{"id": "a", "synonyms": [5]}]', "row 1, synonyms"),
        ("a.json", '[{"id": 1.5}]', "row 1, id"),
        ("a.json", '[{"id": "a", "index": Infinity}]', "row 1, index"),
        ("a.json", '[{"id": "a", "index": 0.5}]', "row 1, index"),
        ("a.json", '[{"id": "a", "index": null}]', "0 to 0"),
        ("a.json", '[{"id": "a", "index": 0}, {"id": "b", "index": 0}]', "0 to 1"),
        ("a.json", '{"0": [["a"], "b"]}', "row 1, id"),
        ("a.json", f'[{{"id": "a", "index": {"9" * 5000}}}]', "cannot be read"),
        ("a.json", f'{{"{"9" * 5000}": "a"}}', "row 1, index"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '["\\ud800"]', "row 1, id"),
        ("a.json", '[{"id": "a", "definition": "\\udfff"}]', "row 1, definition"),
        ("a.csv", b"id\na\ncaf\xe9\n", "line 3 is not UTF-8"),
        ("a.yaml", "x", ".yaml"),
    ],
)
def test_unusable_class_lists_say_why(tmp_path, file, content, told):
    (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        read_class_list(tmp_path / file)
    assert told in str(caught.value)
    assert file in str(caught.value)


def test_an_unknown_class_list_says_what_may_be_given():
    with pytest.raises(InputError, match="imagenet-1k or a CSV"):
        class_list("imagenet-2k")


def test_a_class_list_is_the_file_of_that_path_and_nothing_else(tmp_path):
    (tmp_path / "c1.csv").write_text("id\nwrong\n")
    (tmp_path / "c[1].csv").write_text("id\nright\n")
    assert class_list(str(tmp_path / "c[1].csv")).ids == ["right"]
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    for name, told in (
        ("folder.csv", "this is none"),
        ("pipe.txt", "this is none"),
        ("c*.csv", "no class list"),
        (f"{'long' * 100}.txt", "no class list"),
    ):
        with pytest.raises(InputError, match=told):
            read_class_list(tmp_path / name)


def test_numbers_as_ids_stay_ids(tmp_path):
    pl.DataFrame({"id": [7, 8], "index": [1.0, 0.0]}).write_parquet(tmp_path / "n.parquet")
    assert read_class_list(tmp_path / "n.parquet").ids == ["8", "7"]
