"""The Models page in a browser: every dot leads to its images, every row to its run."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote_plus

import polars as pl
from playwright.sync_api import expect

from analysis.lens import Lens, frame
from analysis.results import standings
from analysis.workspace import Workspace
from tests.e2e.conftest import SCENES, Visit
from tests.e2e.test_demo import at

RUN = "efficientnet-lite:1"
HEADER, ROW = 31, 31
"""Heights in the table of runs, in pixels."""


def test_a_group_leads_to_its_images(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit(height=1400)
    page = window.open("/models?labels=truth&run=efficientnet-lite%3A1")
    workspace = Workspace.open(demo)
    drawn = standings.telling(standings.by_group(workspace, RUN, "truth", "superclass"), 24)
    dot = page.locator(".st-key-groups .scatterlayer .trace").last.locator(".points path").first
    box = dot.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    at(page, "/browse", "where=superclass")
    window.settle()
    rows = frame(workspace, Lens(RUN, "truth"), also=["superclass"])
    n = rows.filter(pl.col("superclass").list.contains(drawn["group"][0])).height
    expect(page.get_by_text(f"{n} of {SCENES} items", exact=True)).to_be_visible()


def test_one_row_is_looked_at_and_two_are_compared(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit(height=1400)
    page = window.open("/models?labels=truth")
    order = standings.outcome_counts(Workspace.open(demo), "truth")["run"].unique(maintain_order=True)
    expect(page.get_by_text("is right on")).to_be_visible()
    box = page.locator("[class*=st-key-standings] canvas").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 15, box["y"] + HEADER + ROW / 2)
    expect(page.get_by_role("heading", name=f"{order[0]} by")).to_be_visible()
    window.settle()
    page.mouse.click(box["x"] + 15, box["y"] + HEADER + 2.5 * ROW)
    page.get_by_role("button", name="Compare these").click()
    at(page, "/compare", f"b={quote_plus(order[2])}")  # the best is what is compared by default
