"""From a folder of images or a table to a workspace: read, scan, number, publish."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from analysis import datasets
from analysis import items as item_table
from analysis.artefacts import (
    FORMAT,
    current_version,
    explaining,
    publish,
    require_utf8,
    staging,
    write_atomically,
    write_parquet,
)
from analysis.datasets import DatasetOptions, Listing
from analysis.datasets.scan import scan
from analysis.errors import InputError, StaleInputError, WorkspaceError
from analysis.labels.classes import ClassList
from analysis.labels.real import is_imagenet_val, real_label_set
from analysis.progress import Progress, silent
from analysis.workspace import CONFIG, DATASET, Workspace, is_workspace, read_config

MOST_MAY_VANISH = 0.5
"""Reading a dataset again is refused when more than this share of its items would be gone."""


def create(
    path: str,
    options: DatasetOptions,
    *,
    verify: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> tuple[Workspace, item_table.Changes]:
    """Make the workspace at `path` from what `options` name, or read its dataset again.

    Whatever the layout, ImageNet's validation images get the label set `real` beside `original`. Everything is
    checked before the first write; `force` lets most items of an existing workspace vanish.
    Raises InputError and WorkspaceError.
    """
    for given in (path, options.images, options.table, options.labels_from, options.classes):
        require_utf8(given or "", "path")
    progress("listing", 0, None)
    listing = datasets.read(options, progress)
    _refuse_another_dataset(path, listing, force)
    numbered = item_table.frame(listing.records, scan_listing(listing, verify, progress))
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


def write_dataset(
    path: str | Path,
    items: pl.DataFrame,
    classes: ClassList,
    problems: pl.DataFrame,
    *,
    image_root: Path | None,
    name: str | None = None,
    note: str = "",
    details: Mapping[str, Any] | None = None,
) -> tuple[Workspace, item_table.Changes]:
    """Make a workspace, or read its dataset again: see analysis.items for what becomes of the numbers.

    `items` are numbered from 0 in reading order (analysis.items.frame), `problems` has key and reason.
    `note` tells people where the dataset comes from and what licence it has; `details` go to the manifest.
    """
    path = Path(path).expanduser().absolute()
    require_utf8(path, "path")
    require_utf8(name or "", "name")
    require_utf8(image_root or "", "path")
    before: Workspace | None = None
    if is_workspace(path):
        config = read_config(path)
        if current_version(path / DATASET) is not None:
            before = Workspace.open(path)
    elif _holds_something_else(path):
        raise WorkspaceError(f"{path} exists and is not a workspace. Choose a path that is new or empty.")
    else:
        config = {"format": FORMAT, "uuid": str(uuid.uuid4()), "name": name or path.name}
    if before is None:
        merged, changes = items, item_table.Changes(items.height, 0, 0, 0, 0)
    else:
        merged_classes = item_table.merge_classes(before.classes(), classes)
        items = _renumber_labels(items, classes, merged_classes)
        merged, changes = item_table.merge(before.items(), items)
        classes = merged_classes
    if not is_workspace(path):
        with explaining(path):
            path.mkdir(parents=True, exist_ok=True)
            write_atomically(path / CONFIG, _as_toml(config).encode())

    def still_the_same() -> None:
        if current_version(path / DATASET) != (before.dataset.version if before else None):
            raise StaleInputError(
                f"Another process read the dataset of {path.name} again in the meantime. Nothing was published; "
                f"run the command again."
            )

    with staging(path / DATASET) as folder:
        write_parquet(merged, folder / "items.parquet")
        write_parquet(classes.frame, folder / "classes.parquet")
        write_parquet(problems.select(pl.col("key", "reason").cast(pl.String)), folder / "problems.parquet")
        publish(
            path / DATASET,
            folder,
            "dataset",
            name=config["name"],
            inputs={},
            details={
                "class_list": classes.name,
                "image_root": None if image_root is None else _relative(image_root, path),
                "note": note or (before.note if before else ""),
                **(details or {}),
                "fingerprints": item_table.fingerprints(merged, classes),
            },
            check=still_the_same,
        )
    return Workspace.open(path), changes


def _holds_something_else(path: Path) -> bool:
    """Whether there is something at this path that a workspace may not be put into."""
    with explaining(path):
        return path.is_file() or (path.is_dir() and any(not entry.name.startswith(".") for entry in path.iterdir()))


def _as_toml(config: Mapping[str, Any]) -> str:
    """Strings and numbers as lines of TOML.

    JSON's are TOML's too, but for two things: TOML has no surrogate pairs, and wants U+007F escaped.
    """
    lines = (f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in config.items())
    return "".join(lines).replace("\x7f", "\\u007f")


def _renumber_labels(items: pl.DataFrame, read: ClassList, merged: ClassList) -> pl.DataFrame:
    """Labels that index the class list just read, as indices into the workspace's own."""
    position = {class_id: index for index, class_id in enumerate(merged.ids)}
    new = pl.Series([position[class_id] for class_id in read.ids], dtype=pl.UInt32)
    return items.with_columns(label=pl.Series(new.gather(items["label"]) if len(new) else items["label"]))


def _relative(root: Path, workspace: Path) -> str:
    """The image root as stored: relative where it lies in the workspace, so that the folder can be moved."""
    root = root.expanduser().absolute()
    return str(root.relative_to(workspace) if root.is_relative_to(workspace) else root)
