import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from analysis.errors import InputError
from analysis.intervals import bootstrap, cell_means, class_mean_interval, paired_difference, wilson


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


def test_cells_by_groups_are_each_group_alone():
    rng = np.random.default_rng(8)
    n, groups = rng.integers(0, 9, 30), rng.integers(0, 3, 30)
    total = rng.binomial(n, 0.6)
    together = cell_means(n, total, total, groups=groups, n_groups=4)
    for group in range(3):
        alone = cell_means(n[groups == group], total[groups == group], total[groups == group])
        assert (together.value[group], together.low[group]) == pytest.approx((alone.value[0], alone.low[0]))
        assert together.cells[group] == alone.cells[0]
    assert np.isnan(together.value[3])


def test_a_class_of_one_item_adds_no_variance_and_is_counted():
    found = cell_means(np.array([1, 4]), np.array([1, 2]), np.array([1, 2]))
    assert (found.cells[0], found.single[0]) == (2, 1)
    assert found.error[0] == pytest.approx(np.sqrt(0.25 / 3) / 2)


@settings(deadline=None)  # a shared machine may pause at any example
@given(st.lists(st.tuples(st.integers(-1, 1), st.integers(0, 3)), min_size=1, max_size=30))
def test_paired_difference_equals_the_covariance_of_a_plain_loop(rows):
    by_class = {}
    for value, cell in rows:
        by_class.setdefault(cell, []).append(value)
    found = paired_difference(np.array([v for v, _ in rows]), np.array([c for _, c in rows]))
    assert found.value == pytest.approx(np.mean([np.mean(values) for values in by_class.values()]))
    variances = [np.var(values) / (len(values) - 1) for values in by_class.values() if len(values) > 1]
    if variances:
        assert found.error == pytest.approx(np.sqrt(sum(variances)) / len(by_class))
    else:
        assert found.error is None


def test_paired_interval_against_a_stratified_bootstrap():
    rng = np.random.default_rng(4)
    cells = np.repeat(np.arange(30), 25)
    both = rng.random(len(cells)) < 0.6
    a, b = both | (rng.random(len(cells)) < 0.3), both | (rng.random(len(cells)) < 0.2)
    difference = a.astype(float) - b
    found = paired_difference(difference, cells)

    def class_mean(weights):
        return (np.bincount(cells, weights * difference) / np.bincount(cells, weights)).mean()

    low, high = bootstrap(class_mean, len(cells), strata=cells, draws=4000, seed=2)
    assert (found.low, found.high) == pytest.approx((float(low), float(high)), abs=0.004)
    # Paired: much narrower than if the runs had been measured on different images.
    independent = np.sqrt(a.var() + b.var()) / np.sqrt(len(a)) * 2 * 1.96
    assert found.high - found.low < 0.8 * independent


def test_the_bootstrap_keeps_strata_and_groups_whole():
    strata, groups = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 2, 2, 3])
    seen = []

    def keep(weights):
        seen.append(weights)
        return weights.sum()

    bootstrap(keep, 6, strata=strata, groups=groups, draws=50)
    weights = np.array(seen)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    # Two groups in each stratum, two drawn.
    assert (weights[:, [0, 2]].sum(axis=1) == 2).all()
    assert (weights[:, [3, 5]].sum(axis=1) == 2).all()
    assert len(np.unique(weights, axis=0)) > 3


def test_groups_across_strata_are_drawn_without_stratification():
    seen = []
    bootstrap(
        lambda w: seen.append(w) or 0.0, 4, strata=np.array([0, 1, 0, 1]), groups=np.array([0, 0, 1, 1]), draws=40
    )
    assert {tuple(w) for w in seen} == {(2, 2, 0, 0), (0, 0, 2, 2), (1, 1, 1, 1)}


def test_the_bootstrap_is_seeded_and_checks_its_input():
    mean = np.arange(20.0)
    one, same, other = (bootstrap(lambda w: w @ mean / 20, 20, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    with pytest.raises(InputError, match="3 groups for 20 items"):
        bootstrap(lambda w: 0.0, 20, groups=np.zeros(3, int))
    assert np.isnan(bootstrap(lambda w: np.nan, 0)).all()
