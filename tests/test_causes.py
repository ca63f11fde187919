import dataclasses

import numpy as np
import polars as pl
import pytest

from analysis.causes import (
    CATEGORIES,
    JUDGEMENTS_SCHEMA,
    Atypical,
    Causes,
    ClassPairs,
    causes_of,
    co_occurrence,
    panel_judgements,
    twins_of,
    valid_pairs,
)
from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k, make_class_list
from analysis.labels.sets import LabelSet, label_set, original
from analysis.typicality import typicality


def labelled(*triples, items: int, name="x", absent="wrong") -> LabelSet:
    rows = pl.DataFrame(triples, schema={"item": pl.UInt32, "class": pl.UInt32, "state": pl.String}, orient="row")
    return label_set(name, rows, pl.DataFrame({"item": range(items)}), absent=absent)


def test_pairs_of_classes_are_counted_and_found():
    pairs = ClassPairs.of([0, 2, 0], [1, 0, 1], 3, "x")
    assert pairs.count([0, 1, 2, -1, 1], [1, 0, 0, 2, -1]).tolist() == [2, 0, 1, 0, 0]
    assert ClassPairs.of([], [], 3, "x").count([0, 1], [1, 0]).tolist() == [0, 0]


def test_twins_are_directed():
    twins = twins_of(imagenet_1k())
    labels, predicted = [250, 248, 836, 837, 356, 359, 435, 876], [248, 250, 837, 836, 359, 357, 876, 435]
    assert twins.count(labels, predicted).tolist() == [1, 0, 1, 1, 1, 1, 1, 0]
    assert len(twins.keys) == 7 + 2 * 5 + 4 * 3


def test_twins_go_by_wordnet_id_not_by_index():
    ids = imagenet_1k().ids
    part = make_class_list("part", [ids[639], ids[0], ids[638]])
    assert twins_of(part).count([0, 2, 1], [2, 0, 0]).tolist() == [1, 1, 0]
    assert twins_of(make_class_list("part", [ids[0], ids[639]])) is None
    assert twins_of(make_class_list("letters", ["a", "b"])) is None


def test_co_occurrence_counts_images_that_show_both():
    valid = [(0, 1), (0, 2), (1, 1), (2, 1), (2, 2)]
    labels = labelled((0, 3, "rejected"), *((item, c, "valid") for item, c in valid), items=4)
    truth = np.array([1, 2, 0, 3], np.int32)
    pairs = co_occurrence(labels, truth, 4)
    # Images 0 (1 and 2), 1 (1 and its label 2) and 2 (1, 2 and its label 0).
    assert pairs.count([1, 2, 0, 1, 3, 1], [2, 1, 1, 0, 1, 1]).tolist() == [3, 3, 1, 1, 0, 0]
    without = co_occurrence(labels, truth, 4, without=labelled(items=2, name="expert"))
    assert without.count([1, 0], [2, 1]).tolist() == [1, 1]
    assert "expert" in without.basis


def test_what_is_at_hand_is_used_and_the_rest_recorded_as_not_run():
    truth = np.array([0, 1], np.int32)
    letters = make_class_list("letters", ["a", "b"])
    nothing = causes_of(letters, [original(truth)], truth)
    assert all(text.startswith("not run") for text in nothing.record().values())
    real = labelled((0, 0, "valid"), (0, 1, "valid"), (1, 1, "valid"), items=2, name="real")
    found = causes_of(imagenet_1k(), [original(truth), real], truth, under="expert").record()
    assert found["fine_grained"] == "WordNet 3.0: a common ancestor with at most 40 leaf classes"
    assert found["spurious_correlation"] == "pairs of classes counted over real, in at least 2 images"
    assert found["fine_grained_oov"] == "not run: no open_clip space"
    assert found["non_prototypical"].startswith("not run")


def test_co_occurrence_leaves_out_the_images_it_is_tried_on():
    truth = np.array([0, 0, 0], np.int32)
    real = labelled(*((item, c, "valid") for item in range(3) for c in (0, 1)), items=3, name="real")
    expert = labelled((0, 0, "valid"), items=1, name="expert", absent="unjudged")
    sets = [original(truth), real, expert]
    tried = causes_of(imagenet_1k(), sets, truth, under="expert").together
    assert tried.count(0, 1) == 2
    itself = causes_of(imagenet_1k(), sets, truth, under="real").together
    assert itself.count(0, 1) == 3


def test_categories_come_in_their_order():
    classes = make_class_list("x", list("abcdef"), parents=["p", "p", None, None, None, "a"])
    causes = causes_of(classes, [], np.zeros(0, np.int32))
    together = ClassPairs.of([0, 2, 2, 0, 0, 3, 3], [2, 0, 0, 2, 1, 2, 2], 6, "x")
    causes = dataclasses.replace(causes, together=together, atypical=Atypical(np.array([0, 3, 4], np.uint32), "x"))
    items = np.arange(6, dtype=np.uint32)
    top1 = np.array([1, 0, 2, 4, 4, 2], np.int32)
    # Valid: 0 alone for most; item 1 has f, which is below a; item 5 has d and e.
    rows, valid = np.array([0, 1, 2, 3, 5, 5]), np.array([0, 5, 0, 0, 4, 3], np.uint32)
    found = [CATEGORIES[code] for code in causes.categories(items, top1, rows, valid)]
    assert found == [
        "fine_grained",
        "too_coarse",
        "spurious_correlation",
        "non_prototypical",
        "non_prototypical",
        "model_failure",
    ]


def test_valid_pairs_by_row():
    labels = labelled((0, 3, "valid"), (0, 5, "unclear"), (2, 1, "rejected"), (2, 4, "valid"), items=3)
    items = np.array([0, 1, 2, 9], np.uint32)
    assert [part.tolist() for part in valid_pairs(labels, items)] == [[0, 0, 2], [3, 5, 4]]
    assert [part.tolist() for part in valid_pairs(labels, items, unclear="strict")] == [[0, 2], [3, 4]]
    assert [part.tolist() for part in valid_pairs(labelled(items=0), items)] == [[], []]
    assert [part.tolist() for part in valid_pairs(labels, items[:0])] == [[], []]


def test_the_least_typical_by_a_score():
    score = [0.9, np.nan, 0.1, 0.5, 0.8]
    found = Atypical.by_score(np.arange(5) + 10, score, 0.25, "similarity")
    assert found.items.tolist() == [12]
    assert found.basis == "similarity at most 0.1 (the least typical 25.0%)"
    assert len(Atypical.by_score([0], [np.nan], 0.5, "x").items) == 0


def test_typicality_is_similarity_within_the_class():
    vectors = np.array([[1, 0], [2, 0], [0, 3], [1, 1], [5, 5], [1, 0]], np.float16)
    classes = np.array([0, 0, 0, 1, 1, 2], np.int32)
    found = typicality(vectors, classes, k=1)
    assert found[:5] == pytest.approx([1, 1, 0, 1, 1], abs=1e-3)
    assert np.isnan(found[5])
    assert typicality(vectors, classes, k=9)[0] == pytest.approx(0.5)
    assert np.isnan(typicality(vectors, np.full(6, -1, np.int32))).all()


def test_in_a_large_class_the_nearest_are_of_a_sample():
    rng = np.random.default_rng(0)
    vectors = np.array([5, 0, 0]) + rng.normal(size=(60, 3))
    vectors[17] = [-5, 0, 0]
    classes = np.zeros(60, np.int32)
    whole = typicality(vectors, classes, k=3)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T - 9 * np.eye(60)
    assert whole == pytest.approx(np.sort(similarity, axis=1)[:, -3:].mean(axis=1), abs=1e-5)
    sampled = typicality(vectors, classes, k=3, compared=20)
    assert sampled.argmin() == whole.argmin() == 17
    assert (sampled <= whole + 1e-6).all()  # fewer to be near to
    assert typicality(vectors, classes, k=3, compared=20).tolist() == sampled.tolist()


JUDGED = pl.DataFrame(
    {
        "item": [3, 1, 1],
        "prediction": [0, 2, 1],
        "category": ["Fine-grained with OOV", "Spurious Correlation", "model_failure"],
        "severity": ["Borderline", "Major", None],
    }
)


def test_judgements_in_published_spellings():
    found = panel_judgements(JUDGED, "panel")
    assert dict(found.schema) == JUDGEMENTS_SCHEMA
    assert found.rows() == [
        (1, 1, "model_failure", None, "panel"),
        (1, 2, "spurious_correlation", "major", "panel"),
        (3, 0, "fine_grained_oov", "borderline", "panel"),
    ]
    assert panel_judgements(pl.concat([JUDGED, JUDGED]), "panel").equals(found)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"category": "odd"}, "item 1, prediction 2 has the category 'odd'"),
        ({"category": None}, "item 1, prediction 2"),
        ({"severity": "awful"}, "severity 'awful'"),
    ],
)
def test_unknown_words_are_refused(change, says):
    row = {**JUDGED.row(1, named=True), **change}
    with pytest.raises(InputError, match=says):
        panel_judgements(pl.concat([JUDGED, pl.DataFrame([row], schema=JUDGED.schema)]), "panel")


def test_two_judgements_of_one_prediction_are_refused():
    other = JUDGED.with_columns(category=pl.lit("non-prototypical"))
    with pytest.raises(InputError, match="item 1 with prediction 1 is judged in two ways"):
        panel_judgements(pl.concat([JUDGED, other]), "panel")


def test_no_causes_know_nothing():
    codes = Causes().categories(
        np.zeros(1, np.uint32), np.zeros(1, np.int32), np.zeros(0, np.intp), np.zeros(0, np.uint32)
    )
    assert [CATEGORIES[code] for code in codes] == ["model_failure"]
