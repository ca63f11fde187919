"""From a folder of images or a table to a workspace: read, scan, number, publish."""

from pathlib import Path

import polars as pl

from analysis import datasets, items
from analysis.datasets import DatasetOptions, Listing
from analysis.datasets.scan import scan
from analysis.errors import InputError, WorkspaceError
from analysis.labels.real import is_imagenet_val, real_label_set
from analysis.progress import Progress, silent
from analysis.workspace import Workspace, is_workspace, write_dataset

MOST_MAY_VANISH = 0.5
"""Reading a dataset again is refused when more than this share of its items would be gone."""


def create(
    path: str,
    options: DatasetOptions,
    *,
    verify: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> tuple[Workspace, items.Changes]:
    """Make the workspace at `path` from what `options` name, or read its dataset again.

    Whatever the layout, ImageNet's validation images get the label set `real` beside `original`. Everything is
    checked before the first write; `force` lets most items of an existing workspace vanish.
    Raises InputError and WorkspaceError.
    """
    progress("listing", 0, None)
    listing = datasets.read(options, progress)
    _refuse_another_dataset(path, listing, force)
    numbered = items.frame(listing.records, scan_listing(listing, verify, progress))
    progress("publishing", 0, None)
    workspace, changes = write_dataset(
        path,
        numbered,
        listing.classes,
        listing.problems,
        image_root=listing.root,
        details={"layout": listing.layout, "verified": verify},
    )
    add_real(workspace)
    return workspace.reopened(), changes


def scan_listing(listing: Listing, verify: bool, progress: Progress) -> pl.DataFrame | None:
    """What the scan says of each record's file, in the records' rows; None for a dataset without pixels."""
    if listing.root is None:
        return None
    rows = listing.records.with_row_index("row").select("row", "path")
    there = rows.drop_nulls("path")
    found = scan(listing.root, there["path"].to_list(), verify=verify, progress=progress)
    scanned = there.select("row").hstack(found)
    absent = pl.when(pl.col("path").is_null()).then(pl.lit("the image was not found below the image folder"))
    return (
        rows.join(scanned, on="row", how="left")
        .sort("row")
        .with_columns(problem=pl.coalesce("problem", absent))
        .drop("row", "path")
    )


def add_real(workspace: Workspace) -> None:
    """Publish ReaL's labels where the keys are ImageNet's validation images, unless they are there and fresh."""
    items_now = workspace.items().filter(~pl.col("missing"))
    if workspace.classes().name != "imagenet-1k" or not is_imagenet_val(items_now["key"]):
        return
    if "real" in workspace.label_set_names() and not workspace.stale(workspace.label_artefact("real")):
        return
    workspace.publish_labels(real_label_set(items_now))


def _refuse_another_dataset(path: str, listing: Listing, force: bool) -> None:
    """Guard against pointing an existing workspace at some other folder by mistake."""
    if force or not is_workspace(Path(path)):
        return
    try:
        before = Workspace.open(path).items().filter(~pl.col("missing"))
    except WorkspaceError:  # a creation that did not finish: nothing can vanish
        return
    gone = before.join(listing.records, on="key", how="anti").height
    if gone > MOST_MAY_VANISH * before.height:
        raise InputError(
            f"{gone:,} of the {before.height:,} items of {path} are not in what was given. Nothing was written. "
            f"If that is meant, add --force; for another dataset choose another workspace path."
        )
