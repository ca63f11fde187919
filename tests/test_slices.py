"""Slices: conditions from text and back, and which rows they leave."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import InputError
from analysis.slices import MAX_VALUES, Condition, Slice, facets

FRAME = pl.DataFrame(
    {
        "item": [0, 1, 2, 3],
        "class": ["cat", "dog", "cat", None],
        "outcome": pl.Series(["correct", "mistake", "mistake", None], dtype=pl.Enum(["correct", "mistake"])),
        "cluster": pl.Series([1, 1, 2, None], dtype=pl.UInt32),
        "right": [True, False, False, None],
        "a = b": ["x", "y", "x", "y"],
    }
)


def chosen(*texts: str) -> list[int]:
    return Slice.parse(texts).apply(FRAME)["item"].to_list()


def test_values_of_a_column_are_alternatives_and_columns_are_combined() -> None:
    assert chosen() == [0, 1, 2, 3]
    assert chosen("class=cat") == [0, 2]
    assert chosen("class=cat", "class=dog") == [0, 1, 2]
    assert chosen("class=cat", "outcome=mistake") == [2]
    assert chosen("class=cat", "outcome=mistake", "class=dog") == [1, 2]
    assert chosen("class=eel") == []


def test_numbers_truth_values_and_odd_names_are_compared_as_text() -> None:
    assert chosen("cluster=1") == [0, 1]
    assert chosen("right=false") == [1, 2]
    assert chosen(str(Condition("a = b", "x"))) == [0, 2]


def test_nothing_typed_is_executed_or_a_pattern() -> None:
    for value in ("cat' OR '1'='1", ".*", "c%", "cat\x00", "pl.lit(True)"):
        assert chosen(f"class={value}") == []


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(InputError, match=r"no column 'klass'.*class, outcome"):
        chosen("klass=cat")


@pytest.mark.parametrize("text", ["", "class", "=cat"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="column=value"):
        Slice.parse([text])


@given(column=st.text(min_size=1), value=st.text())
def test_a_condition_is_read_back_from_its_text(column: str, value: str) -> None:
    condition = Condition(column, value)
    assert Condition.parse(str(condition)) == condition


def test_a_condition_twice_is_one() -> None:
    assert str(Slice.parse(["class=cat", "class=cat", "outcome=mistake"])) == "class=cat & outcome=mistake"


@given(
    st.lists(
        st.sampled_from(["class=cat", "class=dog", "outcome=mistake", "outcome=correct", "cluster=1", "a %3D b=x"])
    )
)
def test_a_further_column_only_narrows(texts: list[str]) -> None:
    found = set(chosen(*texts))
    expected = set(range(4))
    for column in {Condition.parse(text).column for text in texts}:
        expected &= set(chosen(*(text for text in texts if Condition.parse(text).column == column)))
    assert found == expected


def test_facets_count_the_values_of_columns_that_have_few() -> None:
    many = pl.DataFrame({"class": [f"c{i}" for i in range(MAX_VALUES + 1)]}).with_columns(
        name=pl.col("class"), few=pl.lit("all")
    )
    assert facets(many, ["class", "name", "few"])["column"].unique(maintain_order=True).to_list() == ["class", "few"]
    assert facets(FRAME, ["class", "outcome", "cluster"]).rows() == [
        ("class", "cat", 2),
        ("class", "dog", 1),
        ("outcome", "mistake", 2),
        ("outcome", "correct", 1),
        ("cluster", "1", 2),
        ("cluster", "2", 1),
    ]
    assert facets(FRAME, []).is_empty()
    for column, value, n in facets(FRAME, ["class", "outcome", "cluster", "a = b"]).iter_rows():
        assert len(chosen(str(Condition(column, value)))) == n
