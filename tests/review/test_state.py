"""What the log says: readings, consensus and causes at any position, held against a slow and plain account."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.review import state
from analysis.review.log import stands
from tests.review.told import PANEL, cause, of_item, told, undo, verdict


def consensus(log: pl.DataFrame, upto: int | None = None) -> dict[tuple[int, int], str]:
    return {
        (item, index): word for item, index, word in state.verdicts(log, upto).select("item", "class", "state").rows()
    }


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([verdict("ann", 1, "valid"), verdict("bob", 1, "valid")], "valid"),
        ([verdict("ann", 1, "valid"), verdict("bob", 1, "wrong")], "disputed"),
        ([verdict("ann", 1, "valid"), verdict("bob", 1, "unsure")], "disputed"),
        ([verdict("ann", 1, "unsure"), verdict("bob", 1, "unsure")], "unsure"),
        ([verdict("ann", 1, "needs_expert")], "needs_expert"),
        ([verdict("ann", 1, "valid"), verdict("ann", 1, "wrong")], "wrong"),
        ([verdict("ann", 1, "valid"), verdict("bob", 1, "wrong"), verdict("bob", 1, "valid")], "valid"),
        ([verdict("ann", 1, "valid"), verdict("bob", 1, "wrong"), verdict(PANEL, 1, "unclear")], "unclear"),
        ([verdict(PANEL, 1, "wrong"), verdict("ann", 1, "valid")], "wrong"),
        ([verdict(PANEL, 1, "wrong"), verdict(PANEL, 1, "valid")], "valid"),
        ([verdict("ann", 1, "valid"), verdict(PANEL, 1, "wrong"), undo(2, PANEL)], "valid"),
        ([verdict("ann", 1, "valid"), verdict("ann", 1, "wrong"), undo(2)], "valid"),
        ([verdict("ann", 1, "valid"), undo(1), undo(2)], "valid"),
        ([verdict("ann", 1, "valid"), undo(1)], None),
        ([verdict("ann", 1, "valid"), verdict("ann", 1, "wrong", stratum="repeat")], "valid"),
        ([verdict("ann", 1, "valid"), verdict("ann", 2, "wrong", supersedes=1)], None),
    ],
)
def test_the_consensus_on_a_class(rows: list[dict[str, Any]], expected: str | None) -> None:
    assert consensus(told(*rows)).get((0, 1)) == expected


def test_two_recorders_are_one_panel() -> None:
    rows = [verdict("ann", 1, "wrong", panel=True), verdict("bob", 1, "valid", panel=True)]
    assert consensus(told(*rows)) == {(0, 1): "valid"}


def test_how_many_say_what() -> None:
    rows = [
        verdict("ann", 1, "valid"),
        verdict("bob", 1, "wrong"),
        verdict("cat", 1, "unsure"),
        verdict(PANEL, 1, "wrong"),
    ]
    found = state.verdicts(told(*rows, verdict("ann", 1, "wrong"))).row(0, named=True)
    assert found == {
        "item": 0,
        "class": 1,
        "state": "wrong",
        "panel": True,
        "readers": 3,
        "valid": 0,
        "wrong": 2,
        "position": 5,
    }


def test_any_past_position_can_be_rebuilt() -> None:
    log = told(verdict("ann", 1, "valid"), verdict("bob", 1, "wrong"), undo(2, "bob"), verdict(PANEL, 1, "unclear"))
    assert [consensus(log, upto).get((0, 1)) for upto in range(5)] == [None, "valid", "disputed", "valid", "unclear"]


def test_what_changed_between_two_positions() -> None:
    log = told(
        verdict("ann", 1, "valid"),
        verdict("ann", 2, "wrong"),
        verdict("bob", 1, "wrong"),
        undo(2),
        verdict("bob", 3, "valid"),
    )
    moved = state.diff(log, 2, 5)
    assert moved.rows() == [(0, 1, "valid", "disputed"), (0, 2, "wrong", None), (0, 3, None, "valid")]
    assert state.diff(log, 5, 2).select("item", "class", before="after", after="before").equals(moved)
    assert state.diff(log, 5, 5).is_empty()
    assert state.diff(log, 0, 2)["before"].to_list() == [None, None]


def test_cause_and_severity() -> None:
    ann, bob = verdict("ann", 1, "wrong"), verdict("bob", 1, "wrong")
    one = cause("ann", 1, "fine_grained", "major")

    def found(*rows: dict[str, Any]) -> list[tuple[Any, ...]]:
        columns = ("category", "severity", "category_disputed", "severity_disputed", "panel")
        return state.causes(told(*rows)).select(columns).rows()

    assert found(ann, one) == [("fine_grained", "major", False, False, False)]
    same = cause("bob", 1, "fine_grained", "minor")
    assert found(ann, bob, one, same) == [("fine_grained", None, False, True, False)]
    assert found(ann, bob, one, cause("bob", 1, None, "major")) == [("fine_grained", "major", False, False, False)]
    other = cause("bob", 1, "model_failure", "major")
    assert found(ann, bob, one, other) == [(None, "major", True, False, False)]
    panel = [verdict(PANEL, 1, "wrong"), cause(PANEL, 1, "spurious_correlation")]
    assert found(ann, bob, one, other, *panel) == [("spurious_correlation", "major", False, False, True)]
    # A reader who no longer says wrong has no cause; nor has anybody once the consensus is another one.
    assert found(ann, bob, one, same, verdict("ann", 1, "unsure")) == []
    assert found(ann, one, verdict(PANEL, 1, "valid")) == []
    assert found(ann, one, verdict("ann", 1, "valid"), verdict("ann", 1, "wrong")) == found(ann, one)


def test_what_is_said_of_items() -> None:
    log = told(
        of_item("problem", "ann", 4, "drawing"),
        of_item("problem", "bob", 4, "drawing"),
        of_item("problem", "bob", 4, "edited"),
        of_item("problem", PANEL, 2, "unreadable"),
        of_item("exhaustive", "bob", 7),
        of_item("exhaustive", "ann", 7),
        of_item("exhaustive", "ann", 3),
        undo(7, item=3),
        of_item("tag", "bob", 1, "odd"),
        of_item("tag", "ann", 1, "odd"),
        of_item("outside", "ann", 1, "a bagel"),
        of_item("tag", "ann", 1, "odd"),
    )
    problems = state.problems(log).rows()
    assert problems == [(2, "unreadable", 0, True), (4, "drawing", 2, False), (4, "edited", 1, False)]
    assert state.exhaustive(log).to_list() == [7]
    assert state.exhaustive(log, upto=7).to_list() == [3, 7]
    assert state.words(log, "tag").rows() == [(1, "odd", ["ann", "bob"])]
    assert state.words(log, "outside").rows() == [(1, "a bagel", ["ann"])]


def test_judgements_of_other_pixels_are_stale() -> None:
    items = pl.DataFrame(
        {"item": [0, 1, 2, 3], "hash": ["new", "same", None, "gone"], "missing": [False, False, False, True]},
        schema_overrides={"item": pl.UInt32},
    )
    log = told(
        verdict("ann", 1, "valid", 0, hash="old"),
        verdict("ann", 1, "valid", 1, hash="same"),
        verdict("ann", 1, "valid", 2, hash="x"),
        verdict("ann", 1, "valid", 0),
        verdict("ann", 1, "valid", 3, hash="gone"),
    )
    assert state.stale(log, items)["position"].to_list() == [1, 5]


def test_an_empty_log_says_nothing() -> None:
    log = told(verdict("ann", 1, "valid")).clear()
    assert stands(log).to_list() == []
    for found in (state.verdicts(log), state.causes(log), state.problems(log), state.diff(log, 0, 9)):
        assert found.is_empty()


# ---- against a plain account


def plainly(rows: list[dict[str, Any]]) -> dict[tuple[int, int], str]:
    """The rule of consensus, row by row."""
    alive = dict.fromkeys(range(1, len(rows) + 1), True)
    for position in sorted(alive, reverse=True):
        target = rows[position - 1].get("supersedes")
        if alive[position] and target:
            alive[target] = False
    said: dict[tuple[int, int], dict[str, str]] = {}
    for position, row in enumerate(rows, 1):
        if alive[position] and row["kind"] == "verdict":
            said.setdefault((row["item"], row["class"]), {})[row["person"]] = row["value"]
    result = {}
    for pair, words in said.items():
        different = set(words.values())
        result[pair] = words[PANEL] if PANEL in words else different.pop() if len(different) == 1 else "disputed"
    return result


@st.composite
def sessions(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Verdicts on two items and two classes by two persons and a panel, some replaced or taken back."""
    rows: list[dict[str, Any]] = []
    for position in range(1, draw(st.integers(1, 14)) + 1):
        person = draw(st.sampled_from(["ann", "bob", PANEL]))
        own = [place for place, row in enumerate(rows, 1) if row["person"] == person]
        replaced = draw(st.sampled_from([None, *own]))
        if replaced and draw(st.booleans()):
            rows.append(undo(replaced, person, rows[replaced - 1]["item"]))
            continue
        words = ["valid", "wrong", "unclear"] if person == PANEL else ["valid", "wrong", "unsure"]
        item = rows[replaced - 1]["item"] if replaced else draw(st.integers(0, 1))
        rows.append(verdict(person, draw(st.integers(0, 1)), draw(st.sampled_from(words)), item, supersedes=replaced))
        assert len(rows) == position
    return rows


@given(sessions())
def test_at_every_position_the_consensus_is_that_of_the_plain_account(rows: list[dict[str, Any]]) -> None:
    log = told(*rows)
    for upto in range(len(rows) + 1):
        assert consensus(log, upto) == plainly(rows[:upto])
