"""Which item each row of a prediction file is, and whether that can be true.

A file without keys is only as good as the order of its rows. The order is stated (or, where one order alone fits,
recognised) and always checked against the original labels: top-1 as the file is read must beat what it would be if
the file meant something else, by each of the mistakes that people make (`_other_readings`).
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.models.formats.ranking import PredictionFile

Rows = NDArray[np.uint32]
"""Item number of each row, (N,)."""
Hits = NDArray[np.bool_]
"""Which rows' top-1 is the label, (N,)."""

ROW_ORDERS = {
    "imagefolder": "by folder, then file name; the folder is the class id where keys name none",
    "filename": "by file name alone",
    "keys": "by the file's own key column; in a file without one, in the order of the workspace's items",
}
# Fewer labelled items than this, and chance cannot be told from a model: nothing is refused.
ENOUGH = 50
# Standard errors by which one reading of the file must beat another to be called better.
CLEARLY = 4.0


def row_orders(items: pl.DataFrame, classes: ClassList) -> dict[str, Rows]:
    """The item of each row under each of ROW_ORDERS that this dataset can have."""
    parts = _parts(items, classes)
    orders = {"filename": parts.sort("file", "key"), "keys": parts.sort("item")}
    if parts["folder"].null_count() == 0:
        orders["imagefolder"] = parts.sort("folder", "file")
    return {name: frame["item"].to_numpy() for name, frame in orders.items()}


def _parts(items: pl.DataFrame, classes: ClassList) -> pl.DataFrame:
    key = pl.col("key")
    return items.select(
        "item",
        "key",
        "label",
        file=pl.coalesce(key.str.extract(r"([^/]+)$", 1), key),
        folder=pl.coalesce(
            key.str.extract(r"^(.*)/[^/]*$", 1),
            pl.Series(classes.ids, dtype=pl.String).gather(items["label"]),
        ),
    )


def recognise(top1: NDArray[np.int32], orders: dict[str, Rows], labels: NDArray[np.int32], name: str) -> str:
    """The order that is clearly better than every other that differs from it; InputError when none is."""
    hits = {order: _hits(top1, labels[rows]) for order, rows in orders.items()}
    best = max(hits, key=lambda order: hits[order].sum())
    for other, rows in orders.items():
        if not np.array_equal(rows, orders[best]) and _z(hits[best], hits[other]) < CLEARLY:
            raise InputError(
                f"{name}: the order of its rows cannot be told from the labels. State it with --order: "
                + "; ".join(f"{order} ({ROW_ORDERS[order]})" for order in orders)
                + "."
            )
    # Orders that are the same here have different names: prefer the one that is most often meant.
    return next(order for order in ROW_ORDERS if order in orders and np.array_equal(orders[order], orders[best]))


def check(
    table: PredictionFile,
    numbers: Rows,
    orders: dict[str, Rows],
    items: pl.DataFrame,
    labels: NDArray[np.int32],
    classes: ClassList,
) -> tuple[dict[str, Any], str | None]:
    """(What the run's record says of it, why the file should be refused or None).

    Refused is a file that would fit clearly better if it meant something else, or whose top-1 is no better than
    chance. `orders` are the other orders that its rows could have, none for a file with keys; `labels` (by item
    number, -1 for none) are the original ones.
    """
    target, top1 = labels[numbers], table.classes[:, 0]
    n = int((target >= 0).sum())
    if n == 0:
        return {"n_labelled": 0}, None
    hits = _hits(top1, target)
    share = np.bincount(target[target >= 0], minlength=len(classes)) / n
    guessed = np.bincount(top1[(target >= 0) & (top1 >= 0)], minlength=len(classes)) / n
    chance, found = float(share @ guessed), float(hits.sum() / n)
    cause = None
    if n >= ENOUGH:
        others = {f"its rows are in the order '{o}': pass --order {o}": labels[rows] for o, rows in orders.items()}
        if table.keys is None:
            others |= _numbered_folders(items, classes, labels)
        readings = _other_readings(table, target, others, len(classes))
        best = max(readings, key=lambda reading: readings[reading].sum())
        renumbered, numbering = _renumbered(top1, target, classes)
        # A confusion of a model does not double top-1.
        if renumbered >= max(0.2, 2 * found, 1.2 * readings[best].sum() / n):
            cause = f"top-1 would be about {renumbered:.1%} if {numbering}"
        elif _z(readings[best], hits) >= CLEARLY:
            cause = f"top-1 would be {readings[best].sum() / n:.1%} if {best}"
        elif share.max() < 1 and found <= chance + 3 * np.sqrt(chance * (1 - chance) / n):
            cause = "its rows belong to other images, or its classes to another class list"
        elif table.kind == "ranks" and _looks_unranked(table.classes, target, len(classes)):
            cause = NOT_RANKED
    return {"n_labelled": n, "top1": found, "chance": chance}, cause


NOT_RANKED = "its columns are not ranked best first: give its file of scores beside it"


def _numbered_folders(
    items: pl.DataFrame, classes: ClassList, labels: NDArray[np.int32]
) -> dict[str, NDArray[np.int32]]:
    """The labels of rows by folders that are called 0 to C - 1 and were sorted as text: 0, 1, 10, 100, ..."""
    if items["label"].null_count():
        return {}
    parts = _parts(items, classes).with_columns(folder=pl.col("label").cast(pl.String))
    rows = parts.sort("folder", "file")["item"].to_numpy()
    what = "its rows follow folders numbered 0, 1, 10, 11, ... as text: add a key column to it"
    return {what: labels[rows]}


def _other_readings(
    table: PredictionFile, target: NDArray[np.int32], others: dict[str, NDArray[np.int32]], n_classes: int
) -> dict[str, Hits]:
    """Which rows would be right if the file meant something else; `others` has the labels in other orders."""
    top1 = table.classes[:, 0]
    readings = {what: _hits(top1, labels) for what, labels in others.items()}
    if table.keys is None:
        readings["it has one row too many at its start"] = _hits(np.roll(top1, -1), target)
        readings["it lacks its first row"] = _hits(np.roll(top1, 1), target)
    if table.kind == "ranks":
        readings[NOT_RANKED] = max((_hits(column, target) for column in table.classes.T), key=np.sum)
    readings["its class indices count from 1"] = _hits(top1 - 1, target)
    readings["its class indices are one too low (does its background class stand last, not first?)"] = _hits(
        np.where(top1 >= 0, top1 + 1, -1), target
    )
    # Class j of the file is the j-th of the numbers sorted as text, or the other way about.
    as_text = np.array(sorted(range(n_classes), key=str), np.int32)
    there = (top1 >= 0) & (top1 < n_classes)
    for order in (as_text, np.argsort(as_text).astype(np.int32)):
        what = "its classes follow folders numbered 0, 1, 10, 11, ... as text, or this class list does"
        hits = _hits(np.where(there, order[np.where(there, top1, 0)], -1), target)
        readings[what] = max(readings.get(what, hits), hits, key=np.sum)
    return readings


# The first classes of the ILSVRC 2012 development kit, numbered from 1 there: the kit fox comes first, where the
# order of sorted wnids begins with the tench.
_ILSVRC2012_ID = (
    "n02119789", "n02100735", "n02110185", "n02096294", "n02102040", "n02066245", "n02509815", "n02124075",
    "n02417914", "n02123394",
)  # fmt: skip


def _renumbered(top1: NDArray[np.int32], target: NDArray[np.int32], classes: ClassList) -> tuple[float, str]:
    """(Top-1 if each class of the file stood for the one that it mostly is; what that means).

    The map is made from half of the rows and judged on the other half.
    """
    there = (top1 >= 0) & (target >= 0)
    top1, target = top1[there], target[there]
    n_right, renumbering = 0, np.full(len(classes), -1)
    for half in (0, 1):
        fitted = np.arange(len(top1)) % 2 == half
        pairs, counts = np.unique(top1[fitted].astype(np.int64) * len(classes) + target[fitted], return_counts=True)
        order = np.argsort(counts, kind="stable")  # the most frequent is written last
        renumbering[:] = -1
        renumbering[pairs[order] // len(classes)] = pairs[order] % len(classes)
        n_right += int((renumbering[top1[~fitted]] == target[~fitted]).sum())
    numbering = "its classes followed another class list than this one: write class ids instead of numbers"
    if set(_ILSVRC2012_ID) <= set(classes.ids):
        kit = np.array([classes.ids.index(wnid) for wnid in _ILSVRC2012_ID])
        first = renumbering[: len(kit) + 1]
        if max((first[:-1] == kit).sum(), (first[1:] == kit).sum()) > len(kit) / 2:
            numbering = (
                "its classes were ILSVRC2012_IDs (the development kit's order, kit fox first), not indices of the "
                "sorted wnids: write wnids"
            )
    return n_right / max(1, len(top1)), numbering


def _looks_unranked(classes: NDArray[np.int32], target: NDArray[np.int32], n_classes: int) -> bool:
    """Whether the second column holds the label nearly as often as the first, in a model that is not weak.

    Ranked files of real models have the label 5 to 8 times as often in the first column; files in the order of
    numpy's argpartition, 1.2 to 1.3 times. With few classes even a ranked list may look like that.
    """
    k = classes.shape[1]
    if k < 2 or n_classes < 10 * k:
        return False
    rates = [_hits(column, target).sum() / max(1, (target >= 0).sum()) for column in classes.T]
    return sum(rates) >= 0.5 and rates[0] < 1.5 * rates[1]


def _hits(top1: NDArray[np.int32], target: NDArray[np.int32]) -> Hits:
    return (top1 == target) & (target >= 0)


def _z(a: Hits, b: Hits) -> float:
    """How many standard errors a is right more often than b on the same rows (McNemar)."""
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return (only_a - only_b) / np.sqrt(only_a + only_b) if only_a + only_b else 0.0
