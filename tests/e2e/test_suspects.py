"""The Suspects page in a browser: from a signal to the images of the labels that it doubts."""

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from analysis.results.suspects import precision_of, suspected_errors
from analysis.workspace import Workspace
from tests.e2e.conftest import Visit

ROW = ".st-key-suspect-rows .row"


def test_a_signal_is_chosen_and_its_first_suspects_open_in_browse(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit()
    page = window.open("/suspects?signal=votes")
    workspace = Workspace.open(demo)
    listed, _ = suspected_errors(workspace, signal="votes", against="truth")
    (hits,) = precision_of(workspace, listed, "truth").filter(length=100)["disputed"]
    expect(page.get_by_text(re.compile(f"that votes doubts most, it disputes {round(hits)}"))).to_be_visible()
    # Every row: the image, its label and what is suggested, and what the label set says.
    first = page.locator(ROW).first
    expect(first).to_contain_text("truth")
    expect(first.locator("button.tile.main")).to_have_attribute("data-item", str(listed["item"][0]))
    expect(page.locator(ROW)).to_have_count(20)
    # Another signal, by keyboard.
    page.get_by_role("combobox", name="Ranked by").click()
    page.get_by_role("option", name="mean margin", exact=True).click()
    page.wait_for_url(lambda url: "signal=mean+margin" in url or "signal=mean%20margin" in url)
    expect(page.get_by_text(re.compile("that mean margin doubts most, it disputes"))).to_be_visible()
    window.settle()
    other, _ = suspected_errors(workspace, signal="mean margin", against="truth")
    expect(page.locator(f"{ROW} button.tile.main").first).to_have_attribute("data-item", str(other["item"][0]))
    # The drawer steps through the list in its order.
    page.locator(f"{ROW} button.tile.main").first.click()
    drawer = page.get_by_role("dialog")
    expect(drawer.get_by_text(f"1 of {other.height}".replace(",", ""))).to_be_visible()
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    # The first hundred are a slice.
    page.get_by_role("button", name="Open in Browse").click()
    page.wait_for_url(lambda url: "/browse" in url and "slice=" in url)
    expect(page.get_by_text(f"100 of {workspace.items().height} items", exact=True)).to_be_visible()


def test_a_click_on_a_row_of_the_table_ranks_by_that_signal(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit(dark=True)
    page = window.open("/suspects")
    _, quality = suspected_errors(Workspace.open(demo), against="truth")
    table = page.locator("[class*=st-key-signals] canvas").first
    expect(table).to_be_visible()
    # The box at the left of the third row; each row is as high as the header.
    box = table.bounding_box()
    assert box is not None
    height = 31
    page.mouse.click(box["x"] + 16, box["y"] + 3.5 * height)
    chosen = quality["signal"][2]
    expect(page.get_by_text(re.compile(f"that {re.escape(chosen)} doubts most"))).to_be_visible()
