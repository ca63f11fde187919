import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import InputError
from analysis.estimates import Groups, estimate, single
from analysis.labels.sets import original
from analysis.metrics import (
    accuracy,
    accuracy_values,
    class_mean_accuracy,
    common_items,
    judge,
    on_items,
    top_k_accuracy,
    valid_classes,
    variable_top_k,
)
from tests.published import labelled, labels_of, published, ranks

# ---- small cases by hand


def test_top_k_leaves_out_items_without_label_or_rank():
    predictions = ranks([[0, 1], [1, 0], [2, -1], [0, 1], [2, 0]], items=[0, 1, 2, 4, 5])
    # Item 3 has no prediction at all, item 4 no label, item 2 one rank only.
    truth = labels_of(0, 0, 1, 0, -1, 1)
    top1, top2 = (top_k_accuracy(predictions, truth, k) for k in (1, 2))
    assert (top1.value, top1.n, top1.n_left_out) == (1 / 4, 4, 1)
    assert (top2.value, top2.n, top2.n_left_out) == (2 / 3, 3, 2)


def test_micro_and_class_mean_are_two_metrics():
    truth = labels_of(0, 0, 0, 1)
    predictions = ranks([0, 0, 1, 1])
    micro = accuracy(predictions, original(truth))
    mean = class_mean_accuracy(predictions, original(truth), truth)
    assert micro.value == 3 / 4
    assert mean.value == pytest.approx((2 / 3 + 1) / 2)
    assert (mean.n, mean.n_classes, mean.n_single) == (4, 2, 1)
    # Only class 0 shows a variance: 1/4 * (2/3 * 1/3) / 2.
    half = 1.959964 * np.sqrt((2 / 9) / 2) / 2
    assert (mean.low, mean.high) == pytest.approx((5 / 6 - half, 1.0))


def test_classes_of_the_class_mean_are_those_of_the_original_label():
    truth = labels_of(0, 1, 1, -1)
    labels = labelled((0, 5, "valid"), (1, 5, "valid"), (2, 4, "valid"), (3, 5, "valid"), items=4)
    predictions = ranks([5, 5, 5, 5])
    assert accuracy(predictions, labels).value == 3 / 4
    mean = class_mean_accuracy(predictions, labels, truth)
    assert mean.value == pytest.approx((1 + 1 / 2) / 2)
    assert (mean.n, mean.n_left_out) == (3, 1)


def test_the_rule_for_unclear_classes():
    labels = labelled((0, 1, "unclear"), (1, 1, "valid"), (2, 0, "valid"), (2, 1, "rejected"), items=3)
    predictions = ranks([1, 1, 1])
    assert accuracy(predictions, labels).value == 2 / 3
    strict = accuracy(predictions, labels, unclear="strict")
    assert (strict.value, strict.n) == (1 / 3, 3)


def test_an_open_set_gives_unjudged_counts_and_bounds():
    triples = [(item, 0, "valid") for item in range(5)] + [(1, 1, "rejected"), (4, 9, "valid")]
    # Right, judged wrong, two not judged, and one absent from an item that was judged in full.
    predictions, truth = ranks([0, 1, 2, 2, 2]), labels_of(0, 0, 0, 1, 1)
    labels = labelled(*triples, items=5, absent="unjudged", exhaustive={4})
    micro = accuracy(predictions, labels)
    assert (micro.value, micro.n, micro.n_unjudged) == (1 / 5, 5, 2)
    assert (micro.bound_low, micro.bound_high) == (1 / 5, 3 / 5)
    mean = class_mean_accuracy(predictions, labels, truth)
    assert mean.n_unjudged == 2
    assert (mean.bound_low, mean.bound_high) == pytest.approx((1 / 6, (2 / 3 + 1 / 2) / 2))
    closed = accuracy(predictions, labelled(*triples, items=5))
    assert (closed.n_unjudged, closed.bound_low, closed.bound_high) == (None, None, None)


def test_an_item_without_a_prediction_is_left_out():
    truth = labels_of(0, 1)
    micro = accuracy(ranks([[-1, -1], [1, 0]]), original(truth))
    assert (micro.value, micro.n, micro.n_left_out) == (1.0, 1, 1)


def test_predictions_for_items_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match=r"item 7, but only 2 items"):
        top_k_accuracy(ranks([0], items=[7]), labels_of(0, 1), 1)


# ---- the same as a plain loop

STATES = ["valid", "unclear", "rejected"]


@st.composite
def cases(draw):
    n, n_classes = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    classes = st.integers(0, n_classes - 1)
    truth = draw(st.lists(st.integers(-1, n_classes - 1), min_size=n, max_size=n))
    items = sorted(draw(st.sets(st.integers(0, n - 1))))
    top1 = draw(st.lists(st.integers(-1, n_classes - 1), min_size=len(items), max_size=len(items)))
    said = draw(st.dictionaries(st.tuples(st.integers(0, n - 1), classes), st.sampled_from(STATES)))
    exhaustive = draw(st.sets(st.integers(0, n - 1)))
    return truth, items, top1, said, exhaustive


@settings(deadline=None)  # a shared machine may pause at any example
@given(cases(), st.sampled_from(["wrong", "unjudged"]), st.sampled_from(["lenient", "strict"]))
def test_accuracies_equal_a_plain_loop(case, absent, unclear):
    truth, items, top1, said, exhaustive = case
    labels = labelled(
        *((item, class_, state) for (item, class_), state in said.items()),
        items=len(truth),
        absent=absent,
        exhaustive=exhaustive,
    )
    accepted = {"valid", "unclear"} if unclear == "lenient" else {"valid"}
    right, unjudged, by_class = [], [], {}
    for item, predicted in zip(items, top1, strict=True):
        has_label = any(i == item and state != "rejected" for (i, _), state in said.items())
        if not has_label or predicted < 0:
            continue
        right.append(said.get((item, predicted)) in accepted)
        unjudged.append(absent == "unjudged" and (item, predicted) not in said and item not in exhaustive)
        if truth[item] >= 0:
            by_class.setdefault(truth[item], []).append(right[-1])
    predictions = ranks(np.array(top1, np.int32), items)
    micro = accuracy(predictions, labels, unclear=unclear)
    assert (micro.n, micro.n_left_out) == (len(right), len(items) - len(right))
    assert micro.value == (sum(right) / len(right) if right else None)
    if absent == "unjudged":
        assert micro.n_unjudged == sum(unjudged)
        assert micro.bound_high == ((sum(right) + sum(unjudged)) / len(right) if right else None)
    mean = class_mean_accuracy(predictions, labels, np.array(truth, np.int32), unclear=unclear)
    assert mean.n == sum(map(len, by_class.values()))
    if not by_class:
        assert mean.value is None
        return
    assert mean.value == pytest.approx(np.mean([np.mean(hits) for hits in by_class.values()]))
    assert mean.n_single == sum(len(hits) == 1 for hits in by_class.values())
    variance = sum(np.var(hits) / (len(hits) - 1) for hits in by_class.values() if len(hits) > 1) / len(by_class) ** 2
    if mean.n_single < len(by_class):
        half = 1.959963984540054 * np.sqrt(variance)
        assert (mean.low, mean.high) == pytest.approx((max(0, mean.value - half), min(1, mean.value + half)))
    else:
        assert mean.low is None


# ---- variable top-k


def overlap_by_loop(row, valid):
    best = list(row[: len(valid)])
    return sum(c in best for c in valid) / len(valid)


@settings(deadline=None)  # a shared machine may pause at any example
@given(
    st.integers(1, 5).flatmap(
        lambda k: st.lists(st.permutations(range(6)).map(lambda p: p[:k]), min_size=1, max_size=10)
    ),
    st.dictionaries(st.tuples(st.integers(0, 9), st.integers(0, 5)), st.sampled_from(STATES)),
    st.sampled_from(["wrong", "unjudged"]),
    st.booleans(),
)
def test_variable_top_k_equals_a_plain_loop(rows, said, absent, shifted):
    triples = [(item, class_, state) for (item, class_), state in said.items()]
    labels = labelled(*triples, items=12, absent=absent)
    # Item numbers that are not the rows take another way.
    predictions = ranks(rows, items=np.arange(len(rows)) + 2 * shifted)
    found = variable_top_k(predictions, valid_classes(labels))
    stored, beyond = len(rows[0]), 0
    for place, (item, row) in enumerate(zip(predictions.items, rows, strict=True)):
        valid = [c for (i, c), state in said.items() if i == item and state != "rejected"]
        assert found.k[place] == len(valid)
        beyond += len(valid) > stored
        if 0 < len(valid) <= stored:
            assert found.counted[place]
            assert found.overlap[place] == pytest.approx(overlap_by_loop(row, valid))
            assert found.values(exact=True).values[place] == (set(row[: len(valid)]) == set(valid))
            if absent == "unjudged":
                assert found.unjudged[place] == any((item, c) not in said for c in row[: len(valid)])
        else:
            assert not found.counted[place]
    assert found.n_beyond == beyond


def test_variable_top_k_leaves_out_items_with_more_labels_than_ranks():
    seven = [(0, c, "valid") for c in range(7)]
    labels = labelled(*seven, (1, 0, "valid"), (1, 3, "valid"), (2, 9, "valid"), items=3)
    found = variable_top_k(ranks([[0, 1, 2, 3, 4], [3, 1, 0, 2, 4], [9, 1, 2, 3, 4]]), valid_classes(labels))
    assert found.n_beyond == 1
    overlap, exact, mean = (
        single(of, 0.95) for of in (found.values(False), found.values(True), found.subgroup_mean(False))
    )
    assert (overlap.value, overlap.n, overlap.n_left_out) == (0.75, 2, 1)
    assert exact.value == 0.5
    assert (mean.value, mean.n_classes, mean.n_single) == (0.75, 2, 2)
    assert mean.low is None  # one item in each subgroup shows no variance


def test_an_item_with_unclear_classes_only_has_no_k_if_strict():
    labels = labelled((0, 1, "unclear"), (0, 2, "rejected"), items=1)
    assert valid_classes(labels).by_k[1][1].tolist() == [[1]]
    assert valid_classes(labels, unclear="strict").by_k == {}


def test_seven_of_a_top_five():
    found = top_k_accuracy(ranks([[0, 1, 2, 3, 4]] * 3), labels_of(0, 1, 2), 7)
    assert (found.value, found.n, found.n_left_out) == (None, 0, 3)


# ---- groups, copies, common items


def test_items_may_be_in_several_groups():
    truth = labels_of(0, 0, 1, 1)
    frame = pl.DataFrame({"item": [0, 1, 1, 2, 9], "group": ["a", "a", "b", None, "b"]})
    groups = Groups.from_frame(frame)
    predictions = ranks([0, 1, 1, 0])
    labels = original(truth)
    found = estimate(
        accuracy_values(judge(predictions, labels), labels),
        members=(*groups.rows(predictions.items), len(groups.names)),
    )
    assert groups.names == ["a", "b"]
    assert found.value.tolist() == [0.5, 0.0]
    assert found.n.tolist() == [2, 1]


def test_copies_widen_the_interval_as_much_as_they_repeat():
    rng = np.random.default_rng(5)
    once = rng.random(400) < 0.7
    right = np.repeat(once, 4)  # four copies of each picture
    truth = np.zeros(len(right), np.int32)
    predictions, labels = ranks(np.where(right, 0, 1)), original(truth)
    values = accuracy_values(judge(predictions, labels), labels)
    alone = estimate(values)
    together = estimate(values, copies=np.repeat(np.arange(400), 4), seed=1)
    assert (together.high - together.low)[0] == pytest.approx(2 * (alone.high - alone.low)[0], rel=0.1)
    again = estimate(values, copies=np.repeat(np.arange(400), 4), seed=1)
    assert (again.low, again.high) == (together.low, together.high)


def test_common_items_have_a_prediction_of_every_run():
    runs = {"a": ranks([0, 1, -1, 3]), "b": ranks([1, 1, 1], items=[1, 2, 3])}
    assert common_items(runs).tolist() == [1, 3]
    assert on_items(runs["b"], common_items(runs)).items.tolist() == [1, 3]
    assert common_items({}).tolist() == []


# ---- the published numbers, in per cent

OVERLAP = {
    "resnet50_pytorch": (80.103, 75.836),
    "vgg16_pytorch": (76.325, 72.116),
    "alexnet_pytorch": (59.633, 56.250),
    "nasnetlarge_keras": (83.982, 79.597),
    "vgg16_torchvision": (77.392, 73.219),
}


@pytest.mark.shared_data
@pytest.mark.parametrize("name", OVERLAP)
def test_published_variable_top_k(shared_data, name):
    data = published(shared_data)
    found = variable_top_k(data.runs[name], valid_classes(data.labels["real"]))
    estimates = [single(found.values(exact), 0.95) for exact in (False, True)]
    assert tuple(round(100 * of.value, 3) for of in estimates) == OVERLAP[name]
    assert found.n_beyond == 144
    assert {of.n for of in estimates} == {46_837 - 144}


@pytest.mark.shared_data
def test_published_shares_on_the_expert_items(shared_data):
    data = published(shared_data)
    expert, run = data.labels["expert"], data.runs["nasnetlarge_keras"]
    both = judge(run, data.labels["original"]), judge(run, expert)
    scored = both[1].scored
    wrong = scored & ~both[0].right
    assert [round(100 * one.right[scored].mean(), 1) for one in both] == [83.9, 89.7]
    assert wrong.sum() == 3005
    assert round(100 * both[1].right[wrong].mean(), 1) == 35.7
