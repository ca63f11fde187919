"""Numbers of items stay what they were, whatever a dataset becomes."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import items
from analysis.errors import InputError
from analysis.labels.classes import ClassList


def class_list(*ids: str, name: str = "folders") -> ClassList:
    return ClassList(
        name,
        pl.DataFrame(
            {
                "index": range(len(ids)),
                "id": ids,
                "name": ids,
                "synonyms": [[] for _ in ids],
                "definition": [None] * len(ids),
                "parent": [None] * len(ids),
            },
            schema={
                "index": pl.UInt32,
                "id": pl.String,
                "name": pl.String,
                "synonyms": pl.List(pl.String),
                "definition": pl.String,
                "parent": pl.String,
            },
        ),
    )


def read(contents: dict[str, str]) -> pl.DataFrame:
    """Items as a reader finds them: key -> content hash."""
    records = pl.DataFrame(
        {"key": list(contents), "path": list(contents)}, schema={"key": pl.String, "path": pl.String}
    )
    count = len(contents)
    scanned = pl.DataFrame(
        {"width": [1] * count, "height": [1] * count, "bytes": [1] * count, "hash": list(contents.values())},
    ).with_columns(problem=pl.lit(None, pl.String))
    return items.frame(records, scanned)


def test_reading_again_keeps_numbers_and_tells_what_changed() -> None:
    before = read({"a": "1", "b": "2", "c": "3"})
    after, changes = items.merge(before, read({"c": "3", "d": "4", "a": "9"}))
    assert after.select("item", "key", "hash", "missing").rows() == [
        (0, "a", "9", False),
        (1, "b", "2", True),
        (2, "c", "3", False),
        (3, "d", "4", False),
    ]
    assert changes == items.Changes(added=1, missing=1, returned=0, changed=1, relabelled=0)
    again, changes = items.merge(after, read({"b": "2", "a": "9", "c": "3", "d": "4"}))
    assert again["missing"].sum() == 0
    assert changes == items.Changes(added=0, missing=0, returned=1, changed=0, relabelled=0)
    assert str(changes) == "1 back"


contents = st.dictionaries(st.text(max_size=3), st.sampled_from("xyz"), max_size=8)


@given(st.lists(contents, min_size=1, max_size=5))
def test_a_key_never_changes_its_number(readings: list[dict[str, str]]) -> None:
    numbers: dict[str, int] = {}
    table = read(readings[0])
    for number, reading in enumerate(readings):
        if number:
            table, _ = items.merge(table, read(reading))
        assert table["item"].to_list() == list(range(table.height))
        now = dict(zip(table["key"], table["item"], strict=True))
        assert len(now) == table.height
        assert all(now[key] == old for key, old in numbers.items())
        numbers = now
        present = table.filter(~pl.col("missing"))
        assert dict(zip(present["key"], present["hash"], strict=True)) == reading


def test_further_metadata_columns_are_kept() -> None:
    before = read({"a": "1"}).with_columns(colour=pl.lit("red"))
    after, _ = items.merge(before, read({"b": "1"}).with_columns(size=pl.lit(3)))
    assert after.select("key", "colour", "size").rows() == [("a", "red", None), ("b", None, 3)]


def test_class_lists_grow_at_the_end() -> None:
    merged = items.merge_classes(class_list("cat", "dog"), class_list("bird", "dog"))
    assert merged.ids == ["cat", "dog", "bird"]
    assert merged.frame["index"].to_list() == [0, 1, 2]
    with pytest.raises(InputError, match="imagenet-1k"):
        items.merge_classes(class_list("cat"), class_list("cat", name="imagenet-1k"))


def test_fingerprints_tell_what_changed() -> None:
    classes = class_list("cat")
    base = items.fingerprints(read({"a": "1", "b": "2"}), classes)
    other_pixels = items.fingerprints(read({"a": "1", "b": "3"}), classes)
    assert other_pixels["keys"] == base["keys"]
    assert other_pixels["images"] != base["images"]
    assert items.fingerprints(read({"ab": "1", "": "2"}), classes)["keys"] != base["keys"]
    assert items.fingerprints(read({"a": "1", "b": "2"}), class_list("dog"))["classes"] != base["classes"]
    labelled = read({"a": "1", "b": "2"}).with_columns(label=pl.lit(0, pl.UInt32))
    relabelled = items.fingerprints(labelled, classes)
    assert {name for name in base if relabelled[name] != base[name]} == {"labels"}
