"""Mistakes gathered: confusion matrices, merges, shared mistakes, label sets in conflict."""

import numpy as np
import polars as pl
import pytest

from analysis.labels.superclasses import make_superclasses
from analysis.lens import Lens, frame
from analysis.outcomes import confusions
from analysis.results.mistakes import (
    class_matrix,
    differing,
    disagreements,
    outcome_counts,
    proposed_merges,
    shared_counts,
    superclass_matrix,
    within_superclasses,
)
from analysis.results.outcomes import causes, run_outcomes
from analysis.workspace import Workspace

pytestmark = pytest.mark.xdist_group("results")

PAIRS = pl.DataFrame(
    [(0, 4, 9), (4, 0, 5), (1, 2, 4), (2, 3, 3), (3, 1, 1)],
    schema={"target": pl.Int64, "prediction": pl.Int64, "n": pl.UInt32},
    orient="row",
)
TABLE = make_superclasses([("x", "cats", 0), ("x", "cats", 4), ("y", "dogs", 1), ("y", "dogs", 2), ("z", "pets", 4),
                           ("z", "pets", 1)], 6, "by hand")  # fmt: skip


def test_the_classes_of_the_most_frequent_pairs_stand_by_superclass():
    matrix = class_matrix(PAIRS, TABLE, 4)
    assert matrix.order == [0, 4, 1, 2]
    assert matrix.blocks == ["cats", "cats", "dogs", "dogs"]
    assert sorted(matrix.cells.select("label", "prediction", "n").rows()) == [(0, 4, 9), (1, 2, 4), (4, 0, 5)]
    assert (matrix.n_shown, matrix.n) == (18, 22)
    everything = class_matrix(PAIRS, TABLE, 40)
    assert everything.order == [0, 4, 1, 2, 3]
    assert everything.blocks[-1] is None
    assert everything.n_shown == everything.n == 22


def test_without_superclasses_confused_classes_stand_side_by_side():
    matrix = class_matrix(PAIRS, None, 40)
    assert sorted(matrix.order) == [0, 1, 2, 3, 4]
    place = {index: row for row, index in enumerate(matrix.order)}
    assert abs(place[0] - place[4]) == 1
    assert set(matrix.blocks) == {None}
    assert class_matrix(PAIRS.clear(), None, 40).order == []
    assert class_matrix(PAIRS.head(1), None, 40).order == [0, 4]


def test_a_class_in_two_superclasses_counts_in_both():
    matrix = superclass_matrix(PAIRS, TABLE, 40)
    cells = {(TABLE.table["name"][a], TABLE.table["name"][b]): n for a, b, n in matrix.cells.rows()}
    assert cells == {
        ("cats", "cats"): 14,
        ("cats", "pets"): 9,
        ("pets", "cats"): 5,
        ("dogs", "dogs"): 4,
        ("pets", "dogs"): 4,
    }
    # 2 -> 3 and 3 -> 1: class 3 is in no superclass.
    assert (matrix.n_shown, matrix.n) == (18, 22)
    assert within_superclasses(PAIRS, TABLE) == 18
    assert superclass_matrix(PAIRS, TABLE, 1).order == [0]
    assert superclass_matrix(PAIRS.clear(), TABLE, 5).order == []


def test_items_are_counted_by_the_runs_that_are_wrong():
    rows = pl.DataFrame({"wrong_by": [0, 1, 2, 2, 3, None], "wrong_same": [0, 1, 2, 1, 2, None]})
    assert shared_counts(rows).rows() == [(0, None, 1), (1, None, 1), (2, True, 1), (2, False, 1), (3, False, 1)]


def test_disagreements_equal_a_plain_loop():
    rng = np.random.default_rng(0)
    words = np.array([True, False, None], object)
    said = pl.DataFrame({name: words[rng.integers(0, 3, 200)].tolist() for name in "abc"}, schema=dict.fromkeys(
        "abc", pl.Boolean))  # fmt: skip
    found = disagreements(said)
    assert found.select("first", "second").rows() == [("a", "b"), ("a", "c"), ("b", "c")]
    for row in found.iter_rows(named=True):
        both = [(x, y) for x, y in said.select(row["first"], row["second"]).rows() if None not in (x, y)]
        assert row["n"] == len(both) > 0
        assert row["only_first"] == both.count((True, False)) > 0
        assert row["only_second"] == both.count((False, True))
        assert row["both"] + row["neither"] == sum(x == y for x, y in both)
    assert differing(said).to_list() == [{True, False} <= set(row) for row in said.rows()]


@pytest.mark.shared_data
def test_what_is_gathered_of_real_runs_adds_up(imagenet: Workspace):
    rows = frame(imagenet, Lens("resnet50_pytorch", "expert"), also=["wrong_by", "wrong_same"])
    assert outcome_counts(rows)["n"].sum() == 18_692
    assert outcome_counts(rows).filter(~pl.col("is_right"))["n"].sum() == 2_970
    assert shared_counts(rows)["n"].sum() == 18_692
    pairs = confusions(rows)
    told = causes(imagenet, "expert")
    assert told.superclasses is not None
    matrix = superclass_matrix(pairs, told.superclasses, 40)
    members = told.superclasses.table["classes"]
    for label, prediction, n in matrix.cells.sort("n", descending=True).head(5).rows():
        inside = pl.col("target").is_in(members[label].to_list()) & pl.col("prediction").is_in(
            members[prediction].to_list()
        )
        assert n == rows.filter(inside, ~pl.col("right"), pl.col("target") != pl.col("prediction")).height


@pytest.mark.shared_data
def test_merges_of_a_real_run_resolve_its_mistakes(imagenet: Workspace):
    rows = run_outcomes(imagenet, "resnet50_pytorch", "original")
    found = proposed_merges(imagenet, rows, "original", at_least=0.2)
    assert round(100 * (found.accuracy or 0), 3) == 75.062
    assert found.n_groups < found.n_merged
    gained = int(found.steps["gained"].sum())
    assert found.steps["accuracy"][-1] == pytest.approx(0.75062 + gained / 50_000)
    names = imagenet.classes().names
    assert {names[index] for index in found.steps["classes"][0]} == {"maillot"}


@pytest.mark.shared_data
def test_real_and_expert_disagree_about_labels(imagenet: Workspace):
    """Of the images that ReaL disputes, the experts hold the original label valid on most."""
    columns = ["valid@original", "valid@real", "valid@expert"]
    rows = frame(imagenet, Lens(None, "original"), also=columns)
    found = disagreements(rows.select(columns)).filter(first="valid@original", second="valid@real").row(0, named=True)
    assert (found["n"], found["only_first"], found["only_second"]) == (46_837, 4_673, 0)
    experts = disagreements(rows.select("valid@expert", "valid@real")).row(0, named=True)
    assert experts["only_first"] == rows.filter(pl.col("valid@expert"), ~pl.col("valid@real")).height > 1_000
