"""Each page through Streamlit's own test harness: it renders, says true numbers, and follows its widgets."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from analysis.lens import Lens, frame
from analysis.workspace import Workspace
from app import shelf
from app.frame import WISH
from tests.workspaces import UGLY_CLASSES, make_workspace

MAIN = Path(__file__).parents[2] / "app" / "main.py"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("views")
    return make_workspace(folder / "pets", folder / "images")


@pytest.fixture
def page(workspace: Workspace) -> Iterator[AppTest]:
    shelf.put([workspace.path])
    yield AppTest.from_file(str(MAIN), default_timeout=30)
    shelf.put([])


def texts(page: AppTest) -> str:
    """Everything that the page says in Markdown."""
    return "\n".join(str(element.value) for element in [*page.markdown, *page.caption])


def test_overview_says_what_is_there(page: AppTest, workspace: Workspace) -> None:
    page.run()
    assert not page.exception
    said = texts(page)
    assert "**32 images, 4 classes, 2 runs.**" in said
    assert "strong" in said
    assert any("notes.txt" in str(table.value) for table in page.dataframe)


def test_lens_and_slice_narrow_the_items(page: AppTest, workspace: Workspace) -> None:
    page.run()
    page.selectbox(key="run").set_value("strong").run()
    page.selectbox(key="labels").set_value("original").run()
    page.multiselect(key="where").set_value(["right=false"]).run()
    rows = frame(workspace, Lens("strong", "original", "test:encoder"))
    mistakes = rows.filter(~pl.col("right")).height
    assert 0 < mistakes < rows.height
    assert f"**{mistakes}** of {rows.height} items" in texts(page)


def test_every_page_renders_and_lists_its_items(page: AppTest, workspace: Workspace) -> None:
    for name in ("browse", "mistakes"):
        page.session_state[WISH] = (name, {})
        page.run()
        assert not page.exception
        assert not page.error
    assert "not valid by *panel*" in texts(page)


def test_conditions_that_cannot_be_are_named_and_left_out(page: AppTest) -> None:
    page.run()
    page.multiselect(key="where").set_value(["nonsense", "colour=red", "class=cat"]).run()
    said = texts(page)
    assert "nonsense" in said
    assert "colour" in said
    assert "**8** of 32 items" in said


def test_unknown_query_values_are_ignored(page: AppTest) -> None:
    page.query_params["where"] = "colour=<script>"
    page.query_params["run"] = "no such run"
    page.query_params["item"] = "99999999999999999999"
    page.query_params["page"] = "-3"
    page.run()
    assert not page.exception
    assert not page.error


def test_a_workspace_without_runs_invites_to_make_one(tmp_path: Path) -> None:
    from analysis.create import create
    from analysis.datasets import DatasetOptions
    from tests.workspaces import make_images

    make_images(tmp_path / "images", ("cat", "dog"))
    create(str(tmp_path / "pets"), DatasetOptions(images=tmp_path / "images"))
    shelf.put([tmp_path / "pets"])
    page = AppTest.from_file(str(MAIN), default_timeout=30).run()
    assert not page.exception
    assert "No predictions yet" in page.info[0].value
    assert any(f"errata evaluate {tmp_path / 'pets'}" in code.value for code in page.code)


def test_names_that_look_like_markup_are_escaped(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ugly", tmp_path / "images", UGLY_CLASSES)
    shelf.put([workspace.path])
    page = AppTest.from_file(str(MAIN), default_timeout=30).run()
    assert not page.exception
    for said in texts(page).splitlines():
        assert "](http" not in said.replace("\\]\\(http", "")
        assert "<img" not in said.replace("\\<img", "")
