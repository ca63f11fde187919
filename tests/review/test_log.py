"""The log: what goes in, in which order, exactly once; what is refused; what is taken back."""

import json
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain

import polars as pl
import pytest
import sqlalchemy as sa

from analysis.create import create
from analysis.database import writing
from analysis.database.tables import judgements
from analysis.datasets import DatasetOptions
from analysis.errors import InputError
from analysis.review import log
from analysis.review.kinds import (
    Cause,
    Evidence,
    Exhaustive,
    Judgement,
    Note,
    Outside,
    Problem,
    Statement,
    Tag,
    Undo,
    Verdict,
)
from analysis.workspace import Workspace


def by(person: str, says: Statement, id: str | None = None, **more: object) -> Judgement:
    made = Judgement(says=says, person=person, **more)  # type: ignore[arg-type]
    return made if id is None else replace(made, id=id)


def test_everything_that_can_be_said_comes_back(workspace: Workspace) -> None:
    before = datetime.now(UTC)
    full = by(
        "ann", Verdict(3, 4, "wrong"), "v", blind=True, seconds=2.5, shown={"candidates": [4, 3], "hidden": True},
        hash="abc", guideline="2", queue="q1", stratum="mistakes", probability=0.25,
    )  # fmt: skip
    rest = [
        Cause(3, 4, "fine_grained", "major"), Problem(3, "drawing"), Exhaustive(3), Outside(3, "a bagel"),
        Tag(3, "odd"), Evidence(3, "https://en.wikipedia.org/wiki/Eel", "an eel is a fish", 2), Note(3, "see there"),
    ]  # fmt: skip
    assert log.append(workspace, [full, *(by("ann", says) for says in rest)]) == list(range(1, 9))

    found = log.history(workspace, 3)
    first = found.row(0, named=True)
    assert before <= first.pop("time") <= datetime.now(UTC)
    assert json.loads(first.pop("shown")) == full.shown
    assert first == {
        "position": 1, "id": "v", "person": "ann", "panel": False, "blind": True, "kind": "verdict", "item": 3,
        "key": "003.jpg", "hash": "abc", "class": 4, "value": "wrong", "severity": None, "url": None, "seconds": 2.5,
        "guideline": "2", "queue": "q1", "stratum": "mistakes", "probability": 0.25, "supersedes": None, "stands": True,
    }  # fmt: skip
    said = found.select("kind", "class", "value", "severity", "url").rows()[1:]
    assert said == [
        ("cause", 4, "fine_grained", "major", None),
        ("problem", None, "drawing", None, None),
        ("exhaustive", None, None, None, None),
        ("outside", None, "a bagel", None, None),
        ("tag", None, "odd", None, None),
        ("evidence", 2, "an eel is a fish", None, "https://en.wikipedia.org/wiki/Eel"),
        ("note", None, "see there", None, None),
    ]
    assert found.drop("shown", "stands").equals(log.read(workspace))
    assert log.last(workspace) == 8


def test_an_empty_log_has_its_columns(workspace: Workspace) -> None:
    assert log.append(workspace, []) == []
    assert (log.last(workspace), dict(log.read(workspace).schema)) == (0, log.SCHEMA)
    assert log.history(workspace, 0).height == 0


def test_only_what_is_new_is_fetched(workspace: Workspace) -> None:
    log.append(workspace, [by("ann", Verdict(0, 0, "valid")), by("ann", Verdict(1, 0, "wrong"))])
    known = log.read(workspace)
    log.append(workspace, [by("bob", Verdict(2, 0, "valid"))])
    marked = known.with_columns(value=pl.lit("as it was read"))
    extended = log.read(workspace, known=marked)
    assert extended["value"].to_list() == ["as it was read"] * 2 + ["valid"]
    assert extended["position"].to_list() == [1, 2, 3]
    assert log.read(workspace, known=extended).equals(extended)


def test_the_same_judgement_again_is_harmless(workspace: Workspace) -> None:
    first = [by("ann", Verdict(0, 1, "wrong"), "a"), by("ann", Verdict(1, 1, "valid"), "b")]
    assert log.append(workspace, first) == [1, 2]
    assert log.append(workspace, [first[1], by("ann", Verdict(2, 2, "valid"), "c"), first[0]]) == [2, 3, 1]
    again = by("ann", Verdict(4, 2, "valid"), "d")
    assert log.append(workspace, [again, again]) == [4, 4]
    assert log.read(workspace)["id"].to_list() == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "other",
    [
        by("ann", Verdict(0, 1, "valid"), "a"),
        by("bob", Verdict(0, 1, "wrong"), "a"),
        by("ann", Verdict(5, 1, "wrong"), "a"),
        by("ann", Verdict(0, 2, "wrong"), "a"),
        by("ann", Verdict(0, 1, "wrong"), "a", panel=True),
        by("ann", Tag(0, "wrong"), "a"),
    ],
)
def test_an_id_of_another_judgement_is_refused(workspace: Workspace, other: Judgement) -> None:
    log.append(workspace, [by("ann", Verdict(0, 1, "wrong"), "a")])
    with pytest.raises(InputError, match="the id a has another judgement"):
        log.append(workspace, [by("ann", Note(7, "new"), "n"), other])
    assert log.read(workspace)["id"].to_list() == ["a"]


REFUSED = [
    (by("ann", Verdict(99, 0, "valid")), "Item 99 is not in"),
    (by("ann", Verdict(-1, 0, "valid")), "Item -1 is not in"),
    (by("ann", Verdict(7, 5, "valid")), "there is no class 5"),
    (by("ann", Verdict(7, -1, "valid")), "there is no class -1"),
    (by("ann", Verdict(7, 0, "unclear")), "'unclear' is not a verdict"),
    (by("ann", Verdict(7, 0, "unsure"), panel=True), "'unsure' is not a panel's verdict"),
    (by("ann", Cause(7, 0, "fine_grained")), "need the verdict wrong by ann first"),
    (by("ann", Cause(7, 0, "a typo")), "'a typo' is not a category"),
    (by("ann", Cause(7, 0, None, "grave")), "'grave' is not a severity"),  # type: ignore[arg-type]
    (by("ann", Cause(7, 0, None)), "needs a category or a severity"),
    (by("ann", Problem(7, "ugly")), "'ugly' is not a problem"),
    (by("ann", Outside(7, " ")), "the object's name is empty"),
    (by("ann", Tag(7, "x" * 201)), "at most 200"),
    (by("ann", Note(7, "a\0b")), "no text"),
    (by("ann", Note(7, "\ud83d")), "no text"),
    (by("ann", Note(7, "x", 9)), "there is no class 9"),
    (by("ann", Evidence(7, "javascript:alert(1)")), "does not begin with https"),
    (by(" ", Exhaustive(7)), "the judgement's person is empty"),
    (by("ann", Exhaustive(7), "x" * 65), "at most 64"),
    (by("ann", Exhaustive(7), seconds=-1.0), "the seconds cannot be -1"),
    (by("ann", Exhaustive(7), seconds=float("nan")), "the seconds cannot be nan"),
    (by("ann", Exhaustive(7), probability=1.5), "the inclusion probability cannot be 1.5"),
    (by("ann", Exhaustive(7), probability=0), "above 0"),
    (by("ann", Exhaustive(7), shown={"a": object()}), "what was shown cannot be kept"),
    (by("ann", Exhaustive(7), shown={"a": float("inf")}), "what was shown cannot be kept"),
    (by("ann", Exhaustive(7), shown={"a": "x" * 100_001}), "at most 100,000"),
    (by("ann", Undo(7, "nothing")), "has no judgement 'nothing'"),
    (by("ann", Exhaustive(7), supersedes="nothing"), "has no judgement 'nothing'"),
]


@pytest.mark.parametrize(("judgement", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_one_that_cannot_be_stops_all_and_names_its_item(
    workspace: Workspace, judgement: Judgement, words: str
) -> None:
    good = by("ann", Verdict(0, 0, "valid"))
    with pytest.raises(InputError) as caught:
        log.append(workspace, [good, judgement, good])
    assert words in str(caught.value)
    assert str(judgement.says.item) in str(caught.value)
    assert log.last(workspace) == 0


def test_an_item_that_is_gone_cannot_be_judged(workspace: Workspace) -> None:
    kept = "\n".join(["filename,label", *(f"{n:03}.jpg,cat" for n in range(1, 20))])
    table = workspace.path.parent / "labels.csv"
    table.write_text(kept)
    create(str(workspace.path), DatasetOptions(table=table))
    with pytest.raises(InputError, match=r"Item 0 \('000.jpg'\) is no longer in the dataset"):
        log.append(Workspace.open(workspace.path), [by("ann", Exhaustive(0))])


# ---- taking back


def test_an_undo_and_its_undo(workspace: Workspace) -> None:
    log.append(workspace, [by("ann", Verdict(0, 1, "wrong"), "v"), by("ann", Exhaustive(0), "e")])
    assert log.undo(workspace, "v", person="ann", id="u") == 3
    assert log.history(workspace, 0)["stands"].to_list() == [False, True, False]
    log.undo(workspace, "u", person="ann")
    assert log.history(workspace, 0)["stands"].to_list() == [True, True, False, False]
    assert log.stands(log.read(workspace).head(3)).to_list() == [False, True, False]


def test_what_replaces_is_taken_back_too(workspace: Workspace) -> None:
    log.append(workspace, [by("ann", Verdict(0, 1, "wrong"), "v")])
    log.append(workspace, [by("ann", Verdict(0, 2, "wrong"), "w", supersedes="v")])
    assert log.history(workspace, 0)["stands"].to_list() == [False, True]
    log.undo(workspace, "w", person="ann")
    assert log.history(workspace, 0)["stands"].to_list() == [True, False, False]


def test_nobody_takes_back_what_another_said(workspace: Workspace) -> None:
    log.append(workspace, [by("ann", Verdict(0, 1, "wrong"), "v"), by("ann", Verdict(0, 1, "wrong"), "p", panel=True)])
    for target, person, panel in (("v", "bob", False), ("v", "ann", True), ("p", "ann", False)):
        with pytest.raises(InputError, match=r"not .*'s to take back"):
            log.undo(workspace, target, person=person, panel=panel)
    log.undo(workspace, "p", person="bob", panel=True)
    assert log.history(workspace, 0)["stands"].to_list() == [True, False, False]
    with pytest.raises(InputError, match="There is no judgement 'x'"):
        log.undo(workspace, "x", person="ann")


def test_a_whole_session_in_one_batch(workspace: Workspace) -> None:
    """What a browser that was offline sends: a decision, its cause, second thoughts."""
    positions = log.append(
        workspace,
        [
            by("ann", Verdict(0, 1, "wrong"), "v"),
            by("ann", Cause(0, 1, "fine_grained"), "c"),
            by("ann", Undo(0, "c")),
            by("ann", Undo(0, "v")),
            by("ann", Verdict(0, 1, "valid")),
        ],
    )
    assert positions == [1, 2, 3, 4, 5]
    assert log.history(workspace, 0)["stands"].to_list() == [False, False, False, False, True]


@pytest.mark.parametrize(
    "before",
    [
        [by("ann", Verdict(0, 1, "valid"))],
        [by("bob", Verdict(0, 1, "wrong"))],
        [by("ann", Verdict(0, 2, "wrong"))],
        [by("ann", Verdict(1, 1, "wrong"))],
        [by("ann", Verdict(0, 1, "wrong"), panel=True)],
        [by("ann", Verdict(0, 1, "wrong")), by("ann", Verdict(0, 1, "valid"))],
        [by("ann", Verdict(0, 1, "wrong"), "v"), by("ann", Undo(0, "v"))],
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_cause_needs_the_readers_own_verdict(workspace: Workspace, before: list[Judgement], together: bool) -> None:
    cause = by("ann", Cause(0, 1, "fine_grained"))
    if not together:
        log.append(workspace, before)
    with pytest.raises(InputError, match="need the verdict wrong"):
        log.append(workspace, [*before, cause] if together else [cause])
    assert log.last(workspace) == (0 if together else len(before))


# ---- many at once


def test_many_threads_lose_and_double_nothing(workspace: Workspace) -> None:
    start = threading.Barrier(6)

    def annotate(person: int) -> list[int]:
        start.wait(10)
        found = []
        for number in range(15):
            said = [by(f"p{person}", Verdict(number, c, "valid"), f"{person}-{number}-{c}") for c in range(2)]
            found += log.append(workspace, said)
            assert log.append(workspace, said) == found[-2:]  # the answer was lost, so it is sent again
        return found

    with ThreadPoolExecutor(6) as pool:
        positions = list(pool.map(annotate, range(6)))
    assert sorted(chain(*positions)) == list(range(1, 181))
    frame = log.read(workspace)
    assert frame["position"].to_list() == list(range(1, 181))
    assert frame["id"].n_unique() == 180
    for person, own in enumerate(positions):
        assert own == frame.filter(pl.col("person") == f"p{person}")["position"].to_list()


def _annotate(path: str, person: str) -> None:
    workspace = Workspace.open(path)
    for number in range(10):
        log.append(workspace, [by(person, Verdict(number, 0, "valid"), f"{person}-{number}")])


def test_many_processes_lose_and_double_nothing(workspace: Workspace) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_annotate, args=(str(workspace.path), f"p{n % 2}")) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    frame = log.read(workspace)
    assert frame["position"].to_list() == list(range(1, 21))
    assert set(frame["id"]) == {f"p{n}-{k}" for n in range(2) for k in range(10)}


def test_a_reader_never_sees_a_gap(workspace: Workspace) -> None:
    """While one writes, every read is a whole beginning of the log."""
    done = threading.Event()

    def write() -> None:
        for number in range(40):
            log.append(
                workspace, [by("ann", Tag(number % 20, f"t{number}")), by("ann", Tag(number % 20, f"u{number}"))]
            )
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    known = log.read(workspace)
    while not done.is_set():
        known = log.read(workspace, known)
        assert known["position"].to_list() == list(range(1, known.height + 1))
        assert known.height % 2 == 0
    writer.join()
    assert log.read(workspace, known).equals(log.read(workspace))


def test_the_database_refuses_a_second_row_at_a_position(workspace: Workspace) -> None:
    log.append(workspace, [by("ann", Exhaustive(0), "e")])
    row = {
        "workspace": workspace.uuid,
        "id": "f",
        "time": datetime.now(UTC),
        "person": "x",
        "panel": False,
        "blind": False,
    }
    row |= {"kind": "exhaustive", "item": 0, "key": "k", "position": 1}
    with pytest.raises(sa.exc.IntegrityError), writing(workspace) as connection:
        connection.execute(judgements.insert(), row)
