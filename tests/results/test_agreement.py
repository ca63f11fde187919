"""Agreement of a workspace's readers: equal to the coefficients it rests on, by groups, with intervals over items."""

from datetime import UTC, datetime, timedelta
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from analysis.errors import InputError
from analysis.results import agreement
from analysis.results.agreement import Rows, by, coefficients, persons, rows_of, set_table, sparse_alpha, splits
from analysis.review import agreement as measures
from analysis.review import log, queues
from analysis.review.designs import DECOY, complete
from analysis.review.kinds import VERDICTS, Judgement, Undo, Verdict
from analysis.review.queues import Protocol
from analysis.workspace import Workspace
from tests.databases import database, postgres, workspace
from tests.review.told import PANEL, cause, told, undo, verdict

__all__ = ["database", "postgres", "workspace"]

START = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
NO_DECOYS = pl.DataFrame(schema={"item": pl.UInt32, "class": pl.UInt32, "queue": pl.String})


def readers(n_items: int = 40, seed: int = 0) -> pl.DataFrame:
    """Ann, bob and cat on two classes of each item, in two queues; cat is careless, and reads the first half only."""
    rng = np.random.default_rng(seed)
    rows = []
    for item in range(n_items):
        for index in (item % 5, 5 + item % 3):
            truth = "valid" if index < 5 else "wrong"
            for person, care in (("ann", 0.95), ("bob", 0.9), ("cat", 0.5)):
                if person == "cat" and item >= n_items / 2:
                    continue
                value = truth if rng.random() < care else rng.choice(VERDICTS)
                when = START + timedelta(days=item)
                queue = "first" if item % 2 else "second"
                rows.append(verdict(person, index, str(value), item, time=when, queue=queue))
    return told(*rows)


def value(frame: pl.DataFrame, of: str, measure: str) -> dict:
    return frame.row(by_predicate=(pl.col("of") == of) & (pl.col("measure") == measure), named=True)


def test_each_coefficient_is_that_of_all_readings() -> None:
    rows = readers()
    found = coefficients(rows, draws=200)
    _, counts = measures.counts(measures.first_readings(rows), VERDICTS)
    assert value(found, "verdict", "raw")["value"] == pytest.approx(measures.raw_agreement(counts))
    assert value(found, "verdict", "alpha nominal")["value"] == pytest.approx(measures.alpha(counts))
    degrees = np.stack([counts[:, 1], counts[:, 2] + counts[:, 3], counts[:, 0]], axis=1)
    expected = measures.alpha(degrees, distances="ordinal")
    assert value(found, "verdict", "alpha ordinal")["value"] == pytest.approx(expected)
    two = counts[counts.sum(axis=1) == 3]  # as many units as those with two readings; the smaller number is taken
    assert len(two) == 40
    kappa = value(found, "verdict", "Fleiss' kappa")
    assert (kappa["value"], kappa["n"]) == (pytest.approx(measures.fleiss_kappa(counts[counts.sum(axis=1) == 2])), 40)
    for place, verdict_ in enumerate(VERDICTS):
        one = value(found, "verdict", f"agreement on {verdict_}")["value"]
        assert one == pytest.approx(measures.agreement_by_value(counts)[place])
    sets = measures.valid_sets(measures.first_readings(rows))
    for name, distance in (("MASI", measures.masi), ("Jaccard", measures.jaccard)):
        table, apart = measures.set_counts(sets, distance)
        one = value(found, "valid set", f"alpha {name}")
        assert (one["value"], one["n"]) == (pytest.approx(measures.alpha(table, distances=apart)), 40)
    measured = found.filter(pl.col("of") != "category", pl.col("of") != "severity")
    assert (measured["low"] <= measured["value"]).all()
    assert (measured["value"] <= measured["high"]).all()
    assert (measured["low"] < measured["high"]).sum() == 8  # nobody was ever unsure, or wanted an expert, with another
    assert found.equals(coefficients(rows, draws=200))


def test_sets_are_as_far_apart_as_their_distances_say() -> None:
    kinds = [frozenset(some) for n in range(4) for some in combinations(range(4), n)]
    rng = np.random.default_rng(1)
    units = [[kinds[place] for place in rng.integers(len(kinds), size=rng.integers(2, 5))] for _ in range(60)]
    table, alike = set_table(units)
    weights = rng.integers(0, 3, 60).astype(float)
    for name, distance in (("MASI", measures.masi), ("Jaccard", measures.jaccard)):
        counts, apart = measures.set_counts(units, distance)
        assert alike[name].toarray() == pytest.approx(1 - apart)
        expected = measures.alpha(counts, weights, distances=apart)
        assert sparse_alpha(table, alike[name], weights) == pytest.approx(expected)


def test_the_interval_draws_whole_items() -> None:
    """Ten judgements of one item say hardly more than one of them when they always agree or differ together."""
    rows = [
        verdict(person, index, "valid" if person == "ann" or item % 2 else "wrong", item)
        for item in range(10)
        for index in range(10)
        for person in ("ann", "bob")
    ]
    raw = value(coefficients(told(*rows), draws=400), "verdict", "raw")
    assert (raw["value"], raw["n"]) == (0.5, 100)
    assert raw["low"] <= 0.2
    assert raw["high"] >= 0.8


def test_cause_and_severity_count_where_all_said_wrong() -> None:
    rows = told(
        verdict("ann", 1, "wrong"), verdict("bob", 1, "wrong"), verdict("ann", 2, "wrong"), verdict("bob", 2, "valid"),
        cause("ann", 1, "fine_grained", "minor"), cause("bob", 1, "model_failure", "major"),
        cause("ann", 2, "fine_grained", "minor"), cause("bob", 2, "fine_grained", "minor"),
    )  # fmt: skip
    found = coefficients(rows, draws=20)
    assert (value(found, "category", "raw")["value"], value(found, "category", "raw")["n"]) == (0, 1)
    assert value(found, "severity", "alpha ordinal")["n"] == 1


def test_nothing_read_twice_has_no_agreement() -> None:
    for rows in (
        told(verdict("ann", 1, "valid"), verdict(PANEL, 1, "wrong")),
        told(verdict("ann", 0, "valid")).clear(),
    ):
        found = coefficients(rows)
        assert found["value"].null_count() == found.height == 14
        assert found["n"].sum() == 0
        for what in ("queue", "class", "pair", "week"):
            frame = by(rows, what)
            assert (frame.height, dict(frame.schema)) == (0, agreement.GROUPS_SCHEMA)
        assert splits(rows).is_empty()
    people = persons(Rows(rows, NO_DECOYS))
    assert (people.height, dict(people.schema)) == (0, agreement.PERSONS_SCHEMA)


def test_each_group_is_measured_as_by_itself() -> None:
    rows = readers()
    queues_ = by(rows, "queue")
    assert queues_["group"].to_list() == ["first", "second"]
    for name in ("first", "second"):
        alone = coefficients(rows.filter(queue=name), draws=20)
        one = queues_.row(by_predicate=pl.col("group") == name, named=True)
        assert (one["raw"], one["alpha"], one["kappa"]) == (
            pytest.approx(value(alone, "verdict", "raw")["value"]),
            pytest.approx(value(alone, "verdict", "alpha nominal")["value"]),
            None,
        )
        assert one["n"] == value(alone, "verdict", "raw")["n"] == 40
        assert one["alpha_low"] < one["alpha"] < one["alpha_high"]
    classes = by(rows, "class")
    assert classes["group"].sort().to_list() == [str(index) for index in range(8)]
    weeks = by(rows, "week")
    assert weeks["group"].to_list() == [
        "2026-03-02",
        "2026-03-09",
        "2026-03-16",
        "2026-03-23",
        "2026-03-30",
        "2026-04-06",
    ]
    assert weeks["n"].to_list() == [14, 14, 14, 14, 14, 10]


def test_each_pair_has_the_kappa_of_its_two() -> None:
    rows = readers()
    pairs = by(rows, "pair")
    assert pairs["group"].to_list() == ["ann & bob", "ann & cat", "bob & cat"]
    assert pairs["n"].to_list() == [80, 40, 40]
    said = rows.pivot("person", index=["item", "class"], values="value")
    for a, b in combinations(("ann", "bob", "cat"), 2):
        both = said.drop_nulls([a, b])
        one = pairs.row(by_predicate=pl.col("group") == f"{a} & {b}", named=True)
        assert one["kappa"] == pytest.approx(measures.cohen_kappa(both[a], both[b]))
        assert one["raw"] == pytest.approx((both[a] == both[b]).mean())
        assert one["kappa_low"] < one["kappa"] < one["kappa_high"]
    assert pairs.row(0, named=True)["kappa"] > pairs.row(1, named=True)["kappa"]


def test_people_are_held_against_others_decoys_and_themselves() -> None:
    rows = told(
        *(verdict(person, index, "valid", queue="q") for person in ("ann", "bob") for index in (0, 1)),
        verdict("cat", 0, "wrong", queue="q"),
        verdict("cat", 1, "valid", item=1, queue="p"),
        verdict("ann", 0, "valid", queue="q", stratum="repeat"),
        verdict("ann", 1, "wrong", queue="q", stratum="repeat"),
    )
    decoy = pl.DataFrame([(0, 1, "q"), (1, 1, "q")], schema=NO_DECOYS.schema, orient="row")
    found = persons(Rows(rows, decoy))
    assert found.select("person", "readings", "with_others", "pairs", "decoys", "decoys_accepted").rows() == [
        ("ann", 2, pytest.approx(2 / 3), 3, 1, 1),
        ("bob", 2, pytest.approx(2 / 3), 3, 1, 1),
        ("cat", 2, 0, 2, 0, 0),  # in queue p that class was no decoy
    ]
    assert found.select("repeats", "repeats_same").rows() == [(2, 1), (0, 0), (0, 0)]
    low, high = found.select("repeats_low", "repeats_high").row(0)
    assert 0 < low < 0.5 < high < 1
    assert found.select("repeats_low", "decoys_low").row(2) == (None, None)
    assert dict(found.schema) == agreement.PERSONS_SCHEMA


def test_a_repeat_is_nobodys_first_reading() -> None:
    """Not even where the first was taken back."""
    rows = told(
        verdict("ann", 0, "valid"), undo(1), verdict("ann", 0, "valid", stratum="repeat"), verdict("bob", 0, "wrong")
    )  # fmt: skip
    assert value(coefficients(rows), "verdict", "raw")["n"] == 0


def test_a_workspace_is_asked_by_queue(workspace: Workspace) -> None:
    rows = [(item, index, source) for item in range(4) for index, source in ((item, "label"), (4, DECOY))]
    asked = pl.DataFrame(rows, schema=["item", "class", "source"], orient="row")
    made = [queues.create(workspace, name, complete(range(4)), Protocol(), asked, person="ann") for name in "ab"]
    said = []
    for queue, second in zip(made, ("bob", "cat"), strict=True):
        for person in ("ann", second):
            value_ = "valid" if person != "cat" else "wrong"
            said += [Judgement(says=Verdict(i, i, value_), person=person, blind=True, queue=queue.id) for i in range(4)]  # type: ignore[arg-type]
    said.append(Judgement(says=Verdict(0, 4, "valid"), person="bob", blind=True, queue=made[0].id))
    log.append(workspace, said)
    raw = [value(coefficients(rows_of(workspace, queue.id).log), "verdict", "raw") for queue in made]
    assert [one["value"] for one in raw] == [1, 0]
    every = rows_of(workspace)
    assert value(coefficients(every.log), "verdict", "raw")["n"] == 4  # what ann said again in b was not her first
    assert persons(every).filter(person="bob").select("decoys", "decoys_accepted").row(0) == (1, 1)
    # What is taken back elsewhere is no reading of the queue.
    log.append(workspace, [Judgement(says=Undo(0, said[0].id), person="ann")])
    assert value(coefficients(rows_of(workspace, made[0].id).log), "verdict", "raw")["n"] == 3
    assert rows_of(workspace, upto=0).log.is_empty()
    with pytest.raises(InputError, match="no queue 'x'"):
        rows_of(workspace, "x")


def test_what_splits_the_team_comes_first() -> None:
    found = splits(told(*(verdict(p, c, v) for c, words in ((1, "vvw"), (2, "vw"), (3, "vv")) for p, v in (
        zip(("ann", "bob", "cat"), [{"v": "valid", "w": "wrong"}[w] for w in words], strict=False)
    ))))  # fmt: skip
    assert found["class"].to_list() == [2, 1]
