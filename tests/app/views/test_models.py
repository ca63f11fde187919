"""The Models page through Streamlit's test harness: true numbers, and what it says where something is missing."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.models.predictions import Predictions
from analysis.report import report
from analysis.results import standings
from analysis.workspace import Workspace
from app import shelf
from app.frame import WISH
from app.views.models import sentence
from tests.workspaces import UGLY_CLASSES, add_run, make_images, make_workspace

MAIN = Path(__file__).parents[3] / "app" / "main.py"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("models")
    made = make_workspace(folder / "pets", folder / "images")
    items = made.items().filter(pl.col("problem").is_null())["item"].to_numpy()
    bare = Predictions(items, np.array([[0, 1]] * len(items), np.int32), None, "ranks", None)
    made.publish_run("bare", bare, inputs=("keys", "classes"), details={"competing": [0, 1]})
    return Workspace.open(made.path)


def opened(workspace: Workspace, **query: str | list[str]) -> AppTest:
    """The page, drawn with these parameters of the address."""
    shelf.put([workspace.path])
    page = AppTest.from_file(str(MAIN), default_timeout=60)
    page.session_state[WISH] = ("models", query)
    return page.run()


@pytest.fixture(autouse=True)
def _empty_shelf() -> Iterator[None]:
    yield
    shelf.put([])


def texts(page: AppTest) -> str:
    assert not page.exception
    assert not page.error
    return "\n".join(str(element.value) for element in [*page.markdown, *page.caption, *page.subheader])


def runs_table(page: AppTest) -> pl.DataFrame:
    """The table of runs as the page was given it."""
    return next(pl.DataFrame(table.value) for table in page.dataframe if "outcomes" in table.value.columns)


def test_the_table_has_the_reports_numbers_as_numbers(workspace: Workspace) -> None:
    page = opened(workspace)
    table = runs_table(page)
    rows = report(workspace).filter(pl.col("metric") == "accuracy")
    assert set(table["run"]) == set(workspace.run_names())
    for run in workspace.run_names():
        for labels in ("original", "panel"):
            value, n = rows.filter(run=run, labels=labels).select("value", "n").row(0)
            assert table.filter(run=run)[f"value {labels}"][0] == pytest.approx(100 * value)
            assert table.filter(run=run)[f"n {labels}"][0] == n
    assert table["value panel"].dtype.is_numeric()
    assert table.filter(run="bare")["ece"].to_list() == [None]  # its scores give no probability
    assert table.filter(run="bare")["mark"].to_list() == ["among 2 classes"]
    strict = runs_table(opened(workspace, accuracy="Strict class mean"))
    wanted = report(workspace).filter(metric="strict_class_mean_accuracy", labels="panel", run="strong")["value"][0]
    assert wanted != rows.filter(labels="panel", run="strong")["value"][0]
    assert strict.filter(run="strong")["value panel"].to_list() == [pytest.approx(100 * wanted)]


def test_the_sentence_names_the_best_and_its_equals(workspace: Workspace) -> None:
    best = standings.leader(workspace, "panel")
    assert best is not None
    said = texts(opened(workspace, labels="panel"))
    assert f"**{best.run}** is right on" in said
    assert f"{best.accuracy.n} images" in said
    assert "1 run had an easier task, is marked and does not compete." in said
    known = standings.facts(workspace)
    assert "is scored by *panel*" in sentence(None, "panel", known, sliced=True)
    alone = pl.DataFrame({"mark": [""]})
    assert "paired" not in sentence(best.__class__("a", best.accuracy, 1, 0, [], []), "panel", alone, sliced=False)


def test_a_slice_narrows_the_numbers_but_never_by_predictions(workspace: Workspace) -> None:
    items = workspace.items()
    wanted = items.filter(pl.col("label") == 1)["item"].to_numpy()
    page = opened(workspace, labels="original", where=["class=dog", "right=false"])
    rows = report(workspace, items=wanted).filter(metric="accuracy", labels="original", run="strong")
    table = runs_table(page).filter(run="strong")
    assert table["value original"].to_list() == [pytest.approx(100 * rows["value"][0])]
    assert table["n original"].to_list() == rows["n"].to_list() == [len(wanted)]
    assert "right\\=false" in texts(page)
    unscored = items.join(workspace.labels("panel").items, on="item", how="anti")["item"][0]
    nothing = texts(opened(workspace, labels="panel", where=[f"items ({unscored})"]))
    assert "None of the images of the slice" in nothing
    assert "No image of these groups is scored" in nothing
    assert "No item fulfils all conditions" in texts(opened(workspace, where=["key contains nothing-like-it"]))


def test_runs_are_found_by_name_and_two_can_be_compared(workspace: Workspace) -> None:
    page = opened(workspace, named="STRONG")
    assert runs_table(page)["run"].to_list() == ["strong"]
    assert "No run has “nobody” in its name" in texts(opened(workspace, named="nobody"))
    page = opened(workspace)
    assert not [button for button in page.button if button.label == "Compare these"]
    key = next(table.key for table in page.dataframe if "outcomes" in table.value.columns)
    page.session_state[key] = {"selection": {"rows": [0, 1], "columns": [], "cells": []}}
    page.run()
    assert [button.label for button in page.button if button.label == "Compare these"] == ["Compare these"]


def test_a_run_by_what_the_address_says(workspace: Workspace) -> None:
    page = opened(workspace, by="cluster", run="strong")
    assert page.selectbox(key="by").value == "cluster"
    assert "strong by" in texts(page)
    assert page.selectbox(key="by").options == standings.groupable(workspace)
    assert opened(workspace, by="no such thing").selectbox(key="by").value == standings.groupable(workspace)[0]


def test_a_run_without_probabilities_says_why_there_is_no_calibration(workspace: Workspace) -> None:
    assert "Calibration needs the probability" in texts(opened(workspace, run="bare"))
    assert "ECE **" in texts(opened(workspace, run="strong"))


def test_without_runs_it_says_what_would_be_here(tmp_path: Path) -> None:
    make_images(tmp_path / "images", ("cat", "dog"), each=2)
    create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    workspace = Workspace.open(tmp_path / "pets")
    page = opened(workspace)
    assert "No model has predicted these images yet" in texts(page)
    commands = [code.value for code in page.code]
    assert any(command.startswith(f"errata evaluate {shlex.quote(str(workspace.path))}") for command in commands)
    assert any(command.startswith("errata runs import") for command in commands)
    add_run(workspace, "only", 0.5, np.random.default_rng(0))
    part = Predictions(np.zeros(1, np.uint32), np.zeros((1, 1), np.int32), None, "ranks", None)
    workspace.publish_run("part", part, inputs=("keys", "classes"), details={})
    partial = texts(opened(Workspace.open(workspace.path)))
    assert "*part* covers only 1." in partial
    other = Predictions(np.ones(1, np.uint32), np.zeros((1, 1), np.int32), None, "ranks", None)
    workspace.publish_run("other", other, inputs=("keys", "classes"), details={})
    assert "No image here is covered by every run" in texts(opened(Workspace.open(workspace.path)))


def test_one_run_is_compared_with_none(tmp_path: Path) -> None:
    make_images(tmp_path / "images", ("cat", "dog"), each=2)
    create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    workspace = Workspace.open(tmp_path / "pets")
    add_run(workspace, "only", 0.5, np.random.default_rng(0))
    alone = opened(Workspace.open(workspace.path))
    assert "**only** is right on" in texts(alone)
    assert "two to compare" not in texts(alone)
    assert "It takes two runs" in texts(alone)


def test_names_that_look_like_markup_are_escaped(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ugly", tmp_path / "images", UGLY_CLASSES)
    page = opened(workspace, by="class", run="weak ![r](http:y)")
    said = texts(page)
    assert "weak" in said
    assert "![r](" not in said
