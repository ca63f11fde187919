"""The frame: lens, slice line and saved slices, on a page that is nothing else."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from analysis.errors import WorkspaceError
from analysis.lens import default_lens
from analysis.lens import frame as lens_frame
from analysis.slices import Slice, saved
from analysis.workspace import Workspace
from app import frame as frames
from app import shelf
from tests.workspaces import make_workspace

PAGE = Path(__file__).with_name("frame_page.py")
LONG = " & ".join(f"not key={n}{'x' * 40}" for n in range(40))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("frame")
    return make_workspace(folder / "pets", folder / "images")


@pytest.fixture
def workspace(made: Workspace) -> Iterator[Workspace]:
    """The workspace with nothing saved in it."""
    shelf.put([made.path])
    yield made
    shelf.put([])
    for name in ("errata.db", "errata.db-wal", "errata.db-shm"):
        (made.path / name).unlink(missing_ok=True)


@pytest.fixture
def page(workspace: Workspace) -> AppTest:
    return AppTest.from_file(str(PAGE), default_timeout=30)


def shown(page: AppTest) -> tuple[str, list[int]]:
    """The slice's line and its items, in order."""
    assert not page.exception
    line, found = (text.value.partition(":")[2].strip() for text in page.text)
    return line, [int(item) for item in found.strip("[]").split(", ") if item]


def captions(page: AppTest) -> str:
    return "\n".join(str(caption.value) for caption in page.caption)


def items(workspace: Workspace, line: str) -> list[int]:
    """What `errata slice` gives."""
    asked = Slice.parse(line)
    return asked.apply(lens_frame(workspace, default_lens(workspace), asked.columns()))["item"].to_list()


# ---- the slice line


@pytest.mark.parametrize(
    "parts",
    [
        ["right=false"],
        ["right@strong=false", "not class=cat"],
        ['"right@weak ![r](http:y)"=true', "wrong_by >= 1"],
        ["sample 5 seed 3", "order by key desc"],
        ["class=cat", "class=dog", "verdict@panel=right", "order by confidence@strong desc, key", "sample 4"],
    ],
)
def test_the_page_shows_the_items_that_the_line_names(page: AppTest, workspace: Workspace, parts: list[str]) -> None:
    page.run()
    page.multiselect(key="where").set_value(parts).run()
    line, found = shown(page)
    assert line == str(Slice.parse(parts))
    assert found == items(workspace, line)
    assert found
    assert f"**{len(found)}** of 32 items" in [element.value for element in page.markdown]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("right@gone=true", ["'gone' is no run", "strong"]),
        ("valid@gone=true", ["no label set 'gone'", "panel"]),
        ("order by colour", ["no column 'colour'"]),
        ("confidence=high", ["Float32"]),
        ("superclass=dog", ["no hierarchy"]),
        ("sample many", ["character 8"]),
    ],
)
def test_a_part_that_cannot_be_is_left_out_with_its_reason(page: AppTest, part: str, words: list[str]) -> None:
    page.run()
    page.multiselect(key="where").set_value([part, "class=cat"]).run()
    assert shown(page) == ("class=cat", list(range(8)))
    said = captions(page).replace("\\", "")
    assert "Left out: " in said
    for word in words:
        assert word in said


def test_a_slice_within_another_needs_both() -> None:
    rows = pl.DataFrame({"item": range(8), "a": list("xxyyzzxy"), "n": range(8)})
    texts = ["", "a=x", "a=x & a=y", "n >= 2", "a=z & n <= 6 | order by n desc", "all | sample 5 seed 1"]
    for outer in texts:
        for inner in texts:
            whole = frames.combined(Slice.parse(outer), Slice.parse(inner), rows)
            expected = Slice.parse(inner).apply(Slice.parse(outer).apply(rows))
            assert whole.apply(rows).equals(expected), (outer, inner)
            assert Slice.parse(str(whole)) == whole


# ---- saved slices


def test_a_slice_is_saved_under_a_name_opened_and_left(page: AppTest, workspace: Workspace) -> None:
    page.run()
    page.multiselect(key="where").set_value(["right=false", "order by key"]).run()
    before = shown(page)
    assert before[0] in [code.value for code in page.code]
    page.text_input(key="slice-name").set_value("hard ones").run()
    page.button(key="slice-save").click().run()
    (kept,) = saved.listed(workspace)
    assert (kept.name, kept.text, kept.person) == ("hard ones", "right=false | order by key", "local")
    # It stands in the line's place, and the address names it.
    assert shown(page) == before
    assert page.multiselect(key="where").value == []
    assert page.query_params["slice"] == kept.id
    assert page.button(key="slice-leave").label == "hard ones"
    assert any(f"slice={kept.id}" in code.value for code in page.code)
    # The line narrows it further.
    page.multiselect(key="where").set_value(["class=cat"]).run()
    assert shown(page)[1] == [item for item in before[1] if item < 8]
    page.button(key="slice-leave").click().run()
    assert shown(page) == ("class=cat", list(range(8)))
    assert "slice" not in page.query_params
    # And is opened by its name.
    page.selectbox(key="slice-chosen").set_value(kept.id).run()
    assert shown(page) == before
    assert page.multiselect(key="where").value == []
    # Its parts can be changed in the line.
    page.button(key="slice-change").click().run()
    assert page.multiselect(key="where").value == ["right=false", "order by key"]
    assert shown(page) == before
    # A callback of a view that shows something else leaves it.
    page.selectbox(key="slice-chosen").set_value(kept.id).run()
    page.button(key="only").click().run()
    assert shown(page) == ("class=cat", list(range(8)))
    page.selectbox(key="slice-chosen").set_value(kept.id).run()
    page.button(key="slice-forget").click().run()
    assert shown(page) == ("", list(range(32)))
    assert saved.listed(workspace) == []


def test_a_name_that_is_taken_is_refused_and_nothing_is_lost(page: AppTest, workspace: Workspace) -> None:
    saved.save(workspace, "class=dog", name="mine")
    page.run()
    page.multiselect(key="where").set_value(["class=cat"]).run()
    page.text_input(key="slice-name").set_value("mine").run()
    page.button(key="slice-save").click().run()
    assert "another slice called 'mine'" in captions(page).replace("\\", "")
    assert shown(page)[0] == "class=cat"
    page.run()
    assert "another slice" not in captions(page)


def test_an_address_names_a_saved_slice(page: AppTest, workspace: Workspace) -> None:
    slice_id = saved.save(workspace, "class=cat & colour=red | sample 3 seed 2 | order by key desc")
    page.query_params["slice"] = slice_id
    page.run()
    line, found = shown(page)
    assert line == "class=cat | sample 3 seed 2 | order by key desc"
    assert len(found) == 3
    assert "no column 'colour'" in captions(page).replace("\\", "")
    # Of a sample, the items drawn are what further conditions narrow.
    page.multiselect(key="where").set_value([f"items ({found[1]})"]).run()
    assert shown(page)[1] == [found[1]]


@pytest.mark.parametrize("unknown", ["0123456789abcdef", "nothing", "' OR 1=1 --", "x\x00y"])
def test_an_unknown_slice_is_said_and_all_items_are_shown(page: AppTest, unknown: str) -> None:
    page.query_params["slice"] = unknown
    page.run()
    assert shown(page) == ("", list(range(32)))
    assert "which is not here" in captions(page)


def test_a_callback_opens_a_slice_of_any_text(page: AppTest, workspace: Workspace) -> None:
    page.run()
    page.multiselect(key="where").set_value(["class=dog"]).run()
    page.button(key="open").click().run()
    assert shown(page) == ("items (3-5) | order by key desc", [5, 4, 3])
    # The other page's address is told of the slice, as no widget was there before to tell it.
    assert page.session_state[frames.WISH] == ("browse", {"slice": page.text_input(key="slice").value})
    assert saved.names(workspace) == {}
    page.button(key="narrow").click().run()
    assert shown(page)[0].startswith("items (3-5) & right=false")


def test_a_line_too_long_for_an_address_is_saved_by_itself(page: AppTest, workspace: Workspace) -> None:
    page.run()
    page.button(key="long").click().run()
    line, found = shown(page)
    assert (line, len(found)) == (LONG, 32)
    slice_id = page.text_input(key="slice").value
    stored = saved.load(workspace, slice_id)
    assert stored is not None
    assert (stored.text, stored.name) == (LONG, None)
    assert page.multiselect(key="where").value == []
    assert page.query_params["slice"] == slice_id
    # What narrows it stays a condition; when that grows long too, both become one.
    page.multiselect(key="where").set_value(["class=cat"]).run()
    assert page.text_input(key="slice").value == slice_id
    page.multiselect(key="where").set_value(["nonsense", "class=cat", f"key != {'y' * 2000}"]).run()
    assert shown(page)[1] == list(range(8))
    assert page.text_input(key="slice").value not in ("", slice_id)
    assert page.multiselect(key="where").value == ["nonsense"]
    assert "Left out" in captions(page)


def test_where_nothing_can_be_written_pages_work_and_say_why(
    page: AppTest, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object) -> None:
        raise WorkspaceError("The database of pets cannot be used: attempt to write a readonly database.")

    monkeypatch.setattr(saved, "writing", refused)
    page.run()
    page.button(key="long").click().run()
    assert shown(page)[0] == LONG
    assert "cannot be saved" in captions(page)
    assert "readonly database" in captions(page)
    page.button(key="open").click().run()
    assert shown(page) == ("items (3-5) | order by key desc", [5, 4, 3])
    assert "readonly database" in captions(page)
    page.text_input(key="slice-name").set_value("mine").run()
    page.button(key="slice-save").click().run()
    assert "This slice is not saved" in captions(page)
    assert shown(page)[1] == [5, 4, 3]


def test_names_that_look_like_markup_are_escaped(page: AppTest, workspace: Workspace) -> None:
    name = "![x](http://127.0.0.1:9/p.png) :red[a]"
    page.query_params["slice"] = saved.save(workspace, 'key contains "<img src=x>"', name=name)
    page.run()
    assert "](http" not in page.button(key="slice-leave").label.replace("\\]\\(http", "")
    assert ":red[" not in page.button(key="slice-leave").label
    assert "<img" not in captions(page).replace("\\<img", "")
