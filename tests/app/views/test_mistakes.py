"""Mistakes through Streamlit's test harness: every way to look renders, says true numbers, and follows the slice."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.lens import Lens, frame
from analysis.models.predictions import Predictions
from analysis.results.mistakes import outcome_counts
from analysis.slices import Condition, IsNull, Slice
from analysis.workspace import Workspace
from app import shelf
from app.frame import WISH
from app.outcome_words import because, said_by
from app.text import plural
from app.views.mistakes import WAYS
from app.views.mistakes.conflicts import conditions_of as conflict_conditions
from app.views.mistakes.outcomes import conditions_of
from tests.workspaces import UGLY_CLASSES, make_images, make_workspace

MAIN = Path(__file__).parents[3] / "app" / "main.py"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("mistakes")
    return make_workspace(folder / "pets", folder / "images")


@pytest.fixture
def shown(workspace: Workspace) -> Iterator[AppTest]:
    """The page of Mistakes, not yet run."""
    shelf.put([workspace.path])
    yield mistakes()
    shelf.put([])


def mistakes(**query: str | list[str]) -> AppTest:
    page = AppTest.from_file(str(MAIN), default_timeout=60)
    page.session_state[WISH] = ("mistakes", {})
    for name, value in query.items():
        page.query_params[name] = value
    return page


def look(page: AppTest, way: str, run: str = "strong", labels: str = "original", where: tuple[str, ...] = ()) -> str:
    """Everything that the page says when it is looked at in a way."""
    page.session_state["run"], page.session_state["labels"] = run, labels
    page.session_state["where"], page.session_state["show"] = list(where), way
    page.run()
    assert not page.exception
    assert not page.error
    return "\n".join(str(element.value) for element in [*page.markdown, *page.caption]).replace("\u202f", " ")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("labels", ["original", "panel"])
def test_every_way_to_look_renders(shown: AppTest, workspace: Workspace, way: str, labels: str) -> None:
    said = look(shown, way, labels=labels)
    rows = frame(workspace, Lens("strong", labels))
    wrong = rows.filter(~pl.col("right")).height
    assert f"**{wrong} predictions**" in said
    assert "fine-grained, outside the vocabulary" in said  # which was not looked for


def test_the_sentence_is_about_all_outcomes_whatever_the_slice_holds(shown: AppTest, workspace: Workspace) -> None:
    rows = frame(workspace, Lens("strong", "original"))
    wrong = rows.filter(~pl.col("right")).height
    said = look(shown, "Rows", where=("right=true",))
    assert f"**{wrong} predictions**" in said
    assert f"The slice holds {rows.height - wrong - rows['right'].null_count()} of these images." in said


def test_confusions_are_those_of_the_slice(shown: AppTest, workspace: Workspace) -> None:
    rows = frame(workspace, Lens("strong", "original")).filter(~pl.col("right"))
    pairs = rows.select("class", "predicted").unique()
    assert f"**{pairs.height} pairs**" in look(shown, "Confusions")
    label, predicted = pairs.sort("class", "predicted").row(0)
    of_class = pairs.filter(pl.col("class") == label).height
    assert f"**{of_class} pair" in look(shown, "Confusions", where=(f"class={label}",))
    # A pair that is chosen keeps the others beside it.
    assert f"**{pairs.height} pairs**" in look(shown, "Confusions", where=(f"class={label}", f"predicted={predicted}"))


def test_merges_tell_what_accuracy_would_be(shown: AppTest, workspace: Workspace) -> None:
    rows = frame(workspace, Lens("weak ![r](http:y)", "original"))
    right = rows["right"].mean()
    said = look(shown, "Merges", run="weak ![r](http:y)")
    assert isinstance(right, float)
    assert f"in place of {100 * right:.1f} %" in said
    table = next(table.value for table in shown.dataframe if "classes" in table.value.columns)
    before, after = round(100 * right, 6), float(table["accuracy"].iloc[-1])
    assert after == pytest.approx(before + 100 * float(table["made right"].sum()) / rows["right"].count())


def test_shared_mistakes_are_counted(shown: AppTest, workspace: Workspace) -> None:
    wrong = [
        frame(workspace, Lens(run, "original")).filter(~pl.col("right"))["item"].to_list()
        for run in workspace.run_names()
    ]
    both = set(wrong[0]) & set(wrong[1])
    assert both
    said = look(shown, "Shared")
    assert f"**{len(both)} image" in said
    assert f"{len(set(wrong[0]) | set(wrong[1]))} are wrong by some run" in said
    assert f"**{len(both)}** of 32 items" in look(shown, "Shared", where=("wrong_by=2",))


def test_label_sets_in_conflict_lead_to_their_images(shown: AppTest, workspace: Workspace) -> None:
    columns = ["valid@original", "valid@panel", "right@original", "right@panel", "unjudged@panel"]
    rows = frame(workspace, Lens("strong", "original"), also=columns)
    disputed = rows.filter(pl.col("right@original") != pl.col("right@panel"), ~pl.col("unjudged@panel")).height
    shown.session_state["about"] = "Prediction"
    said = look(shown, "Conflicts")
    assert f"{plural(disputed, 'image')} on which label sets disagree" in said
    for first, second in (("original", "panel"), ("panel", "original")):
        found = Slice(tuple(conflict_conditions(first, second, "Prediction", {"panel"}))).apply(rows)
        assert (found[f"right@{first}"] & ~found[f"right@{second}"]).all()
        assert second == "original" or not found["unjudged@panel"].any()
    assert [str(clause) for clause in conflict_conditions("original", "panel", "Original label", {"panel"})] == [
        "valid@original=true",
        "valid@panel=false",
    ]


def test_a_piece_of_the_bar_is_what_its_conditions_hold(workspace: Workspace) -> None:
    rows = frame(workspace, Lens("weak ![r](http:y)", "panel"))
    counts = outcome_counts(rows)
    assert counts["unjudged"].any()
    for outcome, unjudged, right, n in counts.rows():
        conditions = conditions_of(counts, outcome, right, unjudged)
        assert Slice(tuple(conditions)).apply(rows).height == n
    assert conditions_of(counts, "severity", "minor", False) == [  # type: ignore[arg-type]
        Condition("severity", "minor"),
        Condition("severity", "borderline"),
    ]
    assert IsNull("severity") in conditions_of(counts, "severity", "unset", False)  # type: ignore[arg-type]


def test_without_a_run_there_are_no_mistakes(tmp_path: Path) -> None:
    make_images(tmp_path / "images", ("cat", "dog"), each=2)
    create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    shelf.put([tmp_path / "pets"])
    page = mistakes().run()
    assert not page.exception
    assert any("there is no run yet" in str(text.value) for text in page.markdown)


@pytest.mark.parametrize(
    ("classes", "each", "perfect"),
    [(("cat", "dog"), 4, True), (("cat", "dog"), 4, False), (("cat",), 4, True), (("cat",), 1, True)],
)
def test_nothing_to_see_is_said_in_every_way(
    tmp_path: Path, classes: tuple[str, ...], each: int, perfect: bool
) -> None:
    """One run and one label set; no mistakes, or nothing else; one class; one image."""
    make_images(tmp_path / "images", classes, each=each)
    create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images", layout="imagefolder"))
    made = Workspace.open(tmp_path / "pets")
    labels = made.original_labels
    top1 = labels if perfect else (labels + 1) % len(classes)
    items = np.arange(len(labels), dtype=np.uint32)
    predictions = Predictions(items, top1.astype(np.int32).reshape(-1, 1), None, "ranks", None)
    made.publish_run("only", predictions, inputs=("images", "classes"), details={"source": "test"})
    shelf.put([tmp_path / "pets"])
    page = mistakes()
    for way in WAYS:
        said = look(page, way, run="only")
        assert ("**No mistakes**" in said) == perfect
    assert "there is one run only" in look(page, "Shared", run="only")
    assert "there is one only" in look(page, "Conflicts", run="only")
    shelf.put([])


def test_names_that_look_like_markup_are_shown_as_they_are(tmp_path: Path) -> None:
    made = make_workspace(tmp_path / "ugly", tmp_path / "images", UGLY_CLASSES)
    shelf.put([made.path])
    page = mistakes()
    for way in WAYS:
        said = look(page, way)
        assert "](http" not in said.replace("\\]\\(http", "")
        assert "<img" not in said.replace("\\<img", "")
    shelf.put([])


def test_who_says_so_is_told_of_rules_and_of_panels() -> None:
    names = ["dough", "bagel"]
    rule = {"outcome": "fine_grained", "because": 1, "superclass": "bread", "together": None, "basis": "WordNet"}
    assert because(rule, names, "expert") == "Fine-grained: shares the superclass “bread” with bagel, which is valid."
    assert said_by(rule) == "Suggested by rule (WordNet)"
    panel = rule | {"outcome": "model_failure", "because": None, "basis": "judged by the panel"}
    assert because(panel, names, "expert") == "Model failure."
    assert said_by(panel) == "Judged by the panel"
    none = panel | {"basis": None}
    assert because(none, names, "expert") == "Model failure: no rule tells why."
    assert said_by(none) == ""
    odd = panel | {"outcome": "non_prototypical", "basis": "listed in odd.csv"}
    assert because(odd, names, "expert") == "Non-prototypical: listed in odd.csv."
    assert said_by(odd) == ""
    assert said_by(rule | {"outcome": "correct"}) == because(rule | {"outcome": "correct"}, names, "expert") == ""
