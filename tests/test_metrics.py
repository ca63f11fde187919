from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k
from analysis.labels.readers import read_label_set
from analysis.labels.real import real_label_set
from analysis.labels.sets import LabelSet, label_set, original
from analysis.metrics import (
    REPORT_SCHEMA,
    accuracy,
    class_mean_accuracy,
    class_mean_interval,
    report,
    top_k_accuracy,
    wilson,
)
from analysis.models.predictions import Predictions, read_predictions


def run(classes, items=None) -> Predictions:
    found = np.asarray(classes, np.int32)
    found = found[:, None] if found.ndim == 1 else found
    numbers = np.arange(len(found)) if items is None else np.asarray(items)
    return Predictions(numbers.astype(np.uint32), found, None, "ranks", None)


def labelled(*triples, items: int, absent="wrong", exhaustive=()) -> LabelSet:
    rows = pl.DataFrame(triples, schema={"item": pl.UInt32, "class": pl.UInt32, "state": pl.String}, orient="row")
    known = pl.DataFrame({"item": range(items), "exhaustive": [item in exhaustive for item in range(items)]})
    return label_set("x", rows, known, absent=absent)


def labels_of(*classes: int) -> np.ndarray:
    return np.array(classes, np.int32)


# ---- small cases by hand


def test_top_k_leaves_out_items_without_label_or_rank():
    predictions = run([[0, 1], [1, 0], [2, -1], [0, 1], [2, 0]], items=[0, 1, 2, 4, 5])
    # Item 3 has no prediction at all, item 4 no label, item 2 one rank only.
    truth = labels_of(0, 0, 1, 0, -1, 1)
    top1, top2 = (top_k_accuracy(predictions, truth, k) for k in (1, 2))
    assert top1 is not None
    assert top2 is not None
    assert (top1.value, top1.n, top1.n_left_out) == (1 / 4, 4, 1)
    assert (top2.value, top2.n, top2.n_left_out) == (2 / 3, 3, 2)
    assert top_k_accuracy(predictions, truth, 3) is None


def test_micro_and_class_mean_are_two_metrics():
    truth = labels_of(0, 0, 0, 1)
    predictions = run([0, 0, 1, 1])
    micro = accuracy(predictions, original(truth))
    mean = class_mean_accuracy(predictions, original(truth), truth, n_classes=3)
    assert micro.value == 3 / 4
    assert mean.value == pytest.approx((2 / 3 + 1) / 2)
    assert (mean.n, mean.n_classes, mean.n_single) == (4, 2, 1)
    # Only class 0 shows a variance: 1/4 * (2/3 * 1/3) / 2.
    half = 1.959964 * np.sqrt((2 / 9) / 2) / 2
    assert (mean.low, mean.high) == pytest.approx((5 / 6 - half, 1.0))


def test_classes_of_the_class_mean_are_those_of_the_original_label():
    truth = labels_of(0, 1, 1, -1)
    labels = labelled((0, 5, "valid"), (1, 5, "valid"), (2, 4, "valid"), (3, 5, "valid"), items=4)
    predictions = run([5, 5, 5, 5])
    assert accuracy(predictions, labels).value == 3 / 4
    mean = class_mean_accuracy(predictions, labels, truth, n_classes=6)
    assert mean.value == pytest.approx((1 + 1 / 2) / 2)
    assert (mean.n, mean.n_left_out) == (3, 1)


def test_the_rule_for_unclear_classes():
    labels = labelled((0, 1, "unclear"), (1, 1, "valid"), (2, 0, "valid"), (2, 1, "rejected"), items=3)
    predictions = run([1, 1, 1])
    assert accuracy(predictions, labels).value == 2 / 3
    strict = accuracy(predictions, labels, unclear="strict")
    assert (strict.value, strict.n) == (1 / 3, 3)


def test_an_open_set_gives_unjudged_counts_and_bounds():
    triples = [(item, 0, "valid") for item in range(5)] + [(1, 1, "rejected"), (4, 9, "valid")]
    # Right, judged wrong, two not judged, and one absent from an item that was judged in full.
    predictions, truth = run([0, 1, 2, 2, 2]), labels_of(0, 0, 0, 1, 1)
    labels = labelled(*triples, items=5, absent="unjudged", exhaustive={4})
    micro = accuracy(predictions, labels)
    assert (micro.value, micro.n, micro.n_unjudged) == (1 / 5, 5, 2)
    assert (micro.bound_low, micro.bound_high) == (1 / 5, 3 / 5)
    mean = class_mean_accuracy(predictions, labels, truth, n_classes=2)
    assert mean.n_unjudged == 2
    assert (mean.bound_low, mean.bound_high) == pytest.approx((1 / 6, (2 / 3 + 1 / 2) / 2))
    closed = accuracy(predictions, labelled(*triples, items=5))
    assert (closed.n_unjudged, closed.bound_low, closed.bound_high) == (None, None, None)


def test_one_image():
    truth = labels_of(2)
    rows = report({"a": run([[2, 0, 1, 3, 4]])}, [original(truth)], truth, n_classes=5).to_dicts()
    assert [row["value"] for row in rows] == [1.0] * 4
    # One image a class shows no variance between images: no interval rather than one of no width.
    assert [(row["low"], row["high"]) for row in rows if row["metric"] == "class_mean_accuracy"] == [(None, None)]


def test_all_wrong():
    truth = labels_of(0, 0, 1, 1)
    frame = report({"a": run([1, 1, 0, 0])}, [original(truth)], truth, n_classes=2)
    assert frame["value"].to_list() == [0.0] * 3
    assert frame["low"].to_list() == [0.0] * 3
    assert frame["high"].to_list() == pytest.approx([0.489891, 0.489891, 0.0], abs=1e-6)


def test_no_predictions_at_all():
    truth = labels_of(0, 1)
    frame = report({"a": run(np.empty((0, 5)))}, [original(truth)], truth, n_classes=2)
    assert frame["n"].to_list() == [0] * 4
    assert frame.select("value", "low", "high").null_count().row(0) == (4, 4, 4)


def test_an_empty_label_set():
    truth = labels_of(0, 1)
    for absent in ("wrong", "unjudged"):
        labels = labelled(items=0, absent=absent)
        frame = report({"a": run([0, 1])}, [labels], truth, n_classes=2).filter(labels="x")
        assert frame["n"].to_list() == [0, 0]
        assert frame["value"].to_list() == [None, None]
        assert frame["n_unjudged"].to_list() == [None if absent == "wrong" else 0] * 2
        assert frame["bound_high"].to_list() == [None, None]


def test_an_item_without_a_prediction_is_left_out():
    truth = labels_of(0, 1)
    micro = accuracy(run([[-1, -1], [1, 0]]), original(truth))
    assert (micro.value, micro.n, micro.n_left_out) == (1.0, 1, 1)


def test_predictions_for_items_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match=r"item 7, but only 2 items"):
        report({"a": run([0], items=[7])}, [], labels_of(0, 1), n_classes=2)


def test_the_report_has_its_columns_also_without_runs():
    frame = report({}, [], labels_of(), n_classes=2)
    assert dict(frame.schema) == REPORT_SCHEMA
    assert frame.is_empty()


def test_the_report_says_what_each_number_stands_on():
    truth = labels_of(0, 1, 2)
    runs = {"five": run([[0, 1, 2, 3, 4]] * 3), "two": run([[1, 2]], items=[2])}
    opened = labelled((0, 0, "valid"), (1, 1, "valid"), (1, 0, "rejected"), items=3, absent="unjudged")
    frame = report(runs, [original(truth), opened], truth, n_classes=5)
    keys = frame.select("run", "labels", "metric", "k", "group", "value", "n", "n_unjudged").rows()
    assert keys == [
        ("five", "original", "top1", 1, None, 1 / 3, 3, None),
        ("five", "original", "top5", 5, None, 1.0, 3, None),
        ("five", "original", "accuracy", None, None, 1 / 3, 3, None),
        ("five", "original", "class_mean_accuracy", None, None, pytest.approx(1 / 3), 3, None),
        ("five", "x", "accuracy", None, None, 1 / 2, 2, 0),
        ("five", "x", "class_mean_accuracy", None, None, 1 / 2, 2, 0),
        ("two", "original", "top1", 1, None, 0.0, 1, None),  # two ranks stored: no top5
        ("two", "original", "accuracy", None, None, 0.0, 1, None),
        ("two", "original", "class_mean_accuracy", None, None, 0.0, 1, None),
        ("two", "x", "accuracy", None, None, None, 0, 0),  # item 2 is not scored by that set
        ("two", "x", "class_mean_accuracy", None, None, None, 0, 0),
    ]


# ---- intervals


def test_wilson_against_known_values():
    # Newcombe (1998), table I: 81/263, 15/148, 0/20, 1/29 at 95 %.
    low, high = wilson([81, 15, 0, 1], [263, 148, 20, 29])
    assert low == pytest.approx([0.2553, 0.0624, 0.0, 0.0061], abs=5e-5)
    assert high == pytest.approx([0.3662, 0.1605, 0.1611, 0.1718], abs=5e-5)


@settings(deadline=None)  # a shared machine may pause at any example
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95]))
def test_wilson_equals_scipy(pair, confidence):
    hits, n = pair
    expected = binomtest(hits, n).proportion_ci(confidence, method="wilson")
    assert wilson(hits, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_of_nothing_is_nan():
    assert np.isnan(wilson(0, 0)).all()


def test_class_mean_interval_against_a_bootstrap():
    rng = np.random.default_rng(20)
    size = rng.integers(15, 60, 40)
    hits = rng.binomial(size, rng.uniform(0.3, 0.95, 40))
    value, low, high = class_mean_interval(hits, size)
    # Resampling the items of a class with replacement is drawing binomially from its own rate.
    means = (rng.binomial(size, hits / size, (20_000, 40)) / size).mean(axis=1)
    assert means.mean() == pytest.approx(value, abs=5e-4)
    # The bootstrap divides by n where the formula divides by n - 1: some 1.5 % narrower here.
    expected = np.quantile(means, [0.025, 0.975])
    assert high - low == pytest.approx(expected[1] - expected[0], rel=0.04)
    assert (low, high) == pytest.approx(tuple(expected), abs=0.002)


def test_class_mean_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    truth, size = rng.uniform(0.5, 0.95, 50), np.full(50, 20)
    covered = [low <= truth.mean() <= high for _, low, high in (
        class_mean_interval(rng.binomial(size, truth), size) for _ in range(2000)
    )]  # fmt: skip
    assert 0.93 < np.mean(covered) < 0.97


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
    return n_classes, truth, items, top1, said, exhaustive


@settings(deadline=None)  # a shared machine may pause at any example
@given(cases(), st.sampled_from(["wrong", "unjudged"]), st.sampled_from(["lenient", "strict"]))
def test_accuracies_equal_a_plain_loop(case, absent, unclear):
    n_classes, truth, items, top1, said, exhaustive = case
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
    predictions = run(np.array(top1, np.int32), items)
    micro = accuracy(predictions, labels, unclear=unclear)
    assert (micro.n, micro.n_left_out) == (len(right), len(items) - len(right))
    assert micro.value == (sum(right) / len(right) if right else None)
    if absent == "unjudged":
        assert micro.n_unjudged == sum(unjudged)
        assert micro.bound_high == ((sum(right) + sum(unjudged)) / len(right) if right else None)
    mean = class_mean_accuracy(predictions, labels, np.array(truth, np.int32), n_classes=n_classes, unclear=unclear)
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


# ---- the published numbers, in per cent: top-1, top-5, ReaL, MLA, micro under expert

PUBLISHED = {
    "resnet50_pytorch": (75.062, 92.476, 81.982, 83.850, 84.111),
    "vgg16_pytorch": (70.664, 89.926, 77.970, 79.404, 79.606),
    "alexnet_pytorch": (54.502, 77.644, 60.790, 61.684, 62.069),
    "nasnetlarge_keras": (80.826, 95.272, 86.090, 89.460, 89.664),
    "resnet50_keras": (70.350, 89.548, 77.110, 79.002, 79.269),
    # 14,692 of 18,692 are 78.60047 %; rounded to four digits first, that is printed as 78.601 elsewhere.
    "resnet18_torchvision": (69.758, 89.076, 77.285, 78.357, 78.600),
    "vgg16_torchvision": (71.592, 90.382, 79.040, 80.417, 80.585),
    "densenet161_torchvision": (77.138, 93.560, 83.701, 86.281, 86.449),
}
# Top-1 under the expert labels: mistakes, of them unjudged, micro accuracy in per cent with these wrong and right.
UNJUDGED = {
    "alexnet_pytorch": (7090, 2603, 62.1, 76.0),
    "resnet50_keras": (3875, 1022, 79.3, 84.7),
    "resnet50_pytorch": (2970, 310, 84.1, 85.8),
    "vgg16_torchvision": (3629, 62, 80.6, 80.9),
}
MLA = {"resnet18_torchvision": 78.3568, "vgg16_torchvision": 80.4173, "densenet161_torchvision": 86.2806}


@pytest.fixture(scope="module")
def published_report(shared_data: Path) -> pl.DataFrame:
    folder = shared_data / "imagenet-val"
    table = pl.read_csv(folder / "labels.csv")
    items = table.select(key="filename", label=pl.col("label").cast(pl.UInt32)).with_row_index("item")
    runs = {}
    for name in PUBLISHED:
        pair = [folder / "predictions" / f"{name}_imagenet_top5{part}.npy" for part in ("preds", "probs")]
        ranked = [folder / "predictions" / f"{name}_top5ranked.npy"]
        files = ranked if name.endswith("torchvision") else pair
        runs[name] = read_predictions(files, items, imagenet_1k(), order="imagefolder").predictions
    truth = items["label"].cast(pl.Int32).to_numpy()
    expert = read_label_set(folder / "multilabel_v3.csv", "expert", items, imagenet_1k())
    return report(runs, [original(truth), real_label_set(items), expert], truth, n_classes=1000)


def value(frame: pl.DataFrame, name: str, labels: str, metric: str) -> dict:
    (row,) = frame.filter(run=name, labels=labels, metric=metric).to_dicts()
    return row


@pytest.mark.shared_data
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_accuracies_to_the_printed_digits(published_report, name):
    wanted = [
        ("original", "top1", 50_000),
        ("original", "top5", 50_000),
        ("real", "accuracy", 46_837),
        ("expert", "class_mean_accuracy", 18_692),
        ("expert", "accuracy", 18_692),
    ]
    for (labels, metric, n), expected in zip(wanted, PUBLISHED[name], strict=True):
        row = value(published_report, name, labels, metric)
        assert round(100 * row["value"], 3) == expected, (labels, metric)
        assert row["n"] == n
        assert row["low"] < row["value"] < row["high"]
    top1 = value(published_report, name, "original", "top1")
    same = value(published_report, name, "original", "accuracy")
    assert [top1[column] for column in ("value", "low", "high", "n")] == [
        same[column] for column in ("value", "low", "high", "n")
    ]


@pytest.mark.shared_data
@pytest.mark.parametrize("name", MLA)
def test_published_mla_to_four_digits(published_report, name):
    assert round(100 * value(published_report, name, "expert", "class_mean_accuracy")["value"], 4) == MLA[name]


@pytest.mark.shared_data
@pytest.mark.parametrize("name", UNJUDGED)
def test_published_unjudged_counts_and_bounds(published_report, name):
    mistakes, unjudged, low, high = UNJUDGED[name]
    row = value(published_report, name, "expert", "accuracy")
    assert round(row["n"] * (1 - row["value"])) == mistakes
    assert row["n_unjudged"] == unjudged
    assert round(100 * row["bound_low"], 1) == low
    assert round(100 * row["bound_high"], 1) == high
    assert value(published_report, name, "real", "accuracy")["n_unjudged"] is None
