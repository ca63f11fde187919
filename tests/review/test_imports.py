"""Files of judged mistakes: what comes in, again and changed, and the figures that follow."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from analysis.cli import main
from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.errors import InputError
from analysis.imports import import_labels
from analysis.labels.sets import label_set
from analysis.models.predictions import Predictions
from analysis.review import log, state
from analysis.review.imports import import_reviews, summary
from analysis.review.kinds import Cause, Judgement, Verdict
from analysis.workspace import Workspace

Entries = dict[str, dict[str, Any]]


def entry(prediction: object, category: object = "Fine-grained error", severity: object = "Major") -> dict[str, Any]:
    return {"top_prediction": prediction, "failure category": category, "failure severity": severity}


def write(workspace: Workspace, entries: object) -> Path:
    path = workspace.path.parent / "mistakes.json"
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return path


def standing(workspace: Workspace) -> list[tuple[Any, ...]]:
    told = log.read(workspace)
    return told.filter(log.stands(told)).select("kind", "item", "class", "value", "severity").sort("item").rows()


FIRST: Entries = {"001.jpg": entry(3), "003.jpg": entry(0, "Non-prototypical", "Borderline")}


def test_a_file_becomes_verdicts_and_causes(workspace: Workspace) -> None:
    found = import_reviews(workspace, write(workspace, FIRST), "big", complete=True)
    assert (found.mistakes, found.written, found.withdrawn, found.unknown) == (2, 4, 0, {})
    told = log.history(workspace, 1)
    assert told.select("kind", "class", "value", "severity", "person", "panel").rows() == [
        ("verdict", 3, "wrong", None, "imported: big", False),
        ("cause", 3, "fine_grained", "major", "imported: big", False),
    ]
    assert told.select("queue", "stratum", "probability").unique().rows() == [("import:big", "mistakes", 1.0)]
    assert json.loads(told["shown"][0]) == {"file": "mistakes.json", "run": "big", **FIRST["001.jpg"]}
    assert state.causes(log.read(workspace)).select("item", "class", "category", "severity").rows() == [
        (1, 3, "fine_grained", "major"),
        (3, 0, "non_prototypical", "borderline"),
    ]
    assert summary(workspace, "big") == {
        "run": "big",
        "judgements": 2,
        "categories": {"fine_grained": 1, "non_prototypical": 1},
        "severities": {"major": 1, "borderline": 1},
        # Five classes of four items each; items 1 and 3 are of two of them.
        "implied_class_mean_accuracy": pytest.approx((3 + 2 * 0.75) / 5),
    }


def test_the_same_file_again_changes_nothing(workspace: Workspace) -> None:
    file = write(workspace, FIRST)
    import_reviews(workspace, file, "big")
    before = log.read(workspace)
    assert import_reviews(workspace, file, "big").written == 0
    assert log.read(workspace).equals(before)
    assert set(before["probability"]) == {None}


def test_another_file_replaces_the_one_before_and_can_come_back(workspace: Workspace) -> None:
    second: Entries = {"001.jpg": entry(3, "Model failure"), "002.jpg": entry(4)}
    import_reviews(workspace, write(workspace, FIRST), "big")
    of_first = standing(workspace)
    found = import_reviews(workspace, write(workspace, second), "big")
    assert (found.written, found.withdrawn) == (6, 3)
    assert standing(workspace) == [
        ("verdict", 1, 3, "wrong", None),
        ("cause", 1, 3, "model_failure", "major"),
        ("verdict", 2, 4, "wrong", None),
        ("cause", 2, 4, "fine_grained", "major"),
    ]
    for _ in range(2):
        import_reviews(workspace, write(workspace, FIRST), "big")
        assert standing(workspace) == of_first
        import_reviews(workspace, write(workspace, second), "big")
    assert import_reviews(workspace, write(workspace, FIRST), "other").withdrawn == 0


def test_words_in_any_spelling(workspace: Workspace) -> None:
    words = ["fine-grained_error ", "FINE-GRAINED OOV", "Fine-grained with Multilabel Options", "Spurious  correlation"]
    import_reviews(workspace, write(workspace, {f"00{n}.jpg": entry(4, word) for n, word in enumerate(words)}), "big")
    counted = summary(workspace, "big")["categories"]
    assert set(counted) == {"fine_grained", "fine_grained_oov", "fine_grained_multi_label", "spurious_correlation"}


def test_an_unknown_word_is_reported_and_nothing_is_dropped(workspace: Workspace) -> None:
    file = write(workspace, {"001.jpg": entry(3, "Bad luck", "Dire"), "002.jpg": entry(3, None, "minor")})
    found = import_reviews(workspace, file, "big")
    assert found.unknown == {"Bad luck": ["001.jpg"], "Dire": ["001.jpg"]}
    told = summary(workspace, "big")
    assert (told["judgements"], told["categories"]) == (2, {"unknown": 2})
    assert told["severities"] == {"unset": 1, "minor": 1}
    notes = log.history(workspace, 1).filter(pl.col("kind") == "note")["value"].to_list()
    assert notes == ["mistakes.json calls it 'Bad luck'", "mistakes.json calls it 'Dire'"]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"001.jpg": entry(3), "nowhere.jpg": entry(3)}, "row 2 names 'nowhere.jpg'"),
        ({"001.jpg": entry(3), "a/001.jpg": entry(3)}, "are one image"),
        ({"001.jpg": entry(5)}, "'001.jpg' has the top_prediction 5"),
        ({"001.jpg": entry("cat")}, "'001.jpg' has the top_prediction 'cat'"),
        ({"001.jpg": entry(None)}, "'001.jpg' has the top_prediction None"),
        ({"001.jpg": [1]}, "'001.jpg' is no entry"),
        ([], "no file of mistakes"),
        ({}, "no file of mistakes"),
        ("{", "cannot be read as JSON"),
        ('{"001.jpg": {"top_prediction": 1}, "001.jpg": {"top_prediction": 2}}', "'001.jpg' comes twice"),
    ],
)
def test_a_file_that_cannot_be_writes_nothing(workspace: Workspace, entries: object, words: str) -> None:
    with pytest.raises(InputError) as caught:
        import_reviews(workspace, write(workspace, entries), "big")
    assert words in str(caught.value)
    assert "mistakes.json" in str(caught.value)
    assert log.last(workspace) == 0


def test_the_team_is_not_overwritten(workspace: Workspace) -> None:
    log.append(workspace, [Judgement(says=Verdict(1, 3, "valid"), person="ann")])
    import_reviews(workspace, write(workspace, FIRST), "big")
    found = state.verdicts(log.read(workspace))
    assert found.select("item", "class", "state").rows() == [(1, 3, "disputed"), (3, 0, "wrong")]


def test_what_the_team_judged_of_a_run(workspace: Workspace) -> None:
    items = np.arange(20, dtype=np.uint32)
    top1 = np.where(items < 6, (items + 1) % 5, items % 5).astype(np.int32)
    made = Predictions(items, top1[:, None], None, "ranks", None)
    workspace.publish_run("mine", made, inputs=("keys", "classes"), details={"source": "test"})
    opened = Workspace.open(workspace.path)
    said = [Verdict(0, 1, "wrong"), Cause(0, 1, "model_failure"), Verdict(1, 2, "valid"), Verdict(2, 0, "wrong")]
    log.append(opened, [Judgement(says=says, person="ann") for says in said])  # type: ignore[arg-type]
    found = summary(opened, "mine")
    assert (found["judgements"], found["categories"], found["severities"]) == (1, {"model_failure": 1}, {"unset": 1})
    with pytest.raises(InputError, match="No judgements of 'his'"):
        summary(opened, "his")


def test_the_accuracy_is_over_what_the_label_set_scores(workspace: Workspace) -> None:
    rows = pl.DataFrame({"item": [0, 1, 6], "class": [0, 1, 1], "state": ["valid"] * 3})
    workspace.publish_labels(label_set("expert", rows, rows.select("item"), absent="unjudged"))
    opened = Workspace.open(workspace.path)
    import_reviews(opened, write(opened, FIRST), "big")  # item 3 is not scored by them
    assert summary(opened, "big")["implied_class_mean_accuracy"] == pytest.approx((1 + 0.5) / 2)
    assert summary(opened, "big", "original")["implied_class_mean_accuracy"] == pytest.approx(0.9)


@pytest.mark.shared_data
def test_the_published_panel(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every figure of the panel's file, through the command line."""
    data = shared_data / "imagenet-val"
    create(str(tmp_path / "val"), DatasetOptions(table=data / "labels.csv", classes="imagenet-1k"))
    import_labels(Workspace.open(tmp_path / "val"), "expert", data / "multilabel_v3.csv")
    file = shared_data / "imagenet-mistakes" / "vit3b_mistakes.json"

    def errata(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["errata", "reviews", *words])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert not stopped.value.code
        return capsys.readouterr().out

    for _ in range(2):
        errata("import", str(tmp_path / "val"), str(file), "--run", "vit3b", "--complete")
    found = json.loads(errata("summary", str(tmp_path / "val"), "--run", "vit3b", "--json"))
    assert found.pop("implied_class_mean_accuracy") == pytest.approx(0.97915, abs=5e-6)
    assert found == {
        "run": "vit3b",
        "judgements": 378,
        "categories": {
            "fine_grained": 241,
            "fine_grained_oov": 54,
            "spurious_correlation": 52,
            "non_prototypical": 30,
            "fine_grained_multi_label": 1,
        },
        "severities": {"major": 154, "minor": 150, "borderline": 74},
    }
    assert "97.915 %" in errata("summary", str(tmp_path / "val"), "--run", "vit3b")
    told = log.read(Workspace.open(tmp_path / "val"))
    assert told.height == 2 * 378
    rejected = Workspace.open(tmp_path / "val").labels("expert")
    judged = state.verdicts(told)
    assert (rejected.states(judged["item"], judged["class"]) == 3).all()
