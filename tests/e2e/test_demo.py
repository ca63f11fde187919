"""The demo as somebody meets it in a browser."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Page, expect

from analysis.lens import Lens, frame
from analysis.overview import best_standing
from analysis.workspace import Workspace
from tests.e2e.conftest import SCENES, Visit

TILE = ".st-key-gallery button.tile"


def said(page: Page) -> str:
    """The words on the page, narrow spaces as plain ones."""
    return page.inner_text("[data-testid=stMain]").replace("\u202f", " ")


def choose(page: Page, label: str, option: str) -> None:
    """Pick an option of one of the frame's select boxes."""
    page.get_by_label(label, exact=False).first.click()
    page.get_by_role("option", name=option, exact=True).click()


def at(page: Page, *parts: str) -> None:
    """Wait until the address has all of these in it."""
    page.wait_for_url(lambda url: all(part in url for part in parts))


def test_overview_tells_the_story(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit()
    page = window.open("/")
    workspace = Workspace.open(demo)
    expect(page.get_by_text("Accuracy of each run under each label set")).to_be_visible()
    text = said(page)
    assert f"{SCENES} images, " in text
    assert " of 1 000 classes, 6 runs." in text
    assert "of its" in text
    assert "errors are none" in text
    assert "tuxpaint" in text.lower()
    best = best_standing(workspace, "truth")
    assert best is not None
    assert f"the best, {best.run}, is right" in text


def test_browse_filter_open_similar_reload(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit()
    page = window.open("/browse?run=efficientnet-lite%3A2&labels=truth")
    rows = frame(Workspace.open(demo), Lens("efficientnet-lite:2", "truth"))
    mistakes = rows.filter(~pl.col("right"))
    # Filter: by typing into the slice line.
    page.get_by_role("combobox", name="Slice").click()
    page.keyboard.type("right=false")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.get_by_text(f"{mistakes.height} of {SCENES} items", exact=True)).to_be_visible()
    window.settle()
    # Open an item: the drawer shows it.
    page.locator(TILE).first.click()
    drawer = page.get_by_role("dialog")
    expect(drawer.get_by_text("Predictions")).to_be_visible()
    key = mistakes["key"][0]
    expect(drawer.get_by_text(key).first).to_be_visible()
    at(page, f"item={mistakes['item'][0]}")
    # Follow "similar": Browse, sorted by likeness, within the slice.
    drawer.get_by_role("button", name="Similar").click()
    expect(page.get_by_text(f"Most similar to {key} first")).to_be_visible()
    at(page, f"like={mistakes['item'][0]}")
    window.settle()
    first = page.locator(TILE).first
    expect(first).to_contain_text("similarity")
    # The address opens the same view in another browser.
    other = visit()
    again = other.open(page.url.removeprefix(other.address))
    expect(again.get_by_text(f"Most similar to {key} first")).to_be_visible()
    expect(again.get_by_text(f"{mistakes.height} of {SCENES} items", exact=True)).to_be_visible()
    # Unlike reading it once, this waits for the gallery to draw.
    expect(again.locator(TILE).first).to_have_text(first.inner_text(), use_inner_text=True)


def test_an_outcome_leads_to_its_images(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit()
    page = window.open("/?labels=original&run=efficientnet-lite%3A0&where=objects%3D1")
    bar = page.locator(".st-key-outcomes .barlayer .point path").first
    box = bar.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    at(page, "/browse", "labels=original", "where=outcome")
    window.settle()
    run = page.get_by_label("Run", exact=False).first.input_value()
    right = frame(Workspace.open(demo), Lens(run, "original")).filter(outcome="correct").height
    expect(page.get_by_text(f"{right} of {SCENES} items", exact=True)).to_be_visible()


def test_links_that_name_what_is_not_here_say_so(visit: Callable[..., Visit]) -> None:
    page = visit().open("/mistakes?run=gone&where=colour%3Dred&where=nonsense")
    expect(page.get_by_text("This link names the run “gone”")).to_be_visible()
    expect(page.get_by_text("Left out:")).to_have_count(2)
    expect(page.get_by_text(f"{SCENES} of {SCENES} items", exact=True)).to_be_visible()


def test_reload_keeps_the_drawer_open(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.open("/mistakes?labels=truth&item=7")
    expect(page.get_by_role("dialog").get_by_text("Predictions")).to_be_visible()
    page.reload()
    window.settle()
    expect(page.get_by_role("dialog").get_by_text("Predictions")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.wait_for_url(lambda url: "item=" not in url)


def test_arrow_keys_go_through_the_slice(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit()
    page = window.open("/browse?item=3")
    keys = Workspace.open(demo).items()["key"]
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(keys[3]).first).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_text(keys[4]).first).to_be_visible()
    at(page, "item=4")
    page.keyboard.press("ArrowLeft")
    expect(dialog.get_by_text(keys[3]).first).to_be_visible()
    # Faster than the page can follow: none is lost, and at the ends it stays.
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    expect(dialog.get_by_text(keys[9]).first).to_be_visible()
    at(page, "item=9")
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    expect(dialog.get_by_text(keys[0]).first).to_be_visible()


def test_a_click_on_the_map_opens_that_item(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.open("/browse")
    canvas = page.locator(".st-key-map canvas").first
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    assert box is not None
    # Somewhere near the middle there are points; the card at the pointer tells when there is one under it.
    for step in range(400):
        x = box["x"] + box["width"] * (0.3 + 0.4 * (step % 20) / 20)
        y = box["y"] + box["height"] * (0.3 + 0.4 * (step // 20) / 20)
        page.mouse.move(x, y)
        page.wait_for_timeout(30)
        if page.locator(".st-key-map .card").is_visible():
            page.mouse.click(x, y)
            break
    else:
        pytest.fail("no point of the map answers to the pointer")
    expect(page.get_by_role("dialog").get_by_text("Predictions")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 1920])
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("overview", "/?labels=truth&run=efficientnet-lite%3A2"),
        ("browse", "/browse?labels=truth&run=efficientnet-lite%3A2"),
        ("mistakes", "/mistakes?labels=truth&run=efficientnet-lite%3A2"),
        ("models", "/models?labels=truth&run=efficientnet-lite%3A2"),
        ("compare", "/compare?labels=truth&run=efficientnet-lite%3A2"),
        ("suspects", "/suspects?labels=truth&run=efficientnet-lite%3A2"),
        ("review", "/review?step=new&labels=truth&run=efficientnet-lite%3A2&where=right%3Dfalse"),
        ("export", "/export?labels=truth&run=efficientnet-lite%3A2"),
        ("item", "/browse?labels=truth&run=efficientnet-lite%3A2&item=5"),
    ],
)
def test_screenshots(
    visit: Callable[..., Visit], screenshots: Path, name: str, path: str, width: int, dark: bool
) -> None:
    window = visit(width, int(width * 0.66), dark)
    page = window.open(path)
    page.locator("[data-testid=stSkeleton]").first.wait_for(state="detached")
    page.wait_for_timeout(1500)  # charts and the map ease in
    theme = "dark" if dark else "light"
    page.screenshot(path=screenshots / f"{name}-{width}-{theme}.png")
    assert page.get_by_test_id("stException").count() == 0
