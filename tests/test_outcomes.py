from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k
from analysis.labels.readers import read_label_set
from analysis.labels.real import real_label_set
from analysis.labels.sets import LabelSet, label_set, original
from analysis.metrics import accuracy
from analysis.models.predictions import Predictions, read_predictions
from analysis.outcomes import OUTCOMES_SCHEMA, RIGHT, confusions, outcomes


def run(top1, items=None, probabilities=None) -> Predictions:
    numbers = np.arange(len(top1)) if items is None else np.asarray(items)
    scores = None if probabilities is None else np.array(probabilities, np.float32)[:, None]
    kind = "ranks" if scores is None else "probabilities"
    return Predictions(numbers.astype(np.uint32), np.array(top1, np.int32).reshape(-1, 1), scores, kind, None)


def labelled(*triples, items: int, absent="wrong") -> LabelSet:
    rows = pl.DataFrame(triples, schema={"item": pl.UInt32, "class": pl.UInt32, "state": pl.String}, orient="row")
    return label_set("x", rows, pl.DataFrame({"item": range(items)}), absent=absent)


TRIPLES = [
    (0, 1, "valid"),
    (1, 2, "valid"),
    (2, 1, "valid"),
    (2, 3, "valid"),
    (3, 1, "valid"),
    (4, 1, "rejected"),
    (5, 1, "unclear"),
    (6, 1, "valid"),
    (6, 3, "rejected"),
]
TRUTH = np.array([1, 1, 1, 1, 1, 1, 1, -1], np.int32)
TOP1 = [1, 1, 3, 2, 1, 1, 3, 1]


@pytest.mark.parametrize(
    ("unclear", "of_item_5"), [("lenient", ("correct", True)), ("strict", ("agrees_with_rejected", False))]
)
def test_each_outcome(unclear, of_item_5):
    frame = outcomes(run(TOP1), labelled(*TRIPLES, items=8), TRUTH, unclear=unclear)
    assert dict(frame.schema) == OUTCOMES_SCHEMA
    assert frame.select("outcome", "right").rows() == [
        ("correct", True),
        ("agrees_with_rejected", False),
        ("multi_label", True),
        ("mistake", False),
        ("not_scored", None),  # no valid class is left
        of_item_5,
        ("mistake", False),
        ("not_scored", None),
    ]
    assert frame["target"].to_list() == [1] * 7 + [None]
    assert not frame["unjudged"].any()


def test_unjudged_predictions_of_an_open_set_are_marked():
    frame = outcomes(run(TOP1), labelled(*TRIPLES, items=8, absent="unjudged"), TRUTH)
    # Item 1 predicts its original label, which the set does not name; item 6 a rejected class; 4 is not scored.
    assert frame["unjudged"].to_list() == [False, True, False, True, False, False, False, False]
    assert frame["outcome"].to_list()[1] == "agrees_with_rejected"


def test_confidence_comes_along_where_there_is_one():
    labels, truth = original(np.array([0, 0])), np.array([0, 0], np.int32)
    assert outcomes(run([0, 1]), labels, truth)["confidence"].to_list() == [None, None]
    found = outcomes(run([0, 1], probabilities=[0.5, 0.25]), labels, truth)["confidence"]
    assert found.to_list() == [0.5, 0.25]


def test_an_item_without_a_prediction_is_not_scored():
    frame = outcomes(run([-1, 0], probabilities=[np.nan, 1]), original(np.array([0, 0])), np.zeros(2, np.int32))
    assert frame.row(0) == (0, 0, None, None, "not_scored", None, False)


def test_no_predictions_and_no_labels():
    truth = np.array([0], np.int32)
    empty = outcomes(run([]), original(truth), truth)
    assert dict(empty.schema) == OUTCOMES_SCHEMA
    assert empty.is_empty()
    assert outcomes(run([0]), labelled(items=0), truth)["outcome"].to_list() == ["not_scored"]
    assert confusions(empty).is_empty()


def test_predictions_for_items_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="item 3"):
        outcomes(run([0], items=[3]), labelled(items=0), np.array([0], np.int32))


def test_confusions_are_ranked_and_show_the_most_confident_items_first():
    truth = np.array([0, 0, 0, 1, 2, 0, -1, 0], np.int32)
    top1 = [1, 1, 1, 0, 0, 2, 1, 0]
    labels = labelled(*((item, max(t, 0), "valid") for item, t in enumerate(truth.tolist())), items=8)
    confidence = [0.2, 0.9, 0.4, 0.5, 0.5, 0.5, 0.9, 0.9]
    frame = outcomes(run(top1, probabilities=confidence), labels, truth)
    assert confusions(frame).rows() == [(0, 1, 3, [1, 2, 0]), (0, 2, 1, [5]), (1, 0, 1, [3]), (2, 0, 1, [4])]
    assert confusions(frame, sample=2)["items"].to_list()[0] == [1, 2]
    without = outcomes(run(top1), labels, truth)
    assert confusions(without)["items"].to_list()[0] == [0, 1, 2]


# ---- the same as a plain loop, and the invariant


def outcome_of(p: int, t: int, states: dict[int, str], accepted: set[str]) -> str:
    if p < 0 or not any(state != "rejected" for state in states.values()):
        return "not_scored"
    valid = {class_ for class_, state in states.items() if state in accepted}
    if p == t:
        return "correct" if p in valid else "agrees_with_rejected"
    return "multi_label" if p in valid else "mistake"


@settings(deadline=None)  # a shared machine may pause at any example
@given(
    st.lists(
        st.tuples(
            st.integers(-1, 3),
            st.integers(-1, 3),
            st.dictionaries(st.integers(0, 3), st.sampled_from(["valid", "unclear", "rejected"])),
        ),
        max_size=20,
    ),
    st.sampled_from(["lenient", "strict"]),
    st.sampled_from(["wrong", "unjudged"]),
)
def test_outcomes_equal_a_plain_loop_and_sum_to_accuracy(rows, unclear, absent):
    triples = [(item, c, state) for item, (_, _, states) in enumerate(rows) for c, state in states.items()]
    labels = labelled(*triples, items=len(rows), absent=absent)
    truth = np.array([t for _, t, _ in rows], np.int32)
    predictions = run([p for p, _, _ in rows])
    frame = outcomes(predictions, labels, truth, unclear=unclear)
    accepted = {"valid", "unclear"} if unclear == "lenient" else {"valid"}
    expected = [outcome_of(p, t, states, accepted) for p, t, states in rows]
    assert frame["outcome"].to_list() == expected
    assert frame["unjudged"].to_list() == [
        absent == "unjudged" and outcome != "not_scored" and p not in states
        for outcome, (p, _, states) in zip(expected, rows, strict=True)
    ]
    _assert_invariant(frame, predictions, labels, unclear)


def _assert_invariant(frame, predictions, labels, unclear="lenient"):
    """Outcomes that count as right sum to micro accuracy exactly; all of them to n."""
    micro = accuracy(predictions, labels, unclear=unclear)
    right = frame["outcome"].is_in(RIGHT).sum()
    assert frame.height == len(predictions.items)
    assert (frame["outcome"] != "not_scored").sum() == micro.n
    assert frame["right"].sum() == right
    assert micro.value == (right / micro.n if micro.n else None)
    assert frame["right"].null_count() == micro.n_left_out
    assert frame["unjudged"].sum() == (micro.n_unjudged or 0)


# ---- the published counts


@pytest.fixture(scope="module")
def items(shared_data: Path) -> pl.DataFrame:
    table = pl.read_csv(shared_data / "imagenet-val/labels.csv")
    return table.select(key="filename", label=pl.col("label").cast(pl.UInt32)).with_row_index("item")


def published_run(shared_data: Path, items: pl.DataFrame, name: str) -> Predictions:
    folder = shared_data / "imagenet-val/predictions"
    files = [folder / f"{name}_top5ranked.npy"]
    if not name.endswith("torchvision"):
        files = [folder / f"{name}_imagenet_top5{part}.npy" for part in ("preds", "probs")]
    return read_predictions(files, items, imagenet_1k(), order="imagefolder").predictions


@pytest.mark.shared_data
def test_published_counts_under_real(shared_data, items):
    truth, labels = items["label"].cast(pl.Int32).to_numpy(), real_label_set(items)
    predictions = published_run(shared_data, items, "resnet50_pytorch")
    frame = outcomes(predictions, labels, truth)
    counts = dict(frame["outcome"].value_counts().rows())
    assert counts["agrees_with_rejected"] == 1482
    assert counts["not_scored"] == 3163
    # Both-wrong and only-this-wrong against vgg16_pytorch, as published: 2056 + 6383.
    assert counts["agrees_with_rejected"] + counts["mistake"] == 8439
    assert frame["confidence"].is_between(0, 1.0001).all()
    _assert_invariant(frame, predictions, labels)
    pairs = confusions(frame)
    assert pairs["n"].sum() == counts["mistake"]
    assert pairs["n"].is_sorted(descending=True)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "correct", "errors", "forgiven"),
    # Right by the original label, top-1 errors, overlapping + multi-label: all overlapping ones are valid here.
    [
        ("resnet18_torchvision", 13623, 5069, 107 + 962),
        ("vgg16_torchvision", 14003, 4689, 80 + 980),
        ("densenet161_torchvision", 15028, 3664, 103 + 1028),
    ],
)
def test_published_counts_under_the_expert_labels(shared_data, items, name, correct, errors, forgiven):
    truth = items["label"].cast(pl.Int32).to_numpy()
    labels = read_label_set(shared_data / "imagenet-val/multilabel_v3.csv", "expert", items, imagenet_1k())
    predictions = published_run(shared_data, items, name)
    frame = outcomes(predictions, labels, truth)
    scored = frame.filter(pl.col("outcome") != "not_scored")
    counts = dict(scored["outcome"].value_counts().rows())
    assert counts["correct"] == correct
    assert scored.height - correct == errors
    assert counts["multi_label"] == forgiven
    _assert_invariant(frame, predictions, labels)


@pytest.mark.shared_data
def test_published_unjudged_mistakes(shared_data, items):
    truth = items["label"].cast(pl.Int32).to_numpy()
    labels = read_label_set(shared_data / "imagenet-val/multilabel_v3.csv", "expert", items, imagenet_1k())
    frame = outcomes(published_run(shared_data, items, "resnet50_pytorch"), labels, truth)
    wrong = frame.filter(~pl.col("right"))
    assert (wrong.height, wrong["unjudged"].sum()) == (2970, 310)
    assert frame["unjudged"].sum() == 310
