"""A slice is narrowed, saved, kept from page to page, left and found again in a real browser."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from analysis.lens import default_lens, frame
from analysis.slices import Slice, saved
from analysis.workspace import Workspace
from tests.e2e.conftest import SCENES, Visit


def n_items(workspace: Path, line: str) -> int:
    opened, asked = Workspace.open(workspace), Slice.parse(line)
    return asked.apply(frame(opened, default_lens(opened), asked.columns())).height


def counted(page: Page, n: int) -> None:
    """Wait until the frame counts so many items."""
    expect(page.get_by_text(f"{n} of {SCENES} items", exact=True)).to_be_visible()


def at(page: Page, *parts: str) -> None:
    page.wait_for_url(lambda url: all(part in url for part in parts))


def test_a_slice_is_saved_shared_and_left(visit: Callable[..., Visit], demo: Path) -> None:
    line = "right=false & wrong_by >= 2"
    wanted = n_items(demo, line)
    assert 0 < wanted < n_items(demo, "right=false")
    window = visit()
    page = window.open("/browse?where=right%3Dfalse")
    # A column that exists only because the slice names it.
    page.get_by_role("combobox", name="Slice").click()
    page.keyboard.type("wrong_by >= 2")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    counted(page, wanted)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text(line)).to_be_visible()
    page.get_by_label("Name").fill("hard for many")
    page.get_by_label("Name").press("Tab")
    page.get_by_role("button", name="Save", exact=True).last.click()
    page.keyboard.press("Escape")
    chip = page.get_by_role("button", name="hard for many", exact=True)
    expect(chip).to_be_visible()
    counted(page, wanted)
    (kept,) = [one for one in saved.listed(Workspace.open(demo)) if one.name == "hard for many"]
    assert kept.text == line
    at(page, f"slice={kept.id}")
    # It stays when the page changes, and Back finds it again after it was left.
    page.get_by_role("link", name="Mistakes").click()
    at(page, "/mistakes", f"slice={kept.id}")
    expect(chip).to_be_visible()
    counted(page, wanted)
    chip.click()
    counted(page, SCENES)
    page.wait_for_url(lambda url: "slice=" not in url)
    page.go_back()
    expect(chip).to_be_visible()
    counted(page, wanted)
    # The address opens it elsewhere; the line narrows it.
    other = visit().open(f"/browse?slice={kept.id}&where=objects%3D1")
    counted(other, n_items(demo, f"{line} & objects=1"))


def test_lens_and_slice_of_a_link_stay_on_every_page(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit()
    page = window.open("/browse?run=efficientnet-lite%3A0&where=objects%3D1")
    one = n_items(demo, "objects=1")
    for name, path in (("Mistakes", "/mistakes?"), ("Overview", f"{window.address}/?")):
        page.get_by_role("link", name=name).click()
        at(page, path, "run=efficientnet-lite", "where=objects")
        window.settle()  # else the next click is on a page that is still being drawn
        counted(page, one)
        expect(page.get_by_label("Run", exact=False).first).to_have_value("efficientnet-lite:0")
    page.go_back()
    at(page, "/mistakes", "where=objects")
    counted(page, one)
