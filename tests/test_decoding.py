import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.decoding import distance_to_valid, frechet_mean, rank_among
from analysis.errors import InputError
from analysis.labels.sets import original
from tests.published import labelled, labels_of, ranks

# Five classes in a row, one step apart.
LINE = np.abs(np.arange(5)[:, None] - np.arange(5))


def numbers(n):
    return np.arange(n, dtype=np.uint32)


@settings(deadline=None)  # a shared machine may pause at any example
@given(st.integers(0, 2**32 - 1), st.sampled_from(["logits", "probabilities"]))
def test_loki_with_distances_of_one_is_the_highest_score(seed, kind):
    rng = np.random.default_rng(seed)
    scores = rng.random((6, 5)) if kind == "probabilities" else rng.normal(scale=3, size=(6, 5))
    scores = scores / scores.sum(axis=1, keepdims=True) if kind == "probabilities" else scores
    found = frechet_mean(scores, kind, numbers(6), 1 - np.eye(5))
    assert found.top1.tolist() == scores.argmax(axis=1).tolist()
    assert found.kind == "ranks"
    assert found.scores is None


def test_loki_minimises_the_expected_squared_distance():
    p = np.array([[0.4, 0.0, 0.0, 0.3, 0.3]])
    cost = [(p[0] * LINE[c] ** 2).sum() for c in range(5)]
    found = frechet_mean(p, "probabilities", numbers(1), LINE)
    assert found.classes[0].tolist() == np.argsort(cost, kind="stable").tolist()
    assert found.top1[0] == 2  # a class of which the model gave nothing


def test_loki_reaches_classes_that_the_model_cannot_name():
    p = np.array([[0.5, 0.5]])
    found = frechet_mean(p, "probabilities", numbers(1), LINE, observed=[0, 4], k=2)
    assert found.classes.tolist() == [[2, 1]]


def test_temperature_reaches_loki():
    logits = np.array([[2.0, 0, 0, 0, 1.6]])
    sharp, flat = (frechet_mean(logits, "logits", numbers(1), LINE, temperature=t).top1[0] for t in (0.05, 5.0))
    assert (sharp, flat) == (0, 2)


def test_what_needs_dense_scores_says_so():
    with pytest.raises(InputError, match="Loki decoding needs the scores of all classes"):
        frechet_mean(None, "logits", numbers(1), LINE)
    with pytest.raises(InputError, match="A mask of competing classes needs the scores of all"):
        rank_among(None, "logits", numbers(1), [0])
    with pytest.raises(InputError, match="scores are of 3 classes"):
        frechet_mean(np.ones((1, 3)), "logits", numbers(1), LINE, observed=[0, 1])
    with pytest.raises(InputError, match="square"):
        frechet_mean(np.ones((1, 3)), "logits", numbers(1), LINE[:2])
    with pytest.raises(InputError, match="beyond the 3"):
        rank_among(np.ones((1, 3)), "logits", numbers(1), [3])


@settings(deadline=None)  # a shared machine may pause at any example
@given(st.integers(0, 2**32 - 1), st.sets(st.integers(0, 5), min_size=1), st.sampled_from(["logits", "probabilities"]))
def test_a_mask_equals_a_plain_loop(seed, among, kind):
    scores = np.random.default_rng(seed).dirichlet(np.ones(6), 4)
    found = rank_among(scores, kind, numbers(4), sorted(among), k=3)
    for row, ranked in zip(scores, found.classes, strict=True):
        assert ranked.tolist() == sorted(among, key=lambda c: -row[c])[:3]
    rest = scores[:, sorted(among)]
    expected = (
        rest / rest.sum(axis=1, keepdims=True)
        if kind == "probabilities"
        else np.exp(rest) / np.exp(rest).sum(axis=1, keepdims=True)
    )
    assert found.confidence == pytest.approx(expected.max(axis=1), rel=1e-5)


def test_distance_to_the_nearest_valid_class():
    labels = labelled((0, 0, "valid"), (0, 3, "unclear"), (1, 2, "valid"), (2, 1, "rejected"), (3, 1, "valid"), items=4)
    run = ranks([4, 2, 0, -1])
    assert distance_to_valid(run, labels, LINE).rows() == [(0, 3, 1.0), (1, 2, 0.0)]
    strict = distance_to_valid(run, labels, LINE, unclear="strict")
    assert strict.rows() == [(0, 0, 4.0), (1, 2, 0.0)]
    with pytest.raises(InputError, match="distances for 3 classes"):
        distance_to_valid(run, labels, LINE[:3, :3])


def test_a_right_prediction_is_at_distance_zero_and_only_such():
    truth = labels_of(0, 1, 2, 3)
    found = distance_to_valid(ranks([0, 2, 2, 0]), original(truth), LINE)
    assert found["distance"].to_list() == [0.0, 1.0, 0.0, 3.0]
