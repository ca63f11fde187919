"""Coefficients of agreement against published examples and another implementation; what enters them."""

from functools import partial
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.review import agreement
from tests.review.told import PANEL, told, undo, verdict

NAN = np.nan
# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): four observers, twelve units.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)
COUNTS = np.stack([(value == OBSERVERS).sum(axis=0) for value in range(1, 6)], axis=1)
# Fleiss' kappa, the worked example: fourteen raters, ten subjects, five categories.
FOURTEEN = np.array(
    [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]
)  # fmt: skip


def test_alpha_of_the_published_example() -> None:
    assert agreement.alpha(COUNTS) == pytest.approx(0.743, abs=5e-4)
    assert agreement.alpha(COUNTS, distances="ordinal") == pytest.approx(0.815, abs=5e-4)


def test_fleiss_kappa_of_the_published_example() -> None:
    assert agreement.fleiss_kappa(FOURTEEN) == pytest.approx(0.210, abs=5e-4)
    assert agreement.raw_agreement(FOURTEEN) == pytest.approx(0.378, abs=5e-4)
    with pytest.raises(ValueError, match="same number"):
        agreement.fleiss_kappa(COUNTS)


def test_cohen_kappa_of_the_published_example() -> None:
    """50 proposals, two readers: 20 both yes, 15 both no, 5 and 10 apart."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert agreement.cohen_kappa(first, second) == pytest.approx(0.4)
    assert np.isnan(agreement.cohen_kappa(["yes"], ["yes"]))
    with pytest.raises(ValueError, match="same units"):
        agreement.cohen_kappa(["yes"], ["yes", "no"])


def test_agreement_by_value_is_positive_and_negative_agreement() -> None:
    """Two readers and two values: 2a / (2a + b + c) and 2d / (2d + b + c)."""
    counts = np.repeat([[2, 0], [1, 1], [0, 2]], [80, 15, 5], axis=0)
    assert agreement.agreement_by_value(counts) == pytest.approx([160 / 175, 10 / 25])
    assert np.isnan(agreement.agreement_by_value([[2, 0]])[1])
    assert np.isnan(agreement.raw_agreement([[1, 0]]))
    assert np.isnan(agreement.alpha([[2, 0], [2, 0]]))


tables = st.tuples(st.integers(2, 12), st.integers(2, 5)).flatmap(
    lambda shape: arrays(int, shape, elements=st.integers(0, 4))
)


@given(tables, st.sampled_from(["nominal", "ordinal"]))
def test_alpha_is_that_of_the_other_implementation(counts: np.ndarray, level: Any) -> None:
    paired = counts[counts.sum(axis=1) >= 2]
    if (paired.sum(axis=0) > 0).sum() < 2:
        return
    expected = krippendorff.alpha(value_counts=counts, level_of_measurement=level)
    assert agreement.alpha(counts, distances=level) == pytest.approx(expected, abs=1e-9)


@given(tables, st.data())
def test_a_weight_is_as_many_units(counts: np.ndarray, data: st.DataObject) -> None:
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(counts), max_size=len(counts))))
    several = np.repeat(counts, weights, axis=0)
    for statistic in (agreement.alpha, agreement.raw_agreement, partial(agreement.alpha, distances="ordinal")):
        assert statistic(counts, weights) == pytest.approx(statistic(several), abs=1e-9, nan_ok=True)


# ---- sets


def test_distances_of_sets() -> None:
    a, b, c, none = frozenset({1, 2}), frozenset({1, 2, 3, 4}), frozenset({2, 3}), frozenset[int]()
    assert agreement.jaccard(a, b) == 0.5
    assert agreement.masi(a, b) == pytest.approx(1 - 2 / 3 * 1 / 2)
    assert agreement.masi(a, c) == pytest.approx(1 - 1 / 3 * 1 / 3)
    for distance in (agreement.masi, agreement.jaccard):
        assert distance(none, none) == 0
        assert distance(a, none) == distance(none, a) == 1
        assert distance(a, a) == 0
        assert distance(frozenset({1}), frozenset({2})) == 1
        assert distance(a, c) == distance(c, a)


sets = st.frozensets(st.integers(0, 3), max_size=3)


@pytest.mark.parametrize("distance", [agreement.masi, agreement.jaccard])
@given(units=st.lists(st.lists(sets, min_size=1, max_size=4), min_size=2, max_size=8))
def test_alpha_of_sets_is_that_of_the_other_implementation(distance: Any, units: list[list[frozenset[int]]]) -> None:
    counts, apart = agreement.set_counts(units, distance)
    if len({found for unit in units if len(unit) >= 2 for found in unit}) < 2:
        return

    def metric(v1: Any, v2: Any, i1: Any, i2: Any, n_v: Any, dtype: Any = float) -> Any:
        return apart[i1, i2]

    expected = krippendorff.alpha(value_counts=counts, level_of_measurement=metric)
    assert agreement.alpha(counts, distances=apart) == pytest.approx(expected, abs=1e-9)


# ---- intervals


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Two readers who are right 85 % of the time, independently: alpha of many units is the truth."""

    def drawn(rng: np.random.Generator, n: int) -> np.ndarray:
        truth = rng.integers(0, 2, n)
        said = np.where(rng.random((2, n)) < 0.85, truth, 1 - truth)
        return np.stack([(said == value).sum(axis=0) for value in (0, 1)], axis=1)

    rng = np.random.default_rng(5)
    truth = agreement.alpha(drawn(rng, 200_000))
    found = [agreement.interval(agreement.alpha, drawn(rng, 150), draws=200, seed=n) for n in range(150)]
    held = np.mean([one.low < truth < one.high for one in found])  # type: ignore[operator]
    assert 0.89 <= held <= 0.985
    assert all(one.n == 150 for one in found)


def test_an_interval_is_seeded_and_absent_without_pairs() -> None:
    found = [agreement.interval(agreement.alpha, COUNTS, draws=50, seed=3) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0].low < found[0].value < found[0].high  # type: ignore[operator]
    assert found[0].n == 11
    assert agreement.interval(agreement.alpha, [[1, 0]]) == agreement.Coefficient(None, None, None, 0)


# ---- what enters


def test_only_blind_first_readings_of_persons_enter() -> None:
    log = told(
        verdict("ann", 1, "valid"),
        verdict("ann", 1, "wrong"),  # second thoughts
        verdict("bob", 1, "valid", blind=False),
        verdict(PANEL, 1, "wrong"),
        verdict("cat", 1, "valid"),
        undo(5, "cat"),  # a slip of the finger
        verdict("cat", 1, "wrong"),
        verdict("bob", 2, "unsure"),
    )
    found = agreement.first_readings(log)
    assert found.select("person", "class", "value").rows() == [
        ("ann", 1, "valid"),
        ("cat", 1, "wrong"),
        ("bob", 2, "unsure"),
    ]
    units, table = agreement.counts(found, ["valid", "wrong"])
    assert (units.rows(), table.tolist()) == ([(0, 1)], [[1, 1]])
    assert agreement.splits(found, ["valid", "wrong"]).rows() == [(0, 1, 1, 1, 0.0)]


def test_repeats_and_decoys() -> None:
    log = told(
        verdict("ann", 1, "valid"), verdict("ann", 1, "wrong", stratum="repeat"), verdict("ann", 2, "wrong"),
        verdict("ann", 2, "wrong", stratum="repeat"), verdict("bob", 1, "wrong"), verdict("bob", 2, "valid"),
    )  # fmt: skip
    assert agreement.repeats(log).rows() == [("ann", 2, 1)]
    shown = log.select("item", "class").filter(log["class"] == 2)
    assert agreement.decoys(log, shown).rows() == [("ann", 1, 0), ("bob", 1, 1)]


def test_the_sets_of_valid_classes() -> None:
    log = told(
        verdict("ann", 1, "valid", 4), verdict("ann", 2, "valid", 4), verdict("bob", 1, "wrong", 4),
        verdict("bob", 2, "wrong", 4), verdict("ann", 1, "valid", 5),
    )  # fmt: skip
    assert agreement.valid_sets(log) == [[frozenset({1, 2}), frozenset()]]
