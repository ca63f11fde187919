"""Scores while people review: unbiased over every sample, intervals that hold, bounds where nothing can be said."""

from itertools import combinations, product

import numpy as np
import pytest

from analysis.review.estimates import Sample, after_review, class_mean_weights, micro_weights, share_right

Y0 = np.array([1, 1, 1, 1, 0, 0, 0, 1, 0, 1], float)
Y1 = np.array([1, 0, 1, 1, 1, 0, 1, 1, 0, 0], float)
CLASSES = np.array([0, 0, 0, 1, 1, 1, 1, 1, 2, 2])
MISTAKES = (Y0 == 0).astype(np.int64)  # stratum 0: right before, 1: wrong before
ALL = np.ones(10, bool)


def seen(*items: int) -> np.ndarray:
    after = np.full(10, np.nan)
    after[list(items)] = Y1[list(items)]
    return after


def sample(after: np.ndarray, random: tuple[bool, bool] = (True, True), stratum: np.ndarray = MISTAKES) -> Sample:
    return Sample(stratum, np.array(random), after)


@pytest.mark.parametrize("weights", [micro_weights(ALL), class_mean_weights(ALL, CLASSES)], ids=["micro", "class mean"])
def test_over_every_possible_sample_the_mean_is_the_truth(weights: np.ndarray) -> None:
    """All samples of 3 of the 6 items right before and 2 of the 4 wrong before."""
    right, wrong = np.flatnonzero(MISTAKES == 0), np.flatnonzero(MISTAKES == 1)
    drawn = [a + b for a, b in product(combinations(right, 3), combinations(wrong, 2))]
    found = [after_review(Y0, sample(seen(*items)), weights) for items in drawn]
    assert len(found) == 20 * 6
    assert np.mean([one.value for one in found]) == pytest.approx(weights @ Y1)
    assert {one.before for one in found} == {weights @ Y0}
    assert np.std([one.value for one in found]) > 0.01


def test_weights() -> None:
    counted = np.array([True] * 8 + [False, True])
    assert micro_weights(counted).tolist() == [1 / 9] * 8 + [0, 1 / 9]
    weights = class_mean_weights(counted, np.where(CLASSES == 0, -1, CLASSES))
    assert weights.tolist() == pytest.approx([0] * 3 + [1 / 10] * 5 + [0, 1 / 2])
    assert micro_weights(np.zeros(2, bool)).tolist() == [0, 0]


def test_a_complete_review_is_the_truth() -> None:
    for random in product((True, False), repeat=2):
        found = after_review(Y0, sample(Y1, random), micro_weights(ALL))
        assert found.value == found.low == found.high == found.bound_low == found.bound_high == pytest.approx(0.6)
        assert (found.before, found.n_reviewed, found.n_uncovered) == (0.6, 10, 0)


def test_mistakes_alone_give_bounds_and_no_estimate() -> None:
    """What was counted right was never looked at: all of it may be wrong."""
    found = after_review(Y0, sample(seen(4, 5, 6, 8), stratum=np.where(MISTAKES == 1, 1, -1)), micro_weights(ALL))
    assert (found.value, found.low, found.high) == (None, None, None)
    assert (found.bound_low, found.bound_high) == pytest.approx((0.2, 0.8))
    assert (found.n_reviewed, found.n_uncovered) == (4, 6)


def test_a_certainty_stratum_counts_when_it_is_complete() -> None:
    right = [0, 1, 2, 3, 7, 9]
    halfway = after_review(Y0, sample(seen(*right, 4, 5), (True, False)), micro_weights(ALL))
    assert halfway.value is None
    # Items 4 and 5 are known, 6 and 8 are not, and those two stand for nobody else.
    assert (halfway.bound_low, halfway.bound_high) == pytest.approx((0.5, 0.7))
    whole = after_review(Y0, sample(seen(*right, 4, 5, 6, 8), (True, False)), micro_weights(ALL))
    assert whole.value == pytest.approx(0.6)


def test_items_of_weight_nothing_play_no_part() -> None:
    counted = np.arange(10) != 9
    found = after_review(Y0, sample(np.where(counted, Y1, np.nan)), micro_weights(counted))
    assert (found.value, found.low, found.n, found.n_uncovered) == (pytest.approx(6 / 9), pytest.approx(6 / 9), 9, 0)


def test_a_stratum_with_one_reviewed_item_has_no_interval() -> None:
    found = after_review(Y0, sample(seen(0, 4, 5)), micro_weights(ALL))
    assert found.value == pytest.approx(0.6 + 2 / 10)
    assert (found.low, found.high) == (None, None)


def test_no_change_seen_does_not_prove_that_there_is_none() -> None:
    y0 = np.ones(1000)
    after = np.full(1000, np.nan)
    after[:50] = 1
    found = after_review(y0, Sample(np.zeros(1000, np.int64), np.array([True]), after), micro_weights(y0 > 0))
    assert (found.value, found.high) == (pytest.approx(1), 1)
    assert 0.93 < found.low < 0.97  # type: ignore[operator]


def test_the_difference_of_two_runs() -> None:
    """Over every sample of the items on which they differ, the mean is the true difference there."""
    other = np.array([1, 1, 0, 1, 1, 0, 0, 1, 1, 0], float)
    truth = np.array([1, 0, 0, 1, 1, 0, 1, 1, 0, 1], float)
    differ = np.where(other != Y0, 0, 1)
    found = []
    for drawn in combinations(np.flatnonzero(differ == 0), 2):
        after = np.where(differ == 1, 0.0, np.nan)  # where both say the same they stay equal, whatever is valid
        after[list(drawn)] = (Y1 - truth)[list(drawn)]
        two = Sample(differ.astype(np.int64), np.array([True, False]), after)
        found.append(after_review(Y0 - other, two, micro_weights(ALL), extremes=(-1, 1)))
    inside = differ == 0
    assert np.mean([one.value for one in found]) == pytest.approx((Y1 - truth)[inside].sum() / 10)


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one stratum"):
        Sample(np.array([0, 2]), np.array([True, True]), np.zeros(2))


# ---- intervals hold


@pytest.mark.parametrize("mean", ["micro", "class mean"])
def test_intervals_hold_the_truth_19_times_in_20(mean: str) -> None:
    """Simulated reviewers of 200 of a run's mistakes and a control sample of 500 predictions counted as right."""
    rng = np.random.default_rng(1)
    n, repetitions = 5000, 800
    classes = rng.integers(0, 100, n)
    before = (rng.random(n) < 0.8).astype(float)
    after = np.where(before == 0, rng.random(n) < 0.4, rng.random(n) > 0.03).astype(float)
    weights = micro_weights(np.ones(n, bool)) if mean == "micro" else class_mean_weights(np.ones(n, bool), classes)
    stratum = before.astype(np.int64)
    parts = [np.flatnonzero(stratum == number) for number in (0, 1)]
    truth, held, values, shares = weights @ after, 0, [], 0
    for _ in range(repetitions):
        reviewed = np.full(n, np.nan)
        for part, size in zip(parts, (200, 500), strict=True):
            drawn = rng.choice(part, size, replace=False)
            reviewed[drawn] = after[drawn]
        one = Sample(stratum, np.array([True, True]), reviewed)
        found = after_review(before, one, weights)
        held += found.low <= truth <= found.high  # type: ignore[operator]
        values.append(found.value)
        share = share_right(one, 0)
        shares += share.low <= after[parts[0]].mean() <= share.high  # type: ignore[operator]
    assert 0.93 <= held / repetitions <= 0.97
    assert 0.93 <= shares / repetitions <= 0.97
    assert np.mean(values) == pytest.approx(truth, abs=3 * np.std(values) / repetitions**0.5)  # type: ignore[arg-type]


def test_the_share_of_mistakes_that_were_none() -> None:
    def share(after: np.ndarray, random: bool = True) -> tuple[float | None, ...]:
        found = share_right(sample(after, (True, random)), 1)
        return found.value, found.low, found.high, found.n, found.size

    assert share(Y1) == (0.5, 0.5, 0.5, 4, 4)
    assert share(Y1, random=False) == (0.5, 0.5, 0.5, 4, 4)
    assert share(seen(4, 5, 0), random=False) == (None, None, None, 2, 4)
    assert share(seen(0)) == (None, None, None, 0, 4)
    value, low, high, *_ = share(seen(4, 5))
    assert low < value == 0.5 < high  # type: ignore[operator]
