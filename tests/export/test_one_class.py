"""One class an item: each rule on each kind of item, with the reason where there is none."""

import polars as pl
import pytest

from analysis.export.one_class import RULES, chosen

LISTS = pl.List(pl.UInt32)
ROWS = pl.DataFrame(
    {
        "original": [1, 1, 1, None, 1, 1, 1],
        "valid": [[1], [1, 2], [2], [3], [2, 3], [], [1]],
        "scored": [True, True, True, True, True, False, False],
    },
    schema_overrides={"original": pl.UInt32, "valid": LISTS},
)


@pytest.mark.parametrize(
    ("rule", "classes"),
    [
        ("original-first", [1, 1, 2, 3, None, None, None]),
        ("only", [1, None, 2, 3, None, None, None]),
        ("original", [1, 1, None, None, None, None, None]),
    ],
)
def test_each_rule(rule: str, classes: list[int | None]) -> None:
    found = chosen(ROWS, RULES[rule])
    assert found["one"].to_list() == classes
    assert found["reason"].is_null().to_list() == [one is not None for one in classes]


def test_reasons_are_told_apart() -> None:
    unknown = ROWS.head(1).with_columns(scored=pl.lit(None, pl.Boolean), valid=pl.lit([], LISTS))
    found = chosen(pl.concat([ROWS, unknown]), RULES["original-first"])
    assert found["reason"].drop_nulls().to_list() == [
        "several valid classes, and the original label is none of them",
        "no valid class",
        "not scored by the label set",
        "the label set says nothing of it",
    ]
