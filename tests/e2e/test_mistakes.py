"""The mistakes page in a browser: each chart is a way into the images."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
from playwright.sync_api import Locator, Page, expect

from analysis.lens import Lens, frame
from analysis.outcomes import confusions
from analysis.workspace import Workspace
from tests.e2e.conftest import SCENES, Visit

RUN, LENS = "efficientnet-lite:2", "run=efficientnet-lite%3A2&labels=truth"


def at(page: Page, *parts: str) -> None:
    """Wait until the address has all of these in it."""
    page.wait_for_url(lambda url: all(part in url for part in parts))


def click_middle(page: Page, of: Locator) -> None:
    """Click where something is drawn: charts draw a layer over what they show."""
    expect(of).to_be_visible()
    of.scroll_into_view_if_needed()
    box = of.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def items_shown(page: Page, n: int) -> None:
    expect(page.get_by_text(f"{n} of {SCENES} items", exact=True)).to_be_visible()


def test_a_piece_of_the_bar_narrows_and_widens(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit()
    page = window.open(f"/mistakes?{LENS}")
    right = frame(Workspace.open(demo), Lens(RUN, "truth")).filter(outcome="correct").height
    first = page.locator(".st-key-outcome-bar .barlayer .point path").first
    click_middle(page, first)
    at(page, "where=outcome%3Dcorrect")
    items_shown(page, right)
    expect(page.get_by_text(f"The slice holds {right} of these images.")).to_be_visible()
    window.settle()
    click_middle(page, page.locator(".st-key-outcome-bar .barlayer .point path").first)
    items_shown(page, SCENES)


def test_a_pair_leads_to_its_images(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit()
    page = window.open(f"/mistakes?{LENS}&show=Confusions")
    rows = frame(Workspace.open(demo), Lens(RUN, "truth"))
    most = confusions(rows).row(0, named=True)
    pair = page.locator(".st-key-pair-list .pair").first
    expect(pair).to_contain_text(str(most["n"]))
    pair.click()
    at(page, "where=class", "where=predicted", "where=right%3Dfalse")
    items_shown(page, most["n"])
    expect(page.locator(".st-key-mistake-rows .row")).to_have_count(min(most["n"], 20))


def test_a_cell_of_the_heat_map_leads_to_its_images(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit()
    page = window.open(f"/mistakes?{LENS}&show=Confusions&matrix=Superclasses")
    points = page.locator(".st-key-superclass-matrix .scatterlayer .point")
    click_middle(page, points.first)
    at(page, "where=class+in")
    window.settle()
    expect(page.locator(".st-key-mistake-rows .row").first).to_be_visible()
    expect(page.get_by_text(f"{SCENES} of {SCENES} items", exact=True)).to_have_count(0)


def test_shared_mistakes_and_conflicts_lead_to_their_images(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit()
    page = window.open(f"/mistakes?{LENS}&show=Shared")
    workspace = Workspace.open(demo)
    rows = frame(workspace, Lens(RUN, "truth"), also=["wrong_by", "valid@original", "valid@truth"])
    click_middle(page, page.locator(".st-key-shared-bars .barlayer .point path").first)
    at(page, "where=wrong_by")
    chosen = int(page.url.partition("wrong_by%3D")[2][0])
    items_shown(page, rows.filter(wrong_by=chosen).height)
    page = window.open(f"/mistakes?{LENS}&show=Conflicts")
    disputed = rows.filter(pl.col("valid@original"), ~pl.col("valid@truth")).height
    cell = page.locator(".st-key-conflicts .scatterlayer .textpoint").filter(has_text=str(disputed)).first
    click_middle(page, cell)
    at(page, "where=valid%40original%3Dtrue", "where=valid%40truth%3Dfalse")
    items_shown(page, disputed)
    page.locator(".st-key-conflict-images button.tile").first.click()
    expect(page.get_by_role("dialog").get_by_text("Predictions")).to_be_visible()
