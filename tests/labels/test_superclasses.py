import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k, make_class_list
from analysis.labels.hierarchy import hierarchy_of, superclasses
from analysis.labels.superclasses import make_superclasses, read_superclasses

LETTERS = make_class_list("letters", ["a", "b", "c", "d"])


@given(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 9)), max_size=60))
def test_sharing_equals_the_sets_themselves(rows):
    """More superclasses than one word of bits holds."""
    table = make_superclasses([(str(of), f"name {of}", index) for of, index in rows], 10, "x")
    members = {of: {index for other, index in rows if other == of} for of, _ in rows}
    for a in range(10):
        for b in range(10):
            holding = [of for of, classes in members.items() if {a, b} <= classes]
            assert bool(table.share(a, b)) == bool(holding)
            smallest = min((len(members[of]) for of in holding), default=None)
            name = table.shared(a, b)
            assert (None if name is None else len(members[int(name.split()[1])])) == smallest
    assert not table.share(-1, np.arange(10)).any()


def test_a_table_is_scored_on_known_pairs():
    table = make_superclasses([("x", "x", 0), ("x", "x", 1), ("y", "y", 2)], 4, "x")
    assert table.scores(same=[(0, 1), (1, 2)], different=[(0, 2), (3, 3), (1, 0)]) == {
        "n_same": 2,
        "joined": 1,
        "n_different": 3,
        "parted": 2,
    }
    assert table.scores([], []) == {"n_same": 0, "joined": 0, "n_different": 0, "parted": 0}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "superclass,name,class\nv,vowel,a\nc,consonant,b|c\nc,,d\n"),
        ("t.csv", "superclass,class,name\nv,0,vowel\nc,1,consonant\nc,2,consonant\nc,3,consonant\n"),
        ("t.json", json.dumps([{"superclass": "v", "name": "vowel", "class": "a"}, *[
            {"superclass": "c", "name": "consonant", "class": letter} for letter in "bcd"]])),
        ("t.json", json.dumps([{"superclass": "v", "name": "vowel", "class": ["a"]},
                               {"superclass": "c", "name": "consonant", "class": ["b", "c", "d"]}])),
    ],
)  # fmt: skip
def test_a_file_replaces_the_default(tmp_path: Path, name, content):
    (tmp_path / name).write_text(content)
    found = read_superclasses(tmp_path / name, LETTERS)
    assert found.table.select("superclass", "name", "classes").rows() == [
        ("v", "vowel", [0]),
        ("c", "consonant", [1, 2, 3]),
    ]
    assert found.basis == f"file {name}"
    assert found.share([0, 1, 1], [1, 2, 3]).tolist() == [False, True, True]


def test_a_json_object_names_each_superclass(tmp_path: Path):
    (tmp_path / "t.json").write_text('{"vowel": ["a"], "consonant": ["b", 2]}')
    found = read_superclasses(tmp_path / "t.json", LETTERS)
    assert found.frame.rows() == [
        ("vowel", "vowel", 0),
        ("consonant", "consonant", 1),
        ("consonant", "consonant", 2),
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", "superclass,class\nv,a\nc,e\n", "row 2: unknown class 'e'"),
        ("t.csv", "superclass,class\n,a\n", "row 1 names no superclass"),
        ("t.csv", "group,class\nv,a\n", "needs the columns superclass and class"),
        ("t.json", "[1, 2]", "cannot be read as superclasses"),
        ("t.json", "{", "cannot be read as superclasses"),
        ("t.json", "[]", "needs the columns"),
    ],
)
def test_files_that_are_no_table_of_superclasses(tmp_path: Path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=says):
        read_superclasses(tmp_path / name, LETTERS)


@pytest.mark.shared_data
def test_the_default_on_pairs_that_a_panel_judged(shared_data: Path):
    """The panel called 241 mistakes of one model fine-grained, and 52 a spurious correlation: known pairs."""
    judged = json.loads((shared_data / "imagenet-mistakes/vit3b_mistakes.json").read_text())
    labels = dict(pl.read_csv(shared_data / "imagenet-val/labels.csv").select("filename", "label").iter_rows())
    pairs: dict[str, list[tuple[int, int]]] = {}
    for key, entry in judged.items():
        pairs.setdefault(entry["failure category"], []).append((labels[key], entry["top_prediction"]))
    hierarchy = hierarchy_of(imagenet_1k())
    found = superclasses(hierarchy).scores(pairs["Fine-grained error"], pairs["Spurious Correlation"])
    assert (found["n_same"], found["n_different"]) == (241, 52)
    # No narrower and no much wider rule does as well on both.
    narrow, wide = (
        superclasses(hierarchy, n).scores(pairs["Fine-grained error"], pairs["Spurious Correlation"]) for n in (5, 400)
    )
    assert narrow["joined"] < found["joined"] < wide["joined"]
    assert wide["parted"] < found["parted"] <= narrow["parted"]
