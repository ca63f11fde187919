import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.calibration import RELIABILITY_SCHEMA, brier, calibration, set_nll
from analysis.errors import InputError
from analysis.intervals import bootstrap
from analysis.labels.sets import original
from analysis.metrics import on_items, valid_classes
from analysis.models.predictions import Predictions
from tests.published import labelled, labels_of, published, ranks


def test_two_bins_by_hand():
    truth = labels_of(0, 0, 0, 0)
    run = ranks([0, 1, 0, 0], scores=[0.95, 0.97, 0.5, np.nan], kind="probabilities")
    found = calibration(run, original(truth))
    # Bin 15: |0.96 - 0.5| of two; bin 8: |0.5 - 1| of one.
    assert found.ece.value == pytest.approx((2 * 0.46 + 0.5) / 3)
    assert (found.ece.n, found.ece.n_left_out, found.labels) == (3, 1, "original")
    assert dict(found.table.schema) == RELIABILITY_SCHEMA
    assert found.table.select("bin", "n", "right").rows() == [(7, 1, 1.0), (14, 2, 0.5)]


def test_a_probability_on_an_edge_belongs_below_it():
    run = ranks([0, 0, 0], scores=[0.0, 0.2, 1.0], kind="probabilities")
    # 0.2 as float32 is a little above 0.2; 0 and 1 belong to the first and the last bin whatever rounding does.
    table = calibration(run, original(labels_of(0, 0, 0)), bins=5).table
    assert table["bin"][0] == 0
    assert table["bin"][-1] == 4


@settings(deadline=None)  # a shared machine may pause at any example
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.floats(0, 1, width=32)), min_size=1, max_size=40),
    st.sampled_from([1, 5, 15]),
)
def test_ece_equals_a_plain_loop(rows, bins):
    truth = labels_of(*(row[0] for row in rows))
    run = ranks([row[1] for row in rows], scores=[row[2] for row in rows], kind="probabilities")
    total = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = [r for r in rows if np.ceil(r[2] * bins) - 1 == b or (b == 0 and r[2] == 0)]
        assert all(low - 1e-9 <= r[2] <= high + 1e-9 for r in inside)
        total += abs(sum(r[2] - (r[0] == r[1]) for r in inside))
    assert calibration(run, original(truth), bins=bins).ece.value == pytest.approx(total / len(rows), abs=1e-6)


def test_ranks_have_no_calibration_and_say_so():
    with pytest.raises(InputError, match="ranks without scores"):
        calibration(ranks([0]), original(labels_of(0)))
    with pytest.raises(InputError, match="logits without their sum"):
        calibration(ranks([0], scores=[3.0], kind="logits"), original(labels_of(0)))


def test_logits_with_their_sum_are_calibrated():
    run = Predictions(
        np.arange(1, dtype=np.uint32),
        np.array([[0]], np.int32),
        np.array([[2.0]], np.float32),
        "logits",
        np.array([2.0 + np.log(2)], np.float32),
    )
    assert calibration(run, original(labels_of(0))).ece.value == pytest.approx(0.5)


def test_nothing_scored():
    run = ranks([0], scores=[0.5], kind="probabilities")
    found = calibration(run, labelled(items=0))
    assert (found.ece.value, found.ece.n) == (None, 0)
    assert found.table.is_empty()


# ---- dense scores


def softmax(logits):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


@settings(deadline=None)  # a shared machine may pause at any example
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_nll_and_brier_equal_a_plain_loop(seed, as_logits):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(8, 4))
    p = softmax(logits)
    said = {(i, c): "valid" for i in range(8) for c in range(4) if rng.random() < 0.4}
    labels = labelled(*((i, c, s) for (i, c), s in said.items()), items=10)
    items = np.arange(8, dtype=np.uint32)
    sets = [[c for c in range(4) if (i, c) in said] for i in range(8)]
    scores, kind = (logits, "logits") if as_logits else (p, "probabilities")
    nll = set_nll(scores, kind, items, valid_classes(labels))
    expected = [-np.log(p[i, valid].sum()) for i, valid in enumerate(sets) if valid]
    assert nll.n == len(expected)
    assert nll.value == (pytest.approx(np.mean(expected)) if expected else None)
    squares = [((p[i] - np.eye(4)[valid[0]]) ** 2).sum() for i, valid in enumerate(sets) if len(valid) == 1]
    found = brier(scores, kind, items, valid_classes(labels))
    assert (found.n, found.n_left_out) == (len(squares), 8 - len(squares))
    assert found.value == (pytest.approx(np.mean(squares)) if squares else None)


def test_temperature_divides_logits():
    labels = valid_classes(original(labels_of(0)))
    scores = np.array([[4.0, 0.0]])
    items = np.arange(1, dtype=np.uint32)
    warm = set_nll(scores, "logits", items, labels, temperature=2.0)
    assert warm.value == pytest.approx(-np.log(softmax(scores / 2)[0, 0]))


@pytest.mark.parametrize("score", [set_nll, brier])
def test_a_top_k_has_no_likelihood_and_says_so(score):
    valid = valid_classes(original(labels_of(0)))
    with pytest.raises(InputError, match="stores its top-k only"):
        score(None, "logits", np.arange(1, dtype=np.uint32), valid)
    with pytest.raises(InputError, match="has ranks"):
        score(np.ones((1, 3)), "ranks", np.arange(1, dtype=np.uint32), valid)


# ---- published


@pytest.mark.shared_data
def test_the_truth_chosen_moves_the_calibration_error(shared_data):
    data = published(shared_data)
    expert = data.labels["expert"]
    items = expert.items.filter("scored")["item"].to_numpy()
    run = on_items(data.runs["nasnetlarge_keras"], items)
    found = [calibration(run, data.labels[name]).ece for name in ("original", "expert")]
    assert [round(100 * ece.value, 1) for ece in found] == [5.4, 9.4]
    assert [ece.n for ece in found] == [18_692, 18_692]


@pytest.mark.shared_data
def test_the_interval_of_the_calibration_error_against_a_bootstrap(shared_data):
    data = published(shared_data)
    run, labels = data.runs["nasnetlarge_keras"], data.labels["real"]
    found = calibration(run, labels).ece
    scored = labels.scored(run.items)
    p = run.confidence[scored].astype(float)
    gap = p - labels.valid_mask(run.items, run.top1)[scored]
    place = np.ceil(p * 15).astype(int) - 1
    low, high = bootstrap(
        lambda w: np.abs(np.bincount(place, w * gap)).sum() / w.sum(), len(p), strata=data.truth[scored], draws=300
    )
    # The bootstrap draws the bias of small bins once more; and strata make it narrower.
    assert found.high - found.low == pytest.approx(high - low, rel=0.25)
    assert (found.low, found.high) == pytest.approx((float(low), float(high)), abs=0.002)
