"""Queues made of a workspace's items, and what a person is asked in them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analysis.database.connections import FILE
from analysis.errors import InputError, WorkspaceError
from analysis.lens import Lens, frame
from analysis.results import review
from analysis.results.review import CONTROL, NewQueue, QueueOptions, new_queue, tasks
from analysis.results.taxonomy import hierarchy
from analysis.review import log, queues, readings
from analysis.review.kinds import Judgement, Verdict
from analysis.review.readings import Reading
from analysis.workspace import Workspace
from tests.workspaces import make_workspace

pytestmark = pytest.mark.xdist_group("results")

WEAK, STRONG = "weak ![r](http:y)", "strong"
LENS = Lens(WEAK, "original", "test:encoder")
PLAIN = QueueOptions("q", repeats=0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    home = tmp_path_factory.mktemp("review")
    return make_workspace(home / "ws", home / "images", each=20)


@pytest.fixture
def workspace(shared: Workspace) -> Workspace:
    """Without queues and judgements."""
    from analysis.database import connections

    connections.forget()
    for file in shared.path.glob(f"{FILE}*"):
        file.unlink()
    return Workspace.open(shared.path)


def mistakes(workspace: Workspace) -> pl.Series:
    return frame(workspace, LENS).filter(~pl.col("right"))["item"]


def made(workspace: Workspace, items: Any = None, lens: Lens = LENS, **options: Any) -> NewQueue:
    chosen = mistakes(workspace) if items is None else items
    return new_queue(workspace, chosen, lens, replace(PLAIN, **options), "ann")


def sources(workspace: Workspace, found: NewQueue) -> dict[int, dict[int, tuple[str, ...]]]:
    drawn = queues.members(workspace, found.queue.id).filter(pl.col("place").is_not_null())["item"]
    return {item: dict(place.sources) for item, place in readings.places(workspace, found.queue, drawn).items()}


def top1(workspace: Workspace, run: str) -> dict[int, int]:
    predictions = workspace.run(run).predictions
    return dict(zip(predictions.items.tolist(), predictions.classes[:, 0].tolist(), strict=True))


def test_candidates_are_label_and_top1_each_class_once(workspace: Workspace) -> None:
    found = made(workspace, runs=(WEAK, STRONG))
    weak, strong, labels = top1(workspace, WEAK), top1(workspace, STRONG), workspace.original_labels
    asked = sources(workspace, found)
    assert sorted(asked) == sorted(mistakes(workspace))
    shared = 0
    for item, classes in asked.items():
        expected: dict[int, list[str]] = {}
        for index, source in ((labels[item], "label"), (weak[item], WEAK), (strong[item], STRONG)):
            expected.setdefault(int(index), []).append(source)
        real = {index: list(names) for index, names in classes.items() if names != ("decoy",)}
        assert real == expected
        shared += any(len(names) > 1 for names in expected.values())
    assert shared  # else nothing of this was tested
    only = sources(workspace, made(workspace, name="other", runs=(), blind=False))
    assert all(list(classes.values()) == [("label",)] for classes in only.values())


def test_decoys_are_a_tenth_of_what_is_drawn_and_near(workspace: Workspace) -> None:
    found = made(workspace, items=range(80), design="random", n=30, decoys=0.2)
    asked = sources(workspace, found)
    decoys = sum(names == ("decoy",) for classes in asked.values() for names in classes.values())
    total = sum(map(len, asked.values()))
    assert len(asked) == found.n_drawn == 30
    assert found.n_decoys == decoys
    assert 0.2 <= decoys / total < 0.2 + 1 / total
    assert hierarchy(workspace) is None
    assert found.decoys_from == "mean embeddings of the classes (test:encoder)"
    with pytest.raises(InputError, match="at least 10%"):
        made(workspace, name="none", decoys=0.0)
    assert made(workspace, name="open", blind=False).n_decoys == 0


def test_near_classes_by_what_there_is(workspace: Workspace) -> None:
    near, words = review.near_classes(workspace, None, 3)
    assert "random" in words
    assert sorted(near(1)) == [0, 2, 3]
    assert near(1) == review.near_classes(workspace, None, 3)[0](1)
    near, _ = review.near_classes(workspace, "test:encoder", 0)
    assert all(sorted([*near(index), index]) == [0, 1, 2, 3] for index in range(4))


@pytest.mark.shared_data
def test_near_classes_of_a_hierarchy(imagenet: Workspace) -> None:
    near, words = review.near_classes(imagenet, None, 0)
    assert words == "the class hierarchy (WordNet 3.0)"
    names = imagenet.classes().names
    assert {names[index] for index in near(names.index("tabby"))} >= {"Persian cat", "Siamese cat", "Egyptian cat"}


def test_the_designs(workspace: Workspace) -> None:
    wrong = mistakes(workspace)
    rows = frame(workspace, LENS)
    whole = made(workspace, name="a").queue
    assert [(s["name"], s["size"], s["draw"], s["random"]) for s in whole.strata] == [
        ("all", len(wrong), len(wrong), True)
    ]
    some = made(workspace, name="b", design="random", n=7).queue
    assert (some.strata[0]["size"], some.strata[0]["draw"]) == (len(wrong), 7)
    sure = made(workspace, name="c", design="confident", n=5)
    served = [task.item for task in queues.lease(workspace, sure.queue.id, "ann", 5)]
    best = rows.filter(~pl.col("right")).sort("confidence", descending=True)["item"].head(5)
    assert served == best.to_list()
    assert not sure.queue.strata[0]["random"]


def test_the_control_stratum_is_of_predictions_counted_as_right(workspace: Workspace) -> None:
    rows = frame(workspace, LENS)
    wrong, right = mistakes(workspace), rows.filter("right")["item"]
    found = made(workspace, design="stratified", n=20, control=0.3)
    strata = {one["name"]: one for one in found.queue.strata}
    assert strata[CONTROL]["draw"] == 6
    assert sum(one["draw"] for one in strata.values()) == 20
    members = queues.members(workspace, found.queue.id)
    of = dict(zip(strata, range(len(strata)), strict=True))
    assert members.filter(stratum=of[CONTROL])["item"].to_list() == sorted(right)
    assert members.filter(stratum=of[CONTROL])["probability"].unique().to_list() == [6 / len(right)]
    for name, number in of.items():
        if name != CONTROL:
            items = members.filter(stratum=number)["item"]
            assert rows.filter(pl.col("item").is_in(items.implode()))["outcome"].unique().to_list() == [name]
            assert strata[name]["draw"] >= min(2, strata[name]["size"])
    assert sum(strata[name]["size"] for name in of if name != CONTROL) == len(wrong)
    every = made(workspace, name="all wrong", design="stratified", control=0.2).queue
    drawn = {one["name"]: one["draw"] for one in every.strata}
    assert drawn.pop(CONTROL) == round(0.2 / 0.8 * len(wrong))
    assert sum(drawn.values()) == len(wrong)


def test_shares_are_proportional_and_at_least_two() -> None:
    assert review._shared({"a": 100, "b": 50, "c": 1, "d": 4}, 33) == {"a": 19, "b": 11, "c": 1, "d": 2}
    assert review._shared({"a": 3, "b": 3}, 6) == {"a": 3, "b": 3}
    for n in (3, 9):
        with pytest.raises(InputError, match="cannot be drawn"):
            review._shared({"a": 5, "b": 3}, n)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 3}, "leave n out"),
        ({"design": "random"}, "needs a number"),
        ({"design": "random", "n": 0}, "needs a number"),
        ({"design": "random", "n": 999}, "cannot be drawn"),
        ({"design": "stratified", "n": 1}, "cannot be drawn"),
        ({"design": "stratified", "control": 1.0}, "control stratum"),
        ({"design": "confident", "lens": Lens(None, "original")}, "how sure"),
        ({"design": "stratified", "lens": Lens(None, "original")}, "choose one"),
        ({"items": []}, "nothing to judge"),
        ({"items": [5000]}, "Item 5000 is not in"),
        ({"decoys": 1.0}, "below 1"),
        ({"name": " "}, "needs a name"),
    ],
)
def test_what_cannot_be_a_queue(workspace: Workspace, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        made(workspace, **options)
    assert queues.listed(workspace) == []


def test_a_run_that_is_not_there(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceError, match="nobody"):
        made(workspace, runs=("nobody",))


def test_a_person_is_asked_in_the_queues_order_with_exemplars(workspace: Workspace) -> None:
    found = made(workspace, runs=(WEAK, STRONG), exhaustive=True)
    asked = tasks(workspace, found.queue.id, "ann", 10)
    served = queues.members(workspace, found.queue.id).filter(pl.col("place").is_not_null()).sort("place")["item"]
    assert [one.reading for one in asked] == [Reading(found.queue.id, item) for item in served.head(10)]
    known = sources(workspace, found)
    panel, labels = workspace.labels("panel"), workspace.original_labels
    shown: set[int] = set()
    for one in asked:
        assert one.exhaustive
        assert sorted(choice.index for choice in one.choices) == sorted(known[one.reading.item])
        for choice in one.choices:
            assert (choice.prefilled, choice.decided) == (None, None)
            assert len(choice.exemplars) <= 6
            for item in choice.exemplars:
                assert labels[item] == choice.index
                assert panel.scored([item])[0]
                assert panel.states([item], [choice.index])[0] == 1
                shown.add(item)
    assert shown
    assert not shown & set(served)
    in_order = [one.choices[0].index == labels[one.reading.item] for one in asked]
    assert 0 < sum(in_order) < len(in_order)  # blind: the label stands anywhere


def test_no_exemplars_where_everything_is_under_review(workspace: Workspace) -> None:
    found = made(workspace, items=frame(workspace, LENS)["item"])
    assert not any(choice.exemplars for one in tasks(workspace, found.queue.id, "ann") for choice in one.choices)


def test_self_paced_fills_in_what_is_known(workspace: Workspace) -> None:
    found = made(workspace, blind=False, runs=(WEAK,))
    panel = workspace.labels("panel")
    words = {0: None, 1: "valid", 2: None, 3: "wrong"}
    seen = set()
    for one in tasks(workspace, found.queue.id, "ann"):
        for choice in one.choices:
            expected = words[int(panel.states([one.reading.item], [choice.index])[0])]
            assert choice.prefilled == expected
            seen.add(expected)
    assert seen == {None, "valid", "wrong"}


def test_self_paced_without_other_labels_trusts_sure_agreement(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review, "better_labels", lambda workspace: None)
    found = made(workspace, items=range(80), blind=False, runs=(WEAK, STRONG))
    sure = {
        run: dict(frame(workspace, Lens(run, "original")).select("item", "confidence").iter_rows())
        for run in (WEAK, STRONG)
    }
    known = sources(workspace, found)
    filled = []
    for one in tasks(workspace, found.queue.id, "ann", 80):
        item = one.reading.item
        for choice in one.choices:
            agreed = set(known[item][choice.index]) == {"label", WEAK, STRONG}
            both = agreed and all(sure[run][item] >= 0.9 for run in sure)
            assert choice.prefilled == ("valid" if both else None)
            filled.append(both)
    assert 0 < sum(filled) < len(filled)


def test_what_was_judged_is_known_when_a_person_comes_back(workspace: Workspace) -> None:
    found = made(workspace, runs=(WEAK,))
    first, second = tasks(workspace, found.queue.id, "ann", 2)

    def say(asked: review.Asked, classes: list[int]) -> None:
        item, queue = asked.reading.item, found.queue.id
        says = [Verdict(item, index, "wrong") for index in classes]
        log.append(workspace, [Judgement(says=one, person="ann", queue=queue, stratum="all") for one in says])

    # All of the first was said, but the server did not come to note it; of the second one candidate.
    say(first, [choice.index for choice in first.choices])
    say(second, [second.choices[0].index])
    again = tasks(workspace, found.queue.id, "ann", 2)
    assert first.reading not in [one.reading for one in again]
    assert again[0].reading == second.reading
    assert [choice.decided for choice in again[0].choices][:2] == ["wrong", None]
    assert queues.progress(workspace, found.queue.id).rows() == [("ann", 1, 0, 2)]


def test_items_with_nothing_to_judge_are_left_out(tmp_path: Path) -> None:
    from analysis.create import create
    from analysis.datasets import DatasetOptions

    (tmp_path / "labels.csv").write_text("filename,label\na.jpg,cat\nb.jpg,\nc.jpg,dog\n")
    create(str(tmp_path / "ws"), DatasetOptions(table=tmp_path / "labels.csv"))
    workspace = Workspace.open(tmp_path / "ws")
    bare = Lens(None, "original")
    found = made(workspace, items=range(3), lens=bare)
    assert (found.n_drawn, found.n_left_out) == (2, 1)
    assert found.decoys_from.startswith("random classes")
    every = made(workspace, items=range(3), lens=bare, name="open", exhaustive=True)
    assert (every.n_drawn, every.n_left_out) == (3, 0)
    asked = {one.reading.item: one for one in tasks(workspace, every.queue.id, "ann")}
    assert asked[1].choices == ()
    assert asked[1].exhaustive


@pytest.mark.shared_data
def test_a_queue_of_real_mistakes(imagenet: Workspace) -> None:
    lens = Lens("resnet50_pytorch", "expert")
    rows = frame(imagenet, lens).filter(~pl.col("right"))
    assert rows.height == 2970
    options = QueueOptions("real mistakes", "stratified", 300, runs=("resnet50_pytorch", "vgg16_pytorch"))
    found = new_queue(imagenet, rows["item"], lens, options, "ann")
    asked = tasks(imagenet, found.queue.id, "ann", 50)
    assert len(asked) == 50
    assert sum(len(choice.exemplars) == 6 for one in asked for choice in one.choices) > 50
