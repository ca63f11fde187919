"""Everything known about one item."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis import details, lens
from analysis.create import create
from analysis.labels.sets import label_set
from analysis.lens import Lens
from analysis.models.predictions import Predictions
from analysis.search import SpaceIndex, build_exact
from analysis.workspace import Workspace
from tests.test_create import write_table

LABELS = {"a": "cat", "b": "dog", "c": "eel", "d": "cat"}
CAT, DOG, EEL = range(3)


def publish(workspace: Workspace, name: str, kind: str, classes: list[list[int]], scores: list[list[float]]) -> None:
    n = len(classes)
    logsumexp = np.full(n, 2.0, np.float32) if kind == "logits" else None
    predictions = Predictions(
        np.arange(n, dtype=np.uint32),
        np.array(classes, np.int32),
        np.array(scores, np.float32),
        kind,  # type: ignore[arg-type]
        logsumexp,
    )
    workspace.publish_run(name, predictions, inputs=("keys",), details={})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Four items; a run of logits on the first three, one of probabilities; an open set that knows the first two."""
    made, _ = create(str(tmp_path / "ws"), write_table(tmp_path / "labels.csv", LABELS))
    publish(made, "logits", "logits", [[CAT, DOG, EEL], [EEL, DOG, CAT], [EEL, -1, -1]], [[1, 0, -1]] * 3)
    publish(made, "probabilities", "probabilities", [[DOG, CAT]] * 4, [[0.75, 0.25]] * 4)
    said = [(0, CAT, "valid"), (0, DOG, "unclear"), (1, EEL, "rejected"), (1, DOG, "valid")]
    rows = pl.DataFrame(said, schema={"item": pl.UInt32, "class": pl.UInt32, "state": pl.String}, orient="row")
    made.publish_labels(label_set("panel", rows, rows.select("item").unique(), absent="unjudged"))
    return Workspace.open(made.path)


def states(workspace: Workspace, item: int, labels: str, run: str = "logits") -> list[str]:
    found = details.item_details(workspace, item, labels)
    (row,) = (row for row in found.run_rows if row.run == run)
    return [guess.state for guess in row.guesses]


def test_guesses_are_judged_by_the_label_set_asked_for(workspace: Workspace) -> None:
    assert states(workspace, 0, "original") == ["valid", "wrong", "wrong"]
    assert states(workspace, 0, "panel") == ["valid", "unclear", "unjudged"]
    assert states(workspace, 1, "panel") == ["rejected", "valid", "unjudged"]
    assert states(workspace, 2, "panel") == ["not scored"]  # unknown to the panel; ranks without a class are left out
    assert states(workspace, 3, "original") == []  # the run does not cover it
    assert states(workspace, 3, "original", "probabilities") == ["wrong", "valid"]


def test_scores_become_probabilities_where_that_is_known(workspace: Workspace) -> None:
    logits, probabilities = details.item_details(workspace, 0, "original").run_rows
    assert [guess.score for guess in logits.guesses] == [1, 0, -1]
    assert [guess.probability for guess in logits.guesses] == pytest.approx(np.exp([-1, -2, -3]))
    assert [guess.probability for guess in probabilities.guesses] == [0.75, 0.25]
    predictions = Predictions(np.arange(4, dtype=np.uint32), np.array([[CAT]] * 4, np.int32), None, "ranks", None)
    workspace.publish_run("ranks", predictions, inputs=("keys",), details={})
    (guess,) = details.item_details(Workspace.open(workspace.path), 0, "original").run_rows[-1].guesses
    assert (guess.index, guess.score, guess.probability, guess.state) == (CAT, None, None, "valid")


def test_label_sets_say_what_they_know(workspace: Workspace) -> None:
    original, panel = details.item_details(workspace, 0, "original").label_rows
    assert (original.labels, original.scored, original.known, original.classes) == (
        "original",
        True,
        True,
        [(CAT, "valid")],
    )
    assert (panel.scored, panel.known, panel.classes) == (True, True, [(CAT, "valid"), (DOG, "unclear")])
    _, unknown = details.item_details(workspace, 3, "original").label_rows
    assert (unknown.scored, unknown.known, unknown.classes) == (False, False, [])


def test_the_item_s_own_words(tmp_path: Path) -> None:
    pl.DataFrame({"key": ["<b>a</b>"], "label": ["cat"], "weather": ["![fog](x)"], "none": [None]}).write_csv(
        tmp_path / "one.csv"
    )
    options = write_table(tmp_path / "other.csv", {"x": "cat"})
    made, _ = create(str(tmp_path / "ws"), type(options)(table=tmp_path / "one.csv"))
    found = details.item_details(made, 0, "original")
    assert (found.key, found.label, found.problem) == ("<b>a</b>", 0, None)
    assert found.metadata == {"weather": "![fog](x)"}


def test_neighbours_are_the_nearest_others() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.6, 0.6]], np.float16)
    index = SpaceIndex(build_exact([vectors], 2, count=4), np.array([2, 5, 6, 9], np.uint32), None)
    found = details.neighbours(index, 2, 10)
    assert [item for item, _ in found] == [5, 9, 6]
    unit = vectors / np.linalg.norm(vectors.astype(np.float32), axis=1, keepdims=True)
    assert [similarity for _, similarity in found] == pytest.approx((unit[[1, 3, 2]] @ unit[0]).tolist(), abs=2e-3)
    assert details.neighbours(index, 3, 10) == []  # it has no embedding


def test_exemplars_are_right_and_sure_ones_first(workspace: Workspace) -> None:
    frame = lens.frame(workspace, Lens("logits", "original"))
    assert details.exemplars(frame, [CAT, DOG, 99], 5) == {CAT: [0, 3], DOG: [1], 99: []}
    assert details.exemplars(frame, [CAT], 1) == {CAT: [0]}
    broken = frame.with_columns(problem=pl.when(pl.col("item") == 0).then(pl.lit("broken")))
    assert details.exemplars(broken, [CAT], 5) == {CAT: [3]}
