"""Datasets: readers of images and labels, one format a file, and what each of them returns.

A reader is a module with `recognises(root) -> bool`, asked by layout `auto` in the order of READERS, and
`read(options, progress) -> Listing`. A new format is one new module and one line in READERS.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from analysis.datasets.scan import Files, find_files
from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.progress import Progress, silent


@dataclass(frozen=True, eq=False)
class Listing:
    """What a reader returns, before any pixel is read.

    - root: the image root; None for a dataset without pixels
    - records: a row an item: key str (unique), path str|null (relative to root), label u32|null (class index),
      split str|null, then metadata columns
    - problems: key str, reason str: files that are no items, and items whose file or label was not found
    - layout: the reader's name
    """

    root: Path | None
    records: pl.DataFrame
    classes: ClassList
    problems: pl.DataFrame
    layout: str


@dataclass(frozen=True)
class DatasetOptions:
    """Where a dataset is and how to read it; the options of `errata create`.

    - images: the image root
    - layout: `auto`, or the name of a reader
    - table, key, label: a CSV or Parquet file, and its columns of keys and of original labels
    - classes: `imagenet-1k` or the path of a class list; None: what the labels themselves tell
    - labels_from: labels of the ImageNet validation set: a CSV, LOC_val_solution.csv or the devkit's folder
    """

    images: Path | None = None
    layout: str = "auto"
    table: Path | None = None
    key: str | None = None
    label: str | None = None
    classes: str | None = None
    labels_from: Path | None = None


class Reader(Protocol):
    """One format."""

    def recognises(self, root: Path) -> bool:
        """Whether the folder looks like this format; looks at few files."""

    def read(self, options: DatasetOptions, progress: Progress = silent) -> Listing:
        """The items in a reproducible order. Raises InputError."""


def open_root(options: DatasetOptions, progress: Progress = silent) -> tuple[Path, Files]:
    """The image root and the files beneath it. Raises InputError where it is no folder or holds no image."""
    root = options.images
    if root is None:
        raise InputError("No images given: name the folder that holds them (--images).")
    if not root.exists():
        raise InputError(f"There is no folder {root}. Check the path given as --images.")
    if not root.is_dir():
        raise InputError(f"{root} is a file; --images takes a folder. A table is given as --table.")
    files = find_files(root, progress)
    if not files.images:
        raise InputError(_without_images(root, files))
    return root, files


def _without_images(root: Path, files: Files) -> str:
    remedy = "Name a folder that holds images (--images); a table is given as --table."
    others = files.not_items()
    if others:
        first, reason = others[0]
        found = f"{len(others):,} other {'entry' if len(others) == 1 else 'entries'}, first {first!r} ({reason})"
    elif names := sorted(path.name for path in root.iterdir()):
        found = f"only such as {names[0]!r}"
    else:
        return f"The folder {root} is empty. {remedy}"
    return f"The folder {root} holds no image (.jpg, .png, .webp, .gif, .bmp or .tif) but {found}. {remedy}"


def records_frame(
    keys: Sequence[str],
    paths: Sequence[str | None],
    labels: pl.Series | None = None,
    splits: Sequence[str | None] | None = None,
) -> pl.DataFrame:
    """The frame of `Listing.records` without metadata."""
    frame = pl.DataFrame({"key": keys, "path": paths}, schema={"key": pl.String, "path": pl.String})
    return frame.with_columns(
        pl.lit(None, pl.UInt32).alias("label") if labels is None else labels.alias("label"),
        pl.Series("split", [None] * len(keys) if splits is None else splits, dtype=pl.String),
    )


def problems_frame(problems: Iterable[tuple[str, str]]) -> pl.DataFrame:
    """The frame of `Listing.problems` from pairs of key and reason."""
    return pl.DataFrame(list(problems), schema={"key": pl.String, "reason": pl.String}, orient="row")


def read(options: DatasetOptions, progress: Progress = silent) -> Listing:
    """The dataset that the options name; a table is read as one, else the layout says or is recognised.

    Raises InputError: nothing to read, an unknown layout, a folder that no reader recognises, and whatever is
    wrong with the input itself.
    """
    if options.table is not None:
        return READERS["table"].read(options, progress)
    layout = _recognise(options, progress) if options.layout == "auto" else options.layout
    if layout not in READERS:
        raise InputError(f"Unknown layout {layout!r}; the layouts are auto, {', '.join(READERS)}.")
    return READERS[layout].read(options, progress)


def _recognise(options: DatasetOptions, progress: Progress) -> str:
    if options.images is None:
        raise InputError("Nothing to read: name a folder of images (--images) or a table (--table).")
    if options.images.is_dir():
        try:
            for name, reader in READERS.items():
                if reader.recognises(options.images):
                    return name
        except OSError as error:
            raise InputError(f"{error.filename} cannot be read: {error.strerror}. Check its permissions.") from error
    root, files = open_root(options, progress)
    folders = {path.split("/")[0] for path in files.images if "/" in path}
    only = ""
    if len(folders) == 1:
        only = f" Only one folder in it holds images: if they are meant, name {root / folders.pop()}."
    raise InputError(
        f"The layout of {root} is not recognised: {len(files.images):,} images, but neither "
        "ILSVRC2012_val_00000001.JPEG names (imagenet-val), n01440764_name.JPEG names (flat), nor two or more "
        f"class folders (imagefolder).{only} Otherwise give the labels as a table (--table FILE --key COLUMN "
        "--label COLUMN) or name the layout (--layout)."
    )


# Last, as the readers need what stands above.
from analysis.datasets import flat, imagefolder, imagenet_val, table  # noqa: E402

READERS: dict[str, Reader] = {
    "imagenet-val": imagenet_val,
    "flat": flat,
    "imagefolder": imagefolder,
    "table": table,
}
