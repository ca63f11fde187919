"""Judgements over HTTP: what is taken, what is refused, and that nothing is lost or doubled when things fail."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

import app
from analysis.database import connections
from analysis.results.review import tasks
from analysis.review import log, queues, readings
from analysis.review.designs import DECOY, complete
from analysis.review.queues import Protocol, Queue
from analysis.review.readings import BETWEEN, Reading
from analysis.settings import settings
from analysis.workspace import Workspace
from app import access, judgements, routes, shelf
from app.access import Person, Role
from app.middleware import HostGuard
from tests.databases import made_workspace

N = 60
PEOPLE = {
    "ann": Person("ann", "Ann", Role.ANNOTATOR),
    "bob": Person("bob", "Bob", Role.PANEL),
    "eve": Person("eve", "Eve", Role.VIEWER),
}


def candidates(n: int = N) -> pl.DataFrame:
    """Of each item the label (which two runs predicted too), another class and a decoy."""
    sources = (f"label{BETWEEN}vgg{BETWEEN}resnet", "alexnet", DECOY)
    rows = [(item, (item + shift) % 5, source) for item in range(n) for shift, source in enumerate(sources)]
    return pl.DataFrame(rows, schema=["item", "class", "source"], orient="row")


def queue_of(workspace: Workspace, name: str = "first", n: int = N, **protocol: Any) -> Queue:
    rules = Protocol(**({"repeats": 0, "guideline": "v7"} | protocol))
    return queues.create(workspace, name, complete(range(n)), rules, candidates(n), person="bob")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ERRATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ERRATA_DATABASE_URL", raising=False)
    monkeypatch.setattr(access, "person", PEOPLE.get)
    for kept in (settings, judgements._secret):
        kept.cache_clear()
    yield
    monkeypatch.undo()
    for kept in (settings, judgements._secret):
        kept.cache_clear()
    shelf.put([])
    connections.forget()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = made_workspace(tmp_path / "w", N)
    shelf.put([made.path])
    return made


@pytest.fixture
def queue(workspace: Workspace) -> Queue:
    return queue_of(workspace)


@pytest.fixture
def browser(workspace: Workspace) -> Iterator[TestClient]:
    server = Starlette(routes=routes.routes(), middleware=[Middleware(HostGuard)])
    with TestClient(server, base_url="http://localhost") as client:
        yield client


def address() -> str:
    return f"/judgements/{shelf.ids()[0]}"


def bearer(person: str = "ann", lifetime: float = 60.0) -> dict[str, str]:
    return {"Authorization": f"Bearer {access.mint(PEOPLE[person], shelf.ids(), lifetime)}"}


_made = iter(range(10**9))


def said(workspace: Workspace, queue: Queue, item: int, person: str = "ann", /, **fields: Any) -> dict[str, Any]:
    """A verdict on the item's first candidate, as the component sends it; `fields` change it."""
    place = readings.places(workspace, queue, [item])[item]
    plain = {
        "id": f"0000-{next(_made):08}",
        "reading": judgements.reading_id(workspace, person, Reading(queue.id, item)),
        "item": item,
        "kind": "verdict",
        "class": item % 5,
        "verdict": "valid",
        "seconds": 1.5,
        "shown": {"candidates": list(place.sources), "image": None},
        "guideline": "what the page thinks",
    }
    return {name: value for name, value in (plain | fields).items() if value is not ...}


def whole(workspace: Workspace, queue: Queue, item: int, person: str = "ann", verdict: str = "wrong") -> list[dict]:
    """Verdicts on all candidates of an item."""
    found = readings.places(workspace, queue, [item])[item].sources
    return [said(workspace, queue, item, person, **{"class": index, "verdict": verdict}) for index in found]


def other(kind: str, **fields: Any) -> dict[str, Any]:
    """What makes a verdict of `said` a judgement of another kind."""
    return {"kind": kind, "class": ..., "verdict": ..., **fields}


Post = Callable[..., Any]


@pytest.fixture
def post(browser: TestClient) -> Post:
    def send(*batch: Any, person: str = "ann", headers: dict[str, str] | None = None) -> Any:
        return browser.post(address(), json={"judgements": batch}, headers=headers or bearer(person))

    return send


# ---- who may


def test_only_a_token_of_the_workspace_and_of_an_annotator_does(
    browser: TestClient, workspace: Workspace, queue: Queue
) -> None:
    body = {"judgements": [said(workspace, queue, 0)]}
    elsewhere = {"Authorization": f"Bearer {access.mint(PEOPLE['ann'], ['another'])}"}
    stranger = {"Authorization": f"Bearer {access.mint(Person('x', 'X', Role.ADMIN), shelf.ids())}"}
    refused = {401: [{}, {"Authorization": "Bearer x"}, bearer(lifetime=-1), stranger], 403: [elsewhere, bearer("eve")]}
    for status, headers in ((status, one) for status, many in refused.items() for one in many):
        answer = browser.post(address(), json=body, headers=headers)
        assert answer.status_code == status
        assert answer.json()["error"]
    token = access.mint(PEOPLE["ann"], [*shelf.ids(), "gone"])
    assert browser.post("/judgements/gone", json=body, headers={"Authorization": f"Bearer {token}"}).status_code == 404
    assert log.last(workspace) == 0


def test_a_session_cookie_saves_nothing(browser: TestClient, workspace: Workspace, queue: Queue) -> None:
    """So that another site's form cannot judge in somebody's name."""
    assert browser.post("/session", headers=bearer()).status_code == 204
    answer = browser.post(address(), json={"judgements": [said(workspace, queue, 0)]})
    assert answer.status_code == 401
    token = browser.cookies[routes.cookie_name()]
    answer = browser.post(
        address(), json={"judgements": [said(workspace, queue, 0)]}, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 401
    assert log.last(workspace) == 0


def test_a_role_that_was_taken_away_is_gone_at_the_next_request(
    post: Post, workspace: Workspace, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = bearer()
    assert post(said(workspace, queue, 0), headers=headers).status_code == 200
    monkeypatch.setattr(access, "person", lambda id: Person(id, "Ann", Role.VIEWER))
    assert post(said(workspace, queue, 1), headers=headers).status_code == 403
    monkeypatch.setattr(access, "person", lambda id: None)
    assert post(said(workspace, queue, 1), headers=headers).status_code == 401
    assert log.last(workspace) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_posting_is_possible(browser: TestClient, method: str) -> None:
    assert browser.request(method, address(), headers=bearer()).status_code in (404, 405)


# ---- what is kept


def test_a_judgement_is_kept_with_what_the_server_knows(post: Post, workspace: Workspace, queue: Queue) -> None:
    one = said(workspace, queue, 3, seconds=2.5)
    answer = post(one)
    assert answer.status_code == 200
    assert answer.json() == {"saved": [one["id"]], "refused": [], "revealed": {}}
    assert answer.headers["cache-control"] == "no-store"
    row = log.history(workspace, 3).row(0, named=True)
    assert (row["person"], row["queue"], row["stratum"], row["probability"]) == ("ann", queue.id, "all", 1.0)
    assert (row["class"], row["value"], row["blind"], row["seconds"]) == (3, "valid", True, 2.5)
    assert row["guideline"] == "v7"
    assert json.loads(row["shown"]) == {
        "candidates": [3, 4, 0],
        "runs": ["alexnet", "resnet", "vgg"],
        "sources_hidden": True,
    }


def test_every_kind_arrives(post: Post, workspace: Workspace) -> None:
    queue = queue_of(workspace, exhaustive=True)
    first = said(workspace, queue, 2, verdict="wrong")
    batch = [
        first,
        said(workspace, queue, 2, **other("cause", **{"class": 2, "cause": "fine_grained", "severity": "major"})),
        said(workspace, queue, 2, **other("problem", problem="edited")),
        said(workspace, queue, 2, **other("exhaustive")),
        said(workspace, queue, 2, **other("outside", text="a hat")),
        said(workspace, queue, 2, **other("note", text="no idea")),
        said(workspace, queue, 2, **{"class": 1, "verdict": "valid"}),  # one that the person added
        said(workspace, queue, 2, **other("undo", undoes=first["id"])),
    ]
    assert post(*batch).json()["saved"] == [one["id"] for one in batch]
    rows = log.history(workspace, 2)
    assert rows["kind"].to_list() == ["verdict", *(one["kind"] for one in batch[1:])]
    assert rows["value"].to_list() == ["wrong", "fine_grained", "edited", None, "a hat", "no idea", "valid", None]
    assert rows["severity"].to_list()[1] == "major"
    assert rows["supersedes"].to_list()[-1] == 1


def test_sources_are_told_once_all_candidates_are_judged(post: Post, workspace: Workspace, queue: Queue) -> None:
    queues.lease(workspace, queue.id, "ann", 2)
    item = queues.lease(workspace, queue.id, "ann", 1)[0].item
    one, two, three = whole(workspace, queue, item)
    assert post(one).json()["revealed"] == {}
    assert post(two, person="ann").json()["revealed"] == {}
    assert queues.progress(workspace, queue.id).row(0, named=True)["read"] == 0
    revealed = post(three).json()["revealed"]
    assert revealed == {
        one["reading"]: [
            {"class": item % 5, "sources": ["label", "vgg", "resnet"]},
            {"class": (item + 1) % 5, "sources": ["alexnet"]},
            {"class": (item + 2) % 5, "sources": ["decoy"]},
        ]
    }
    assert queues.progress(workspace, queue.id).row(0, named=True)["read"] == 1
    # A verdict after that is not blind any more; a cause is asked only then, and nobody sees what others said.
    cause = other("cause", **{"class": item % 5, "cause": "model_failure", "severity": "minor"})
    assert post(said(workspace, queue, item, **cause)).json()["revealed"] == revealed
    assert post(said(workspace, queue, item, verdict="unsure")).json()["revealed"] == revealed
    rows = log.history(workspace, item)
    assert rows["blind"].to_list() == [True, True, True, True, False]
    assert [json.loads(shown)["sources_hidden"] for shown in rows["shown"]] == [True, True, True, False, False]


def test_an_exhaustive_reading_is_told_after_no_further_class(post: Post, workspace: Workspace) -> None:
    queue = queue_of(workspace, exhaustive=True)
    batch = whole(workspace, queue, 4)
    assert post(*batch).json()["revealed"] == {}
    assert list(post(said(workspace, queue, 4, **other("exhaustive"))).json()["revealed"]) == [batch[0]["reading"]]


def test_what_is_taken_back_is_asked_again(post: Post, workspace: Workspace, queue: Queue) -> None:
    item = tasks(workspace, queue.id, "ann", 1)[0].reading.item
    batch = whole(workspace, queue, item)
    assert post(*batch).json()["revealed"]
    assert item not in [one.reading.item for one in tasks(workspace, queue.id, "ann", 5)]
    undo = said(workspace, queue, item, **other("undo", undoes=batch[1]["id"]))
    assert post(undo).json() == {"saved": [undo["id"]], "refused": [], "revealed": {}}
    again = next(one for one in tasks(workspace, queue.id, "ann", 6) if one.reading.item == item)
    decided = {choice.index: choice.decided for choice in again.choices}
    assert decided == {batch[0]["class"]: "wrong", batch[1]["class"]: None, batch[2]["class"]: "wrong"}
    # The sources were told: the second thought is no independent reading.
    assert post(whole(workspace, queue, item)[1]).json()["revealed"]
    assert log.history(workspace, item)["blind"].to_list() == [True, True, True, False, False]


def test_an_image_that_cannot_be_read_is_over(post: Post, workspace: Workspace, queue: Queue) -> None:
    item = tasks(workspace, queue.id, "ann", 1)[0].reading.item
    answer = post(said(workspace, queue, item, **other("problem", problem="unreadable")))
    assert answer.json()["revealed"] == {}
    assert queues.progress(workspace, queue.id).row(0, named=True)["read"] == 1


def test_a_hidden_repeat_is_a_reading_of_its_own(post: Post, workspace: Workspace, queue: Queue) -> None:
    post(*whole(workspace, queue, 5))
    id = judgements.reading_id(workspace, "ann", Reading(queue.id, 5, again=True))
    again = [one | {"id": f"again-{one['id']}", "reading": id} for one in whole(workspace, queue, 5)]
    assert post(*again[:2]).json()["revealed"] == {}
    assert list(post(again[2]).json()["revealed"]) == [id]
    rows = log.history(workspace, 5)
    assert rows["stratum"].to_list() == ["all"] * 3 + ["repeat"] * 3
    assert rows["probability"].to_list() == [1.0] * 3 + [None] * 3
    assert rows["blind"].all()
    assert queues.progress(workspace, queue.id).rows() == [("ann", 1, 1, 0)]


def test_a_lease_that_ended_is_taken_all_the_same(post: Post, workspace: Workspace, queue: Queue) -> None:
    item = tasks(workspace, queue.id, "ann", 1)[0].reading.item
    queues.give_back(workspace, queue.id, "ann")
    assert queues.lease(workspace, queue.id, "bob", 1)[0].item == item
    assert post(*whole(workspace, queue, item)).json()["refused"] == []
    assert queues.progress(workspace, queue.id)["read"].to_list() == [1, 0]


def test_two_people_on_the_same_item(post: Post, workspace: Workspace) -> None:
    queue = queue_of(workspace, readings=2)
    ann, bob = whole(workspace, queue, 7, "ann", "wrong"), whole(workspace, queue, 7, "bob", "valid")
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda one: post(*one[0], person=one[1]).json(), [(ann, "ann"), (bob, "bob")]))
    for batch, answer in zip((ann, bob), answers, strict=True):
        assert answer["saved"] == [one["id"] for one in batch]
        assert list(answer["revealed"]) == [batch[0]["reading"]]
    rows = log.history(workspace, 7)
    assert sorted(zip(rows["person"], rows["value"], strict=True)) == [("ann", "wrong")] * 3 + [("bob", "valid")] * 3
    assert queues.coverage(workspace, queue.id).filter(item=7)["readings"].to_list() == [2]


def test_a_clock_that_is_wrong_harms_nothing(post: Post, workspace: Workspace, queue: Queue) -> None:
    """A browser's clock gives durations only; a laptop that slept for a week sends long ones."""
    before = time.time()
    assert post(said(workspace, queue, 0, seconds=604_800)).json()["refused"] == []
    assert "time: Extra inputs" in post(said(workspace, queue, 0, time="1970-01-01")).json()["refused"][0]["reason"]
    (row,) = log.read(workspace).rows(named=True)
    assert before - 1 < row["time"].timestamp() < time.time() + 1
    assert row["seconds"] == 604_800


# ---- again and again


def test_the_same_again_is_saved_and_not_doubled(post: Post, workspace: Workspace, queue: Queue) -> None:
    batch = whole(workspace, queue, 1)
    first = post(*batch)
    assert [post(*batch).json() for _ in range(3)] == [first.json()] * 3
    assert log.last(workspace) == 3
    reused = batch[0] | {"verdict": "valid"}
    assert "another judgement" in post(reused).json()["refused"][0]["reason"]
    theirs = said(workspace, queue, 1, "bob", id=batch[0]["id"])
    assert "another judgement" in post(theirs, person="bob").json()["refused"][0]["reason"]
    assert log.last(workspace) == 3


def test_five_hundred_in_batches_with_repeats(post: Post, workspace: Workspace) -> None:
    made = [queue_of(workspace, f"q{n}") for n in range(3)]
    batch = [one for queue in made for item in range(N) for one in whole(workspace, queue, item)][:500]
    for start in range(0, 500, 80):  # each batch sends the end of the one before again
        answer = post(*batch[max(0, start - 20) : start + 80]).json()
        assert answer["refused"] == []
    assert log.read(workspace)["id"].to_list() == [one["id"] for one in batch]
    assert sum(queues.progress(workspace, queue.id)["read"].sum() for queue in made) == 500 // 3


# ---- what is refused


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"class": 99}, "no candidate of this reading"),
        ({"class": 1}, "no candidate of this reading"),
        ({"class": -1}, "class"),
        ({"class": 1.5}, "class"),
        ({"class": True}, "class"),
        ({"class": ...}, "class"),
        ({"item": 4}, "another item"),
        ({"item": N}, "another item"),
        ({"item": "3"}, "item"),
        ({"reading": "x"}, "not handed to you"),
        ({"reading": "x" * 300}, "reading"),
        ({"reading": 5}, "reading"),
        ({"kind": "delete"}, "kind"),
        ({"kind": None}, "kind"),
        ({"kind": ...}, "kind"),
        ({"verdict": "unclear"}, "verdict"),
        ({"verdict": ["valid"]}, "verdict"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": "1"}, "seconds"),
        ({"seconds": 1e12}, "seconds"),
        ({"seconds": ...}, "seconds"),
        ({"shown": ...}, "shown"),
        ({"shown": {"candidates": [3, 4], "image": None}}, "not those of this reading"),
        ({"shown": {"candidates": [3, 4, 1], "image": None}}, "not those of this reading"),
        ({"shown": {"candidates": [3, 4, 0, 0], "image": None}}, "not those of this reading"),
        ({"shown": {"candidates": list(range(300)), "image": None}}, "candidates"),
        ({"shown": {"candidates": [3, 4, 0], "image": "../x"}}, "image"),
        ({"guideline": "x" * 1000}, "guideline"),
        ({"person": "bob"}, "person: Extra inputs"),
        ({"probability": 0.001}, "probability: Extra inputs"),
        (other("cause", **{"class": 3, "cause": "fine_grained", "severity": "major"}), "need the verdict wrong"),
        (other("cause", **{"class": 3}), "category or a severity"),
        (other("cause", **{"class": 3, "cause": "bad luck"}), "'bad luck' is not a category"),
        (other("cause", **{"class": 3, "severity": "huge"}), "severity"),
        (other("problem", problem="ugly"), "'ugly' is not a problem"),
        (other("exhaustive"), "does not ask for what is missing"),
        (other("outside", text=" "), "name is empty"),
        (other("outside", text="x" * 201), "text"),
        (other("note", text="x" * 10_001), "text"),
        (other("note", text="a\0b"), "no text"),
        (other("note", text="\ud800"), "text"),
        (other("undo", undoes="0000-none"), "no such judgement"),
        (other("undo", undoes="' OR 1=1"), "undoes"),
        ({"text": "more"}, "text: Extra inputs"),
    ],
)
def test_what_cannot_be_is_refused_and_the_rest_saved(
    browser: TestClient, workspace: Workspace, queue: Queue, change: dict[str, Any], words: str
) -> None:
    bad = said(workspace, queue, 3, **change)
    good = [said(workspace, queue, 1), said(workspace, queue, 3), said(workspace, queue, 2)]
    body = json.dumps({"judgements": [good[0], bad, *good[1:]]})
    answer = browser.post(address(), content=body, headers=bearer()).json()
    assert answer["saved"] == [one["id"] for one in good]
    ((refused),) = answer["refused"]
    assert refused["id"] == bad["id"]
    assert words in refused["reason"]
    assert "003.jpg" not in refused["reason"]  # keys often name the class
    assert log.read(workspace)["id"].to_list() == answer["saved"]


def test_a_reading_is_one_persons_one_queues_and_one_items(post: Post, workspace: Workspace, queue: Queue) -> None:
    elsewhere = queue_of(workspace, "second")
    mine = judgements.reading_id(workspace, "ann", Reading(queue.id, 3))
    of, item, seal = mine.split(".")
    forged = {
        judgements.reading_id(workspace, "bob", Reading(queue.id, 3)): "not handed to you",
        f"{elsewhere.id}.{item}.{seal}": "not handed to you",
        f"{of}.4.{seal}": "not handed to you",
        f"{of}.{item}.{seal[:-1]}{'0' if seal[-1] != '0' else '1'}": "not handed to you",
        f"{of}.{item}.": "not handed to you",
        f"{of}.{item}": "not handed to you",
        f"{of}.{'9' * 90}.{seal}": "not handed to you",
        f"{of}.٣.{seal}": "not handed to you",
        f"{of}.{item}.{'é' * 24}": "not handed to you",
        judgements.reading_id(workspace, "ann", Reading("nowhere", 3)): "does not serve this item",
        judgements.reading_id(workspace, "ann", Reading(queue.id, N + 1)): "does not serve this item",
    }
    for reading, words in forged.items():
        answer = post(said(workspace, queue, 3, reading=reading)).json()
        assert answer["saved"] == []
        assert words in answer["refused"][0]["reason"]
    assert log.last(workspace) == 0
    assert queues.progress(workspace, queue.id).is_empty()
    assert post(said(workspace, queue, 3, reading=mine)).json()["refused"] == []


def test_only_ones_own_judgements_of_the_reading_are_taken_back(post: Post, workspace: Workspace, queue: Queue) -> None:
    theirs, mine, far = said(workspace, queue, 3, "bob"), said(workspace, queue, 3), said(workspace, queue, 4)
    post(theirs, person="bob")
    post(mine, far)
    for target in (theirs, far):
        undo = said(workspace, queue, 3, **other("undo", undoes=target["id"]))
        assert "no such judgement" in post(undo).json()["refused"][0]["reason"]
    assert post(said(workspace, queue, 3, **other("undo", undoes=mine["id"]))).json()["refused"] == []
    assert log.history(workspace, 3)["stands"].to_list() == [True, False, False]


def test_a_key_says_nothing_of_repeats(workspace: Workspace, queue: Queue) -> None:
    first, again = (judgements.reading_id(workspace, "ann", Reading(queue.id, 3, flag)) for flag in (False, True))
    assert first != again
    assert first.rpartition(".")[0] == again.rpartition(".")[0]
    assert len(first) == len(again)
    assert judgements.reading_of(workspace, "ann", again) == Reading(queue.id, 3, True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"judgements": 5}',
        b'{"judgements": {"a": 1}}',
        b'{"judgements": [5]}',
        b'{"judgements": [{}]}',
        b'{"judgements": [{"id": 5}]}',
        b'{"judgements": [{"id": "short"}]}',
        b'{"judgements": [{"id": "same-same"}, {"id": "same-same"}]}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"judgements": [{"id": ' + b"9" * 5000 + b"}]}",
        json.dumps({"judgements": [{"id": f"number-{n}"} for n in range(judgements.MOST + 1)]}).encode(),
    ],
)
def test_a_body_that_is_no_batch(browser: TestClient, workspace: Workspace, queue: Queue, body: bytes) -> None:
    answer = browser.post(address(), content=body, headers=bearer())
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_body_without_end(browser: TestClient, workspace: Workspace) -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while read < 50_000_000:
            read += 100_000
            yield b" " * 100_000

    for content in (b" " * (judgements.MOST_BYTES + 1), endless()):
        answer = browser.post(address(), content=content, headers=bearer())
        assert answer.status_code == 413
        assert "at once" in answer.json()["error"]


# ---- when the database fails


def test_a_locked_database_is_said_and_nothing_half_written(
    post: Post, workspace: Workspace, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = whole(workspace, queue, 1)
    monkeypatch.setattr(connections, "LOCK_SECONDS", 0.3)
    connections.forget()
    holder = sqlite3.connect(workspace.path / connections.FILE, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    answer = post(*batch)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "written to by somebody else" in answer.json()["error"]
    holder.execute("ROLLBACK")
    holder.close()
    assert log.last(workspace) == 0
    assert len(post(*batch).json()["saved"]) == 3
    assert log.last(workspace) == 3


def test_a_full_disk_is_said_and_nothing_half_written(
    post: Post, workspace: Workspace, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's own limit on pages stands in for the disk: the error is the same one."""
    batch = [said(workspace, queue, n, **other("note", text="x" * 9000)) for n in range(20)]
    database = connections.engine(workspace)
    with database.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {int(pages) + 5}")
    answer = post(*batch)
    assert answer.status_code == 503
    assert "full" in answer.json()["error"]
    assert log.last(workspace) == 0
    connections.forget()
    assert len(post(*batch).json()["saved"]) == 20
    assert log.last(workspace) == 20


def test_a_failure_between_saving_and_closing_heals_when_sent_again(
    post: Post, workspace: Workspace, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = whole(workspace, queue, 1)
    holder = sqlite3.connect(workspace.path / connections.FILE, isolation_level=None, check_same_thread=False)
    monkeypatch.setattr(connections, "LOCK_SECONDS", 0.3)
    connections.forget()
    close = readings._close

    def late(*known: Any) -> Any:
        holder.execute("BEGIN IMMEDIATE")
        return close(*known)

    monkeypatch.setattr(readings, "_close", late)
    assert post(*batch).status_code == 503
    holder.execute("ROLLBACK")
    monkeypatch.setattr(readings, "_close", close)
    assert queues.progress(workspace, queue.id).is_empty()
    assert len(post(*batch).json()["revealed"]) == 1
    assert (log.last(workspace), queues.progress(workspace, queue.id)["read"].to_list()) == (3, [1])
    holder.close()


SERVER = """
    import os, signal, sys
    from pathlib import Path
    from analysis.review import readings
    from app import server

    save = readings.save

    def save_and_die(workspace, person, said):
        kept = save(workspace, person, said)
        if Path(sys.argv[2]).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return kept

    readings.save = save_and_die
    server.serve([sys.argv[1]], port=int(sys.argv[3]))
"""


def test_a_server_killed_between_commit_and_answer_loses_and_doubles_nothing(
    workspace: Workspace, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the local user of a real server
    home, deadly = tmp_path / "home", tmp_path / "deadly"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMLIT_", "ERRATA_"))}
    environment = kept | {
        "HOME": str(tmp_path),
        "ERRATA_HOME": str(home),
        "PYTHONPATH": str(Path(app.__path__[0]).parent),
    }
    monkeypatch.setenv("ERRATA_HOME", str(home))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", textwrap.dedent(SERVER), str(workspace.path), str(deadly), str(port)]
    base = f"http://127.0.0.1:{port}"

    def started() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, env=environment, cwd=tmp_path)
        for _ in range(300):
            try:
                if httpx.get(f"{base}/health").status_code == 200:
                    return process
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    batch = whole(workspace, queue, 9, "local")
    deadly.touch()
    process = started()
    try:
        access.use_secret(access.stored_secret(home))
        headers = {"Authorization": f"Bearer {access.mint(access.LOCAL, shelf.ids())}"}
        send = {"json": {"judgements": batch}, "headers": headers, "timeout": 30}
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{base}{address()}", **send)  # type: ignore[arg-type]
        assert process.wait(10) == -signal.SIGKILL
        deadly.unlink()
        process = started()
        answer = httpx.post(f"{base}{address()}", **send).json()  # type: ignore[arg-type]
    finally:
        process.kill()
        process.wait()
    assert answer["saved"] == [one["id"] for one in batch]
    assert list(answer["revealed"]) == [batch[0]["reading"]]
    assert log.read(workspace)["id"].to_list() == [one["id"] for one in batch]
    assert queues.progress(workspace, queue.id)["read"].to_list() == [1]


# ---- classes


def test_classes_are_told_with_what_is_above_them(browser: TestClient, workspace: Workspace) -> None:
    told = f"/classes/{shelf.ids()[0]}"
    assert browser.get(told).status_code == 401
    assert browser.get(told, headers=bearer()).status_code == 401
    browser.post("/session", headers=bearer("eve"))
    answer = browser.get(told)
    assert answer.headers["cache-control"] == "private, max-age=300"
    assert answer.json()[1] == {"index": 1, "id": "dog", "name": "dog", "synonyms": [], "hypernyms": []}
    assert browser.get(told, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert browser.get("/classes/another").status_code == 403
