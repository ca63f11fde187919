"""The validation set of ILSVRC 2012 in the forms it comes in, and ImageNetV2."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import polars as pl
from scipy.io import loadmat

from analysis.datasets import DatasetOptions, Listing, open_root, problems_frame, records_frame
from analysis.datasets.scan import Files
from analysis.datasets.table import KEY_COLUMNS, LABEL_COLUMNS, pick_column, read_columns, read_frame
from analysis.errors import InputError
from analysis.labels.classes import IMAGENET_1K, ClassList, class_list, is_wnid
from analysis.progress import Progress, silent

KAGGLE = "LOC_val_solution.csv"
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
KNOWN_SOURCES = (KAGGLE, "labels.csv", "ILSVRC2012_devkit_t12", "devkit")
_NAME = re.compile(r"ILSVRC2012_val_(\d{8})(?:_(n\d{8}))?\.jpe?g", re.IGNORECASE)
_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})")


def recognises(root: Path) -> bool:
    """Whether the images, here or in the first wnid folder, have the set's names, or the folders are 0 to 999."""
    with os.scandir(root) as entries:
        names = [entry.name for entry in entries]
    if any(map(_NAME.fullmatch, names)):
        return True
    if {name for name in names if name.isdigit()} == {str(index) for index in range(1000)}:
        return True
    folder = next((root / name for name in sorted(names) if is_wnid(name) and (root / name).is_dir()), None)
    return folder is not None and any(_NAME.fullmatch(path.name) for path in folder.iterdir())


def read(options: DatasetOptions, progress: Progress = silent) -> Listing:
    """The images named ILSVRC2012_val_XXXXXXXX(_nXXXXXXXX).JPEG by folder and name, or ImageNetV2's by path.

    The key is ILSVRC2012_val_XXXXXXXX.JPEG whatever the folder, so that ReaL and predictions by key apply.
    Labels come from `labels_from`, else the file names, else the folders, else a known file in or beside the
    root (KNOWN_SOURCES). An image without a label stays an item and is listed in the problems, another file
    only is listed. Raises InputError: no image of the set, one number twice, no labels, labels that do
    not fit.
    """
    root, files = open_root(options, progress)
    classes = class_list(options.classes or IMAGENET_1K)
    if not any(_NAME.fullmatch(path.rsplit("/", 1)[-1]) for path in files.images):
        return _read_v2(root, files, classes)
    paths: list[str] = []
    numbers: list[int] = []
    wnids: list[str | None] = []  # of the file's name, else of its folder
    strangers: list[tuple[str, str]] = []
    for path in files.images:
        folder, _, name = path.rpartition("/")
        match = _NAME.fullmatch(name)
        if match is None:
            strangers.append((path, "not named as an image of the ImageNet validation set"))
            continue
        folder = folder.rpartition("/")[2]
        paths.append(path)
        numbers.append(int(match[1]))
        wnids.append(match[2] or (folder if is_wnid(folder) else None))
    _check_unique(numbers, paths)
    source = options.labels_from
    if source is None and not any(wnids):
        source = _find_source(root)
    if source is None:
        labels = classes.resolve(pl.Series(wnids, dtype=pl.String), where=f"names and folders in {root}")
    else:
        known = _labels_by_number(source, classes)
        labels = pl.Series([known.get(number) for number in numbers], dtype=pl.UInt32)
        if labels.null_count() == len(labels):
            raise InputError(f"{source} has no label for any of the {len(paths):,} images in {root}.")
    keys = [f"ILSVRC2012_val_{number:08}.JPEG" for number in numbers]
    where = f"in {source.name}" if source else "in its name or folder"
    unlabelled = [(key, f"no label {where}") for key, label in zip(keys, labels, strict=True) if label is None]
    return Listing(
        root=root,
        records=records_frame(keys, paths, labels),
        classes=classes,
        problems=problems_frame([*files.not_items(), *strangers, *unlabelled]),
        layout="imagenet-val",
    )


def _read_v2(root: Path, files: Files, classes: ClassList) -> Listing:
    """ImageNetV2: folders 0 to 999, read as class indices."""
    paths = [path for path in files.images if path.count("/") == 1 and path.split("/")[0].isdigit()]
    if not paths:
        raise InputError(
            f"{root} holds no image named as ILSVRC2012_val_00000001.JPEG and no folders 0 to 999 as ImageNetV2: "
            f"the first image is {files.images[0]!r}. Choose another --layout."
        )
    inside = set(paths)
    outside = [(path, "not in a folder 0 to 999") for path in files.images if path not in inside]
    indices = pl.Series([int(path.split("/")[0]) for path in paths])
    return Listing(
        root=root,
        records=records_frame(paths, paths, classes.resolve(indices, where=f"folders in {root}")),
        classes=classes,
        problems=problems_frame([*files.not_items(), *outside]),
        layout="imagenet-val",
    )


def _check_unique(numbers: list[int], paths: list[str]) -> None:
    first: dict[int, str] = {}
    for number, path in zip(numbers, paths, strict=True):
        if number in first:
            raise InputError(
                f"Image {number:08} of the validation set is there twice, as {first[number]!r} and {path!r}. "
                "Remove one of them."
            )
        first[number] = path


def _find_source(root: Path) -> Path:
    """The labels' file in or beside the root, or where Kaggle's own tree has it. Raises InputError."""
    folders = [root, root.resolve().parent]
    if root.resolve().parts[-3:] == ("Data", "CLS-LOC", "val"):
        folders.append(root.resolve().parents[3])
    for folder in folders:
        for name in KNOWN_SOURCES:
            if (folder / name).exists():
                return folder / name
    raise InputError(
        f"No labels for the images in {root}: neither their names nor their folders hold a wnid, and there is no "
        f"{', '.join(KNOWN_SOURCES)} in or beside it. Name a CSV with filename and wnid, Kaggle's {KAGGLE} or "
        "the unpacked devkit's folder as the source of labels (--labels-from)."
    )


def _labels_by_number(source: Path, classes: ClassList) -> dict[int, int]:
    """Class index by image number (from 1). Raises InputError."""
    if source.is_dir():
        return _from_devkit(source, classes)
    if source.name == GROUND_TRUTH:
        return _from_devkit(source.parent, classes)
    if source.suffix.lower() in (".csv", ".tsv", ".parquet"):
        return _from_table(source, classes)
    what = "is none of these" if source.exists() else "does not exist"
    raise InputError(
        f"{source} {what}: labels come from a CSV with filename and wnid, from {KAGGLE} or from the unpacked "
        f"devkit's folder with data/{GROUND_TRUTH} and data/meta.mat."
    )


def _from_table(source: Path, classes: ClassList) -> dict[int, int]:
    columns = read_columns(source)
    key = pick_column(columns, None, KEY_COLUMNS, f"{source}: file names", "call it filename")
    kaggle = "PredictionString" in columns
    column = (
        "PredictionString" if kaggle else pick_column(columns, None, LABEL_COLUMNS, f"{source}: labels", "call it wnid")
    )
    frame = read_frame(source, text=(key, column))
    # Kaggle: `n01978287 85 1 499 272 ...`, a class and a box a time, of one class in this set
    values = frame[column].str.split(" ").list.first() if kaggle else frame[column]
    labels = classes.resolve(values, where=f"{source.name}, column {column}")
    found: dict[int, int] = {}
    for row, (name, label) in enumerate(zip(frame[key].cast(pl.String), labels, strict=True), 1):
        match = _NUMBER.search(name or "")
        if match is None:
            raise InputError(f"{source}, row {row}: {name!r} names no image of the ImageNet validation set.")
        number = int(match[1])
        if number in found and found[number] != label:
            raise InputError(f"{source}, row {row}: {name!r} has two different labels; remove one.")
        if label is not None:
            found[number] = label
    return found


def _from_devkit(folder: Path, classes: ClassList) -> dict[int, int]:
    """The ground truth counts by ILSVRC2012_ID, which is not the order of the sorted wnids: meta.mat maps it."""
    data = folder if (folder / GROUND_TRUTH).exists() else folder / "data"
    truth, meta = data / GROUND_TRUTH, data / "meta.mat"
    for path in (truth, meta):
        if not path.is_file():
            raise InputError(f"{path} is missing; the devkit's folder holds data/{GROUND_TRUTH} and data/meta.mat.")
    try:
        synsets = loadmat(meta, squeeze_me=True)["synsets"]
        wnids = _pairs(synsets["ILSVRC2012_ID"].tolist(), synsets["WNID"].tolist())
    except Exception as error:  # scipy raises many kinds on a file that is none of MATLAB's
        raise InputError(f"{meta} cannot be read as the devkit's table of synsets: {error}") from error
    try:
        ids = [int(line) for line in truth.read_text(encoding="ascii").split()]
    except ValueError as error:
        raise InputError(f"{truth} must hold one number a line: {error}.") from error
    for line, number in enumerate(ids, 1):
        if number not in wnids:
            raise InputError(f"{truth}, line {line}: there is no ILSVRC2012_ID {number} in {meta}.")
    labels = classes.resolve(pl.Series([wnids[number] for number in ids], dtype=pl.String), where=f"{truth}")
    return dict(enumerate(labels.to_list(), 1))


def _pairs(ids: Iterable[int], wnids: Iterable[str]) -> dict[int, str]:
    return {int(number): str(wnid) for number, wnid in zip(ids, wnids, strict=True)}
