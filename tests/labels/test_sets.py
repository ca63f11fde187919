import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import InputError
from analysis.labels.sets import (
    ABSENT,
    REJECTED,
    STATES,
    UNCLEAR,
    VALID,
    LabelSet,
    counts_as_valid,
    label_set,
    original,
    resolve_states,
)

CODES = {"valid": VALID, "unclear": UNCLEAR, "rejected": REJECTED}


def rows(*triples: tuple[int, int, str]) -> pl.DataFrame:
    return pl.DataFrame(triples, schema={"item": pl.UInt32, "class": pl.UInt32, "state": pl.String}, orient="row")


def known(*items: int) -> pl.DataFrame:
    return pl.DataFrame({"item": items}, schema={"item": pl.UInt32})


def test_states_of_one_and_of_many_classes():
    labels = label_set(
        "x", rows((3, 7, "valid"), (1, 2, "rejected"), (1, 5, "unclear")), known(1, 3, 4), absent="wrong"
    )
    assert labels.states([1, 1, 1, 3, 4, 9], [2, 5, 7, 7, 7, 7]).tolist() == [
        REJECTED,
        UNCLEAR,
        ABSENT,
        VALID,
        ABSENT,
        ABSENT,
    ]
    assert labels.states([3, 1], [[7, 2, -1], [2, 7, 5]]).tolist() == [
        [VALID, ABSENT, ABSENT],
        [REJECTED, ABSENT, UNCLEAR],
    ]


def test_class_minus_one_is_absent_next_to_the_largest_class_index():
    labels = label_set("x", rows((0, 2**32 - 2, "valid"), (1, 0, "valid")), known(0, 1), absent="wrong")
    assert labels.states([0, 1], [-1, -1]).tolist() == [ABSENT, ABSENT]


def test_unclear_counts_as_valid_only_if_lenient():
    labels = label_set("x", rows((0, 1, "unclear"), (0, 2, "valid"), (0, 3, "rejected")), known(0), absent="wrong")
    states = labels.states([0, 0, 0], [1, 2, 3])
    assert counts_as_valid(states, "lenient").tolist() == [True, True, False]
    assert counts_as_valid(states, "strict").tolist() == [False, True, False]


def test_empty_sets_and_items_said_not_to_count_are_not_scored():
    items = pl.DataFrame({"item": [0, 1, 2, 3], "scored": [True, True, False, True]})
    labels = label_set(
        "x", rows((0, 1, "valid"), (1, 1, "rejected"), (2, 1, "valid"), (3, 1, "unclear")), items, absent="wrong"
    )
    assert labels.scored([0, 1, 2, 3, 4, 1_000_000]).tolist() == [True, False, False, True, False, False]
    assert labels.items["scored"].to_list() == [True, False, False, True]


def test_an_empty_label_set_scores_nothing():
    labels = label_set("x", rows(), known(), absent="unjudged")
    assert labels.states([0, 5], [[1, 2], [3, -1]]).tolist() == [[ABSENT, ABSENT], [ABSENT, ABSENT]]
    assert labels.scored([0, 5]).tolist() == [False, False]


def test_correct_wins_over_unclear_wins_over_wrong_and_conflicts_are_counted():
    found = rows((0, 1, "rejected"), (0, 1, "valid"), (0, 1, "unclear"), (1, 2, "rejected"), (1, 2, "unclear"))
    found = pl.concat([found, rows((1, 3, "valid"), (1, 3, "valid"))])
    labels = label_set("x", found, known(0, 1), absent="wrong", note="A note.")
    assert labels.labels.rows() == [(0, 1, "valid"), (1, 2, "unclear"), (1, 3, "valid")]
    assert labels.conflicts == 2
    assert labels.note.startswith("A note. On 2 items")
    _, conflicts = resolve_states(found)
    assert conflicts.rows() == [(0, 1, ["valid", "unclear", "rejected"]), (1, 2, ["unclear", "rejected"])]


def test_labels_of_an_item_that_the_set_does_not_know_are_refused():
    with pytest.raises(InputError, match="item 4"):
        label_set("x", rows((4, 1, "valid")), known(0), absent="wrong")


def test_an_item_that_comes_twice_is_refused():
    with pytest.raises(InputError, match="item 4 comes twice"):
        label_set("x", rows(), known(4, 2, 4), absent="wrong")


def test_unsorted_rows_are_no_label_set():
    good = label_set("x", rows((0, 1, "valid"), (1, 1, "valid")), known(0, 1), absent="wrong")
    with pytest.raises(ValueError, match="sorted"):
        LabelSet("x", good.labels.reverse(), good.items, "wrong")
    with pytest.raises(ValueError, match="columns"):
        LabelSet("x", good.labels.with_columns(pl.col("state").cast(pl.String)), good.items, "wrong")


@pytest.mark.parametrize(
    "labels",
    [np.array([3, -1, 0], np.int32), pl.Series([3, None, 0], dtype=pl.UInt32)],
    ids=["array", "series"],
)
def test_original_labels(labels):
    found = original(labels)
    assert found.name == "original"
    assert found.absent == "wrong"
    assert found.labels.rows() == [(0, 3, "valid"), (2, 0, "valid")]
    assert found.items.rows() == [(0, True, True), (1, False, True), (2, True, True)]


@settings(deadline=None)  # a shared machine may pause at any example
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.sampled_from(list(CODES))), max_size=40),
    st.lists(st.tuples(st.integers(0, 8), st.integers(-1, 5)), min_size=1, max_size=30),
)
def test_lookup_equals_a_plain_loop(triples, queries):
    labels = label_set("x", rows(*triples), known(*range(7)), absent="wrong")
    expected = []
    for item, class_ in queries:
        said = [CODES[state] for i, c, state in triples if (i, c) == (item, class_)]
        expected.append(min(said, default=ABSENT))
    items, classes = np.array(queries).T
    assert labels.states(items, classes).tolist() == expected
    assert labels.states(items, np.stack([classes, classes], axis=1)).tolist() == [[code, code] for code in expected]
    scored = [any(i == item and state != "rejected" for i, _, state in triples) for item in range(9)]
    assert labels.scored(np.arange(9)).tolist() == scored
    assert labels.conflicts == len({i for i, c, s in triples for j, d, t in triples if (i, c) == (j, d) and s != t})
    assert labels.labels.schema["state"] == STATES
