import dataclasses
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.causes import (
    CATEGORIES,
    Atypical,
    Causes,
    ClassPairs,
    OutsideVocabulary,
    causes_of,
    panel_judgements,
)
from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k, make_class_list
from analysis.labels.hierarchy import hierarchy_of, with_lower_classes
from analysis.labels.readers import read_label_set
from analysis.labels.real import real_label_set
from analysis.labels.sets import LabelSet, label_set, original
from analysis.labels.superclasses import make_superclasses
from analysis.metrics import accuracy, class_mean_accuracy
from analysis.models.predictions import Predictions, read_predictions
from analysis.outcomes import (
    ALWAYS_RIGHT,
    EVIDENCE_SCHEMA,
    MISTAKES,
    OUTCOME_NAMES,
    OUTCOMES_SCHEMA,
    confusions,
    counts,
    evidence,
    outcomes,
    severities,
)


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
    (8, 1, "valid"),
    (8, 4, "valid"),
    (9, 1, "valid"),
]
TRUTH = np.array([1, 1, 1, 1, 1, 1, 1, -1, 1, 1], np.int32)
TOP1 = [1, 1, 3, 2, 1, 1, 3, 1, 4, 4]
TWINS = Causes(twins=ClassPairs.of([1], [4], 5, "twins"))


@pytest.mark.parametrize(
    ("unclear", "of_item_5"), [("lenient", ("correct", True)), ("strict", ("agrees_with_rejected", False))]
)
def test_each_outcome_that_needs_no_category(unclear, of_item_5):
    frame = outcomes(run(TOP1), labelled(*TRIPLES, items=10), TRUTH, causes=TWINS, unclear=unclear)
    assert dict(frame.schema) == OUTCOMES_SCHEMA
    assert frame.select("outcome", "right").rows() == [
        ("correct", True),
        ("agrees_with_rejected", False),
        ("multi_label", True),
        ("model_failure", False),
        ("not_scored", None),  # no valid class is left
        of_item_5,
        ("model_failure", False),
        ("not_scored", None),
        ("overlapping", True),
        ("overlapping", False),
    ]
    assert frame["target"].to_list() == [1] * 7 + [None, 1, 1]
    assert not frame["unjudged"].any()
    assert frame["forgiven"].arg_true().to_list() == [9]
    assert frame["suggested"].arg_true().to_list() == [3, 6]


def test_without_causes_nothing_overlaps():
    frame = outcomes(run(TOP1), labelled(*TRIPLES, items=10), TRUTH)
    assert frame["outcome"].to_list()[8:] == ["multi_label", "model_failure"]
    assert not frame["forgiven"].any()


def test_unjudged_predictions_of_an_open_set_are_marked():
    frame = outcomes(run(TOP1), labelled(*TRIPLES, items=10, absent="unjudged"), TRUTH, causes=TWINS)
    # Item 1 predicts its original label, which the set does not name; item 6 a rejected class; 4 is not scored.
    assert frame["unjudged"].arg_true().to_list() == [1, 3, 9]
    assert frame["outcome"].to_list()[1] == "agrees_with_rejected"


def test_confidence_comes_along_where_there_is_one():
    labels, truth = original(np.array([0, 0])), np.array([0, 0], np.int32)
    assert outcomes(run([0, 1]), labels, truth)["confidence"].to_list() == [None, None]
    found = outcomes(run([0, 1], probabilities=[0.5, 0.25]), labels, truth)["confidence"]
    assert found.to_list() == [0.5, 0.25]


def test_an_item_without_a_prediction_is_not_scored():
    frame = outcomes(run([-1, 0], probabilities=[np.nan, 1]), original(np.array([0, 0])), np.zeros(2, np.int32))
    assert frame.row(0) == (0, 0, None, None, "not_scored", None, False, False, False, None)


def test_no_predictions_and_no_labels():
    truth = np.array([0], np.int32)
    empty = outcomes(run([]), original(truth), truth, causes=TWINS)
    assert dict(empty.schema) == OUTCOMES_SCHEMA
    assert empty.is_empty()
    assert outcomes(run([0]), labelled(items=0), truth)["outcome"].to_list() == ["not_scored"]
    assert confusions(empty).is_empty()
    assert counts(empty)["accuracy"] is None
    assert counts(empty)["class_mean_accuracy"] is None
    assert evidence(empty, labelled(items=0), TWINS).is_empty()


def test_predictions_for_items_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="item 3"):
        outcomes(run([0], items=[3]), labelled(items=0), np.array([0], np.int32))


# ---- categories, a panel, evidence

# Classes 0 and 1 are alike; 0 and 2 occur together; 5 is below 4.
CLASSES = make_class_list("x", list("abcdef"), parents=[None, None, None, None, None, "e"])
ALL_CAUSES = Causes(
    twins=ClassPairs.of([0], [3], 6, "twins of a file"),
    hierarchy=hierarchy_of(CLASSES),
    superclasses=make_superclasses([("s", "vowels", 0), ("s", "vowels", 1)], 6, "a table"),
    together=ClassPairs.of([0, 0, 0, 2, 2, 2], [2, 2, 2, 0, 0, 0], 6, "pairs"),
    atypical=Atypical(np.array([5, 0], np.uint32), "a list"),
    outside=OutsideVocabulary(pl.DataFrame({"item": [4], "prediction": [3], "text": ["a bagel"]}), "a space"),
    judgements=panel_judgements(
        pl.DataFrame(
            {
                "item": [7, 8, 0],
                "prediction": [1, 2, 0],
                "category": ["Non-prototypical", "Spurious Correlation", "Model failure"],
                "severity": ["Borderline", None, "Major"],
            }
        ),
        "the panel",
    ),
)
LABELS = [0, 0, 0, 5, 1, 1, 1, 0, 1, 0]
TOP1_OF_ALL = [0, 1, 2, 4, 3, 3, 3, 1, 2, 3]


def all_outcomes() -> tuple[pl.DataFrame, LabelSet]:
    labels = labelled(*((item, c, "valid") for item, c in enumerate(LABELS)), items=10)
    return outcomes(run(TOP1_OF_ALL), labels, np.array(LABELS, np.int32), causes=ALL_CAUSES), labels


def test_each_category_and_a_panel_before_the_rules():
    frame, _ = all_outcomes()
    assert frame.select("outcome", "suggested", "severity").rows() == [
        ("correct", False, None),  # what is right no panel makes a mistake
        ("fine_grained", True, None),
        ("spurious_correlation", True, None),
        ("too_coarse", True, None),
        ("fine_grained_oov", True, None),
        ("non_prototypical", True, None),
        ("model_failure", True, None),
        ("non_prototypical", False, "borderline"),
        ("spurious_correlation", False, None),
        ("overlapping", False, None),
    ]
    assert severities(frame) == {"major": 0, "minor": 1, "unset": 7}


def test_the_evidence_of_each():
    frame, labels = all_outcomes()
    found = evidence(frame, labels, ALL_CAUSES)
    assert dict(found.schema) == EVIDENCE_SCHEMA
    assert found.select("because", "superclass", "together", "basis").rows() == [
        (0, None, None, None),
        (0, "vowels", None, "a table"),
        (0, None, 3, "pairs, in at least 2 images"),
        (5, None, None, "parent column: 1 classes above others"),
        (None, None, None, "a space: 'a bagel' fits better"),
        (None, None, None, "a list"),
        (None, None, None, None),
        (None, None, None, "judged by the panel"),
        (None, None, None, "judged by the panel"),
        (0, None, None, "twins of a file"),
    ]
    assert found["valid"].to_list() == [[c] for c in LABELS]
    some = frame.filter(pl.col("item").is_in([7, 2]))
    assert evidence(some, labels, ALL_CAUSES).rows() == [found.row(2), found.row(7)]


def test_evidence_names_the_valid_class_that_counts():
    labels = labelled((0, 0, "valid"), (0, 5, "valid"), (1, 3, "valid"), (1, 0, "valid"), items=2)
    frame = outcomes(run([1, 2]), labels, np.array([5, 3], np.int32), causes=ALL_CAUSES)
    found = evidence(frame, labels, ALL_CAUSES)
    assert found.select("outcome", "because", "valid").rows() == [
        ("fine_grained", 0, [0, 5]),
        ("spurious_correlation", 0, [0, 3]),
    ]


def test_below_a_valid_class_is_right_and_above_too_coarse():
    hierarchy = hierarchy_of(CLASSES)
    labels = with_lower_classes(labelled((0, 4, "valid"), (1, 5, "valid"), (2, 4, "valid"), items=3), hierarchy)
    truth = np.array([4, 5, 4], np.int32)
    predictions = run([5, 4, 4])
    frame = outcomes(predictions, labels, truth, causes=Causes(hierarchy=hierarchy))
    assert frame["outcome"].to_list() == ["multi_label", "too_coarse", "correct"]
    _assert_invariant(frame, predictions, labels)
    assert counts(frame)["counts"]["too_coarse"] == 1


# ---- counts and confusions


def test_counts_have_every_outcome():
    labels = labelled(*TRIPLES, items=10, absent="unjudged")
    found = counts(outcomes(run(TOP1), labels, TRUTH, causes=TWINS))
    assert found == {
        "n": 10,
        "counts": {
            "not_scored": 2,
            "correct": 2,
            "agrees_with_rejected": 1,
            "overlapping": 2,
            "multi_label": 1,
            "fine_grained": 0,
            "fine_grained_oov": 0,
            "spurious_correlation": 0,
            "non_prototypical": 0,
            "model_failure": 2,
        },
        "overlapping_forgiven": 1,
        "unjudged": {
            "agrees_with_rejected": 1,
            "overlapping": 1,
            "fine_grained": 0,
            "fine_grained_oov": 0,
            "spurious_correlation": 0,
            "non_prototypical": 0,
            "model_failure": 1,
        },
        "class_mean_accuracy": 0.5,
        "accuracy": 0.5,
    }
    json.dumps(found)


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


def category_of(item: int, p: int, valid: set[int], causes: Causes) -> str:
    assert causes.superclasses is not None
    assert causes.atypical is not None
    alike = [set(row) for row in causes.superclasses.table["classes"]]
    together = {(0, 2), (2, 0)}
    if any((p, v) == (4, 5) for v in valid):
        return "too_coarse"
    if any({p, v} <= group for v in valid for group in alike):
        return "fine_grained"
    if (item, p) == (4, 3):
        return "fine_grained_oov"
    if any((p, v) in together for v in valid):
        return "spurious_correlation"
    return "non_prototypical" if item in (5, 0) else "model_failure"


def outcome_of(item: int, p: int, t: int, states: dict[int, str], accepted: set[str]) -> str:
    if p < 0 or not any(state != "rejected" for state in states.values()):
        return "not_scored"
    valid = {class_ for class_, state in states.items() if state in accepted}
    if p == t:
        return "correct" if p in valid else "agrees_with_rejected"
    if (t, p) == (0, 3):
        return "overlapping"
    if p in valid:
        return "multi_label"
    judged = {(7, 1): "non_prototypical", (8, 2): "spurious_correlation", (0, 0): "model_failure"}
    return judged.get((item, p)) or category_of(item, p, valid, ALL_CAUSES)


@settings(deadline=None)  # a shared machine may pause at any example
@given(
    st.lists(
        st.tuples(
            st.integers(-1, 5),
            st.integers(-1, 5),
            st.dictionaries(st.integers(0, 5), st.sampled_from(["valid", "unclear", "rejected"]), max_size=3),
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
    frame = outcomes(predictions, labels, truth, causes=ALL_CAUSES, unclear=unclear)
    accepted = {"valid", "unclear"} if unclear == "lenient" else {"valid"}
    expected = [outcome_of(item, p, t, states, accepted) for item, (p, t, states) in enumerate(rows)]
    assert frame["outcome"].to_list() == expected
    assert frame["unjudged"].to_list() == [
        absent == "unjudged" and outcome != "not_scored" and p not in states
        for outcome, (p, _, states) in zip(expected, rows, strict=True)
    ]
    _assert_invariant(frame, predictions, labels, unclear)
    shown = evidence(frame, labels, ALL_CAUSES, unclear=unclear)
    assert shown["outcome"].to_list() == expected
    for row in shown.filter(pl.col("outcome") == "fine_grained").iter_rows(named=True):
        assert row["superclass"] == "vowels"


def _assert_invariant(frame, predictions, labels, unclear="lenient"):
    """Outcomes that count as right sum to micro accuracy exactly; all of them to n."""
    micro = accuracy(predictions, labels, unclear=unclear)
    found = counts(frame)
    right = sum(found["counts"][name] for name in ALWAYS_RIGHT)
    right += found["counts"]["overlapping"] - found["overlapping_forgiven"]
    assert frame.height == len(predictions.items) == sum(found["counts"].values())
    assert frame.height - found["counts"]["not_scored"] == micro.n
    assert frame["right"].sum() == right
    assert micro.value == found["accuracy"] == (right / micro.n if micro.n else None)
    assert frame["right"].null_count() == micro.n_left_out
    assert frame["unjudged"].sum() == (micro.n_unjudged or 0) == sum(found["unjudged"].values())
    assert not frame.filter(pl.col("outcome").is_in(MISTAKES))["right"].any()
    assert set(MISTAKES) == set(CATEGORIES) < set(OUTCOME_NAMES)


# ---- the published counts


@pytest.fixture(scope="module")
def items(shared_data: Path) -> pl.DataFrame:
    table = pl.read_csv(shared_data / "imagenet-val/labels.csv")
    return table.select(key="filename", label=pl.col("label").cast(pl.UInt32)).with_row_index("item")


@pytest.fixture(scope="module")
def truth(items: pl.DataFrame) -> np.ndarray:
    return items["label"].cast(pl.Int32).to_numpy()


@pytest.fixture(scope="module")
def label_sets(shared_data: Path, items: pl.DataFrame, truth: np.ndarray) -> dict[str, LabelSet]:
    expert = read_label_set(shared_data / "imagenet-val/multilabel_v3.csv", "expert", items, imagenet_1k())
    return {"original": original(truth), "real": real_label_set(items), "expert": expert}


@pytest.fixture(scope="module")
def causes(label_sets: dict[str, LabelSet], truth: np.ndarray) -> Causes:
    return causes_of(imagenet_1k(), list(label_sets.values()), truth, under="expert")


def published_run(shared_data: Path, items: pl.DataFrame, name: str) -> Predictions:
    folder = shared_data / "imagenet-val/predictions"
    files = [folder / f"{name}_top5ranked.npy"]
    if not name.endswith("torchvision"):
        files = [folder / f"{name}_imagenet_top5{part}.npy" for part in ("preds", "probs")]
    return read_predictions(files, items, imagenet_1k(), order="imagefolder").predictions


RUNS = [
    "resnet50_pytorch",
    "vgg16_pytorch",
    "alexnet_pytorch",
    "nasnetlarge_keras",
    "resnet50_keras",
    "resnet18_torchvision",
    "vgg16_torchvision",
    "densenet161_torchvision",
]


@pytest.mark.shared_data
@pytest.mark.parametrize("name", RUNS)
def test_the_invariant_for_every_run_and_label_set(shared_data, items, truth, label_sets, causes, name):
    predictions = published_run(shared_data, items, name)
    for labels in label_sets.values():
        for unclear in ("lenient", "strict"):
            frame = outcomes(predictions, labels, truth, causes=causes, unclear=unclear)
            _assert_invariant(frame, predictions, labels, unclear)
            mean = class_mean_accuracy(predictions, labels, truth, unclear=unclear)
            assert counts(frame)["class_mean_accuracy"] == pytest.approx(mean.value, abs=1e-12)
            pairs = confusions(frame)
            assert pairs["n"].sum() == (~frame["right"]).sum() - (frame["outcome"] == "agrees_with_rejected").sum()


@pytest.mark.shared_data
def test_published_counts_under_real(shared_data, items, truth, label_sets, causes):
    predictions = published_run(shared_data, items, "resnet50_pytorch")
    found = counts(outcomes(predictions, label_sets["real"], truth, causes=causes))
    assert found["counts"]["agrees_with_rejected"] == 1482
    assert found["counts"]["not_scored"] == 3163
    assert found["overlapping_forgiven"] == 81
    # Both-wrong and only-this-wrong against vgg16_pytorch, as published: 2056 + 6383.
    wrong = sum(found["counts"][name] for name in MISTAKES if name != "too_coarse")
    assert found["counts"]["agrees_with_rejected"] + found["overlapping_forgiven"] + wrong == 8439


@pytest.mark.shared_data
@pytest.mark.parametrize(
    # fine_grained: published with a table of 161 superclasses that is not at hand; ours comes from WordNet.
    ("name", "correct", "errors", "overlapping", "multi_label", "mla", "fine_grained"),
    [
        ("resnet18_torchvision", 13623, 5069, 107, 962, 78.3568, 1381),
        ("vgg16_torchvision", 14003, 4689, 80, 980, 80.4173, 1284),
        ("densenet161_torchvision", 15028, 3664, 103, 1028, 86.2806, None),
    ],
)
def test_published_counts_under_the_expert_labels(
    shared_data,
    items,
    truth,
    label_sets,
    causes,
    name,
    correct,
    errors,
    overlapping,
    multi_label,
    mla,
    fine_grained,
):
    frame = outcomes(published_run(shared_data, items, name), label_sets["expert"], truth, causes=causes)
    found = counts(frame)
    by_name = found["counts"]
    assert by_name["correct"] == correct
    assert found["n"] - by_name["not_scored"] - correct == errors
    assert by_name["overlapping"] == overlapping
    assert by_name["multi_label"] == multi_label
    assert round(100 * found["class_mean_accuracy"], 4) == mla
    if fine_grained:
        assert by_name["fine_grained"] == pytest.approx(fine_grained, rel=0.1)


@pytest.mark.shared_data
def test_published_unjudged_mistakes(shared_data, items, truth, label_sets, causes):
    predictions = published_run(shared_data, items, "resnet50_pytorch")
    frame = outcomes(predictions, label_sets["expert"], truth, causes=causes)
    wrong = frame.filter(~pl.col("right"))
    assert (wrong.height, wrong["unjudged"].sum()) == (2970, 310)
    assert sum(counts(frame)["unjudged"].values()) == 310


@pytest.mark.shared_data
def test_the_panel_of_one_model(shared_data, items, truth, label_sets, causes):
    """Every mistake of ViT-3B as the panel sorted them, and as the rules would have done."""
    file = json.loads((shared_data / "imagenet-mistakes/vit3b_mistakes.json").read_text())
    number = dict(items.select("key", "item").iter_rows())
    rows = pl.DataFrame(
        {
            "item": [number[key] for key in file],
            "prediction": [entry["top_prediction"] for entry in file.values()],
            "category": [entry["failure category"] for entry in file.values()],
            "severity": [entry["failure severity"] for entry in file.values()],
        }
    )
    judgements = panel_judgements(rows, "panel")
    # The file holds every mistake of the run: it is right on the other items.
    top1 = truth.copy()
    top1[judgements["item"].to_numpy()] = judgements["prediction"].to_numpy()
    expert = label_sets["expert"]
    frame = outcomes(run(top1), expert, truth, causes=dataclasses.replace(causes, judgements=judgements))
    found = counts(frame)
    assert round(100 * found["class_mean_accuracy"], 3) == 97.915
    panel = {"fine_grained": 241 + 1, "fine_grained_oov": 54, "spurious_correlation": 52, "non_prototypical": 30}
    assert {name: n for name, n in found["counts"].items() if name in CATEGORIES} == panel | {"model_failure": 0}
    assert severities(frame) == {"major": 154, "minor": 150 + 74, "unset": 0}
    assert not frame["suggested"].any()
    # ReaL accepts 85 of the predictions and is empty on 64.
    by_real = outcomes(run(top1), label_sets["real"], truth, causes=causes)
    of_panel = by_real.filter(pl.col("item").is_in(judgements["item"].implode()))
    assert (of_panel["right"].sum(), of_panel["right"].null_count()) == (85, 64)
    by_rule = outcomes(run(top1), expert, truth, causes=causes)
    both = frame.select("item", panel="outcome").with_columns(rule=by_rule["outcome"])
    both = both.filter(pl.col("panel").is_in(MISTAKES))
    alike = (both["panel"] == "fine_grained") & (both["rule"] == "fine_grained")
    # The rules find most of what the panel calls fine-grained, and most of what they find is that.
    assert alike.sum() > 0.7 * (both["panel"] == "fine_grained").sum()
    assert alike.sum() > 0.6 * (both["rule"] == "fine_grained").sum()
