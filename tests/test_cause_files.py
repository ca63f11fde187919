"""Files that tell causes of mistakes: read in full, or refused with the row named."""

import json
from pathlib import Path

import polars as pl
import pytest

from analysis.cause_files import RULES, checked, read_cause
from analysis.causes import JUDGEMENTS_SCHEMA
from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k, make_class_list

CLASSES = make_class_list("letters", ["a", "b", "c", "d", "e"])
ITEMS = pl.DataFrame({"item": range(4), "key": ["x/0.png", "x/1.png", "y/2.png", "y/3.png"]}).cast({"item": pl.UInt32})


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("rule", "name", "content", "rows"),
    [
        ("superclasses", "s.csv", "superclass,class\nv,a|e\nc,1\n", [("v", "v", 0), ("v", "v", 4), ("c", "c", 1)]),
        ("merges", "m.csv", "class,into\nb,a\nc,1\n", [(1, 0), (2, 1)]),
        ("merges", "m.json", '[{"class": "b", "into": "a"}]', [(1, 0)]),
        ("atypical", "a.csv", "key,why\ny/2.png,odd\nx/0.png,\n", [(0,), (2,)]),
        ("atypical", "a.txt", "3.png\n\n0.png\n", [(0,), (3,)]),
        ("atypical", "a.json", '["x/1.png"]', [(1,)]),
        ("atypical", "a.csv", "item\n3\n1\n", [(1,), (3,)]),
        (
            "judgements",
            "j.csv",
            "filename,prediction,category,severity\ny/3.png,e,model failure,\nx/0.png,b,Non-prototypical,Minor\n",
            [(0, 1, "non_prototypical", "minor", "j.csv"), (3, 4, "model_failure", None, "j.csv")],
        ),
        (
            "judgements",
            "j.json",
            '{"0.png": {"prediction": 2, "failure category": "Fine-grained with OOV", "failure severity": "Minor"}}',
            [(0, 2, "fine_grained_oov", "minor", "j.json")],
        ),
        (
            "judgements",
            "j.csv",
            "item,prediction,category,source\n1,c,spurious correlation,the panel\n",
            [(1, 2, "spurious_correlation", None, "the panel")],
        ),
    ],
)  # fmt: skip
def test_what_a_file_says(tmp_path: Path, rule: str, name: str, content: str, rows: list[tuple[object, ...]]) -> None:
    found = read_cause(rule, write(tmp_path, name, content), ITEMS, CLASSES)
    assert found.table.rows() == rows
    assert name in found.basis


@pytest.mark.parametrize(
    ("rule", "name", "content", "says"),
    [
        ("superclasses", "s.csv", "superclass,class\nv,a\nv,z\n", "row 2: unknown class 'z'"),
        ("superclasses", "s.csv", "superclass,class\nv,a\nc,b\nv,0\n", "row 3 puts 'a' into 'v', as row 1 does"),
        ("superclasses", "s.csv", "superclass,class\nv,\n", "no superclass holds a class"),
        ("merges", "m.csv", "class,into\na,b\nc,z\n", r"m\.csv, into, row 2: unknown class 'z'"),
        ("merges", "m.csv", "class,into\nc,b\nb,a\na,c\n", r"row 3 \(a into c\): .*go in a circle"),
        ("merges", "m.csv", "class,into\na,b\nd,c\na,b\n", "row 3 says again what row 1 says"),
        ("merges", "m.csv", "class,into\na,b\na,c\n", r"row 2 \(a into c\): .*merged into both"),
        ("merges", "m.csv", "class,into\nb,b\n", r"row 1 \(b into b\): .*into itself"),
        ("merges", "m.csv", "class,into\na,\n", "row 1 names no class in into"),
        ("merges", "m.csv", "from,to\na,b\n", "need the columns class and into"),
        ("atypical", "a.txt", "x/0.png\nz.png\n", r"row 2 names 'z\.png', which is no item"),
        ("atypical", "a.csv", "key\nx/0.png\ny/2.png\nx/0.png\n", "row 3 is about the same as row 1"),
        ("atypical", "a.csv", "item\n1\n9\n", "row 2 names item '9', which does not exist"),
        ("atypical", "a.csv", "name\nx/0.png\n", "no column names the images. It has name"),
        ("atypical", "a.txt", "", "has no rows"),
        ("atypical", "a.json", '{"a": 1}', "cannot be read as JSON"),
        ("judgements", "j.csv", "key,prediction,category\nx/0.png,z,model failure\n", "row 1: unknown class 'z'"),
        ("judgements", "j.csv", "key,prediction,category\nx/0.png,a,model failure\ny/2.png,a,odd\n", "row 2, item 2"),
        ("judgements", "j.csv", "key,prediction,category\nx/0.png,,model failure\n", "row 1 names no predicted class"),
        ("judgements", "j.csv", "key,prediction\nx/0.png,a\n", "no column category"),
        ("judgements", "j.csv", "key,category\nx/0.png,model failure\n", "no column prediction"),
        (
            "judgements",
            "j.csv",
            "key,prediction,category\nx/0.png,a,fine-grained\nx/1.png,a,fine-grained\n0.png,a,model failure\n",
            r"row 3 names '0\.png'|row 3 is about the same as row 1",
        ),
        ("judgements", "j.json", "[1]", "cannot be read as JSON"),
        ("judgements", "gone.csv", "", "gone"),
    ],
)  # fmt: skip
def test_files_that_are_refused(tmp_path: Path, rule: str, name: str, content: str, says: str) -> None:
    path = tmp_path / name if name.startswith("gone") else write(tmp_path, name, content)
    with pytest.raises(InputError, match=says):
        read_cause(rule, path, ITEMS, CLASSES)


def test_rules_have_names() -> None:
    assert checked(["atypical", "merges", "atypical"]) == ["atypical", "merges"]
    with pytest.raises(InputError, match=f"no rule 'twins'. There are: {', '.join(RULES)}"):
        read_cause("twins", Path("x.csv"), ITEMS, CLASSES)


@pytest.mark.shared_data
def test_the_published_judgements(shared_data: Path) -> None:
    labels = pl.read_csv(shared_data / "imagenet-val/labels.csv").select(key="filename").with_row_index("item")
    found = read_cause("judgements", shared_data / "imagenet-mistakes/vit3b_mistakes.json", labels, imagenet_1k())
    assert dict(found.table.schema) == JUDGEMENTS_SCHEMA
    assert dict(found.table["category"].cast(pl.String).value_counts().iter_rows()) == {
        "fine_grained": 242,  # one of them "with multilabel options"
        "fine_grained_oov": 54,
        "spurious_correlation": 52,
        "non_prototypical": 30,
    }
    severities = dict(found.table["severity"].cast(pl.String).value_counts().iter_rows())
    assert severities == {"major": 154, "minor": 150, "borderline": 74}
    published = json.loads((shared_data / "imagenet-mistakes/vit3b_mistakes.json").read_text())
    keys = found.table.join(labels.cast({"item": pl.UInt32}), on="item")
    assert set(keys["key"]) == set(published)
