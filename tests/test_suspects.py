from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import suspects
from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k, make_class_list
from analysis.labels.real import real_label_set
from analysis.labels.sets import label_set
from analysis.models.predictions import Predictions, read_predictions

ORIGINAL = np.array([0, 1, 2, -1, 0], np.int32)


def run(classes, scores=None, items=None, kind="probabilities", logsumexp=None) -> Predictions:
    classes = np.array(classes, np.int32)
    return Predictions(
        np.arange(len(classes), dtype=np.uint32) if items is None else np.array(items, np.uint32),
        classes,
        None if scores is None else np.array(scores, np.float32),
        "ranks" if scores is None else kind,
        None if logsumexp is None else np.array(logsumexp, np.float32),
    )


def named(runs: list[Predictions]) -> dict[str, Predictions]:
    return {str(number): one for number, one in enumerate(runs)}


def rows(frame: pl.DataFrame) -> list[tuple]:
    assert frame.schema == suspects.SIGNAL_SCHEMA
    return [(item, pytest.approx(score, abs=1e-6), suggested) for item, score, suggested in frame.iter_rows()]


# ---- one run


def test_doubt_and_margin_of_one_run_with_the_rest_spread_over_the_other_classes():
    one = run([[0, 1], [0, 2], [2, -1], [1, 0]], [[0.7, 0.2], [0.6, 0.2], [0.5, np.nan], [0.9, 0.1]])
    # Of five classes, item 1's label gets a third of the 0.2 that is left, item 2's others a quarter of 0.5.
    doubt, margin = suspects.doubt_and_margin(one, ORIGINAL, 5)
    assert rows(doubt) == [(0, 0.3, 1), (1, 1 - 0.2 / 3, 0), (2, 0.5, None)]
    assert rows(margin) == [(0, 0.2 - 0.7, 1), (1, 0.6 - 0.2 / 3, 0), (2, 0.125 - 0.5, None)]


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_dense_scores_tell_the_label_that_is_not_among_the_best(kind):
    p = np.array([[0.5, 0.3, 0.1, 0.06, 0.04], [0.5, 0.04, 0.3, 0.1, 0.06], [0.3, 0.1, 0.02, 0.5, 0.08]])
    best = np.argsort(-p, axis=1)[:, :2]
    scores = np.take_along_axis(p, best, axis=1)
    given = np.log(p) + 2 if kind == "logits" else p
    one = run(best, np.log(scores) + 2 if kind == "logits" else scores, kind=kind, logsumexp=[2, 2, 2])
    dense = given.astype(np.float16)
    doubt, margin = suspects.doubt_and_margin(one, ORIGINAL, 5, dense)
    # Labels 0, 1 and 2: the first is the best class, the others are the last.
    assert doubt["score"].to_list() == pytest.approx([0.5, 0.96, 0.98], abs=1e-3)
    assert margin["score"].to_list() == pytest.approx([-0.2, 0.46, 0.48], abs=1e-3)
    without, _ = suspects.doubt_and_margin(one, ORIGINAL, 5)
    assert without["score"].to_list() == pytest.approx([0.5, 1 - 0.2 / 3, 1 - 0.2 / 3])
    two = {"a": one, "b": one}
    _, mean = suspects.votes_and_mean_margin(two, ORIGINAL, 5, {"a": dense, "b": dense})
    assert mean["score"].to_list() == pytest.approx([-0.2, 0.46, 0.48], abs=1e-3)
    _, half = suspects.votes_and_mean_margin(two, ORIGINAL, 5, {"b": dense})
    label = [0.5, (0.04 + 0.2 / 3) / 2, (0.02 + 0.2 / 3) / 2]
    assert half["score"].to_list() == pytest.approx([-0.2, 0.5 - label[1], 0.5 - label[2]], abs=1e-3)


def test_logits_and_ranks_as_probabilities():
    logits = np.log([[0.7, 0.2], [0.6, 0.3]])
    with_total = run([[0, 1], [0, 2]], logits + 3, kind="logits", logsumexp=[3, 3])
    assert suspects.probabilities(with_total, ORIGINAL, 5) == pytest.approx(np.exp(logits))
    alone = run([[0, 1], [0, 2]], logits + 3, kind="logits")
    assert suspects.probabilities(alone, ORIGINAL, 5).sum(axis=1) == pytest.approx([1, 1])
    # The label stands first once, second once, of three labelled items.
    ranks = run([[0, 1], [2, 1], [0, -1], [1, 2]])
    assert suspects.probabilities(ranks, ORIGINAL, 5).tolist() == pytest.approx(
        np.array([[1 / 3, 1 / 3], [1 / 3, 1 / 3], [1 / 3, 0], [1 / 3, 1 / 3]])
    )


def test_items_without_a_label_or_a_prediction_have_no_signal():
    one = run([[0], [-1], [1]], [[1.0], [np.nan], [1.0]], items=[0, 1, 3])
    of_one = suspects.doubt_and_margin(one, ORIGINAL, 3)
    of_many = suspects.votes_and_mean_margin({"one": one}, ORIGINAL, 3)
    assert [signal["item"].to_list() for signal in (*of_one, *of_many)] == [[0]] * 4


# ---- many runs


def test_votes_are_for_one_other_label_and_share_by_the_runs_that_cover_the_item():
    runs = [
        run([[1, 0], [1, 0]], [[0.6, 0.3], [0.9, 0.1]]),
        run([[2, 0], [2, 0]], [[0.5, 0.4], [0.9, 0.1]]),
        run([[1, 2]], [[0.8, 0.1]], items=[0]),
    ]
    votes, margin = suspects.votes_and_mean_margin(named(runs), ORIGINAL, 3)
    first, second = votes.iter_rows()
    assert (first[0], first[2], second[0], second[2]) == (0, 1, 1, 2)
    # Item 0: two of three votes for 1, none for 0. Item 1: one of two for 2, one of two for its label.
    assert first[1] == pytest.approx(2 / 3, abs=0.5 / 4)
    assert second[1] == pytest.approx(0, abs=0.5 / 3)
    mean = np.array([[0.3, 0.6, 0.1], [0.4, 0.1, 0.5], [0.1, 0.8, 0.1]]).mean(axis=0)
    assert margin.row(0)[1] == pytest.approx(mean[1] - mean[0], abs=1e-6)
    assert margin["suggested"].to_list() == [1, 2]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(2, 6))
def test_signals_of_runs_equal_a_plain_loop(seed, n_runs, n_classes):
    rng = np.random.default_rng(seed)
    n, k = 12, min(3, n_classes)
    original = rng.integers(-1, n_classes, n).astype(np.int32)
    runs, full = [], []
    for _ in range(n_runs):
        items = np.sort(rng.choice(n, 8, replace=False))
        p = rng.dirichlet(np.ones(n_classes), 8)
        classes = np.argsort(-p, axis=1)[:, :k]
        best = np.take_along_axis(p, classes, axis=1)
        runs.append(run(classes, best, items))
        spread = np.tile(((1 - best.sum(1)) / max(1, n_classes - k))[:, None], n_classes)
        np.put_along_axis(spread, classes, best, axis=1)
        full.append(dict(zip(items.tolist(), spread, strict=True)))
    ballots, margin = suspects.votes_and_mean_margin(named(runs), original, n_classes)
    expected = [i for i in range(n) if original[i] >= 0 and any(i in one for one in full)]
    assert margin["item"].to_list() == ballots["item"].to_list() == expected
    for place, item in enumerate(expected):
        theirs = [one[item] for one in full if item in one]
        mean, label = np.mean(theirs, axis=0), original[item]
        others = np.delete(mean, label)
        assert margin["score"][place] == pytest.approx(others.max() - mean[label], abs=1e-5)
        counts = np.bincount([p.argmax() for p in theirs], minlength=n_classes)
        most = np.delete(counts, label).max()
        assert counts[ballots["suggested"][place]] == most
        assert ballots["suggested"][place] != label
        assert ballots["score"][place] == pytest.approx((most - counts[label]) / len(theirs), abs=1 / (len(theirs) + 1))


# ---- neighbours and vectors


def test_neighbours_leave_the_item_itself_and_the_unlabelled_out():
    original = np.array([0, 0, 1, 1, 2, -1], np.int32)
    neighbours = np.array([[0, 1, 2, 3], [1, 2, 4, -1], [5, 2, -1, -1], [4, 2, 0, 1]])
    found = suspects.neighbour_disagreement(np.arange(4, dtype=np.uint32), neighbours, original)
    assert rows(found) == [(0, 2 / 3, 1), (1, 1.0, 1), (3, 3 / 4, 0)]


def test_nearer_neighbours_weigh_more():
    original = np.array([0, 0, 1, 2, 2], np.int32)
    neighbours, similarity = np.array([[1, 2, 3, 4]]), np.array([[0.9, 0.93, 0.5, 0.5]])
    found = suspects.neighbour_disagreement(np.zeros(1, np.uint32), neighbours, original, similarity)
    weight = np.exp(similarity[0] / 0.07)
    # Two of three others are of class 2, but the near one outweighs them.
    assert rows(found) == [(0, weight[1:].sum() / weight.sum(), 1)]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(0, 14), st.integers(1, 8))
def test_nearest_equal_a_plain_loop(seed, n, k):
    rng = np.random.default_rng(seed)
    original = rng.integers(-1, 3, 40).astype(np.int32)
    items = np.sort(rng.choice(40, n, replace=False)).astype(np.uint32)
    vectors = rng.normal(size=(n, 4)).astype(np.float32)
    vectors[1::3] = vectors[: len(vectors[1::3])]  # copies of others
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found, similarity = suspects.nearest(items, vectors, original, k=k)
    assert found.shape == similarity.shape == (n, k)
    for place, item in enumerate(items):
        others = [i for i in range(n) if i != place and original[items[i]] >= 0]
        expected = sorted((float(vectors[place] @ vectors[i]) for i in others), reverse=True)[:k]
        there = found[place] >= 0
        assert similarity[place][there].tolist() == pytest.approx(expected, abs=1e-5)
        assert item not in found[place]
        assert len(set(found[place][there])) == len(expected)
        assert (original[found[place][there]] >= 0).all()
        assert there.tolist() == sorted(there, reverse=True)


def test_neighbours_are_drawn_from_so_many(monkeypatch):
    monkeypatch.setattr("analysis.suspects.vectors.REFERENCES", 10)
    vectors = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    original = np.zeros(60, np.int32)
    found, _ = suspects.nearest(np.arange(60, dtype=np.uint32), vectors, original, k=5)
    assert len(np.unique(found)) == 10
    assert (found >= 0).all()
    assert (found != np.arange(60)[:, None]).all()


def test_class_gaussian_finds_the_swapped_labels_and_leaves_the_item_out():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 8)) * 3
    truth = np.repeat(np.arange(4), 30)
    vectors = centres[truth] + rng.normal(size=(120, 8))
    original = truth.astype(np.int32)
    wrong = [3, 40, 75, 100]
    original[wrong] = (truth[wrong] + 1) % 4
    found = suspects.class_gaussian(np.arange(120, dtype=np.uint32), vectors, original, 5)
    worst = found.sort("score", descending=True).head(4)
    assert sorted(worst["item"].to_list()) == wrong
    assert dict(worst.select("item", "suggested").iter_rows()) == {item: truth[item] for item in wrong}
    assert (found["score"] > 0).sum() == 4


def test_a_class_of_one_item_has_no_gaussian_of_its_own():
    vectors = np.random.default_rng(0).normal(size=(5, 2))
    items = np.arange(5, dtype=np.uint32)
    found = suspects.class_gaussian(items, vectors, np.array([0, 0, 1, 1, 2], np.int32), 3)
    assert found["item"].to_list() == [0, 1, 2, 3]
    with pytest.raises(InputError, match="two classes"):
        suspects.class_gaussian(items, vectors, np.array([0, 0, 0, 1, -1], np.int32), 3)


# ---- combinations


def made_signals(n: int = 600, seed: int = 0) -> tuple[dict[str, pl.DataFrame], pl.DataFrame, np.ndarray]:
    """Two weak signals of one truth, and noise."""
    rng = np.random.default_rng(seed)
    bad = rng.random(n) < 0.2
    items = np.arange(n, dtype=np.uint32)
    signals = {
        name: suspects.signal_frame(items, strength * bad + rng.normal(size=n), rng.integers(0, 3, n))
        for name, strength in (("a", 1.0), ("b", 1.5), ("noise", 0.0))
    }
    truth = pl.DataFrame({"item": items, "disputed": bad})
    return signals, truth, rng.integers(0, 5, n).astype(np.int32)


def test_combinations_beat_each_signal():
    signals, truth, original = made_signals()
    both = {name: signals[name] for name in ("a", "b")}
    signals |= {"ranks": suspects.rank_average(both), "learnt": suspects.combine(both, truth, original)}
    table = suspects.evaluate(signals, truth)
    auroc = dict(table.select("signal", "auroc").iter_rows())
    assert min(auroc["ranks"], auroc["learnt"]) > max(auroc["a"], auroc["b"]) + 0.02
    assert auroc["noise"] == pytest.approx(0.5, abs=0.08)
    assert table["n"].to_list() == [600] * 5
    assert table["base_rate"][0] == truth["disputed"].mean()


def test_no_item_is_scored_by_its_own_answer():
    """On pure noise a combination that had seen its answers would do better than chance."""
    scores = []
    for seed in range(8):
        signals, truth, original = made_signals(300, seed)
        alone = {"noise": signals["noise"]}
        learnt = suspects.combine(alone, truth, original, folds=3, seed=seed)
        scores.append(suspects.evaluate({"learnt": learnt}, truth)["auroc"][0])
    assert 0.4 < np.mean(scores) < 0.54


def test_items_of_which_nothing_is_known_are_scored_too():
    signals, truth, original = made_signals()
    learnt = suspects.combine(signals, truth.head(400), original)
    assert learnt["item"].to_list() == list(range(600))
    assert learnt["score"].is_between(0, 1, closed="none").all()
    rest = truth.tail(200)
    assert suspects.evaluate({"learnt": learnt}, rest)["auroc"][0] > 0.75


def test_too_little_to_learn_from_or_to_combine():
    signals, truth, original = made_signals()
    with pytest.raises(InputError, match="of one kind there are 0"):
        suspects.combine(signals, truth.with_columns(disputed=False), original)
    with pytest.raises(InputError, match="No signal"):
        suspects.rank_average({})
    with pytest.raises(InputError, match="No item is spoken of"):
        suspects.rank_average({"a": signals["a"].head(3), "b": signals["b"].tail(3)})


# ---- how far each is to be trusted


def test_evaluation_by_hand_with_ties():
    items = np.arange(6, dtype=np.uint32)
    truth = pl.DataFrame({"item": items[:5], "disputed": [True, False, True, False, False]})
    signal = suspects.signal_frame(items, [3, 2, 2, 1, 0, 9], [0] * 6)
    (row,) = suspects.evaluate({"s": signal}, truth, ks=(1, 2, 3, 6)).iter_rows(named=True)
    assert (row["n"], row["base_rate"]) == (5, 0.4)
    assert row["auroc"] == pytest.approx(5.5 / 6)
    assert row["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert [row[f"precision_at_{k}"] for k in (1, 2, 3, 6)] == [1.0, 0.75, pytest.approx(2 / 3), None]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 8))
def test_figures_equal_those_of_scikit_learn(seed, n, different):
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(seed)
    score, answer = rng.integers(0, different, n) / 3, rng.random(n) < 0.3
    answer[:2] = True, False
    ranking = suspects.Ranking.of(score, answer)
    assert ranking.auroc() == pytest.approx(roc_auc_score(answer, score))
    assert ranking.average_precision() == pytest.approx(average_precision_score(answer, score))


def test_a_precision_curve_by_hand():
    curve = suspects.precision_curve(np.array([5, 4, 4, 1]), np.array([True, True, False, False]))
    assert curve["length"].to_list() == [1, 2, 3, 4]
    assert curve["disputed"].to_list() == [1, 1.5, 2, 2]
    assert curve["precision"].to_list() == pytest.approx([1, 0.75, 2 / 3, 0.5])
    assert (curve["low"] <= curve["precision"]).all()
    assert (curve["precision"] <= curve["high"]).all()
    assert suspects.precision_curve(np.array([]), np.array([], bool)).is_empty()
    long = suspects.precision_curve(np.arange(5000.0), np.zeros(5000, bool), points=50)
    assert long.height <= 50
    assert (long["length"][0], long["length"][-1]) == (1, 5000)


def test_a_signal_of_few_items_takes_none_from_the_others():
    signals, truth, _ = made_signals()
    signals["small"] = signals["a"].head(20)
    table = {row["signal"]: row for row in suspects.measured(signals, truth).iter_rows(named=True)}
    assert [table[name]["n"] for name in ("a", "b", "noise", "small")] == [600, 600, 600, 20]
    assert table["small"]["precision_at_100"] is None
    assert table["a"] == suspects.evaluate({"a": signals["a"]}, truth).row(0, named=True)
    halves = {"first": signals["a"].head(300), "second": signals["a"].tail(300)}
    assert suspects.measured(halves, truth)["n"].to_list() == [300, 300]
    assert suspects.measured({}, truth).is_empty()
    assert suspects.measured({"none": signals["a"].clear()}, truth).is_empty()


def test_a_truth_of_one_kind_has_no_auroc():
    signals, truth, _ = made_signals(50)
    table = suspects.evaluate(signals, truth.with_columns(disputed=True), ks=())
    assert table["auroc"].null_count() == table["average_precision"].null_count() == 3


def test_disputed_is_an_original_label_that_is_not_valid_where_the_set_scores_the_item():
    labels = pl.DataFrame(
        {"item": [0, 1, 2, 4], "class": [0, 2, 2, 0], "state": ["valid", "valid", "unclear", "rejected"]}
    )
    more = label_set("real", labels, pl.DataFrame({"item": [0, 1, 2, 3, 4]}), absent="wrong")
    assert suspects.disputed(more, ORIGINAL).rows() == [(0, False), (1, True), (2, False)]
    assert suspects.disputed(more, ORIGINAL, unclear="strict").rows() == [(0, False), (1, True), (2, True)]


def test_the_frame_for_people():
    items = pl.DataFrame({"key": ["a", "b", "c", "d", "e"]}).with_row_index("item")
    signal = suspects.signal_frame([0, 1, 2], [0.1, 0.9, 0.9], [1, -1, 0])
    found = suspects.suspects(signal, "votes", items, ORIGINAL, make_class_list("x", ["n0", "n1", "n2"]))
    assert found.schema == suspects.SUSPECTS_SCHEMA
    assert found.rows() == [
        (1, "b", "n1", None, 0.9, "votes"), (2, "c", "n2", "n0", 0.9, "votes"), (0, "a", "n0", "n1", 0.1, "votes")
    ]  # fmt: skip


# ---- the published predictions against ReaL


@pytest.fixture(scope="module")
def imagenet(shared_data: Path):
    table = pl.read_csv(shared_data / "imagenet-val/labels.csv")
    items = table.select(key="filename", label=pl.col("label").cast(pl.UInt32)).with_row_index("item")
    folder = shared_data / "imagenet-val/predictions"
    runs = {}
    for classes in sorted(folder.glob("*_top5preds.npy")) + sorted(folder.glob("*_top5ranked.npy")):
        files = [classes]
        if "preds" in classes.name:
            files.append(classes.with_name(classes.name.replace("preds", "probs")))
        runs[classes.name.split("_top5")[0]] = read_predictions(
            files, items, imagenet_1k(), order="imagefolder"
        ).predictions
    original = items["label"].to_numpy().astype(np.int32)
    return runs, original, suspects.disputed(real_label_set(items), original)


@pytest.mark.shared_data
def test_the_baseline_is_the_published_one(imagenet):
    runs, original, truth = imagenet
    assert (truth["disputed"].sum(), truth.height) == (4_673, 46_837)
    doubt, _ = suspects.doubt_and_margin(runs["resnet50_pytorch_imagenet"], original, 1000)
    (row,) = suspects.evaluate({"baseline": doubt}, truth).iter_rows(named=True)
    assert round(row["base_rate"], 4) == 0.0998
    assert round(row["auroc"], 3) == 0.850
    assert round(row["average_precision"], 3) == 0.336


@pytest.mark.shared_data
def test_eight_runs_beat_the_baseline_clearly(imagenet):
    runs, original, truth = imagenet
    assert len(runs) == 8
    signals = suspects.signals_of_runs(runs, original, 1000)
    signals["combined"] = suspects.combine({name: signals[name] for name in ("votes", "mean margin")}, truth, original)
    table = suspects.evaluate(signals, truth)
    found = {row["signal"]: row for row in table.iter_rows(named=True)}
    for name in ("votes", "mean margin"):
        assert found[name]["auroc"] > 0.87
        assert found[name]["average_precision"] > 0.42
    assert found["combined"]["auroc"] > 0.89
    assert found["combined"]["average_precision"] > 0.50
    assert found["combined"]["precision_at_1000"] > found["votes"]["precision_at_1000"] > 0.58
