"""The Export page through Streamlit's test harness: what goes out is what the slice line says."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from analysis.review import log
from analysis.review.kinds import Judgement, Verdict
from analysis.settings import settings
from analysis.workspace import Workspace
from app import access, exports, shelf
from app.access import Role
from app.frame import WISH
from tests.workspaces import UGLY_CLASSES, make_workspace

MAIN = Path(__file__).parents[3] / "app" / "main.py"


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ERRATA_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()
    shelf.put([])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("exports")
    made = make_workspace(folder / "ugly", folder / "images", UGLY_CLASSES)
    log.append(made, [Judgement(says=Verdict(0, 1, "valid"), person="ann")])
    return made


def opened(workspace: Workspace, **query: str | list[str]) -> AppTest:
    shelf.put([workspace.path])
    page = AppTest.from_file(str(MAIN), default_timeout=60)
    page.session_state[WISH] = ("export", query)
    page.run()
    assert not page.exception
    return page


def texts(page: AppTest) -> str:
    assert not page.exception
    assert not page.error
    return "\n".join(str(element.value) for element in [*page.markdown, *page.caption, *page.subheader])


def test_export_takes_what_the_slice_line_says(workspace: Workspace) -> None:
    page = opened(workspace)
    page.selectbox(key="run").set_value("strong").run()
    page.multiselect(key="where").set_value(["right=false"]).run()
    n = workspace.slice("right=false", run="strong", labels="panel").height
    assert f"**{n} of 32 items with the labels of *panel*.**" in texts(page)
    assert exports.kept(workspace) == []
    page.button(key="export-make").click().run()
    assert f"{n} items exported." in page.success[0].value
    (one,) = exports.kept(workspace)
    assert (one.receipt["slice"]["line"], one.receipt["labels"]["name"]) == ("right=false", "panel")
    rows = pl.read_parquet(exports.home(workspace) / one.id / "items.parquet")
    assert rows["item"].to_list() == workspace.slice("right=false", run="strong", labels="panel")["item"].to_list()
    said = texts(page)
    for name in ("items.parquet", "receipt.json", "datasheet.md"):
        assert f"({exports.url(shelf.ids()[0], one.id, name)})" in said
    # Another run of the page exports nothing again, and a removed export is gone.
    page.run()
    assert len(exports.kept(workspace)) == 1
    page.button(key=f"export-remove-{one.id}").click().run()
    assert exports.kept(workspace) == []
    assert "Exports" not in texts(page)


def test_reviewed_goes_out_on_its_base(workspace: Workspace) -> None:
    page = opened(workspace)
    page.selectbox(key="export_labels").set_value("reviewed").run()
    page.selectbox(key="export_base").set_value("original").run()
    said = texts(page)
    assert "*reviewed* on *original*" in said
    assert "up to position 1" in said
    page.button(key="export-make").click().run()
    (one,) = exports.kept(workspace)
    assert (one.receipt["labels"]["base"], one.receipt["labels"]["review_log_position"]) == ("original", 1)


def test_an_image_folder_is_one_file_and_says_its_rule(workspace: Workspace) -> None:
    page = opened(workspace)
    page.selectbox(key="export_as").set_value("imagefolder").run()
    page.selectbox(key="export_rule").set_value("only").run()
    page.button(key="export-make").click().run()
    (one,) = exports.kept(workspace)
    assert {"images.zip", "items.parquet", "left_out.csv"} < set(one.files)
    assert one.receipt["format"]["one_class"]["rule"] == "only"
    assert "left out" in page.success[0].value


def test_what_cannot_be_exported_is_said(workspace: Workspace) -> None:
    page = opened(workspace)
    page.selectbox(key="export_as").set_value("real-json").run()
    page.button(key="export-make").click().run()
    assert "Take multilabel" in page.error[0].value.replace("\\", "")
    assert exports.kept(workspace) == []
    empty = opened(workspace, where="confidence > 2")
    assert "No item fulfils all conditions" in texts(empty)


def test_roles(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_role(role: Role) -> AppTest:
        somebody = dataclasses.replace(access.LOCAL, role=role)
        monkeypatch.setattr(access, "current_person", lambda: somebody)
        return opened(workspace)

    viewer = as_role(Role.VIEWER)
    assert "role annotator" in viewer.info[0].value
    assert "export-make" not in [button.key for button in viewer.button]
    assert "reviewed" not in as_role(Role.ANNOTATOR).selectbox(key="export_labels").options
    assert "reviewed" in as_role(Role.PANEL).selectbox(key="export_labels").options
