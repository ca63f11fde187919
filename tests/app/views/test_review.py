"""The Review page: queues are made and listed, results say what the log says, and nobody sees or does too much."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from analysis.lens import Lens, default_lens, frame
from analysis.results import rescore
from analysis.results.review import CONTROL, Asked, QueueOptions, new_queue, tasks
from analysis.review import log, queues, readings, state
from analysis.review.kinds import Cause, Verdict
from analysis.review.queues import Protocol, Queue
from analysis.review.readings import Said
from analysis.slices import Slice
from analysis.workspace import Workspace
from app import access, shelf
from app.access import LOCAL, Role
from app.components.judge import Reading
from app.components.shared import Session
from app.frame import WISH, Frame
from app.judged import judgement_rows, own_queue
from app.review_words import design_words, readings_words, statement_words
from app.views.review import judging
from app.views.review.cases import side_by_side
from app.views.review.history import take_back
from tests.workspaces import UGLY_CLASSES, make_workspace

MAIN = Path(__file__).parents[3] / "app" / "main.py"
Say = Callable[[Asked, int], str]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    found = make_workspace(tmp_path / "pets", tmp_path / "images")
    shelf.put([found.path])
    yield found
    shelf.put([])


def opened(**query: str) -> AppTest:
    page = AppTest.from_file(str(MAIN), default_timeout=60)
    page.session_state[WISH] = ("review", query)
    return page.run()


def texts(page: AppTest) -> str:
    return "\n".join(str(element.value) for element in [*page.markdown, *page.caption, *page.error])


def ready(page: AppTest) -> None:
    assert not page.exception
    assert not page.error


def click(page: AppTest, key: str) -> AppTest:
    return page.button(key=key).click().run()


def made(workspace: Workspace, options: QueueOptions, items: pl.Series | None = None) -> Queue:
    lens = default_lens(workspace)
    chosen = frame(workspace, lens)["item"] if items is None else items
    return new_queue(workspace, chosen, lens, options, "ann").queue


def judge_all(workspace: Workspace, queue: Queue, person: str, say: Say, n: int = 50) -> list[Asked]:
    """Give a verdict on each candidate of up to n readings, as the route does."""
    asked = tasks(workspace, queue.id, person, n)[:n]
    said = [
        Said(
            id=uuid.uuid4().hex,
            reading=one.reading,
            says=Verdict(one.reading.item, choice.index, say(one, choice.index)),  # type: ignore[arg-type]
            shown=tuple(choice.index for choice in one.choices),
        )
        for one in asked
        for choice in one.choices
    ]
    assert not readings.save(workspace, person, said).refused
    queues.give_back(workspace, queue.id, person)
    return asked


def by_label(workspace: Workspace) -> Say:
    labels = workspace.original_labels
    return lambda one, index: "valid" if labels[one.reading.item] == index else "wrong"


# ---- queues


def test_an_empty_page_says_what_a_queue_is_and_offers_to_make_one(workspace: Workspace) -> None:
    page = opened()
    ready(page)
    assert "**Nothing is judged yet, and there is no queue.**" in texts(page)
    assert "A queue is a slice and a protocol" in texts(page)
    assert not queues.listed(workspace)
    page = click(page, "new-queue")
    assert page.query_params["step"] == "new"


def test_a_queue_is_made_from_the_slice(workspace: Workspace) -> None:
    page = opened()
    page.multiselect(key="where").set_value(["class=cat"]).run()
    page = click(page, "new-queue")
    ready(page)
    assert page.text_input(key="new-name").value == "class=cat"
    assert "**8 items, about" in texts(page)
    assert "It speaks of 8 of 32 items; a score over all items gets bounds only." in texts(page)
    page.number_input(key="new-readings").set_value(1).run()
    assert "there is no agreement to measure" in texts(page)
    page = click(page, "new-make")
    ready(page)
    (queue,) = queues.listed(workspace)
    cats = frame(workspace, default_lens(workspace)).filter(pl.col("class") == "cat")["item"]
    assert queues.coverage(workspace, queue.id)["item"].sort().to_list() == cats.to_list()
    assert queue.name == "class=cat"
    assert (queue.person, queue.protocol.readings, queue.protocol.blind) == (LOCAL.id, 1, True)
    assert "step" not in page.query_params
    assert "**1 queue, 8 readings still wanted.**" in texts(page)
    assert "complete, all 8 items, one blind reading" in texts(page)


def test_what_cannot_be_a_queue_is_refused_in_words_and_nothing_is_lost(workspace: Workspace) -> None:
    made(workspace, QueueOptions("first"))
    page = opened(step="new")
    page.text_input(key="new-name").set_value("first").run()
    page = click(page, "new-make")
    assert not page.exception
    assert "has a queue 'first' already" in page.error[0].value.replace("\\", "")
    assert page.text_input(key="new-name").value == "first"
    assert len(queues.listed(workspace)) == 1


def test_a_name_that_is_taken_is_not_proposed_again(workspace: Workspace) -> None:
    made(workspace, QueueOptions("All items"))
    assert opened(step="new").text_input(key="new-name").value == "All items (2)"


@pytest.mark.parametrize(
    ("strata", "words"),
    [
        ([{"name": "all", "size": 1932, "draw": 200, "random": True}], "simple random 200 of 1\u202f932 items"),
        ([{"name": "all", "size": 1932, "draw": 1932, "random": True}], "complete, all 1\u202f932 items"),
        ([{"name": "all", "size": 1, "draw": 1, "random": True}], "one item"),
        ([{"name": "x", "size": 50, "draw": 50, "random": False}], "50 items, the most confident first"),
        (
            [
                {"name": "model_failure", "size": 20, "draw": 8, "random": True},
                {"name": "overlapping", "size": 10, "draw": 2, "random": True},
                {"name": CONTROL, "size": 900, "draw": 30, "random": True},
            ],
            "stratified by outcome, 10 of 30 items and 30 of 900 counted as right",
        ),
    ],
)
def test_a_design_in_words(workspace: Workspace, strata: list[dict[str, object]], words: str) -> None:
    queue = replace(made(workspace, QueueOptions("q")), strata=tuple(strata))
    assert design_words(queue) == f"{words}, one blind reading"
    assert (
        readings_words(Protocol(2, blind=False, exhaustive=True))
        == "two self-paced readings, further classes asked for"
    )


def test_the_list_counts_readings_by_person_and_measures_agreement(workspace: Workspace) -> None:
    queue = made(workspace, QueueOptions("pets", readings=2, repeats=0))
    judge_all(workspace, queue, "ann", by_label(workspace))
    judge_all(workspace, queue, "ben", by_label(workspace), n=3)
    page = opened()
    ready(page)
    n = queues.coverage(workspace, queue.id).height
    assert f"**1 queue, {n - 3} readings still wanted.**" in texts(page)
    told = log.read(workspace)
    assert f"{told.height} judgements by 2 people." in texts(page)
    assert "α **1.00**" in texts(page)
    assert not page.button(key=f"judge-{queue.id}").disabled


def test_a_queue_that_is_not_for_one_cannot_be_taken(workspace: Workspace) -> None:
    others = made(workspace, QueueOptions("for ben", people=("ben",)))
    mine = made(workspace, QueueOptions("read", repeats=0))
    judge_all(workspace, mine, LOCAL.id, by_label(workspace))
    page = opened()
    assert page.button(key=f"judge-{others.id}").disabled
    assert page.button(key=f"judge-{mine.id}").disabled
    assert "not begun: ben" in page.get("progress")[0].proto.text + page.get("progress")[1].proto.text
    page = opened(step="judge", queue=others.id)
    assert "is not for local" in page.error[0].value.replace("\\", "")


# ---- judging


def test_judging_hands_readings_to_the_component_and_leaving_gives_them_back(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = made(workspace, QueueOptions("pets", guideline="v1: what is seen counts"))
    passed: list[Reading] = []
    monkeypatch.setattr(judging, "judge", lambda shown, **_: passed.extend(shown))
    page = opened(step="judge", queue=queue.id)
    ready(page)
    assert len(passed) == queues.coverage(workspace, queue.id).height
    assert "v1: what is seen counts" in texts(page).replace("\\", "")
    # Nothing that tells label from prediction goes to the browser.
    assert all(reading.tile.label is None and reading.tile.prediction is None for reading in passed)
    assert queues.progress(workspace, queue.id).rows() == [(LOCAL.id, 0, 0, len(passed))]
    page = click(page, "judge-leave")
    ready(page)
    assert queues.progress(workspace, queue.id).is_empty()
    assert "queue" not in page.query_params


def test_more_are_handed_out_where_all_in_hand_were_skipped(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = made(workspace, QueueOptions("pets", repeats=0))
    seen: list[tuple[list[Reading], Callable[[int], None]]] = []
    monkeypatch.setattr(judging, "AT_ONCE", 5)
    monkeypatch.setattr(judging, "tasks", lambda ws, q, who, n=5: tasks(ws, q, who, n))
    monkeypatch.setattr(judging, "judge", lambda shown, *, on_more, **_: seen.append((shown, on_more)))
    page = opened(step="judge", queue=queue.id)
    assert len(seen[-1][0]) == 5
    page.session_state[judging._PASSED] = {one.reading for one in tasks(workspace, queue.id, LOCAL.id, 5)}
    page.run()
    assert len(seen[-1][0]) == 10
    page.run()
    assert len(seen[-1][0]) == 10  # they stay in hand


# ---- results


@pytest.fixture
def read(workspace: Workspace) -> Queue:
    """A queue of all items read by two, who differ on the first item's label."""
    queue = made(workspace, QueueOptions("pets", readings=2, repeats=0))
    judge_all(workspace, queue, "ann", by_label(workspace))
    labels = workspace.original_labels

    def strict(one: Asked, index: int) -> str:
        return "wrong" if one.reading.item == 1 and index == labels[1] else by_label(workspace)(one, index)

    judge_all(workspace, queue, "ben", strict)
    return queue


def test_scores_before_and_after_are_those_of_the_library(workspace: Workspace, read: Queue) -> None:
    page = opened(step="results")
    ready(page)
    lens = default_lens(workspace)
    row = rescore.scores(workspace, lens.labels).filter(run=lens.run, metric="micro").row(0, named=True)
    assert f"is right on {100 * row['before']:.1f}" in texts(page)
    if row["estimate"] is not None:
        assert f"**{100 * row['estimate']:.1f}" in texts(page)
    else:
        assert row["why"].replace(",", "") in texts(page).replace("\\", "").replace(",", "")


def test_the_panel_decides_a_case_and_the_log_keeps_why(workspace: Workspace, read: Queue) -> None:
    page = opened(step="results", queue=read.id, results="Cases")
    ready(page)
    label = int(workspace.original_labels[1])
    assert state.verdicts(log.read(workspace)).filter(pl.col("state") == "disputed").rows()[0][:2] == (1, label)
    (table,) = [one.value for one in page.dataframe if "ben" in one.value.columns]
    row = pl.DataFrame(table).filter(pl.col("class").str.contains("(label)", literal=True))
    assert (row["ann"][0], row["ben"][0]) == ("✓ valid", "✗ wrong")
    page.get_by_key(f"panel-1-{label}").set_value("valid").run()  # type: ignore[union-attr]
    page.text_area(key="panel-1-why").set_value("the tail is seen").run()
    page = click(page, "panel-1-save")
    ready(page)
    decided = state.verdicts(log.read(workspace)).filter(item=1).filter(pl.col("class") == label)
    assert decided.select("state", "panel").rows() == [("valid", True)]
    note = log.read(workspace).filter(kind="note").row(0, named=True)
    assert (note["value"], note["class"], note["panel"], note["queue"]) == ("the tail is seen", label, True, read.id)
    assert "No readings differ." in texts(page)


def test_coverage_says_what_nobody_has_looked_at(workspace: Workspace) -> None:
    queue = made(workspace, QueueOptions("pets", repeats=0))
    judge_all(workspace, queue, "ann", by_label(workspace), n=10)
    page = opened(step="results", queue=queue.id, results="Coverage")
    ready(page)
    n = queues.coverage(workspace, queue.id).height
    assert f"Nobody has looked at **{n - 10}** of {n} items of the queue" in texts(page)
    page = click(page, "coverage-open")
    assert f"**{n - 10}** of 32 items" in texts(page)
    everything = opened(step="results", results="Coverage")
    assert "Nobody has looked at **22** of 32 items of the slice" in texts(everything)


def test_history_shows_who_said_what(workspace: Workspace, read: Queue) -> None:
    page = opened(step="results", results="History")
    ready(page)
    (table,) = [one.value for one in page.dataframe if "what" in one.value.columns]
    newest = log.read(workspace).row(-1, named=True)
    said = pl.DataFrame(table)
    assert said["who"][0] == newest["person"] == "ben"
    assert workspace.classes().display_names()[newest["class"]] in said["what"][0]
    page.toggle(key="mine").set_value(True).run()
    assert "You have judged nothing here yet." in texts(page)


def test_taking_back_opens_the_reading_again_and_takes_causes_first(workspace: Workspace) -> None:
    queue = made(workspace, QueueOptions("pets", repeats=0))
    one, *_ = judge_all(workspace, queue, LOCAL.id, lambda *_: "wrong", n=1)
    rows = log.read(workspace)
    wrong = rows.filter(value="wrong").row(0, named=True)
    shown = tuple(choice.index for choice in one.choices)
    cause = Said(
        id=uuid.uuid4().hex,
        reading=one.reading,
        says=Cause(wrong["item"], wrong["class"], "model_failure"),
        shown=shown,
    )
    assert not readings.save(workspace, LOCAL.id, [cause]).refused
    take_back(workspace, LOCAL.id, [wrong["id"], cause.id])
    now = log.read(workspace)
    assert set(now.filter(log.stands(now))["id"]) == set(rows["id"]) - {wrong["id"]}
    assert queues.progress(workspace, queue.id)["read"].to_list() == [0]


def test_the_button_takes_back_what_is_selected_and_own(workspace: Workspace) -> None:
    queue = made(workspace, QueueOptions("pets", repeats=0))
    judge_all(workspace, queue, LOCAL.id, by_label(workspace), n=2)
    page = opened(step="results", results="History")
    height = log.read(workspace).height
    key = f"history-rows-1-False-{height}"
    page.session_state[key] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    page.run()
    page = click(page, "history-undo")
    ready(page)
    now = log.read(workspace)
    assert now.height == height + 1
    assert now.row(-1, named=True)["kind"] == "undo"
    assert now.row(-1, named=True)["supersedes"] == height


def test_the_corrected_labels_are_published_and_say_when_they_are_behind(workspace: Workspace, read: Queue) -> None:
    page = click(opened(step="results"), "publish-reviewed")
    ready(page)
    assert "reviewed" in Workspace.open(workspace.path).label_set_names()
    page = opened(step="results")
    assert "*reviewed* is up to date" in texts(page)
    judge_all(workspace, made(workspace, QueueOptions("more", repeats=0)), "cho", by_label(workspace), n=1)
    assert "added since" in texts(opened(step="results"))


# ---- roles


def role(monkeypatch: pytest.MonkeyPatch, value: Role, id: str = "ann") -> None:
    who = replace(LOCAL, id=id, name=id, role=value)
    monkeypatch.setattr(access, "current_person", lambda: who)
    monkeypatch.setattr(access, "person", lambda _: who)


def keys(page: AppTest) -> set[str]:
    return {str(button.key) for button in page.button}


def test_nobody_sees_a_button_for_what_they_may_not_do(
    workspace: Workspace, read: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    making, judging_ = {"new-queue", "review-these"}, {f"judge-{read.id}"}
    for value, sees in ((Role.VIEWER, set()), (Role.ANNOTATOR, judging_), (Role.PANEL, making | judging_)):
        role(monkeypatch, value)
        page = opened()
        ready(page)
        assert keys(page) & (making | judging_) == sees, value
    role(monkeypatch, Role.VIEWER)
    assert "You may look at this workspace, not judge" in texts(opened(step="judge", queue=read.id))
    assert "Queues are made by the panel" in texts(opened(step="new"))
    assert "new-make" not in keys(opened(step="new"))
    assert "publish-reviewed" not in keys(opened(step="results"))
    role(monkeypatch, Role.ANNOTATOR)
    assert not {key for key in keys(opened(step="results", results="Cases")) if key.startswith("panel-")}


def test_readers_of_a_blind_queue_do_not_see_what_others_said(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = made(workspace, QueueOptions("pets", readings=2, repeats=0))
    judge_all(workspace, queue, "ann", by_label(workspace), n=1)
    role(monkeypatch, Role.ANNOTATOR, "ben")
    assert "hidden from you until then" in texts(opened(step="results", queue=queue.id))
    page = opened(step="results", results="History")
    ready(page)
    assert "Nobody has judged anything here yet." in texts(page)
    assert "Which images changed is shown once" in texts(opened(step="results"))
    judge_all(workspace, queue, "ben", by_label(workspace))
    page = opened(step="results", results="History")
    (table,) = [each.value for each in page.dataframe if "what" in each.value.columns]
    assert "ann" in set(pl.DataFrame(table)["who"])


# ---- the drawer


def test_the_drawer_tells_what_was_said_and_hides_what_a_reader_must_not_know(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = made(workspace, QueueOptions("pets", readings=2, repeats=0))
    (one,) = judge_all(workspace, queue, "ann", by_label(workspace), n=1)
    (workspace_id,) = shelf.ids()
    lens = Lens("strong", "panel")
    shown = Frame(
        workspace_id,
        workspace,
        Session(workspace_id, ""),
        lens,
        Slice(),
        frame(workspace, lens),
        frame(workspace, lens),
        workspace.classes().display_names(),
        workspace.version,
    )
    rows, note = judgement_rows(shown, one.reading.item)
    assert [row.who for row in rows] == ["ann"] * len(one.choices)
    assert {row.note for row in rows} == {"pets"}
    assert note == ""
    label = shown.class_names[workspace.original_labels[one.reading.item]]
    assert (f"{label}: valid", "right") in [(row.what, row.sign) for row in rows]
    role(monkeypatch, Role.ANNOTATOR, "ben")
    rows, note = judgement_rows(shown, one.reading.item)
    assert rows == []
    assert "hidden" in note
    judge_all(workspace, queue, "ben", by_label(workspace))
    rows, note = judgement_rows(shown, one.reading.item)
    assert {row.who for row in rows} == {"ann", "ben"}
    assert note == ""


def test_one_image_has_a_queue_of_its_own_until_it_is_read(workspace: Workspace) -> None:
    lens = default_lens(workspace)
    first = own_queue(workspace, lens, 3, "ann")
    assert own_queue(workspace, lens, 3, "ann") == first
    judge_all(workspace, queues.load(workspace, first), "ann", by_label(workspace))
    second = own_queue(workspace, lens, 3, "ben")
    assert [queue.name for queue in queues.listed(workspace)] == ["Item 3", "Item 3 (2)"]
    assert queues.coverage(workspace, second).rows() == [(3, 0)]
    page = opened()
    ready(page)
    assert "2 queues of a single item" in [expander.label for expander in page.expander]


# ---- addresses, words, and what is missing


@pytest.mark.parametrize("query", [{"step": "nonsense"}, {"step": "judge", "queue": "no such"}, {"queue": "<b>"}])
def test_strange_addresses_show_the_queues(workspace: Workspace, query: dict[str, str]) -> None:
    page = opened(**query)
    ready(page)
    assert "there is no queue" in texts(page)


def test_a_workspace_without_runs_can_be_reviewed(tmp_path: Path) -> None:
    from analysis.create import create
    from analysis.datasets import DatasetOptions
    from tests.workspaces import make_images

    make_images(tmp_path / "images", UGLY_CLASSES, each=3)
    create(str(tmp_path / "ugly"), DatasetOptions(images=tmp_path / "images"))
    workspace = Workspace.open(tmp_path / "ugly")
    shelf.put([workspace.path])
    queue = new_queue(workspace, workspace.items()["item"], Lens(None, "original"), QueueOptions("![x](http:y)"), "<b>")
    judge_all(
        workspace, queue.queue, "[a](http:b)", lambda one, index: "wrong" if one.reading.item % 2 else "valid", n=4
    )
    for query in (
        {},
        {"step": "new"},
        *({"step": "results", "results": part} for part in ("Scores", "Agreement", "Cases", "Coverage", "History")),
    ):
        page = opened(**query)
        ready(page)
        for line in texts(page).splitlines():
            assert "](http" not in line.replace("\\]\\(http", "")
    shelf.put([])


def test_readings_stand_side_by_side_under_unique_names() -> None:
    said = pl.DataFrame(
        {
            "class": [0, 0, 1, 0],
            "value": ["valid", "wrong", "unsure", "unclear"],
            "person": ["class", "panel", "class", "ann"],
            "panel": [False, False, False, True],
            "reader": ["class", "panel", "class", None],
        }
    )
    table = side_by_side(said, ["cat", "dog"], label=1)
    assert table.columns == ["class", "class (person)", "panel (person)", "panel"]
    assert table.rows() == [("cat", "✓ valid", "✗ wrong", "? unclear"), ("dog (label)", "? unsure", None, None)]


def test_every_kind_of_statement_has_words() -> None:
    row = {"class": 1, "value": "valid", "severity": None, "url": None}
    assert statement_words(row | {"kind": "verdict"}, ["cat", "dog"]) == ("dog: valid", "right")
    cause = row | {"kind": "cause", "value": "model_failure", "severity": "major"}
    assert statement_words(cause, ["cat", "dog"])[0] == "dog: model failure, major"
    assert statement_words(row | {"kind": "note", "value": "why"}, ["cat", "dog"])[0] == "note on dog: why"
    item = {"class": None, "severity": None, "url": "http://a"}
    kinds = ("problem", "exhaustive", "outside", "tag", "evidence", "undo")
    said = {kind: statement_words(item | {"kind": kind, "value": "drawing"}, [])[0] for kind in kinds}
    assert said["problem"] == "drawing or rendering"
    assert len(set(said.values())) == len(kinds)


def test_labels_as_base_of_what_is_reviewed_stay(workspace: Workspace, read: Queue) -> None:
    """Through the lens `reviewed`, scores are still on the base that it was made on."""
    rescore.publish_reviewed(workspace, "panel", "ann")
    page = opened(step="results")
    page.selectbox(key="labels").set_value("reviewed").run()
    ready(page)
    assert "by *panel*" in texts(page)
