from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import InputError
from analysis.labels.sets import original
from analysis.many_runs import (
    SHARED_SCHEMA,
    agreement_matrix,
    greedy_ensemble,
    linear_cka,
    pareto_front,
    rank_stability,
    shared_mistakes,
    similar_together,
)
from tests.published import labelled, labels_of, published, ranks


def test_agreement_is_on_common_items():
    runs = {"a": ranks([0, 1, 2]), "b": ranks([1, 0], items=[1, 2]), "c": ranks([0, 1, 0])}
    found = agreement_matrix(runs)
    assert (found.runs, found.n) == (["a", "b", "c"], 2)
    assert found.matrix.tolist() == [[1.0, 0.5, 0.5], [0.5, 1.0, 1.0], [0.5, 1.0, 1.0]]
    assert np.isnan(agreement_matrix({"a": ranks([0]), "b": ranks([0], items=[1])}).matrix).all()


def test_runs_that_agree_stand_side_by_side():
    rng = np.random.default_rng(0)
    families = rng.integers(0, 10, (2, 200))
    runs = {}
    for member in range(3):  # of each family in turn
        for name, family in zip("ab", families, strict=True):
            slips = rng.random(200) < 0.05
            runs[f"{name}{member}"] = ranks(np.where(slips, rng.integers(0, 10, 200), family))
    found = agreement_matrix(runs)
    order = similar_together(found)
    assert sorted(order) == list(range(6))
    assert "".join(found.runs[place][0] for place in order) in ("aaabbb", "bbbaaa")


def test_too_few_runs_to_order_stay_as_they_are():
    assert similar_together(agreement_matrix({})) == []
    assert similar_together(agreement_matrix({"a": ranks([0]), "b": ranks([1])})) == [0, 1]
    apart = {name: ranks([0], items=[place]) for place, name in enumerate("abc")}
    assert similar_together(agreement_matrix(apart)) == [0, 1, 2]


@settings(deadline=None)  # a shared machine may pause at any example
@given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(0, 3), min_size=n, max_size=n),
            st.lists(st.lists(st.integers(0, 3), min_size=n, max_size=n), min_size=1, max_size=6),
        )
    ),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 0.6, 1.0]),
)
def test_shared_mistakes_equal_a_plain_loop(case, at_least, same):
    truth, rows = case
    runs = {f"run {i}": ranks(row) for i, row in enumerate(rows)}
    found = shared_mistakes(runs, original(labels_of(*truth)), at_least=at_least, same=same)
    assert dict(found.schema) == SHARED_SCHEMA
    expected = {}
    for item, label in enumerate(truth):
        votes = Counter(row[item] for row in rows if row[item] != label)
        wrong = sum(votes.values())
        if wrong and wrong >= at_least * len(rows) and max(votes.values()) >= same * wrong:
            best = min(votes, key=lambda c: (-votes[c], c))
            expected[item] = (len(rows), wrong, best, votes[best], 0)
    assert {row[0]: row[1:] for row in found.rows()} == expected
    assert found["wrong"].is_sorted(descending=True)


def test_shared_mistakes_that_nobody_judged():
    opened = labelled((0, 0, "valid"), (0, 2, "rejected"), items=1, absent="unjudged")
    found = shared_mistakes({"a": ranks([1]), "b": ranks([2])}, opened)
    assert found.rows() == [(0, 2, 2, 1, 1, 1)]


def test_no_mistakes_and_no_runs():
    truth = labels_of(0, 1)
    assert shared_mistakes({"a": ranks(truth)}, original(truth)).is_empty()
    assert shared_mistakes({}, original(truth)).is_empty()
    assert shared_mistakes({"a": ranks(truth)}, labelled(items=0)).is_empty()


# ---- ensembles


def make_scores(rng, truth, strength):
    scores = rng.normal(size=(len(truth), 5))
    scores[np.arange(len(truth)), truth] += strength
    return scores


def test_a_greedy_ensemble_takes_the_best_first_and_tells_each_gain():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 3000).astype(np.int32)
    scores = {name: make_scores(rng, truth, s) for name, s in (("weak", 0.5), ("good", 1.5), ("fair", 1.4))}
    items = np.arange(3000, dtype=np.uint32)
    members = greedy_ensemble(scores, items, original(truth))
    assert [m.run for m in members] == ["good", "fair", "weak"]
    assert members[1].gain.low > 0
    assert members[1].accuracy - members[0].accuracy == pytest.approx(members[1].gain.value)
    assert members[0].gain.low is None
    # Log-probabilities are logits less a number an item: the same ensemble.
    shifted = {name: s - rng.normal(size=(3000, 1)) for name, s in scores.items()}
    assert [m.accuracy for m in greedy_ensemble(shifted, items, original(truth), size=2)] == [
        m.accuracy for m in members[:2]
    ]


def test_an_ensemble_is_not_measured_where_it_was_chosen():
    truth, items = np.zeros(400, np.int32), np.arange(400, dtype=np.uint32)
    best = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores = {f"noise {i}": rng.normal(size=(400, 2)) for i in range(30)}
        best += greedy_ensemble(scores, items, original(truth), size=1, seed=seed)
    # The best of thirty coins looks like 0.57 where it was chosen.
    assert np.mean([member.accuracy for member in best]) == pytest.approx(0.5, abs=0.025)


def test_an_ensemble_within_some_items_sees_no_others():
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 3, 80).astype(np.int32)
    scores = {name: rng.normal(size=(80, 3)).astype(np.float32) for name in "ab"}
    within = np.arange(0, 80, 2, dtype=np.uint32)
    found = greedy_ensemble(scores, np.arange(80, dtype=np.uint32), original(truth), within=within)
    alone = greedy_ensemble({name: one[within] for name, one in scores.items()}, within, original(truth))
    assert found == alone
    assert found != greedy_ensemble(scores, np.arange(80, dtype=np.uint32), original(truth))


def test_an_ensemble_of_different_things_is_refused_and_of_nothing_is_empty():
    truth = labels_of(0, 1, 0)
    items = np.arange(3, dtype=np.uint32)
    with pytest.raises(InputError, match="same items and classes"):
        greedy_ensemble({"a": np.ones((3, 2)), "b": np.ones((3, 4))}, items, original(truth))
    with pytest.raises(InputError, match="same items and classes"):
        greedy_ensemble({"a": np.ones((2, 2))}, items, original(truth))
    assert greedy_ensemble({}, items, original(truth)) == []
    assert greedy_ensemble({"a": np.ones((3, 2))}, items, labelled(items=0)) == []


# ---- embeddings and orders


def test_cka_does_not_see_rotation_and_scale():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 8))
    turned = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    assert linear_cka(x, 3 * x @ turned + 5) == pytest.approx(1.0)
    assert linear_cka(x, rng.normal(size=(300, 3))) < 0.2
    y = np.hstack([x[:, :4], rng.normal(size=(300, 2))])
    centred = [m - m.mean(axis=0) for m in (x, y)]
    grams = [m @ m.T for m in centred]
    expected = (grams[0] * grams[1]).sum() / np.sqrt((grams[0] ** 2).sum() * (grams[1] ** 2).sum())
    assert linear_cka(x.astype(np.float16), y.astype(np.float16)) == pytest.approx(expected, abs=1e-3)
    assert np.isnan(linear_cka(np.ones((5, 2)), x[:5]))
    assert np.isnan(linear_cka(np.ones((0, 2)), np.ones((0, 2))))
    with pytest.raises(InputError, match="300 and 5 items"):
        linear_cka(x, x[:5])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12))
def test_the_pareto_front_equals_a_plain_loop(points):
    cost, value = (np.array([p[i] for p in points], float) for i in (0, 1))
    expected = [not any((c <= x and v > y) or (c < x and v >= y) for c, v in points) for x, y in points]
    assert pareto_front(cost, value).tolist() == expected


def test_a_run_without_a_cost_is_not_on_the_front():
    assert pareto_front(np.array([np.nan, 2.0]), np.array([0.9, 0.5])).tolist() == [False, True]


def test_rank_stability():
    frame = pl.DataFrame(
        [
            ("a", "x", 0.9),
            ("b", "x", 0.8),
            ("c", "x", 0.7),
            ("a", "y", 0.7),
            ("b", "y", 0.8),
            ("c", "y", 0.6),
            ("a", "z", None),
        ],
        schema=["run", "labels", "value"],
        orient="row",
    )
    found = rank_stability(frame)
    assert found.row(0) == ("x", "y", 3, pytest.approx(1 / 3), 1)
    assert found.row(1) == ("x", "z", 0, None, 0)


@pytest.mark.shared_data
def test_published_runs_agree_and_fail_together(shared_data):
    data = published(shared_data)
    found = shared_mistakes(data.runs, data.labels["expert"], same=1.0)
    assert 0 < found.height < 1000
    assert (found["wrong"] == 8).all()
    assert (found["same"] == 8).all()
    matrix = agreement_matrix(data.runs).matrix
    assert (matrix == matrix.T).all()
    names = list(data.runs)
    # The same architecture, ported, is nearer than AlexNet.
    vgg = matrix[names.index("vgg16_pytorch")]
    assert vgg[names.index("vgg16_torchvision")] > vgg[names.index("alexnet_pytorch")]
