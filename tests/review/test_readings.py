"""Readings over both databases: saved or refused one by one, closed when over, and again without harm."""

from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from analysis.review import log, queues, readings
from analysis.review.designs import DECOY, complete
from analysis.review.kinds import Cause, Statement, Undo, Verdict
from analysis.review.queues import Protocol, Queue
from analysis.review.readings import BETWEEN, Reading, Said
from analysis.workspace import Workspace


@pytest.fixture
def queue(workspace: Workspace) -> Queue:
    sources = (f"label{BETWEEN}vgg", DECOY)
    rows = [(item, (item + shift) % 5, source) for item in range(20) for shift, source in enumerate(sources)]
    candidates = pl.DataFrame(rows, schema=["item", "class", "source"], orient="row")
    protocol = Protocol(readings=4, repeats=0, guideline="2")
    return queues.create(workspace, "q", complete(range(20)), protocol, candidates, person="ann")


def said(queue: Queue, id: str, item: int, says: Statement, again: bool = False) -> Said:
    return Said(id=id, reading=Reading(queue.id, item, again), says=says, shown=(item % 5, (item + 1) % 5), seconds=1)


def whole(queue: Queue, item: int, person: str, verdict: str = "valid") -> list[Said]:
    verdicts = [Verdict(item, (item + shift) % 5, verdict) for shift in (0, 1)]  # type: ignore[arg-type]
    return [said(queue, f"{person}-{item}-{place}", item, one) for place, one in enumerate(verdicts)]


def test_places_hold_what_the_queue_fixed(workspace: Workspace, queue: Queue) -> None:
    place = readings.places(workspace, queue, [3, 99])
    assert list(place) == [3]
    assert (place[3].stratum, place[3].probability) == ("all", 1.0)
    assert place[3].sources == {3: ("label", "vgg"), 4: (DECOY,)}
    assert place[3].runs == ["vgg"]


def test_the_good_ones_among_bad_ones_are_saved_in_order(workspace: Workspace, queue: Queue) -> None:
    batch = [said(queue, f"v{item}", item, Verdict(item, item % 5, "wrong")) for item in range(9)]
    for at in (7, 4, 0):  # causes without the verdict wrong: the log itself refuses these
        batch.insert(at, said(queue, f"c{at}", 15, Cause(15, 0, "fine_grained")))
    batch.append(said(queue, "cause", 2, Cause(2, 2, "fine_grained", "minor")))
    kept = readings.save(workspace, "ann", batch)
    assert kept.saved == log.read(workspace)["id"].to_list() == [*(f"v{item}" for item in range(9)), "cause"]
    assert sorted(kept.refused) == ["c0", "c4", "c7"]
    assert all("need the verdict wrong" in reason and "015.jpg" not in reason for reason in kept.refused.values())


def test_many_people_at_once_and_everything_twice(workspace: Workspace, queue: Queue) -> None:
    def judge(person: str) -> list[int]:
        found = []
        for task in queues.lease(workspace, queue.id, person, 20):
            for _ in range(2):
                kept = readings.save(workspace, person, whole(queue, task.item, person))
            assert kept.refused == {}
            assert list(kept.revealed) == [Reading(queue.id, task.item)]
            found.append(task.item)
        return found

    people = [f"p{n}" for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(judge, people))
    assert [sorted(items) for items in read] == [list(range(20))] * 4
    rows = log.read(workspace)
    assert rows.height == rows["id"].n_unique() == 4 * 20 * 2
    assert rows["blind"].all()
    assert queues.progress(workspace, queue.id).rows() == [(person, 20, 0, 0) for person in people]


def test_second_thoughts_are_blind_until_the_sources_were_told(workspace: Workspace, queue: Queue) -> None:
    queues.lease(workspace, queue.id, "ann", 20)
    first = said(queue, "a", 3, Verdict(3, 3, "valid"))
    readings.save(workspace, "ann", [first])
    readings.save(workspace, "ann", [said(queue, "b", 3, Undo(3, "a")), said(queue, "c", 3, Verdict(3, 3, "wrong"))])
    assert log.read(workspace)["blind"].all()
    assert readings.save(workspace, "ann", [said(queue, "d", 3, Verdict(3, 4, "wrong"))]).revealed
    assert queues.progress(workspace, queue.id)["in_hand"].to_list() == [19]
    assert not readings.save(workspace, "ann", [said(queue, "e", 3, Undo(3, "c"))]).revealed
    assert queues.progress(workspace, queue.id)["in_hand"].to_list() == [20]
    readings.save(workspace, "ann", [said(queue, "f", 3, Verdict(3, 3, "valid"))])
    assert log.read(workspace).select("id", "blind").rows()[-1] == ("f", False)
    past = readings.said_by(workspace, "ann", [3])[3]
    assert readings.verdicts(past, first.reading) == {3: "valid", 4: "wrong"}
    assert readings.verdicts(past, Reading(queue.id, 3, again=True)) == {}
    assert queues.progress(workspace, queue.id)["read"].to_list() == [1]


def test_another_queues_words_do_not_count(workspace: Workspace, queue: Queue) -> None:
    other = queues.create(
        workspace,
        "other",
        complete(range(20)),
        Protocol(),
        pl.DataFrame([(3, 3, "label")], schema=["item", "class", "source"], orient="row"),
        person="ann",
    )
    readings.save(workspace, "ann", whole(queue, 3, "ann"))
    past = readings.said_by(workspace, "ann", [3])[3]
    place = readings.places(workspace, other, [3])[3]
    assert not readings.is_whole(past, Reading(other.id, 3), place, exhaustive=False)
