"""`errata agreement`, `rescore`, `backup`, `restore`, and queues and labels of `errata reviews`."""

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.create import create
from analysis.review import log, queues
from analysis.review.kinds import Judgement, Verdict
from analysis.settings import settings
from analysis.workspace import Workspace
from tests.test_cli import errata  # noqa: F401  # a fixture
from tests.test_create import write_table
from tests.workspaces import add_run

pytestmark = pytest.mark.usefixtures("errata")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty items in three classes with two runs, and no pixels."""
    monkeypatch.delenv("ERRATA_DATABASE_URL", raising=False)
    settings.cache_clear()
    labels = {f"item-{i:02d}.png": ("cat", "dog", "eel")[i % 3] for i in range(30)}
    made, _ = create(str(tmp_path / "ws"), write_table(tmp_path / "labels.csv", labels))
    add_run(made, "mine", 0.5, np.random.default_rng(0))
    add_run(made.reopened(), "other", 0.8, np.random.default_rng(1))
    return made.path


def judge_all(path: Path, name: str, *people: str) -> None:
    """Everybody finds the first candidate of each item valid and the others wrong; the last person, all valid."""
    workspace = Workspace.open(path)
    queue = next(one for one in queues.listed(workspace) if one.name == name)
    said = []
    for person in people:
        for item in queues.members(workspace, queue.id).drop_nulls("place")["item"]:
            for place, (index, _) in enumerate(queues.sources(workspace, queue.id, item)):
                valid = place == 0 or person == people[-1] != people[0]
                says = Verdict(item, index, "valid" if valid else "wrong")
                said.append(Judgement(says=says, person=person, queue=queue.id, blind=True))
    log.append(workspace, said)


def test_from_a_queue_to_scores_and_labels(errata, workspace: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    made = errata("reviews", "queue", workspace, "--name", "all of it", "--runs", "mine, other", "--readings", 2)
    assert made.code == 0, made.err
    assert "all of it: 30 items, " in made.err
    before = json.loads(errata("rescore", workspace, "--json").out)
    assert [row["estimate"] for row in before["rows"]] == [None] * 4
    assert "no estimate, nobody has read an item of a queue yet" in errata("rescore", workspace).out

    judge_all(workspace, "all of it", "ann")
    answer = json.loads(errata("rescore", workspace, "--queue", "all of it", "--json").out)
    assert {"base", "queues", "position", "slice", "behind", "rows"} == answer.keys()
    assert [(row["run"], row["metric"], row["why"], row["n"]) for row in answer["rows"]] == [
        (run, metric, None, 30) for run in ("mine", "other") for metric in ("micro", "class_mean")
    ]
    assert all(row["low"] == row["estimate"] == row["high"] for row in answer["rows"])
    shown = errata("rescore", workspace)
    assert "n = 30" in shown.out
    assert "all of it: all 30 of 30 complete." in shown.err
    few = json.loads(errata("rescore", workspace, "--slice", "items (0-4)", "--json").out)
    assert [row["n"] for row in few["rows"]] == [5] * 4
    changed = json.loads(errata("rescore", workspace, "--changes", "mine", "--json").out)
    mine = answer["rows"][0]
    assert len(changed["rows"]) == mine["gained"] + mine["lost"] > 0
    assert changed["rows"][0]["who"] == ["ann"]
    assert f"{len(changed['rows'])} changes." in errata("rescore", workspace, "--changes", "mine").err
    pair = json.loads(errata("rescore", workspace, "--compare", "mine,other", "--json").out)["rows"][0]
    assert pair["estimate"] == pytest.approx(mine["estimate"] - answer["rows"][2]["estimate"])
    assert "mine - other  micro" in errata("rescore", workspace, "--compare", "mine,other").out

    told = errata("reviews", "publish", workspace, "--base", "original", "--person", "ann")
    assert "as of position" in told.err
    opened = Workspace.open(workspace)
    assert opened.label_artefact("reviewed").manifest["person"] == "ann"
    judge_all(workspace, "all of it", "bob", "cat")
    assert "rows were added since" in json.loads(errata("rescore", workspace, "--json").out)["behind"]


def test_agreement_in_words_and_json(errata, workspace: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    assert "Nothing was read twice yet" in errata("agreement", workspace).err
    assert errata("reviews", "queue", workspace, "--name", "q", "--runs", "mine,other").code == 0
    judge_all(workspace, "q", "ann", "bob", "cat")
    shown = errata("agreement", workspace)
    assert "alpha nominal" in shown.out
    assert "decoys accepted" in shown.out
    answer = json.loads(errata("agreement", workspace, "--queue", "q", "--json").out)
    found = {(row["of"], row["measure"]): row for row in answer["coefficients"]}
    assert 0 < found["verdict", "raw"]["low"] <= found["verdict", "raw"]["value"] < 1
    assert {"alpha MASI", "alpha Jaccard"} <= {measure for _, measure in found}
    assert [row["name"] for row in answer["queues"]] == ["q"]
    assert {row["id"] for row in answer["classes"]} == {"cat", "dog", "eel"}
    assert [row["group"] for row in answer["pairs"]] == ["ann & bob", "ann & cat", "bob & cat"]
    assert [row["person"] for row in answer["persons"]] == ["ann", "bob", "cat"]
    assert answer["splits"]
    assert answer["weeks"]


def test_backup_and_restore(errata, workspace: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    assert errata("reviews", "queue", workspace, "--name", "q").code == 0
    judge_all(workspace, "q", "ann")
    file = tmp_path / "kept.db"
    told = errata("backup", workspace, file)
    position = log.last(Workspace.open(workspace))
    assert f"the review log up to position {position}; read back and equal." in told.err
    judge_all(workspace, "q", "bob")
    refused = errata("restore", workspace, file)
    assert refused.code == 1
    assert f"{position} judgements" in refused.err
    assert log.last(Workspace.open(workspace)) == 2 * position
    done = errata("restore", workspace, file, "--force")
    assert (done.code, log.last(Workspace.open(workspace))) == (0, position)
    assert f"judgements: {position} rows dropped" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rescore", "--queue", "x"), "has no queue 'x'. It has: q."),
        (("rescore", "--changes", "mine", "--compare", "mine,other"), "Give one of"),
        (("rescore", "--compare", "mine"), "has no run ''"),
        (("rescore", "--base", "x"), "no label set 'x'"),
        (("agreement", "--queue", "x"), "has no queue 'x'"),
        (("reviews", "publish", "--base", "reviewed"), "another label set"),
        (("reviews", "queue", "--name", "q"), "has a queue 'q' already"),
        (("reviews", "queue", "--name", "r", "--design", "random"), "needs a number of items"),
        (("reviews", "queue", "--name", "r", "--slice", "@nothing"), "nothing"),
    ],
)
def test_what_cannot_be_is_told(errata, workspace: Path, words: tuple, message: str) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    assert errata("reviews", "queue", workspace, "--name", "q").code == 0
    n = 2 if words[0] == "reviews" else 1
    told = errata(*words[:n], workspace, *words[n:])
    assert told.code == 1
    assert message in " ".join(told.err.split())


def test_a_queue_says_what_it_drew(errata, workspace: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    words = ("--design", "stratified", "--run", "mine", "--labels", "original", "--control", 0.4, "--seed", 3)
    options = ("--people", "ann, bob", "--exhaustive", "--repeats", 0, "--guideline", "2", "--decoys", 0.2)
    made = errata("reviews", "queue", workspace, "--name", "q", "--slice", "right=false", *words, *options, "--json")
    assert made.code == 0, made.err
    answer = json.loads(made.out)
    opened = Workspace.open(workspace)
    queue = queues.load(opened, answer["id"])
    assert (queue.person, queue.protocol.people, queue.protocol.exhaustive) == ("local", ("ann", "bob"), True)
    assert (queue.protocol.guideline, queue.protocol.repeats, queue.protocol.seed) == ("2", 0, 3)
    assert answer["strata"] == list(queue.strata)
    assert answer["drawn"] == sum(stratum["draw"] for stratum in queue.strata)
    assert answer["decoys"] == queues.decoys(opened, queue.id).height > 0
    plain = errata("reviews", "queue", workspace, "--name", "r", "--design", "random", "--n", 7, "--self-paced")
    assert "7 of 30" in plain.out
    assert "r: 7 items." in plain.err
