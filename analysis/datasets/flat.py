"""Flat folders of images whose names begin with their class: `n01440764_tench.JPEG`."""

import os
import re
from pathlib import Path

import polars as pl

from analysis.datasets import DatasetOptions, Listing, open_root, problems_frame, records_frame
from analysis.datasets.scan import is_image_name
from analysis.errors import InputError
from analysis.labels.classes import class_list, class_list_of
from analysis.progress import Progress, silent

_NAME = re.compile(r"(n\d{8})_.*", re.DOTALL)


def recognises(root: Path) -> bool:
    """Whether an image directly in the folder is named after a wnid."""
    with os.scandir(root) as entries:
        return any(_NAME.fullmatch(entry.name) and is_image_name(entry.name) for entry in entries)


def read(options: DatasetOptions, progress: Progress = silent) -> Listing:
    """Every image beneath the root, by path; the label is the wnid before the first `_` of the file name.

    An image named otherwise has no label and is listed in the problems. The class list is imagenet-1k where
    it has all the wnids, else those found, sorted. Raises InputError where no name has a wnid and no
    class list is given either.
    """
    root, files = open_root(options, progress)
    matches = [_NAME.fullmatch(path.rsplit("/", 1)[-1]) for path in files.images]
    wnids = pl.Series([match and match[1] for match in matches], dtype=pl.String)
    if wnids.null_count() == len(wnids) and options.classes is None:
        raise InputError(
            f"No image in {root} has a name that begins with a wnid, as n01440764_tench.JPEG does: the first is "
            f"{files.images[0]!r}. Give the labels as a table (--table FILE --key COLUMN --label COLUMN), or a "
            "class list (--classes) to go on without labels."
        )
    found = sorted(set(wnids.drop_nulls()))
    classes = class_list(options.classes) if options.classes else class_list_of(found, name="wnids")
    unlabelled = [
        (path, "no label: the name does not begin with a wnid")
        for path, match in zip(files.images, matches, strict=True)
        if match is None
    ]
    return Listing(
        root=root,
        records=records_frame(files.images, files.images, classes.resolve(wnids, where=f"file names in {root}")),
        classes=classes,
        problems=problems_frame([*files.not_items(), *unlabelled]),
        layout="flat",
    )
