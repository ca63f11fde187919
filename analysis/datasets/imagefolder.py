"""Class folders: `CLASS/name.jpg`, or `train/CLASS/name.jpg` with a folder a split."""

import os
from pathlib import Path

import polars as pl

from analysis.datasets import DatasetOptions, Listing, open_root, problems_frame, records_frame
from analysis.datasets.scan import is_image_name
from analysis.errors import InputError
from analysis.labels.classes import class_list, class_list_of
from analysis.progress import Progress, silent

SPLITS = frozenset({"train", "val", "valid", "validation", "test"})


def recognises(root: Path) -> bool:
    """Whether two folders, or one named as a split is, hold images; one alone may be just a folder."""
    with os.scandir(root) as entries:
        folders = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    held = 0
    for name in folders:
        if _holds_image(root / name):
            held += 1
            if held == 2 or name in SPLITS:
                return True
    return False


def _holds_image(folder: Path) -> bool:
    return any(is_image_name(name) for _, _, names in os.walk(folder) for name in names)


def read(options: DatasetOptions, progress: Progress = silent) -> Listing:
    """Every image below a class folder, ordered by split, class and file name as torchvision's ImageFolder is.

    The class list is imagenet-1k where it has all the folders' names, else the folders, sorted as text. With
    a class list given, the folders are its ids, unique names or (ImageNetV2) indices. An image outside the class
    folders is listed in the problems. Raises InputError for a folder that is no class of the list given.
    """
    root, files = open_root(options, progress)
    parts = [path.split("/") for path in files.images]
    has_splits = all(len(names) > 2 and names[0] in SPLITS for names in parts)
    depth = 1 if has_splits else 0  # which part of the path is the class
    inside = [(names, path) for names, path in zip(parts, files.images, strict=True) if len(names) > depth + 1]
    outside = [(path, "not in a class folder") for path in files.images if path.count("/") <= depth]
    if not inside:
        raise InputError(
            f"{root} has no class folders with images: the first image is {files.images[0]!r}. "
            "Sort the images into a folder a class, or give the labels as a table (--table)."
        )
    paths = [path for _, path in inside]  # sorted by their parts already, which is the order wanted
    folders = pl.Series([names[depth] for names, _ in inside], dtype=pl.String)
    distinct = sorted(set(folders))
    classes = class_list(options.classes) if options.classes else class_list_of(distinct, name="folders")
    labels = classes.resolve(folders, where=f"folders in {root}")
    return Listing(
        root=root,
        records=records_frame(paths, paths, labels, [names[0] for names, _ in inside] if has_splits else None),
        classes=classes,
        problems=problems_frame([*files.not_items(), *outside]),
        layout="imagefolder",
    )
