"""Comparisons in words: true in every case that there is."""

import numpy as np
import polars as pl
import pytest

from analysis.comparison import Comparison, compare, contrast_label_sets
from analysis.labels.sets import LabelSet, original
from analysis.many_runs import compare_all, rank_stability
from analysis.results.comparisons import DIFFERENCES_SCHEMA
from app import comparison_words as words
from tests.published import labelled, labels_of, ranks


def compared(a: list[int], b: list[int], labels: LabelSet | None = None, **options: object) -> Comparison:
    truth = np.zeros(len(a), np.int32)
    return compare(ranks(a), ranks(b), labels or original(truth), truth, names=("A*", "B"), **options)  # type: ignore[arg-type]


def said(found: Comparison) -> str:
    """The headline, narrow spaces as plain ones."""
    return words.headline(found).replace("\u202f", " ")


def test_a_difference_that_is_shown_says_which_run_is_worse_and_by_how_much() -> None:
    text = said(compared([0] * 100 + [1] * 60 + [0] * 40, [0] * 100 + [0] * 60 + [1] * 40))
    assert text.startswith("**A\\* is worse than B by 10.0 points** (micro accuracy by *original*, n = 200; ")
    # In the direction of the sentence: how much worse.
    assert "95 % paired interval 0.3 to 19.7; McNemar χ² = 4.00, p = 0.046)." in text
    assert said(compared([0] * 90 + [0] * 10, [1] * 60 + [0] * 40)).startswith(
        "**B is worse than A\\* by 60.0 points**"
    )


def test_few_flips_go_by_the_exact_test() -> None:
    """Six flips one way: McNemar's approximation and the exact test differ."""
    text = said(compared([0] * 100, [1] * 6 + [0] * 94))
    assert text.startswith("**B is worse than A\\* by 6.0 points**")
    assert "p = 0.014; exact p = 0.031, as fewer than 25 items flip)" in text
    # Of five, only the approximation would say so.
    text = said(compared([0] * 100, [1] * 5 + [0] * 95))
    assert text.startswith("**No difference between A\\* and B is shown:** B is worse by 5.0 points")
    assert "exact p = 0.062" in text
    assert "that does not make them equal." in text


def test_ties() -> None:
    assert said(compared([0, 1, 0], [0, 2, 0])).startswith(
        "**A tie: A\\* and B are right and wrong on the same items** (micro accuracy by *original*, n = 3)."
    )
    assert said(compared([0, 1, 0], [1, 0, 0])).startswith(
        "**A tie:** A\\* and B are right equally often; each alone is wrong on 1 item ("
    )


def test_one_item_has_no_interval() -> None:
    text = said(compared([0], [1]))
    assert "No difference between A\\* and B is shown" in text
    assert "interval" not in text


def test_nothing_in_common_says_who_covers_what() -> None:
    truth = labels_of(0, 0, 0)
    found = compare(ranks([0], items=[0]), ranks([0, 0], items=[1, 2]), original(truth), truth, names=("A", "B"))
    text = said(found)
    assert text.startswith("**No item that *original* scores is predicted by both** A and B.")
    assert "A alone covers 1 more scored item, B alone covers 2 more scored items" in text


def test_different_subsets_are_counted() -> None:
    truth = labels_of(0, 0, 0, 0)
    found = compare(ranks([0, 0], items=[0, 1]), ranks([0, 0, 0], items=[1, 2, 3]), original(truth), truth)
    assert "n = 1)" in said(found)
    assert "Compared on the items of both: a alone covers 1 more scored item, b alone covers 2 more" in said(found)


def opened(n: int, *rejected: tuple[int, int]) -> LabelSet:
    said = [(item, 0, "valid") for item in range(n)]
    return labelled(
        *said, *((item, kind, "rejected") for item, kind in rejected), items=n, absent="unjudged", name="open"
    )


def test_unjudged_predictions_that_could_turn_the_order() -> None:
    text = said(compared([0] * 100, [5] * 30 + [0] * 70, opened(100)))
    assert text.startswith("**Not decidable on these labels.** As judged, B is worse than A\\* by 30.0 points")
    assert "Judging the 30 unjudged predictions (0 of A, 30 of B) could turn the order" in text
    assert "anything from +0.0 to +30.0 points" in text


def test_unjudged_predictions_that_could_not() -> None:
    judged = [(item, 5) for item in range(20)]
    text = said(compared([0] * 100, [5] * 30 + [0] * 70, opened(100, *judged)))
    assert text.startswith("**B is worse than A\\* by 30.0 points**")
    assert text.endswith(" No judgement of the 10 unjudged predictions (0 of A, 10 of B) could turn the order.")


def test_the_same_unjudged_prediction_of_both_moves_nothing() -> None:
    text = said(compared([5, 0, 0], [5, 0, 0], opened(3)))
    assert "2 unjudged predictions (1 of A, 1 of B) are the same for both runs" in text


def test_an_order_that_only_the_class_mean_could_lose() -> None:
    """Class 1 has one item; its unjudged prediction is half of the class mean."""
    n = 61
    truth = np.array([0] * 60 + [1], np.int32)
    valid = [(item, int(truth[item]), "valid") for item in range(n)]
    rejected = [(item, 5, "rejected") for item in range(30)]
    labels = labelled(*valid, *rejected, items=n, absent="unjudged")
    a, b = ranks([0] * 60 + [6]), ranks([5] * 30 + [0] * 30 + [1])
    found = compare(a, b, labels, truth)
    assert found.difference_micro.decidable
    assert not found.decidable
    assert "could not turn the order of the micro accuracies, but that of the class means." in said(found)


def differences(*rows: tuple) -> pl.DataFrame:
    """labels, n, difference, low, high, bounds, p of micro rows."""
    full = [(name, "micro", n, *numbers, decidable, p) for name, n, *numbers, decidable, p in rows]
    return pl.DataFrame(full, schema=DIFFERENCES_SCHEMA, orient="row")


def test_other_label_sets() -> None:
    found = compared([0] * 100, [1] * 40 + [0] * 60)
    rows = differences(
        ("original", 100, 0.4, 0.3, 0.5, 0.4, 0.4, True, 0.0),
        ("same*", 90, 0.2, 0.1, 0.3, 0.1, 0.3, True, 0.001),
        ("turned", 80, -0.2, -0.3, -0.1, -0.2, -0.2, True, 0.001),
        ("unsure", 70, 0.01, -0.1, 0.12, 0.01, 0.01, True, 0.6),
        ("open", 60, 0.2, 0.1, 0.3, -0.1, 0.3, False, 0.001),
        ("none", 0, None, None, None, None, None, False, None),
    )
    text = words.elsewhere(rows, found)
    assert text.startswith(
        "Under *same\\** B is worse by 20.0 points, and no unjudged prediction could turn the order; "
    )
    assert "under *turned* the other way round: A\\* is worse by 20.0 points; " in text
    assert "under *unsure* no difference is shown (A − B = +1.0 points, −10.0 to +12.0); " in text
    assert "under *open* B is worse by 20.0 points, not decidable on those labels; " in text
    assert text.endswith("under *none* they have no scored item in common.")
    assert words.elsewhere(rows.head(1), found) == ""


def contrast(first: LabelSet, second: LabelSet, a: list[int], b: list[int]) -> str:
    truth = np.zeros(len(a), np.int32)
    return words.contrast("one", "other", contrast_label_sets(ranks(a), ranks(b), first, second, truth))


def test_label_sets_that_disagree_differ_in_degree_or_say_the_same() -> None:
    n = 100
    a, b = [0] * n, [1] * n
    zero = original(np.zeros(n, np.int32))
    one = labelled(*((item, 1, "valid") for item in range(n)), items=n)
    mixed = labelled(*((item, 0 if item < 60 else 1, "valid") for item in range(n)), items=n)
    mostly = labelled(*((item, 0 if item < 90 else 1, "valid") for item in range(n)), items=n)
    nearly = labelled(*((item, 0 if item < 88 else 1, "valid") for item in range(n)), items=n)
    # All-or-none differences have intervals of no width.
    assert "**disagree about the order** on the 100 items that both score" in contrast(zero, one, a, b)
    assert "put **different distances** between the runs" in contrast(mixed, mostly, a, b)
    assert "do not differ beyond chance" in contrast(mostly, nearly, a, b)
    assert "show the same difference on the 100 items" in contrast(zero, zero, a, b)
    assert contrast(zero, labelled(items=n), a, b) == "*one* and *other* score no item in common."


def test_together_needs_scores_for_the_mean_of_both() -> None:
    lines = words.together(compared([0, 0, 1, 1], [0, 1, 0, 1]))
    assert lines[0].replace("\u202f", " ") == "**50.0 %** of items get the same class from both."
    assert "**75.0\u202f%** at least one is right: 25.0 points over the better one" in lines[1]
    assert "needs the scores of all classes" in lines[2]
    scores = (np.array([[1.0, 2.0]]), np.array([[9.0, 1.0]]))
    assert "100.0 points more" in words.together(compared([1], [2], scores=scores))[2]
    assert words.together(compared([], [])) == []


def test_all_pairs() -> None:
    truth = np.zeros(60, np.int32)
    runs = {"good": ranks([0] * 60), "same": ranks([0] * 60), "bad": ranks([3] * 60)}
    labels = opened(60, *((item, 3) for item in range(10)))
    text = words.all_pairs(compare_all(runs, labels, truth), "open")
    assert text.startswith(
        "**2 of 3 pairs of runs differ** by *open* on 60 common items (McNemar, Holm-corrected over 3"
    )
    assert "the order of 2 of them" not in text  # ten are judged: the order stands
    text = words.all_pairs(compare_all(runs, opened(60), truth), "open")
    assert text.endswith("; the order of 2 of them is not decidable: unjudged predictions could turn it.")
    apart = {"a": ranks([0], items=[0]), "b": ranks([0], items=[1])}
    assert "is predicted by all of these runs" in words.all_pairs(
        compare_all(apart, original(truth), truth), "original"
    )


def test_orders_of_runs() -> None:
    rows = [("a", "x", 0.9), ("b", "x", 0.8), ("a", "y", 0.7), ("b", "y", 0.9), ("a", "z", 0.5), ("b", "z", 0.4)]
    ranked = rank_stability(pl.DataFrame(rows, schema=["run", "labels", "value"], orient="row"))
    first, second, _ = words.stability(ranked)
    assert first == "*x* and *y* reverse 1 of 1 pair (Kendall τ = -1.00)."
    assert second == "*x* and *z* order the 2 runs alike (Kendall τ = 1.00)."


@pytest.mark.parametrize(
    ("value", "text"), [(0.044, "4.4 points"), (-0.044, "4.4 points"), (0.0004, "0.04 points"), (0.0, "0.0 points")]
)
def test_points(value: float, text: str) -> None:
    assert words.points(value) == text


def test_runs_with_another_task_are_named() -> None:
    assert words.easier([("a", ""), ("b", "")]) == ""
    assert words.easier([("a", "among 2 classes"), ("b", "among 2 classes")]) == ""
    assert "a: among 2 classes" in words.easier([("a", "among 2 classes"), ("b", "")])


def test_the_interval_and_the_test_must_both_show_it() -> None:
    assert words.tested(0.01, 0.001, 0.2)
    assert not words.tested(0.01, -0.001, 0.2)
    assert not words.tested(0.06, 0.001, 0.2)
    assert words.tested(0.01, None, None)
    assert not words.tested(None, None, None)
