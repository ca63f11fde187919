"""Queues: leased, returned, and never served twice but for wanted readings and hidden repeats."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from analysis.errors import InputError
from analysis.review import queues
from analysis.review.designs import DECOY, complete, confidence_ordered, simple_random, stratified
from analysis.review.queues import Protocol, Queue, Task
from analysis.workspace import Workspace

NOW = datetime.now(UTC)
LATER = NOW + timedelta(minutes=31)


def candidates(n: int = 20) -> pl.DataFrame:
    rows = [
        (item, (item + shift) % 5, source) for item in range(n) for shift, source in enumerate(("label", "run", DECOY))
    ]
    return pl.DataFrame(rows, schema=["item", "class", "source"], orient="row")


def made(workspace: Workspace, protocol: Protocol | None = None, n: int = 20, name: str = "first") -> Queue:
    plain = protocol or Protocol(repeats=0)
    return queues.create(workspace, name, complete(range(n)), plain, candidates(n), person="ann")


def items(tasks: list[Task]) -> list[int]:
    return [task.item for task in tasks]


def read(workspace: Workspace, queue: Queue, person: str, tasks: list[Task]) -> None:
    queues.finish(workspace, queue.id, person, [(task.item, task.stratum == "repeat") for task in tasks])


def test_a_queue_is_kept_as_it_was_made(workspace: Workspace) -> None:
    assert queues.listed(workspace) == []
    strata = stratified({"mistakes": range(5), "control": range(5, 20)}, {"mistakes": 5, "control": 3})
    protocol = Protocol(readings=2, people=("ann", "bob"), guideline="3", seed=7)
    queue = queues.create(workspace, "q", strata, protocol, candidates(), person="ann")
    assert queues.listed(workspace) == [queues.load(workspace, queue.id)] == [queue]
    assert queue.strata == (
        {"name": "mistakes", "size": 5, "draw": 5, "random": True},
        {"name": "control", "size": 15, "draw": 3, "random": True},
    )
    members = queues.members(workspace, queue.id)
    assert members["item"].to_list() == list(range(20))
    assert members["stratum"].to_list() == [0] * 5 + [1] * 15
    assert members["probability"].to_list() == [1.0] * 5 + [0.2] * 15
    assert sorted(members["place"].drop_nulls()) == list(range(8))
    tasks = queues.lease(workspace, queue.id, "ann")
    told = {task.item: (task.stratum, task.probability) for task in tasks}
    assert told == {
        row["item"]: ("mistakes", 1.0) if row["item"] < 5 else ("control", 0.2)
        for row in members.filter(pl.col("place").is_not_null()).iter_rows(named=True)
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "first"}, "has a queue 'first' already"),
        ({"name": " "}, "needs a name"),
        ({"protocol": Protocol(readings=0)}, "at least one reading"),
        ({"protocol": Protocol(repeats=1)}, "repeats fewer than all"),
        ({"strata": complete([3, 20])}, "Item 20 is not in"),
        ({"strata": simple_random(range(20), 21)}, "21 of them cannot be drawn"),
    ],
)
def test_what_cannot_be_a_queue(workspace: Workspace, change: dict, words: str) -> None:
    made(workspace)
    plain = {"name": "second", "strata": complete(range(20)), "protocol": Protocol(), "candidates": candidates()}
    with pytest.raises(InputError, match=words):
        queues.create(workspace, **(plain | change), person="ann")
    assert len(queues.listed(workspace)) == 1
    with pytest.raises(InputError, match="no queue 'x'"):
        queues.lease(workspace, "x", "ann")


def test_nothing_is_served_twice(workspace: Workspace) -> None:
    queue = made(workspace)
    first = queues.lease(workspace, queue.id, "ann", 8)
    second = queues.lease(workspace, queue.id, "bob", 8)
    third = queues.lease(workspace, queue.id, "cat", 8)
    assert sorted(items(first + second + third)) == list(range(20))
    order = queues.members(workspace, queue.id).sort("place")["item"].to_list()
    assert items(first) + items(second) + items(third) == order
    read(workspace, queue, "ann", first)
    assert queues.lease(workspace, queue.id, "ann", 8) == []


def test_who_comes_back_has_the_same_items_in_hand(workspace: Workspace) -> None:
    queue = made(workspace)
    first = queues.lease(workspace, queue.id, "ann", 5)
    read(workspace, queue, "ann", first[:2])
    again = queues.lease(workspace, queue.id, "ann", 5)
    assert items(again)[:3] == items(first)[2:]
    assert len(again) == 5
    assert [task.candidates for task in again[:3]] == [task.candidates for task in first[2:]]


def test_a_lease_that_ends_goes_back(workspace: Workspace) -> None:
    queue = made(workspace)
    first = queues.lease(workspace, queue.id, "ann", 20, now=NOW)
    read(workspace, queue, "ann", first[:4])
    assert queues.lease(workspace, queue.id, "bob", 20, now=LATER - timedelta(minutes=2)) == []
    assert items(queues.lease(workspace, queue.id, "bob", 20, now=LATER)) == items(first)[4:]
    # The reading that comes in all the same counts, and is not asked for again.
    read(workspace, queue, "ann", first)
    read(workspace, queue, "ann", first)
    assert queues.coverage(workspace, queue.id)["readings"].to_list() == [1] * 20
    assert queues.lease(workspace, queue.id, "ann", 20, now=LATER + timedelta(hours=1)) == []


def test_what_is_given_back_is_served_at_once(workspace: Workspace) -> None:
    queue = made(workspace)
    first = queues.lease(workspace, queue.id, "ann", 6)
    read(workspace, queue, "ann", first[:1])
    assert queues.give_back(workspace, queue.id, "ann") == 5
    assert items(queues.lease(workspace, queue.id, "bob", 5)) == items(first)[1:]


def test_as_many_readings_as_wanted_by_different_people(workspace: Workspace) -> None:
    queue = made(workspace, Protocol(readings=2, repeats=0))
    for person in ("ann", "bob"):
        tasks = queues.lease(workspace, queue.id, person, 20)
        assert sorted(items(tasks)) == list(range(20))
        read(workspace, queue, person, tasks)
    assert queues.lease(workspace, queue.id, "cat", 20) == []
    assert queues.coverage(workspace, queue.id)["readings"].to_list() == [2] * 20
    expected = [("ann", 20, 0, 0), ("bob", 20, 0, 0)]
    assert queues.progress(workspace, queue.id).rows() == expected


def test_blind_candidates_come_in_an_order_of_the_persons_own(workspace: Workspace) -> None:
    queue = made(workspace, Protocol(readings=3, repeats=0))
    of_person = {
        person: {task.item: task.candidates for task in queues.lease(workspace, queue.id, person, 20)}
        for person in ("ann", "bob")
    }
    for item in range(20):
        assert sorted(of_person["ann"][item]) == sorted({item % 5, (item + 1) % 5, (item + 2) % 5})
    assert of_person["ann"] != of_person["bob"]
    label_first = [of_person["ann"][item][0] == item % 5 for item in range(20)]
    assert 0 < sum(label_first) < 20
    assert queues.sources(workspace, queue.id, 3) == [(3, "label"), (4, "run"), (0, DECOY)]
    assert queues.decoys(workspace, queue.id).rows() == [(item, (item + 2) % 5) for item in range(20)]
    seen = made(workspace, Protocol(blind=False, repeats=0), name="open")
    assert {task.item: task.candidates for task in queues.lease(workspace, seen.id, "ann", 20)}[3] == (3, 4, 0)


def test_who_may_take_it(workspace: Workspace) -> None:
    queue = made(workspace, Protocol(people=("ann",)))
    with pytest.raises(InputError, match="not for bob"):
        queues.lease(workspace, queue.id, "bob")
    assert len(queues.lease(workspace, queue.id, "ann")) == 20


def test_confidence_order_is_kept(workspace: Workspace) -> None:
    strata = confidence_ordered(range(20), [(item * 7) % 20 for item in range(20)])
    queue = queues.create(workspace, "q", strata, Protocol(repeats=0), candidates(), person="ann")
    tasks = queues.lease(workspace, queue.id, "ann", 20)
    assert [(item * 7) % 20 for item in items(tasks)] == list(range(19, -1, -1))


def test_repeats_are_a_twentieth_of_earlier_items(tmp_path, database: str) -> None:  # type: ignore[no-untyped-def]
    from tests.databases import made_workspace

    workspace = made_workspace(tmp_path / "many", 400)
    queue = made(workspace, Protocol(readings=2), 400)
    history: list[tuple[int, bool]] = []
    while tasks := queues.lease(workspace, queue.id, "ann", 50):
        assert len(tasks) <= 50
        for task in tasks:
            again = task.stratum == "repeat"
            assert again == ((task.item, False) in history)
            assert (task.probability is None) == again
            if again:
                assert (task.item, True) not in history
        history += [(task.item, task.stratum == "repeat") for task in tasks]
        read(workspace, queue, "ann", tasks)
    repeats = [item for item, again in history if again]
    assert len(history) == 400 + len(repeats)
    assert len(repeats) / len(history) == pytest.approx(0.05, abs=0.005)
    places = [place % 50 for place, (_, again) in enumerate(history) if again]
    assert max(places) - min(places) > 10  # not all at one end
    assert queues.progress(workspace, queue.id).rows() == [("ann", 400, len(repeats), 0)]
    assert set(queues.coverage(workspace, queue.id)["readings"]) == {1}


def test_many_people_at_once(workspace: Workspace) -> None:
    queue = made(workspace, Protocol(readings=2, repeats=0))
    start = threading.Barrier(5)

    def annotate(person: str) -> list[int]:
        start.wait(10)
        found: list[int] = []
        while tasks := queues.lease(workspace, queue.id, person, 3):
            found += items(tasks)
            read(workspace, queue, person, tasks)
        return found

    with ThreadPoolExecutor(5) as pool:
        all_read = list(pool.map(annotate, [f"p{n}" for n in range(5)]))
    for one in all_read:
        assert len(set(one)) == len(one)
    assert sorted(item for one in all_read for item in one) == sorted([*range(20), *range(20)])


def test_two_queues_do_not_meet(workspace: Workspace) -> None:
    one, two = made(workspace), made(workspace, replace(Protocol(repeats=0), seed=1), name="second")
    assert len(queues.lease(workspace, one.id, "ann", 20)) == 20
    assert len(queues.lease(workspace, two.id, "ann", 20)) == 20
