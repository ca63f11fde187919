"""Predictions of one run: ranked classes for each item; and prediction files, their rows matched to items.

A file without keys is only as good as the order of its rows. The order is stated (or, where one order alone fits,
recognised) and always checked against the original labels: see `ROW_ORDERS` and `_check`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.errors import InputError
from analysis.labels.classes import ClassList
from analysis.labels.readers import item_numbers
from analysis.models import readers

Kind = Literal["logits", "probabilities", "ranks"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """The best k classes of each of n items."""

    items: NDArray[np.uint32]
    """(n,) item numbers, sorted, unique."""
    classes: NDArray[np.int32]
    """(n, k) class indices, best first; -1 behind the last where an item has fewer than k."""
    scores: NDArray[np.float32] | None
    """(n, k) in the scale of `kind`, NaN where the class is -1; None for ranks."""
    kind: Kind
    logsumexp: NDArray[np.float32] | None
    """(n,) log of the summed exponentials of all output classes' logits; None where not known."""

    def __post_init__(self) -> None:
        n = len(self.items)
        if self.classes.ndim != 2 or self.classes.shape[0] != n or self.classes.shape[1] < 1:
            raise ValueError(f"classes are {self.classes.shape}, not ({n}, k)")
        if self.scores is not None and self.scores.shape != self.classes.shape:
            raise ValueError(f"scores are {self.scores.shape}, classes {self.classes.shape}")
        if self.logsumexp is not None and self.logsumexp.shape != (n,):
            raise ValueError(f"logsumexp is {self.logsumexp.shape}, not ({n},)")
        if (np.diff(self.items.astype(np.int64)) <= 0).any():
            raise ValueError("items are not sorted and unique")

    @property
    def top1(self) -> NDArray[np.int32]:
        """(n,) the best class, -1 for none."""
        return self.classes[:, 0]

    @property
    def confidence(self) -> NDArray[np.float32] | None:
        """(n,) probability of the best class; None where the scores do not give it.

        Ranks do not, and logits do not without the logsumexp over all classes.
        """
        if self.scores is None or self.kind == "ranks":
            return None
        if self.kind == "probabilities":
            return self.scores[:, 0]
        return None if self.logsumexp is None else np.exp(self.scores[:, 0] - self.logsumexp)

    def to_frame(self) -> pl.DataFrame:
        """One row an item: item u32, classes Array(i32, k); where known scores Array(f32, k), logsumexp f32."""
        k = self.classes.shape[1]
        columns = {
            "item": pl.Series(self.items, dtype=pl.UInt32),
            "classes": pl.Series(self.classes, dtype=pl.Array(pl.Int32, k)),
        }
        if self.scores is not None:
            columns["scores"] = pl.Series(self.scores, dtype=pl.Array(pl.Float32, k))
        if self.logsumexp is not None:
            columns["logsumexp"] = pl.Series(self.logsumexp, dtype=pl.Float32)
        return pl.DataFrame(columns)

    @staticmethod
    def from_frame(frame: pl.DataFrame, kind: Kind) -> "Predictions":
        """The inverse of `to_frame`."""
        found = {name: frame[name].to_numpy() for name in frame.columns}
        return Predictions(found["item"], found["classes"], found.get("scores"), kind, found.get("logsumexp"))


@dataclass(frozen=True, eq=False)
class ImportedPredictions:
    """Predictions read from files, and what was recognised in them."""

    predictions: Predictions
    record: dict[str, Any]
    """For run.json: format, files, order, scores (logits | probabilities | ranks), output_classes, checks."""


ROW_ORDERS = {
    "imagefolder": "by folder, then file name; the folder is the class id where keys name none",
    "filename": "by file name alone",
    "keys": "by the file's own key column; in a file without one, in the order of the workspace's items",
}


def read_predictions(
    files: Sequence[Path],
    items: pl.DataFrame,
    classes: ClassList,
    *,
    order: str | None = None,
    force: bool = False,
) -> ImportedPredictions:
    """One run's predictions from its file, or from its pair of class and score files.

    `items` has item, key, label and perhaps missing (tombstones are left out). `order` is one of ROW_ORDERS;
    without it a table goes by its keys, and arrays by the order that fits the original labels clearly better than
    the others. Raises InputError for files that cannot be read, are of the wrong length, hold unknown keys,
    classes out of range or NaN; and unless `force`, for rows that look out of order (see `_check`).
    """
    if order is not None and order not in ROW_ORDERS:
        raise InputError(f"Unknown row order {order!r}: it is one of {', '.join(ROW_ORDERS)}.")
    table = readers.read(files, classes)
    present = items.filter(~pl.col("missing")) if "missing" in items.columns else items
    name = " and ".join(file.name for file in files)
    labels = np.full(items.height and int(items["item"].max()) + 1, -1, np.int32)  # type: ignore[arg-type]
    labels[present["item"].to_numpy()] = present["label"].cast(pl.Int32).fill_null(-1).to_numpy()
    if table.keys is not None:
        if order not in (None, "keys"):
            raise InputError(f"{name} names its images, so its rows need no order: leave out --order {order}.")
        numbers, order, others = _by_key(table.keys, present, name), "keys", {}
    else:
        orders = _row_orders(present, classes)
        if len(table.classes) != present.height:
            raise InputError(
                f"{name} has {len(table.classes):,} rows, but the workspace has {present.height:,} items. "
                f"Import predictions for these images, or a table with a key column."
            )
        order = order or _recognise_order(table.classes[:, 0], orders, labels, name)
        if order not in orders:
            raise InputError(f"{name}: order {order!r} needs a label for every item, which this workspace lacks.")
        numbers, others = orders[order], {other: row for other, row in orders.items() if other != order}
    checks = _check(table, numbers, others, labels, len(classes), name, order, force)
    by_item = np.argsort(numbers, kind="stable")
    predictions = Predictions(
        items=numbers[by_item],
        classes=table.classes[by_item],
        scores=None if table.scores is None else table.scores[by_item],
        kind=table.kind,
        logsumexp=None if table.logsumexp is None else table.logsumexp[by_item],
    )
    record = {
        "format": table.format,
        "files": [file.name for file in files],
        "order": order,
        "scores": table.kind,
        "output_classes": table.output_classes,
        "checks": {**table.checks, **checks},
    }
    return ImportedPredictions(predictions, record)


def _by_key(keys: pl.Series, items: pl.DataFrame, name: str) -> NDArray[np.uint32]:
    numbers = item_numbers(keys, items, name)
    if (twice := numbers.is_duplicated()).any():
        raise InputError(f"{name}: {keys.filter(twice)[0]!r} has more than one row; {int(twice.sum()):,} rows do.")
    return numbers.to_numpy()


def _row_orders(items: pl.DataFrame, classes: ClassList) -> dict[str, NDArray[np.uint32]]:
    """Item number of each row under each order that this dataset can have; ROW_ORDERS says which is which."""
    parts = items.select(
        "item",
        "key",
        file=pl.col("key").str.split("/").list.last(),
        folder=pl.coalesce(
            pl.col("key").str.extract(r"^(.*)/[^/]*$", 1),
            pl.Series(classes.ids, dtype=pl.String).gather(items["label"]),
        ),
    )
    orders = {"filename": parts.sort("file", "key"), "keys": parts.sort("item")}
    if parts["folder"].null_count() == 0:
        orders["imagefolder"] = parts.sort("folder", "file")
    return {name: frame["item"].to_numpy() for name, frame in orders.items()}


# ---- do the rows mean what they seem to?

# Fewer labelled items than this, and chance cannot be told from a model: nothing is refused.
ENOUGH = 50
# Standard errors by which one reading of the file must beat another to be called better.
CLEARLY = 4.0


def _recognise_order(
    top1: NDArray[np.int32], orders: dict[str, NDArray[np.uint32]], labels: NDArray[np.int32], name: str
) -> str:
    """The order that is clearly better than every other that differs from it."""
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


def _check(
    table: readers.PredictionFile,
    numbers: NDArray[np.uint32],
    others: dict[str, NDArray[np.uint32]],
    labels: NDArray[np.int32],
    n_classes: int,
    name: str,
    order: str,
    force: bool,
) -> dict[str, Any]:
    """Top-1 by the original labels, as read and as it would be if the file meant something else.

    Refused unless forced: another meaning fits clearly better, or top-1 is no better than chance.
    """
    target, top1 = labels[numbers], table.classes[:, 0]
    n = int((target >= 0).sum())
    if n == 0:
        return {"n_labelled": 0}
    hits = _hits(top1, target)
    share = np.bincount(target[target >= 0], minlength=n_classes) / n
    guessed = np.bincount(top1[(target >= 0) & (top1 >= 0)], minlength=n_classes) / n
    chance, found = float(share @ guessed), float(hits.sum() / n)
    readings = _other_readings(table, target, {other: labels[rows] for other, rows in others.items()})
    best = max(readings, key=lambda reading: readings[reading].sum())
    reasons = []
    if n >= ENOUGH and _z(readings[best], hits) >= CLEARLY:
        reasons.append(f"top-1 would be {readings[best].sum() / n:.1%} if {best}")
    elif n >= ENOUGH and share.max() < 1 and found <= chance + 3 * np.sqrt(chance * (1 - chance) / n):
        reasons.append("its rows belong to other images, or its classes to another class list")
    elif n >= ENOUGH and table.kind == "ranks" and _looks_unranked(table.classes, target, n_classes):
        reasons.append(NOT_RANKED)
    if reasons and not force:
        raise InputError(
            f"{name}: read in the order '{order}', top-1 under the original labels is {found:.1%} (chance "
            f"{chance:.1%}). Likely cause: {reasons[0]}. Nothing was imported; --force imports it as it is."
        )
    return {"n_labelled": n, "top1": float(found), "chance": chance, "forced_against": reasons}


NOT_RANKED = "its columns are not ranked best first: give its file of scores beside it"


def _other_readings(
    table: readers.PredictionFile, target: NDArray[np.int32], others: dict[str, NDArray[np.int32]]
) -> dict[str, NDArray[np.bool_]]:
    """Which rows would be right (n,) if the file meant something else; `others` has the labels in other orders."""
    top1 = table.classes[:, 0]
    readings = {
        f"its rows are in the order '{other}': pass --order {other}": _hits(top1, labels)
        for other, labels in others.items()
    }
    if table.keys is None:
        readings["it has one row too many at its start"] = _hits(np.roll(top1, -1), target)
        readings["it lacks its first row"] = _hits(np.roll(top1, 1), target)
    if table.kind == "ranks":
        readings[NOT_RANKED] = max((_hits(column, target) for column in table.classes.T), key=np.sum)
    readings["its class indices count from 1"] = _hits(top1 - 1, target)
    return readings


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


def _hits(top1: NDArray[np.int32], target: NDArray[np.int32]) -> NDArray[np.bool_]:
    return (top1 == target) & (target >= 0)


def _z(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """How many standard errors a is right more often than b on the same rows (McNemar)."""
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return (only_a - only_b) / np.sqrt(only_a + only_b) if only_a + only_b else 0.0
