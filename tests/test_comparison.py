import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2

from analysis.comparison import (
    FLIPS_SCHEMA,
    PAIRED_SCHEMA,
    TABLE_SCHEMA,
    compare,
    contrast_label_sets,
    could_change_the_verdict,
    flip_table,
    flipped,
    flips,
    mcnemar,
    paired_items,
)
from analysis.errors import InputError
from analysis.labels.sets import original
from analysis.many_runs import benjamini_hochberg, compare_all, holm
from tests.published import labelled, labels_of, published, ranks

# ---- small cases by hand


def test_two_by_two_and_both_differences():
    truth = labels_of(0, 0, 0, 1, 1)
    a, b = ranks([0, 0, 1, 1, 0]), ranks([0, 1, 0, 0, 0])
    found = compare(a, b, original(truth), truth, names=("A", "B"))
    assert (found.a, found.b, found.labels, found.n) == ("A", "B", "original", 5)
    assert (found.both_right, found.only_a_wrong, found.only_b_wrong, found.both_wrong) == (1, 1, 2, 1)
    assert found.difference_micro.value == pytest.approx(1 / 5)
    assert found.difference_class_mean.value == pytest.approx((0 + 1 / 2) / 2)
    assert found.mcnemar_chi2 == pytest.approx(1 / 3)
    assert found.p_exact == 1.0
    assert found.agreement == 2 / 5
    assert (found.oracle, found.oracle_gain) == (4 / 5, pytest.approx(1 / 5))
    assert found.decidable
    assert found.n_unjudged_a is None


def test_the_json_has_every_key():
    truth = labels_of(0, 1)
    found = json.loads(
        json.dumps(compare(ranks([0, 0]), ranks([1, 1]), original(truth), truth).to_dict(), allow_nan=False)
    )
    wanted = "a b labels n both_right only_a_wrong only_b_wrong both_wrong mcnemar_chi2 p_value p_exact decidable"
    assert set(wanted.split()) <= set(found)
    for name in ("difference_micro", "difference_class_mean"):
        assert {"value", "low", "high"} <= set(found[name])


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_equals_scipy(b, c):
    found, p, exact = mcnemar(b, c)
    if b + c == 0:
        assert (found, p, exact) == (0.0, 1.0, 1.0)
        return
    assert found == pytest.approx((b - c) ** 2 / (b + c))
    assert p == pytest.approx(chi2.sf(found, 1))
    assert (exact is None) == (b + c >= 25)
    if exact is not None:
        assert exact == pytest.approx(binomtest(b, b + c, 0.5).pvalue)


def test_no_mistakes_at_all():
    truth = labels_of(0, 1, 0, 1)
    found = compare(ranks(truth), ranks(truth), original(truth), truth)
    assert (found.both_right, found.mcnemar_chi2, found.p_value, found.p_exact) == (4, 0.0, 1.0, 1.0)
    assert found.difference_micro.value == found.difference_micro.low == found.difference_micro.high == 0.0
    assert found.decidable
    assert found.oracle_gain == 0.0


def test_one_image_shows_no_variance():
    truth = labels_of(0)
    found = compare(ranks([0]), ranks([1]), original(truth), truth)
    assert (found.n, found.difference_micro.value, found.difference_micro.low) == (1, 1.0, None)


def test_runs_over_different_subsets_meet_on_common_items_and_the_others_are_counted():
    truth = labels_of(0, 0, 0, 0, 0)
    a, b = ranks([0, 0, 1, 0], items=[0, 1, 2, 3]), ranks([0, 1, -1, 0], items=[1, 2, 3, 4])
    found = compare(a, b, original(truth), truth)
    # Item 3 is covered by B, but without a prediction.
    assert (found.n, found.both_right, found.both_wrong) == (2, 1, 1)
    assert (found.n_only_a, found.n_only_b) == (2, 1)


def test_nothing_in_common():
    truth = labels_of(0, 0)
    for labels in (original(truth), labelled(items=0), labelled(items=0, absent="unjudged")):
        found = compare(ranks([0], items=[0]), ranks([0], items=[1]), labels, truth)
        assert (found.n, found.p_value, found.difference_micro.value, found.agreement) == (0, None, None, None)
        assert not found.decidable
        assert json.dumps(found.to_dict(), allow_nan=False)


def test_label_set_for_other_items_scores_nothing():
    truth = labels_of(0, 0)
    other = labelled((7, 0, "valid"), items=8)
    assert compare(ranks([0, 0]), ranks([0, 1]), other, truth).n == 0


def test_unjudged_predictions_decide_or_do_not():
    valid = [(item, 0, "valid") for item in range(4)]
    opened = labelled(*valid, items=4, absent="unjudged")
    truth = labels_of(0, 0, 0, 0)
    a = ranks([0, 0, 0, 5])
    found = compare(a, ranks([0, 6, 7, 5]), opened, truth)
    # Both predict 5 on item 3: whatever it is, it moves neither above the other.
    assert (found.n_unjudged_a, found.n_unjudged_b) == (1, 3)
    micro = found.difference_micro
    assert (micro.value, micro.bound_low, micro.bound_high) == (0.5, 0.0, 0.5)
    assert not found.decidable
    judged = labelled(*valid, (1, 6, "rejected"), items=4, absent="unjudged")
    sure = compare(a, ranks([0, 6, 7, 5]), judged, truth)
    assert (sure.difference_micro.bound_low, sure.decidable) == (0.25, True)


def test_items_behind_a_comparison_and_the_queue_that_could_change_it():
    truth = labels_of(0, 0, 0, 0, -1)
    opened = labelled(*[(item, 0, "valid") for item in range(5)], items=5, absent="unjudged")
    frame = paired_items(ranks([0, 0, 1, 1, 0]), ranks([0, 2, 0, 1, 3]), opened, truth)
    assert dict(frame.schema) == PAIRED_SCHEMA
    assert frame["cell"].to_list() == ["both_right", "only_b_wrong", "only_a_wrong", "both_wrong", "only_b_wrong"]
    assert frame["target"].to_list() == [0, 0, 0, 0, None]
    assert could_change_the_verdict(frame)["item"].to_list() == [1, 2, 4]


def test_flips_by_group():
    truth = labels_of(0, 0, 1, 1)
    frame = paired_items(ranks([0, 1, 1, 0]), ranks([1, 0, 0, 0]), original(truth), truth)
    groups = pl.DataFrame({"item": [0, 1, 2, 2, 3, 9], "group": ["x", "x", "x", "y", "z", "y"]})
    found = flips(frame, groups)
    assert dict(found.schema) == FLIPS_SCHEMA
    assert found.select("group", "n", "only_a_wrong", "only_b_wrong").rows() == [
        ("x", 3, 1, 2),
        ("y", 1, 0, 1),
        ("z", 1, 0, 0),
    ]
    assert found["difference"].to_list() == pytest.approx([1 / 3, 1, 0])
    assert found["low"].to_list()[1:] == [None, None]


def test_two_together_can_be_better_than_either():
    truth = labels_of(0, 1)
    a, b = np.array([[3.0, 0, 0], [2.0, 1.5, 0]]), np.array([[1.0, 1.5, 0], [0.0, 3.0, 0]])
    runs = (ranks(a.argmax(axis=1)), ranks(b.argmax(axis=1)))
    assert compare(*runs, original(truth), truth, scores=(a, b)).ensemble_gain == 0.5
    assert compare(*runs, original(truth), truth).ensemble_gain is None
    with pytest.raises(InputError, match="3 and 2 classes"):
        compare(*runs, original(truth), truth, scores=(a, b[:, :2]))


# ---- two label sets


def test_label_sets_disagree_only_when_both_intervals_exclude_zero_with_opposite_signs():
    n = 200
    a, b = ranks([0] * n), ranks([1] * n)
    truth = labels_of(*([0] * n))
    first = labelled(*[(i, int(i >= 150), "valid") for i in range(n)], items=n, name="first")
    second = labelled(*[(i, int(i >= 50), "valid") for i in range(n)], items=n, name="second")
    third = labelled(*[(i, int(i >= 98), "valid") for i in range(n)], items=n, name="third")
    found = contrast_label_sets(a, b, first, second, truth)
    assert found.disagree
    assert (found.first.value, found.second.value, found.difference.value) == (0.5, -0.5, 1.0)
    mild = contrast_label_sets(a, b, first, third, truth)
    assert mild.first.excludes_zero
    assert mild.second.sign == -1
    assert not mild.disagree
    assert mild.p_value < 0.001
    same = contrast_label_sets(a, b, first, first, truth)
    assert (same.difference.value, same.p_value, same.disagree) == (0.0, None, False)


def test_the_difference_of_differences_is_paired_on_the_items_of_both():
    truth = labels_of(0, 0, 1, 1)
    a, b = ranks([0, 0, 1, 0]), ranks([0, 1, 0, 1])
    wider = labelled((0, 0, "valid"), (1, 0, "valid"), (1, 1, "valid"), (2, 1, "valid"), items=3)
    found = contrast_label_sets(a, b, original(truth), wider, truth)
    assert found.n == 3
    assert (found.first.value, found.second.value) == pytest.approx((2 / 3, 1 / 3))
    assert found.difference.value == pytest.approx(1 / 3)
    mean = contrast_label_sets(a, b, original(truth), wider, truth, class_mean=True)
    assert mean.first.value == pytest.approx((1 / 2 + 1) / 2)


# ---- every pair


@st.composite
def runs_and_labels(draw):
    n, n_runs = draw(st.integers(1, 12)), draw(st.integers(2, 4))
    truth = draw(st.lists(st.integers(-1, 2), min_size=n, max_size=n))
    rows = st.lists(st.integers(0, 3), min_size=n, max_size=n)
    runs = {f"run {i}": ranks(draw(rows)) for i in range(n_runs)}
    said = draw(
        st.dictionaries(
            st.tuples(st.integers(0, n - 1), st.integers(0, 3)), st.sampled_from(["valid", "unclear", "rejected"])
        )
    )
    absent = draw(st.sampled_from(["wrong", "unjudged"]))
    return runs, labelled(*((i, c, s) for (i, c), s in said.items()), items=n, absent=absent), labels_of(*truth)


@settings(deadline=None)  # a shared machine may pause at any example
@given(runs_and_labels())
def test_every_pair_is_what_comparing_the_two_gives(case):
    runs, labels, truth = case
    frame = compare_all(runs, labels, truth)
    assert frame.height == len(runs) * (len(runs) - 1) // 2
    for row in frame.iter_rows(named=True):
        one = compare(runs[row["a"]], runs[row["b"]], labels, truth)
        for name in ("n", "both_right", "only_a_wrong", "only_b_wrong", "both_wrong", "decidable"):
            assert row[name] == getattr(one, name), name
        if not one.n:
            assert row["micro"] is None
            continue
        for name in ("mcnemar_chi2", "p_value", "p_exact", "agreement"):
            assert row[name] == pytest.approx(getattr(one, name)), name
        for column, difference in (("micro", one.difference_micro), ("class_mean", one.difference_class_mean)):
            for suffix, number in (
                ("", "value"),
                ("_low", "low"),
                ("_high", "high"),
                ("_bound_low", "bound_low"),
                ("_bound_high", "bound_high"),
            ):
                expected = getattr(difference, number)
                assert row[column + suffix] == (None if expected is None else pytest.approx(expected, abs=1e-6)), (
                    column + suffix
                )


@settings(deadline=None)  # a shared machine may pause at any example
@given(runs_and_labels())
def test_bounds_hold_whatever_the_unjudged_turn_out_to_be(case):
    runs, labels, truth = case
    (a, b), rng = list(runs.values())[:2], np.random.default_rng(0)
    found = compare(a, b, labels, truth)
    if labels.absent == "wrong" or not found.n:
        return
    for _ in range(5):
        judged = {(i, c): bool(rng.integers(2)) for i in range(len(truth)) for c in range(4)}

        def right(run, judged=judged):
            states = labels.states(run.items, run.top1)
            return [
                (state in (1, 2)) or (state == 0 and judged[i, c])
                for i, c, state in zip(run.items.tolist(), run.top1.tolist(), states.tolist(), strict=True)
                if labels.scored(np.array([i]))[0]
            ]

        difference = np.mean(right(a)) - np.mean(right(b))
        assert found.difference_micro.bound_low - 1e-9 <= difference <= found.difference_micro.bound_high + 1e-9


def test_corrections_by_hand():
    p = np.array([0.01, 0.04, 0.03, 0.005])
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert holm(np.zeros(0)).tolist() == benjamini_hochberg(np.zeros(0)).tolist() == []


def test_no_pair_of_one_run():
    truth = labels_of(0)
    assert compare_all({"a": ranks([0])}, original(truth), truth).is_empty()
    assert compare_all({}, original(truth), truth).is_empty()


# ---- published

TABLES = {
    ("vgg16_pytorch", "original"): (32898, 2434, 4633, 10035, 684.25),
    ("vgg16_pytorch", "real"): (34463, 2056, 3935, 6383, 589.32),
    ("vgg16_pytorch", "expert"): (14084, 796, 1638, 2174, 291.28),
    ("resnet50_keras", "original"): (32717, 2458, 4814, 10011, 763.30),
    ("resnet50_keras", "real"): (34112, 2004, 4286, 6435, 827.91),
}


@pytest.mark.shared_data
@pytest.mark.parametrize(("other", "labels"), TABLES)
def test_published_comparisons_with_resnet50_pytorch(shared_data, other, labels):
    data = published(shared_data)
    found = compare(data.runs["resnet50_pytorch"], data.runs[other], data.labels[labels], data.truth)
    table = (found.both_right, found.only_a_wrong, found.only_b_wrong, found.both_wrong)
    assert (*table, round(found.mcnemar_chi2, 2)) == TABLES[other, labels]
    assert found.p_exact is None
    assert found.p_value < 1e-50
    assert found.difference_micro.excludes_zero
    assert found.difference_class_mean.excludes_zero


@pytest.mark.shared_data
def test_published_differences(shared_data):
    data = published(shared_data)
    pair = data.runs["resnet50_pytorch"], data.runs["vgg16_pytorch"]
    by_original, by_expert = (compare(*pair, data.labels[name], data.truth) for name in ("original", "expert"))
    assert round(100 * by_original.difference_micro.value, 1) == 4.4
    assert round(100 * by_expert.difference_micro.value, 1) == 4.5
    assert round(100 * by_expert.difference_class_mean.value, 1) == 4.4
    assert by_original.decidable
    assert by_expert.decidable
    contrast = contrast_label_sets(*pair, data.labels["original"], data.labels["expert"], data.truth)
    assert contrast.n == 18_692
    assert not contrast.disagree


@pytest.mark.shared_data
def test_an_order_that_hangs_on_the_unjudged(shared_data):
    data = published(shared_data)
    keras, vgg16 = data.runs["resnet50_keras"], data.runs["vgg16_torchvision"]
    found = compare(keras, vgg16, data.labels["expert"], data.truth)
    assert found.difference_micro.high < 0
    assert (found.n_unjudged_a, found.n_unjudged_b) == (1022, 62)
    assert not found.decidable
    queue = could_change_the_verdict(paired_items(keras, vgg16, data.labels["expert"], data.truth))
    assert 0 < queue.height <= 1022 + 62


@pytest.mark.shared_data
def test_every_pair_of_the_published_runs(shared_data):
    data = published(shared_data)
    frame = compare_all(data.runs, data.labels["real"], data.truth)
    (row,) = frame.filter(a="resnet50_pytorch", b="vgg16_pytorch").to_dicts()
    assert (row["both_right"], row["only_a_wrong"], row["only_b_wrong"], row["both_wrong"]) == (
        34463,
        2056,
        3935,
        6383,
    )
    assert frame.height == 28
    assert (frame["p_holm"] >= frame["p_bh"]).all()
    assert (frame["p_bh"] >= frame["p_value"]).all()


# ---- the flip table, and some items only


def test_the_flip_table_says_what_the_label_set_says():
    said = [(item, 0, "valid") for item in range(6)]
    opened = labelled(*said, (1, 1, "unclear"), (2, 1, "rejected"), items=6, absent="unjudged")
    truth = labels_of(0, 0, 0, 0, 0, 0)
    a, b = ranks([0, 1, 1, 7, 0, 0]), ranks([0, 0, 0, 0, 7, 0])
    paired = paired_items(a, b, opened, truth)
    assert paired["verdict_a"].to_list() == ["right", "unclear", "wrong", "unjudged", "right", "right"]
    table = flip_table(paired)
    assert dict(table.schema) == TABLE_SCHEMA
    assert {(x, y): n for x, y, n, _ in table.iter_rows()} == {
        ("right", "right"): 2,
        ("right", "unjudged"): 1,
        ("unclear", "right"): 1,
        ("unjudged", "right"): 1,
        ("wrong", "right"): 1,
    }
    assert table["share"].sum() == pytest.approx(1)


def test_a_closed_set_knows_right_and_wrong_only_and_no_items_make_no_table():
    truth = labels_of(0, 1)
    paired = paired_items(ranks([0, 0]), ranks([1, 1]), original(truth), truth)
    assert flip_table(paired).select("verdict_a", "verdict_b").rows() == [("right", "wrong"), ("wrong", "right")]
    assert flip_table(paired.clear()).height == 0


@given(st.integers(0, 2**32 - 1))
def test_the_flip_table_sums_to_the_two_by_two(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    said = [
        (int(item), int(kind), str(rng.choice(["valid", "unclear", "rejected"])))
        for item in range(n)
        for kind in range(3)
        if rng.random() < 0.6
    ]
    labels = labelled(*said, items=n, absent=str(rng.choice(["unjudged", "wrong"])))
    truth = rng.integers(0, 4, n).astype(np.int32)
    a, b = ranks(rng.integers(0, 4, n)), ranks(rng.integers(0, 4, n))
    found = compare(a, b, labels, truth)
    cells = {(x, y): count for x, y, count, _ in flip_table(paired_items(a, b, labels, truth)).iter_rows()}
    good = ("right", "unclear")

    def total(a_right, b_right):
        return sum(count for (x, y), count in cells.items() if (x in good, y in good) == (a_right, b_right))

    assert total(True, True) == found.both_right
    assert total(False, True) == found.only_a_wrong
    assert total(True, False) == found.only_b_wrong
    assert total(False, False) == found.both_wrong
    unjudged = [sum(count for cell, count in cells.items() if cell[place] == "unjudged") for place in (0, 1)]
    assert unjudged == [found.n_unjudged_a or 0, found.n_unjudged_b or 0]


def test_within_some_items_is_the_comparison_of_runs_that_have_no_others():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 60).astype(np.int32)
    one, other = rng.integers(0, 3, 50), rng.integers(0, 3, 50)
    a, b = ranks(one, items=range(50)), ranks(other, items=range(10, 60))
    within = np.array([*range(0, 60, 3)], np.uint32)
    kept_a, kept_b = [i for i in within if i < 50], [i for i in within if i >= 10]
    alone = ranks(one[kept_a], items=kept_a), ranks(other[np.array(kept_b) - 10], items=kept_b)
    found = compare(a, b, original(truth), truth, within=within)
    assert found == compare(*alone, original(truth), truth)
    assert (found.n_only_a, found.n_only_b) == (4, 3)
    assert paired_items(a, b, original(truth), truth, within=within)["item"].to_list() == [i for i in kept_a if i >= 10]
    none = compare(a, b, original(truth), truth, within=np.zeros(0, np.uint32))
    assert (none.n, none.p_value) == (0, None)
    contrast = contrast_label_sets(
        a, b, original(truth), labelled(*((i, 0, "valid") for i in range(60)), items=60), truth, within=within
    )
    assert contrast.n == found.n


def test_the_flips_of_a_group_are_its_items_that_one_run_has_wrong():
    truth = labels_of(0, 0, 0, 1)
    paired = paired_items(ranks([0, 1, 1, 0]), ranks([0, 0, 1, 1]), original(truth), truth)
    groups = pl.DataFrame(
        {"item": [0, 1, 2, 3, 1], "group": ["x", "x", "x", "y", "y"]}, schema_overrides={"item": pl.UInt32}
    )
    assert flipped(paired, groups, "x") == [1]
    assert flipped(paired, groups, "y") == [1, 3]
    assert flipped(paired, groups, "z") == []
