"""The Export page in a browser: what was exported can be downloaded, by the page's own session."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
from playwright.sync_api import expect

from analysis.workspace import Workspace
from tests.e2e.conftest import Visit


def test_an_export_is_made_downloaded_and_removed(visit: Callable[..., Visit], demo: Path, tmp_path: Path) -> None:
    window = visit()
    page = window.open("/export?labels=truth&export_labels=truth&where=right%3Dfalse&run=efficientnet-lite%3A1")
    wrong = Workspace.open(demo).slice("right=false", run="efficientnet-lite:1", labels="truth")
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.get_by_text(f"{wrong.height} items exported.")).to_be_visible()
    # The gallery has exchanged the page's token by now: its pictures are there.
    expect(page.locator(".errata img").first).to_be_visible()
    with page.expect_download() as started:
        page.get_by_role("link", name="items.parquet").click()
    started.value.save_as(tmp_path / "items.parquet")
    assert pl.read_parquet(tmp_path / "items.parquet")["key"].to_list() == wrong["key"].to_list()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("link", name="items.parquet")).to_have_count(0)
