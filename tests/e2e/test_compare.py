"""Compare in a browser: from the sentence into the images, and from all runs to two."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
from playwright.sync_api import Locator, Page, expect

from analysis import comparison
from analysis.results import comparisons
from analysis.workspace import Workspace
from tests.e2e.conftest import SCENES, Visit

A, B = "efficientnet-lite:0", "efficientnet-lite:2"
PAIR = "labels=truth&a=efficientnet-lite%3A0&b=efficientnet-lite%3A2"


def at(page: Page, *parts: str) -> None:
    """Wait until the address has all of these in it."""
    page.wait_for_url(lambda url: all(part in url for part in parts))


def click(page: Page, mark: Locator) -> None:
    """Click into the middle of a chart's mark, which lies under plotly's layer for the mouse."""
    expect(mark).to_be_attached()
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_a_cell_of_the_flip_table_leads_to_its_images(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit()
    page = window.open(f"/compare?{PAIR}")
    workspace = Workspace.open(demo)
    found = comparisons.compare_runs(workspace, A, B, "truth")
    expect(page.get_by_text(f"McNemar χ² = {found.mcnemar_chi2:.2f}")).to_be_visible()
    expect(page.get_by_text(f"only A wrong {found.only_a_wrong} ·")).to_be_visible()
    cell = page.locator(".st-key-cell-right-wrong button")
    expect(cell).to_contain_text(f"{found.only_b_wrong} ·")
    cell.click()
    at(page, "cell=right-wrong")
    expect(page.get_by_role("heading", name="A right, B wrong")).to_be_visible()
    window.settle()
    expect(page.locator(".st-key-cell button.tile")).to_have_count(min(12, found.only_b_wrong))
    page.get_by_role("button", name=f"Browse {found.only_b_wrong} items").click()
    at(page, "/browse", "verdict")
    expect(page.get_by_text(f"{found.only_b_wrong} of {SCENES} items", exact=True)).to_be_visible()
    # Who comes back finds the same cell of the same runs; its condition is about predictions and is not followed.
    page.get_by_role("link", name="Compare").click()
    at(page, "/compare", "cell=right-wrong", "a=efficientnet-lite%3A0")
    expect(page.get_by_role("heading", name="A right, B wrong")).to_be_visible()
    expect(cell).to_contain_text(f"{found.only_b_wrong} ·")
    expect(page.get_by_text("is about predictions and is not followed here")).to_have_count(2)


def test_a_group_leads_to_its_flips(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit(height=1600)
    page = window.open(f"/compare?{PAIR}&flips_by=objects")
    workspace = Workspace.open(demo)
    paired = comparisons.paired_runs(workspace, A, B, "truth")
    flips = comparison.flips(paired, comparisons.groups_of_pair(workspace, "objects", "truth"))
    first = flips.row(0, named=True)
    # Points whose interval excludes zero are drawn first, then the others; each in the order of the rows.
    shown = (pl.col("low") > 0) | (pl.col("high") < 0)
    order = [*flips.filter(shown)["group"], *flips.filter(~shown.fill_null(False))["group"]]
    click(page, page.locator(".st-key-flips .scatterlayer .point").nth(order.index(first["group"])))
    at(page, "/browse")
    n = first["only_a_wrong"] + first["only_b_wrong"]
    expect(page.get_by_text(f"{n} of {SCENES} items", exact=True)).to_be_visible()


def test_many_runs_lead_to_two(visit: Callable[..., Visit]) -> None:
    window = visit(height=1600)
    page = window.open("/compare?labels=truth&compare=many")
    expect(page.get_by_text("of 15 pairs of runs differ")).to_be_visible()
    page.get_by_role("button", name="Build from 3 runs").click()
    expect(page.get_by_text("over efficientnet-lite", exact=False)).to_be_visible()
    click(page, page.locator(".st-key-agreement .scatterlayer .point").first)
    expect(page.get_by_role("heading", name="Flip table")).to_be_visible()
    page.wait_for_url(lambda url: "compare=many" not in url and ("a=" in url or "b=" in url))
