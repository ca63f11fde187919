"""The Suspects page: it says true numbers, follows its widgets and the slice, and does without what is missing."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.imports import import_run
from analysis.labels.sets import label_set
from analysis.results.suspects import Saying, scored, suspected_errors
from analysis.slices import Items, Slice
from analysis.workspace import Workspace
from app import shelf
from app.frame import WISH
from app.text import md_escape
from app.views.suspects import say
from tests.workspaces import UGLY_CLASSES, add_run, make_images, make_workspace

MAIN = Path(__file__).parents[3] / "app" / "main.py"


def doubting(workspace: Workspace) -> Workspace:
    """With a label set that disputes each fifth original label."""
    labels = workspace.original_labels
    n = len(workspace.classes())
    said = [(i, (label + (i % 5 == 0)) % n, "valid") for i, label in enumerate(labels.tolist())]
    rows = pl.DataFrame(said, schema={"item": pl.UInt32, "class": pl.UInt32, "state": pl.String}, orient="row")
    workspace.publish_labels(label_set("reviewed", rows, rows.select("item"), absent="wrong"))
    return Workspace.open(workspace.path)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("suspects")
    return doubting(make_workspace(folder / "pets", folder / "images", each=12))


@pytest.fixture
def page(workspace: Workspace) -> Iterator[AppTest]:
    yield opened(workspace)
    shelf.put([])


def opened(workspace: Workspace, **query: str) -> AppTest:
    shelf.put([workspace.path])
    page = AppTest.from_file(str(MAIN), default_timeout=60)
    for name, value in query.items():
        page.query_params[name] = value
    page.session_state[WISH] = ("suspects", query)
    return page.run()


def texts(page: AppTest) -> str:
    return "\n".join(str(element.value) for element in [*page.markdown, *page.caption])


def ready(page: AppTest) -> None:
    assert not page.exception
    assert not page.error


def signals(page: AppTest) -> pl.DataFrame:
    (table,) = [table.value for table in page.dataframe if "signal" in table.value.columns]
    return pl.from_pandas(table) if not isinstance(table, pl.DataFrame) else table


def test_it_says_how_many_are_confirmed_and_what_to_trust(page: AppTest, workspace: Workspace) -> None:
    ready(page)
    listed, quality = suspected_errors(workspace, against="reviewed")
    known = scored(workspace, listed, "reviewed")
    assert known.height == 47  # of one of 48 the image is broken
    assert f"**Of the 47 labels scored by *reviewed* that *{md_escape(quality['signal'][0])}* doubts most" in texts(
        page
    )
    assert f"it disputes {known['disputed'].sum()}** (" in texts(page)
    assert f"Trust *{md_escape(quality['signal'][0])}*" in texts(page)
    table = signals(page)
    assert table["signal"].to_list() == quality["signal"].to_list()
    assert table["average_precision"].to_list() == pytest.approx(quality["average_precision"].to_list())


def test_the_signal_is_in_the_address_and_a_gone_one_counts_as_none(workspace: Workspace) -> None:
    page = opened(workspace, signal="votes")
    ready(page)
    assert page.selectbox(key="signal").value == "votes"
    assert "that *votes* doubts most" in texts(page)
    page.selectbox(key="signal").set_value("mean margin").run()
    ready(page)
    assert "that *mean margin* doubts most" in texts(page)
    gone = opened(workspace, signal="![x](http://127.0.0.1:9/)")
    ready(gone)
    best = suspected_errors(workspace)[1]["signal"][0]
    assert gone.selectbox(key="signal").value == best
    shelf.put([])


def test_another_label_set_measures_when_the_lens_has_one_that_can(page: AppTest, workspace: Workspace) -> None:
    page.selectbox(key="signal").set_value("learnt from reviewed").run()
    assert page.selectbox(key="labels").value == "reviewed"
    # The panel keeps every label that it scores.
    page.selectbox(key="labels").set_value("panel").run()
    ready(page)
    assert "*panel* does not dispute some labels and keep others, so *reviewed* measures here." in texts(page)
    page.selectbox(key="labels").set_value("original").run()
    ready(page)
    assert "scored by *reviewed*" in texts(page)


def test_only_the_items_of_the_slice_are_listed(page: AppTest, workspace: Workspace) -> None:
    page.multiselect(key="where").set_value(["class=cat"]).run()
    ready(page)
    cats = workspace.items().filter(pl.col("label") == 0, pl.col("problem").is_null())
    disputed = cats.filter(pl.col("item") % 5 == 0).height
    assert f"Of the {cats.height} labels scored by *reviewed*" in texts(page)
    assert f"it disputes {disputed}** (" in texts(page)
    page.multiselect(key="where").set_value(["class=cat", "key=nothing"]).run()
    ready(page)
    assert "No item fulfils all conditions" in texts(page)


def test_the_first_of_the_list_open_as_a_slice(page: AppTest, workspace: Workspace) -> None:
    page.number_input(key="first").set_value(7).run()
    next(button for button in page.button if button.label == "Open in Browse").click().run()
    ready(page)
    best = suspected_errors(workspace)[0]["item"].head(7).to_list()
    # The slice that is now open holds exactly these.
    assert "**7** of 48 items" in texts(page)
    assert str(Slice((Items(tuple(best)),)))[:20] in texts(page).replace("\\", "")


def test_without_a_second_label_set_no_quality_is_claimed(tmp_path: Path) -> None:
    make_images(tmp_path / "images", ("cat", "dog"))
    create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    add_run(Workspace.open(tmp_path / "pets"), "only", 0.7, np.random.default_rng(0))
    page = opened(Workspace.open(tmp_path / "pets"))
    ready(page)
    assert "**16 labels, the most suspicious first.** No second label set" in texts(page)
    table = signals(page)
    assert table.columns == ["signal"]
    assert table["signal"].to_list() == ["1 - p(t) of only", "margin of only"]
    shelf.put([])


def test_without_runs_and_spaces_it_says_what_is_missing(tmp_path: Path) -> None:
    make_images(tmp_path / "images", ("cat", "dog"), each=2)
    create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    page = opened(Workspace.open(tmp_path / "pets"))
    ready(page)
    assert "there is no run and no space yet" in texts(page)
    assert "errata runs import" in texts(page)
    shelf.put([])


def test_one_class_alone(tmp_path: Path) -> None:
    make_images(tmp_path / "images", ("cat",))
    create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images", layout="imagefolder"))
    add_run(Workspace.open(tmp_path / "pets"), "only", 0.7, np.random.default_rng(0))
    page = opened(Workspace.open(tmp_path / "pets"))
    ready(page)
    assert "**8 labels, the most suspicious first.**" in texts(page)
    shelf.put([])


def test_without_original_labels_there_is_nothing_to_suspect(tmp_path: Path) -> None:
    (tmp_path / "keys.csv").write_text("key,label\na.png,\nb.png,\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    options = DatasetOptions(table=tmp_path / "keys.csv", classes=str(tmp_path / "classes.txt"))
    create(str(tmp_path / "pets"), options)
    (tmp_path / "run.csv").write_text("key,class_1,score_1\na.png,cat,0.9\nb.png,dog,0.8\n")
    import_run(Workspace.open(tmp_path / "pets"), "only", [tmp_path / "run.csv"])
    page = opened(Workspace.open(tmp_path / "pets"))
    ready(page)
    assert "**No label can be suspected here.** No item has both" in texts(page)
    shelf.put([])


def test_names_that_look_like_markup_are_escaped(tmp_path: Path) -> None:
    page = opened(doubting(make_workspace(tmp_path / "ugly", tmp_path / "images", UGLY_CLASSES)))
    ready(page)
    for said in texts(page).splitlines():
        assert "](http" not in said.replace("\\]\\(http", "")
        assert "<img" not in said.replace("\\<img", "")
    shelf.put([])


def test_what_label_sets_say_is_said_in_full() -> None:
    names = [f"c{i}" for i in range(9)]
    assert say(Saying("real", None, ()), names) == "– real does not score this image."
    assert say(Saying("real", True, ()), names) == "✓ real keeps the label."
    assert say(Saying("real", True, (1, 2)), names) == "✓ real keeps the label; also valid: c1, c2."
    many = say(Saying("real", False, (1, 2, 3, 4, 5, 6)), names)
    assert many == "✗ real disputes the label; valid: c1, c2, c3, c4, 2 more."
