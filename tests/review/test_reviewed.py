"""The label set `reviewed`: decisions in place of the base's, nothing else."""

import polars as pl

from analysis.labels.sets import ABSENT, REJECTED, UNCLEAR, VALID, LabelSet, label_set, original
from analysis.review.reviewed import reviewed
from tests.review.told import PANEL, of_item, told, undo, verdict

ITEMS = pl.DataFrame(
    {"item": range(6), "hash": [f"h{n}" for n in range(6)], "missing": [False] * 5 + [True]},
    schema_overrides={"item": pl.UInt32},
)


def base() -> LabelSet:
    """Item 0 has a valid, an unclear and a rejected class; 1 none; 2 is problematic; 3 and 4 are unknown."""
    rows = [(0, 0, "valid"), (0, 1, "unclear"), (0, 2, "rejected"), (2, 0, "valid")]
    labels = pl.DataFrame(rows, schema=["item", "class", "state"], orient="row")
    items = pl.DataFrame({"item": [0, 1, 2], "scored": [True, True, False], "exhaustive": [False, True, False]})
    return label_set("expert", labels, items, absent="unjudged", note="Said so.")


def states(labels: LabelSet, item: int) -> list[int]:
    return labels.states([item], [[0, 1, 2, 3]])[0].tolist()


def test_decisions_replace_what_the_base_says() -> None:
    log = told(
        verdict("ann", 0, "wrong"),
        verdict("ann", 1, "valid"),
        verdict(PANEL, 2, "unclear"),
        verdict("ann", 3, "valid"),
        verdict("ann", 0, "valid", 4),
    )
    found = reviewed(log, base(), ITEMS)
    assert states(found, 0) == [REJECTED, VALID, UNCLEAR, VALID]
    assert states(found, 4) == [VALID, ABSENT, ABSENT, ABSENT]
    assert states(found, 2) == [VALID, ABSENT, ABSENT, ABSENT]
    assert found.items["item"].to_list() == [0, 1, 2, 4]
    assert (found.name, found.absent) == ("reviewed", "unjudged")
    assert found.note == "expert with 5 decisions of reviewers, as of position 5 of the review log. Said so."


def test_what_is_not_decided_stays_as_it_was() -> None:
    log = told(
        verdict("ann", 0, "wrong"),
        verdict("bob", 0, "valid"),
        verdict("ann", 1, "unsure"),
        verdict("ann", 2, "needs_expert"),
    )
    found = reviewed(log, base(), ITEMS)
    assert found.labels.equals(base().labels)
    assert found.items.equals(base().items)
    assert "3 further readings are disputed or undecided" in found.note


def test_any_past_position_can_be_rebuilt() -> None:
    log = told(verdict("ann", 0, "wrong"), verdict("ann", 0, "unsure"), undo(2))
    seen = [states(reviewed(log, base(), ITEMS, upto=upto), 0)[0] for upto in range(4)]
    assert seen == [VALID, REJECTED, VALID, REJECTED]


def test_which_items_are_scored() -> None:
    log = told(
        verdict("ann", 3, "valid", 1),  # had no valid class, now has one
        verdict("ann", 3, "valid", 2),  # is problematic by the base, whatever its classes are
        verdict("ann", 0, "wrong", 0),
        verdict("ann", 1, "wrong", 0),  # had valid classes, now has none
        verdict("ann", 0, "valid", 3),
        of_item("problem", "bob", 3, "drawing"),
        verdict("ann", 0, "valid", 4),
        of_item("problem", "bob", 4, "label_wrong"),
    )
    found = reviewed(log, base(), ITEMS)
    assert found.scored([0, 1, 2, 3, 4]).tolist() == [False, True, False, False, True]
    assert reviewed(log, base(), ITEMS, excluding=()).scored([3]).tolist() == [True]


def test_no_further_class() -> None:
    log = told(verdict("ann", 0, "valid"), of_item("exhaustive", "ann", 0))
    assert reviewed(log, base(), ITEMS).exhaustive([0, 1, 2]).tolist() == [True, True, False]


def test_what_was_said_of_another_image_is_left_out() -> None:
    log = told(
        verdict("ann", 0, "wrong", 0, hash="before"),
        verdict("ann", 1, "wrong", 0, hash="h0"),
        verdict("ann", 0, "valid", 5, hash="h5"),
        verdict("bob", 2, "valid", 0, hash="h0"),
        undo(4, "bob") | {"hash": "before"},
    )
    found = reviewed(log, base(), ITEMS)
    assert states(found, 0) == [VALID, REJECTED, REJECTED, ABSENT]
    assert found.items["item"].to_list() == [0, 1, 2]
    assert "3 judgements of images that changed since are left out" in found.note


def test_nothing_said_leaves_the_base() -> None:
    closed = original(pl.Series([0, 1, None]))
    found = reviewed(told(verdict("ann", 0, "valid")).clear(), closed, ITEMS)
    assert found.labels.equals(closed.labels)
    assert found.items.equals(closed.items)
    assert found.absent == "wrong"
