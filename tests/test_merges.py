import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import InputError
from analysis.labels.sets import original
from analysis.merges import SCHEMA, merge_map, merges, with_accuracy
from analysis.models.predictions import Predictions
from analysis.outcomes import confusions, outcomes

PAIRS = {"target": pl.UInt32, "prediction": pl.UInt32, "n": pl.UInt32}


def run(top1) -> Predictions:
    classes = np.array(top1, np.int32).reshape(-1, 1)
    return Predictions(np.arange(len(classes), dtype=np.uint32), classes, None, "ranks", None)


def test_the_most_confused_come_first_and_groups_are_compared_by_their_mean():
    pairs = pl.DataFrame([(0, 1, 6), (1, 0, 4), (1, 2, 5), (3, 2, 1)], schema=PAIRS, orient="row")
    sizes = np.array([10, 10, 10, 10])
    found = merges(pairs, sizes, at_least=0.1)
    assert dict(found.schema) == SCHEMA
    # 0 and 1: (0.6 + 0.4) / 2. Class 2 is 0.25 from 1 and 0 from 0: 0.125 from both together.
    assert found.rows() == [(1, 0, 0.5, 10, [0, 1]), (2, 0, 0.125, 5, [0, 1, 2])]
    assert merges(pairs, sizes, at_least=0.2).height == 1
    assert merges(pairs.clear(), sizes).is_empty()


def test_merges_are_followed_to_their_end():
    assert merge_map([(1, 0), (3, 2), (2, 1)], 5).tolist() == [0, 0, 0, 0, 4]
    assert merge_map([], 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([(0, 1), (1, 2), (2, 0)], "circle: 0 -> 1 -> 2 -> 0"),
        ([(3, 0), (0, 1), (1, 0)], "circle: 0 -> 1 -> 0"),
        ([(1, 1)], "into itself"),
        ([(0, 1), (0, 2)], "both 1 and 2"),
        ([(0, 4)], "class 4"),
        ([(-1, 0)], "class -1"),
    ],
)
def test_merges_that_cannot_be(steps, says):
    with pytest.raises(InputError, match=says):
        merge_map(steps, 4)
    frame = pl.DataFrame(steps, schema={"class": pl.Int64, "into": pl.Int64}, orient="row")
    labels = original(np.array([0]))
    with pytest.raises(InputError, match=says):
        with_accuracy(frame, outcomes(run([0]), labels, np.array([0], np.int32)), labels, 4)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=40), st.sampled_from([0.0, 0.2, 0.5]))
def test_accuracy_with_merges_is_that_of_the_merged_classes(rows, at_least):
    truth = np.array([t for t, _ in rows], np.int32)
    top1 = np.array([p for _, p in rows], np.int32)
    labels = original(truth)
    frame = outcomes(run(top1), labels, truth)
    sizes = np.bincount(truth, minlength=6)
    found = with_accuracy(merges(confusions(frame), sizes, at_least=at_least), frame, labels, 6)
    for step in range(1, found.height + 1):
        end = merge_map(found.head(step).select("class", "into").iter_rows(), 6)
        assert found["accuracy"][step - 1] == (end[truth] == end[top1]).mean()
        row = found.row(step - 1, named=True)
        assert row["classes"] == np.flatnonzero(end == end[row["into"]]).tolist()
        # Under single labels what a merge resolves are the confusions between the two.
        assert row["gained"] == row["n"]
    assert (found["similarity"] >= at_least).all()
    assert found["class"].is_unique().all()
