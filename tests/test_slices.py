import datetime as dt
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import InputError
from analysis.slices import (
    Condition,
    Contains,
    IsNull,
    Items,
    Not,
    OneOf,
    Order,
    Range,
    Sample,
    Slice,
    facets,
)

FRAME = pl.DataFrame(
    {
        "item": [0, 1, 2, 3, 4],
        "key": ["a.png", "b.png", "c d.png", "d.png", "e.png"],
        "class": ["tench", "crane", "crane", None, "a, b"],
        "outcome": ["correct", "mistake", "mistake", "not_scored", None],
        "confidence": [0.9, 0.5, math.nan, None, 0.1],
        "right": [True, False, False, None, None],
        "cluster": [1, 2, 2, None, 3],
        "taken": [dt.date(2020, 1, day) for day in (1, 2, 3, 4, 5)],
        "my column": ["x=1", "", " y", "z & w", 'say "no"'],
        "tags": [["a", "bc"], [], None, ["b"], ["c"]],
        "size": [{"w": 1}] * 5,
    },
    schema_overrides={
        "item": pl.UInt32,
        "outcome": pl.Enum(["not_scored", "correct", "mistake"]),
        "confidence": pl.Float32,
        "cluster": pl.UInt32,
    },
)


def items(text: str | list[str]) -> list[int]:
    return Slice.parse(text).apply(FRAME)["item"].to_list()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("all | order by item desc", [4, 3, 2, 1, 0]),
        ("outcome=mistake", [1, 2]),
        ("outcome=mistake & outcome=correct", [0, 1, 2]),
        ("outcome=mistake & class=crane & confidence>=0.5", [1]),
        ('class in (tench, "a, b")', [0, 4]),
        ("class in ()", []),
        ("not class in (tench, crane)", [3, 4]),
        ("class != crane", [0, 3, 4]),
        ("not not class=crane", [1, 2]),
        ("confidence >= 0.1 and < 0.9", [1, 4]),
        ("confidence > 0.1 and <= 0.9", [0, 1]),
        ("confidence=0.9", [0]),
        ("confidence=NaN", [2]),
        ("confidence is null", [2, 3]),
        ("not confidence is null", [0, 1, 4]),
        ("cluster <= 2", [0, 1, 2]),
        ("cluster > 1.5", [1, 2, 4]),
        ("cluster=99999999999999", []),
        ("cluster > -1", [0, 1, 2, 4]),
        ("right=true", [0]),
        ("right=False", [1, 2]),
        ("taken >= 2020-01-02 and < 2020-01-04", [1, 2]),
        ("taken=2020-01-05", [4]),
        ('key > "c"', [2, 3, 4]),
        ("key contains D.", [2, 3]),
        ("outcome contains SCORE", [3]),
        ("key=c d.png", [2]),
        ('"my column"="z & w"', [3]),
        ("tags is null", [2]),
        ("tags=a", [0]),
        ("tags=a & tags=c", [0, 4]),
        ("tags != a", [1, 2, 3, 4]),
        ("tags in (b, bc)", [0, 3]),
        ("tags contains C", [0, 4]),
        ("items (0-2, 4) & not items (1)", [0, 2, 4]),
        ("all | order by confidence desc, key", [2, 0, 1, 4, 3]),
        ("cluster >= 2 | order by cluster desc, key desc", [4, 2, 1]),
        ("all | sample 99 seed 1", [0, 1, 2, 3, 4]),
        ("all | sample 0", []),
    ],
)
def test_lines(line, expected):
    assert items(line) == expected


@pytest.mark.parametrize(
    ("text", "column", "value"),
    [
        ("outcome=mistake", "outcome", "mistake"),
        ("class=a, b", "class", "a, b"),
        ("x=c&d", "x", "c&d"),
        ("a=b=c", "a", "b=c"),
        ("a=", "a", ""),
        ("Weather (day)=light rain", "Weather (day)", "light rain"),
        ("a%3Db=1", "a=b", "1"),
        ("not=1", "not", "1"),
        ('a="b \\" c"', "a", 'b " c'),
        ('"a b"=c', "a b", "c"),
        ("right@efficientnet-lite:2=false", "right@efficientnet-lite:2", "false"),
        ("right@a@b=x, y", "right@a@b", "x, y"),
    ],
)
def test_the_short_form_takes_all_behind_the_sign_as_the_value(text, column, value):
    assert Condition.parse(text) == Condition(column, value)
    assert Slice.parse([text]).conditions == (Condition(column, value),)


def test_columns_of_runs_are_plain_names():
    assert str(Condition("right@efficientnet-lite:2", "false")) == "right@efficientnet-lite:2=false"
    parsed = Slice.parse("confidence@a:b/c >= 0.5 & not x@y is null & items (1) & items=2 | order by x@y desc, key")
    assert parsed.columns() == ("confidence@a:b/c", "x@y", "items", "key")
    assert Slice.parse(str(parsed)) == parsed


def test_parts_as_texts():
    parts = ["outcome=mistake", "cluster >= 2", "outcome=mistake", "sample 3 seed 4", "order by key desc"]
    parsed = Slice.parse(parts)
    assert parsed == Slice(
        (Condition("outcome", "mistake"), Range("cluster", low=2)), Sample(3, 4), (Order("key", True),)
    )
    assert Slice.parse(parsed.texts()) == parsed
    assert str(parsed) == "outcome=mistake & cluster >= 2 | sample 3 seed 4 | order by key desc"


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("=x", 1),
        ("outcome", 8),
        ("outcome mistake", 9),
        ("outcome=", 9),
        ("outcome=mistake cluster>3", 24),
        ("outcome=mistake & ", 19),
        ("class in (a b", 14),
        ("class in a", 10),
        ("class is nothing", 10),
        ("confidence >= ", 15),
        ("confidence >= 1 and >= 2", 21),
        ("confidence >= 1 and 2", 21),
        ('class="never closed', 7),
        ("class=a ! b", 9),
        ("class=a)", 8),
        (r'class="\q"', 7),
        ("items (3-1x)", 8),
        ("items (0-99999999999)", 8),
        ("all | sample", 13),
        ("all | sample many", 14),
        ("all | sample 3 | sample 4", 18),
        ("all | order key", 13),
        ("all | class=x", 7),
        ("all | ", 7),
    ],
)
def test_errors_of_the_line_say_where(line, place):
    with pytest.raises(InputError, match=f"at character {place}: "):
        Slice.parse(line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("colour=red", ["'colour=red'", "no column 'colour'", "outcome"]),
        ("outcome=mistake & cluster=two", ["'cluster=two'", "UInt32", '"two"', "a number"]),
        ("cluster=1.5", ["'cluster=1.5'", "a number"]),
        ('cluster >= "2"', []),
        ("cluster >= two", ["two", "a number"]),
        ("confidence=high", ["Float32", "high"]),
        ("right=maybe", ["true or false"]),
        ("right >= 1", ["has no order"]),
        ("outcome > correct", ["has no order"]),
        ("taken >= yesterday", ["Date", "yesterday"]),
        ("taken >= 3", ["Date", "3"]),
        ("key >= 3", ["String", "text"]),
        ("cluster contains 1", ["no text"]),
        ("size=a", ["Struct", "is null"]),
        ("all | order by tags", ["order by tags", "no order"]),
        ("all | order by colour", ["order by colour", "no column"]),
        ("not not colour=red", ["no column"]),
    ],
)
def test_errors_of_columns_and_values_name_the_condition(line, words):
    if not words:
        assert items(line) == [1, 2, 4]  # a number may be quoted
        return
    with pytest.raises(InputError) as error:
        items(line)
    for word in words:
        assert word in str(error.value)


def test_samples_and_id_lists_need_item_numbers():
    for line in ("all | sample 1", "items (1)"):
        with pytest.raises(InputError, match="no column 'item'"):
            Slice.parse(line).apply(FRAME.drop("item"))


def test_nothing_typed_is_executed():
    for text in ("__import__('os').getcwd()", "pl.col('key')", "1; DROP TABLE items", "$(id)"):
        assert items([str(Condition("key", text))]) == []
        with pytest.raises(InputError):
            Slice.parse(text)


# ---- round trip

names = st.one_of(
    st.text(min_size=1, max_size=8), st.sampled_from(["not", "all", "items", "sample", "class", "a@b:c/d"])
)
texts = st.one_of(st.text(max_size=10), st.sampled_from(["null", "and", "desc", "a b", " a", "a  b", '"', "\u2028"]))
bounds = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts)
ranges = st.builds(
    lambda column, low, high, low_in, high_in: Range(
        column, low, high, low_in if low is not None else True, high_in if high is not None else True
    ),
    names, st.none() | bounds, bounds, st.booleans(), st.booleans(),
)  # fmt: skip
leaves = st.one_of(
    st.builds(Condition, names, texts),
    st.builds(OneOf, names, st.lists(texts, max_size=3).map(tuple)),
    ranges,
    st.builds(IsNull, names),
    st.builds(Contains, names, texts),
    st.builds(Items, st.lists(st.integers(0, 30), max_size=12).map(tuple)),
)
clauses = st.recursive(leaves, lambda inner: st.builds(Not, inner), max_leaves=2)
slices = st.builds(
    Slice,
    st.lists(clauses, max_size=4, unique=True).map(tuple),
    st.none() | st.builds(Sample, st.integers(0, 10**6), st.integers(0, 2**40)),
    st.lists(st.builds(Order, names, st.booleans()), max_size=2).map(tuple),
)


@settings(deadline=None, max_examples=400)
@given(slices)
def test_a_slice_parses_from_what_it_prints(whole):
    line = str(whole)
    assert len(line.splitlines()) <= 1
    assert Slice.parse(line) == whole
    assert Slice.parse(whole.texts()) == whole


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet='ab =<>!"(),&|01-\\%', max_size=20) | st.text(max_size=20))
def test_any_text_is_a_slice_that_prints_back_or_a_plain_error(line):
    try:
        parsed = Slice.parse(line)
    except InputError:
        return  # a plain error, as the tests above want it
    assert Slice.parse(str(parsed)) == parsed


# ---- the same as a plain loop

SCHEMA: dict[str, Any] = {
    "item": pl.UInt32, "n": pl.Int64, "p": pl.Float32, "t": pl.String, "b": pl.Boolean,
    "e": pl.Enum(["x", "y", "z"]),
}  # fmt: skip
f32 = st.sampled_from([0.0, -0.0, 0.1, 0.5, 0.9, 1.0, math.inf, -math.inf, math.nan]).map(np.float32).map(float)
words = st.sampled_from(["", "x", "y", "Xy", "x y", "1", "true"])
rows = st.lists(
    st.fixed_dictionaries(
        {
            "n": st.none() | st.integers(-2, 3),
            "p": st.none() | f32,
            "t": st.none() | words,
            "b": st.none() | st.booleans(),
            "e": st.none() | st.sampled_from(["x", "y", "z"]),
        }
    ),
    max_size=12,
)
numbers = st.integers(-2, 3) | st.sampled_from([0.1, 0.5, 0.9, 2.5])
typed_values = {
    "n": st.integers(-2, 3).map(str),
    "p": st.sampled_from(["0", "0.1", "0.5", "0.9", "1", "inf", "nan"]),
    "t": words,
    "b": st.sampled_from(["true", "false"]),
    "e": words,
}


def typed_leaves() -> st.SearchStrategy:
    equals = [st.builds(Condition, st.just(column), values) for column, values in typed_values.items()]
    sets = [
        st.builds(OneOf, st.just(column), st.lists(values, max_size=3).map(tuple))
        for column, values in typed_values.items()
    ]
    between = st.builds(Range, st.sampled_from(["n", "p"]), numbers, st.none() | numbers, st.booleans(), st.booleans())
    between_words = st.builds(Range, st.just("t"), st.none() | words, words, st.booleans(), st.booleans())
    return st.one_of(
        *equals,
        *sets,
        between,
        between_words,
        st.builds(IsNull, st.sampled_from(sorted(SCHEMA))),
        st.builds(Contains, st.sampled_from(["t", "e"]), words),
        st.builds(Items, st.lists(st.integers(0, 12)).map(tuple)),
    )


typed_clauses = st.recursive(typed_leaves(), lambda inner: st.builds(Not, inner), max_leaves=2)


def holds(clause, row: dict[str, Any]) -> bool:
    """One clause on one row, by the letter of the definition."""
    if isinstance(clause, Not):
        return not holds(clause.clause, row)
    if isinstance(clause, Items):
        return row["item"] in clause.ids
    value = row[clause.column]
    nan = isinstance(value, float) and math.isnan(value)
    if isinstance(clause, IsNull):
        return value is None or nan
    if value is None:
        return False
    if isinstance(clause, Contains):
        return clause.text.lower() in value.lower()
    if isinstance(clause, Range):
        ends = [
            np.float32(end) if isinstance(value, float) and end is not None else end
            for end in (clause.low, clause.high)
        ]
        low, high = ends
        above = low is None or value > low or (clause.includes_low and value == low)
        below = high is None or value < high or (clause.includes_high and value == high)
        return not nan and bool(above and below)
    wanted = clause.values if isinstance(clause, OneOf) else (clause.value,)
    if isinstance(value, bool):
        return str(value).lower() in wanted
    if isinstance(value, float):
        return any(math.isnan(float(one)) if nan else value == np.float32(one) for one in wanted)
    return str(value) in wanted


@settings(deadline=None, max_examples=300)
@given(rows, st.lists(typed_clauses, max_size=3).map(tuple))
def test_same_result_as_a_plain_loop(rows, clauses):
    rows = [{"item": number, **row} for number, row in enumerate(rows)]
    frame = pl.DataFrame(rows, schema=SCHEMA)
    equalities = {clause.column for clause in clauses if isinstance(clause, Condition)}
    expected = [
        row["item"]
        for row in rows
        if all(holds(clause, row) for clause in clauses if not isinstance(clause, Condition))
        and all(
            any(holds(c, row) for c in clauses if isinstance(c, Condition) and c.column == column)
            for column in equalities
        )
    ]
    assert Slice(clauses).apply(frame)["item"].to_list() == expected


# ---- samples, and what there is to choose from


def test_a_sample_is_the_same_in_any_order_and_nested_in_wider_ones():
    frame = pl.DataFrame({"item": pl.Series(range(1000), dtype=pl.UInt32)})
    drawn = Slice(sample=Sample(100, 3)).apply(frame)["item"].to_list()
    assert len(drawn) == 100
    assert drawn == sorted(drawn)
    assert sorted(Slice(sample=Sample(100, 3)).apply(frame.reverse())["item"].to_list()) == drawn
    assert set(Slice(sample=Sample(50, 3)).apply(frame)["item"]) < set(drawn)
    half = Slice((Items(tuple(range(500))),), Sample(100, 3)).apply(frame)["item"].to_list()
    assert set(half) >= {item for item in drawn if item < 500}
    assert Slice(sample=Sample(100, 4)).apply(frame)["item"].to_list() != drawn


def test_samples_are_uniform():
    frame = pl.DataFrame({"item": pl.Series(range(50), dtype=pl.UInt32)})
    times = np.zeros(50)
    for seed in range(2000):
        times[Slice(sample=Sample(10, seed)).apply(frame)["item"].to_numpy()] += 1
    # Each item is drawn with probability 1/5: 400 times, standard deviation 17.9.
    assert np.abs(times - 400).max() < 4.5 * 17.9
    assert 20 < ((times - 400) ** 2 / 320).sum() < 90


def test_facets_are_conditions_that_hold():
    found = facets(FRAME, ["outcome", "class", "cluster", "right", "my column"])
    for column, value, n in found.iter_rows():
        text = str(Condition(column, value))
        assert Slice.parse([text]).apply(FRAME).height == n
        assert Slice.parse(text).apply(FRAME).height == n
    assert found.filter(pl.col("column") == "class")["value"].to_list() == ["crane", "a, b", "tench"]
    assert facets(FRAME, []).is_empty()
